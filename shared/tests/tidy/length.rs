//! Limits the length of files and functions.

use crate::sources::{closing, members, shipped_part, sources, tokens};

/// In a longer file, people search instead of reading.
const LINES_OF_A_FILE: usize = 500;

/// A longer function does more than one thing.
const LINES_OF_A_FUNCTION: usize = 60;

/// Known test files that are too long. None may be added.
const LONG_TEST_FILES: &[&str] = &[];

/// Known functions that are too long, by file and name. None may be added.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

#[test]
fn files_are_short_enough_to_read() {
    let mut long = Vec::new();
    for folder in members().iter().flat_map(|member| [format!("{member}/src"), format!("{member}/tests")]) {
        for (path, text) in sources(&folder) {
            if text.lines().count() > LINES_OF_A_FILE {
                long.push(format!("{folder}/{path}"));
            }
        }
    }
    let new: Vec<_> = long.iter().filter(|file| !LONG_TEST_FILES.contains(&file.as_str())).collect();
    assert!(new.is_empty(), "these files have more than {LINES_OF_A_FILE} lines: {new:#?}");
    for file in LONG_TEST_FILES {
        assert!(long.iter().any(|it| it == file), "{file} is short now: remove it from LONG_TEST_FILES");
    }
}

/// SQL statements with their arguments do not count, and unit tests are left out.
#[test]
fn functions_are_short_enough_to_read() {
    let mut long = Vec::new();
    for folder in members().iter().map(|member| format!("{member}/src")) {
        for (path, text) in sources(&folder) {
            for (name, lines) in functions(shipped_part(&text)) {
                if lines > LINES_OF_A_FUNCTION {
                    long.push((format!("{folder}/{path}"), name, lines));
                }
            }
        }
    }
    let is = |known: &(&str, &str), file: &str, name: &str| *known == (file, name);
    let new: Vec<_> =
        long.iter().filter(|(file, name, _)| !LONG_FUNCTIONS.iter().any(|known| is(known, file, name))).collect();
    assert!(new.is_empty(), "these functions have more than {LINES_OF_A_FUNCTION} lines: {new:#?}");
    for known in LONG_FUNCTIONS {
        let is_left = long.iter().any(|(file, name, _)| is(known, file, name));
        assert!(is_left, "{known:?} is short now: remove it from LONG_FUNCTIONS");
    }
}

/// The functions of a file with their lines, without those of `query!` and similar macros.
fn functions(text: &str) -> Vec<(String, usize)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for start in (0..tokens.len()).filter(|at| tokens[*at].text == "fn" && tokens[at + 1].text != "(") {
        // The first brace after the parameters opens the body. A declaration in a trait has no body.
        let Some(parameters) = (start..tokens.len()).find(|at| tokens[*at].text == "(") else { continue };
        let after = closing(&tokens, parameters);
        let Some(open) = (after..tokens.len()).find(|at| ["{", ";"].contains(&tokens[*at].text)) else { continue };
        if tokens[open].text == ";" {
            continue;
        }
        let end = closing(&tokens, open);
        let lines = tokens[end].line - tokens[start].line + 1;
        found.push((tokens[start + 1].text.to_owned(), lines - lines_of_sql(&tokens[open..end])));
    }
    found
}

fn lines_of_sql(tokens: &[crate::sources::Token<'_>]) -> usize {
    let is_query = |at: usize| tokens[at].text.starts_with("query") && tokens[at + 1].text == "!";
    let queries = (0..tokens.len().saturating_sub(2)).filter(|at| is_query(*at));
    queries.map(|at| tokens[closing(tokens, at + 2)].line - tokens[at].line).sum()
}

#[test]
fn lines_are_counted_without_sql() {
    let text = "fn a(x: u8)\n-> u8 {\n 1 }\nfn b() {\n sqlx::query!(\"select\n 1\", {\n 1 })\n}\ntrait T { fn c(); }";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("b".to_owned(), 3)]);
}
