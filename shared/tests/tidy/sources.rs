//! Reads the sources of the workspace: files, tokens, modules. It handles our own formatted code, not all of Rust.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates that are shipped. A folder that does not exist has no files.
pub const SHIPPED: &[&str] = &["shared", "api", "web", "worker"];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The crates of the workspace, by their folders.
pub fn members() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let list = manifest.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    list.split(',').map(|name| name.trim().trim_matches('"').to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The Rust files below a folder, by their path in it.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let base = root().join(folder);
    let (mut found, mut folders) = (Vec::new(), vec![base.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(&base).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A word, a `::`, or any other single character that is not white space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// The file without its unit tests, which stand last.
pub fn shipped_part(text: &str) -> &str {
    text.split("\n#[cfg(test)]\n").next().unwrap()
}

/// The tokens of a file, without comments, strings and characters.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut tokens, mut at, mut line) = (Vec::new(), 0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = if let Some(length) = skipped(rest) {
            length
        } else {
            let length = token_length(rest);
            if !rest.starts_with(char::is_whitespace) {
                tokens.push(Token { text: &rest[..length], line });
            }
            length
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of the comment, string or character that a text begins with.
fn skipped(text: &str) -> Option<usize> {
    let until = |end: &str, start: usize| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r'));
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            let start = text.len() - raw.len() + hashes + 1;
            return Some(until(&format!("\"{}", "#".repeat(hashes)), start));
        }
    }
    let quoted = text.strip_prefix('b').unwrap_or(text);
    if quoted.starts_with('"') {
        return Some(text.len() - quoted.len() + closing_quote(quoted, '"'));
    }
    // A lifetime such as 'a has no second quote.
    let mut characters = quoted.chars();
    if characters.next() == Some('\'') {
        let is_character = match characters.next() {
            Some('\\') => true,
            Some(_) => characters.next() == Some('\''),
            None => false,
        };
        return is_character.then(|| text.len() - quoted.len() + closing_quote(quoted, '\''));
    }
    None
}

/// The length of a quoted text, which may contain escaped quotes.
fn closing_quote(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            it if it == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn token_length(text: &str) -> usize {
    let is_word = |it: char| it.is_alphanumeric() || it == '_';
    let word = text.find(|it| !is_word(it)).unwrap_or(text.len());
    match text {
        _ if word > 0 => word,
        _ if text.starts_with("::") => 2,
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

/// The index of the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

#[test]
fn tokens_leave_out_what_is_no_code() {
    let text = "// no\nlet a: &'static str = \"x { \\\" y\"; 'b' r#\"{\"# b::c /* { */ b'\\''";
    let found: Vec<_> = tokens(text).iter().map(|token| token.text).collect();
    assert_eq!(found.join(" "), "let a : & ' static str = ; b :: c");
    assert!(tokens(text).iter().all(|token| token.line == 2));
}
