//! No public type name is used twice in shipped code, so that a name always means the same thing.

use std::collections::BTreeMap;

use crate::sources::{SHIPPED, shipped_part, sources, tokens};

/// Each program has its own.
const OF_EACH_PROGRAM: &[&str] = &["Cli", "Command"];

/// Known duplicates, each with its reason. None may be added.
const KNOWN: &[&str] = &[];

#[test]
fn no_public_type_name_is_used_twice() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for krate in SHIPPED {
        for (file, text) in sources(&format!("{krate}/src")) {
            for name in public_types(shipped_part(&text)) {
                places.entry(name).or_default().push(format!("{krate}/src/{file}"));
            }
        }
    }
    let twice = places.iter().filter(|(name, places)| places.len() > 1 && !OF_EACH_PROGRAM.contains(&name.as_str()));
    let twice: BTreeMap<_, _> = twice.collect();
    let new: Vec<_> = twice.iter().filter(|(name, _)| !KNOWN.contains(&name.as_str())).collect();
    assert!(new.is_empty(), "these type names are used twice: {new:#?}");
    for name in KNOWN {
        assert!(twice.keys().any(|it| it == name), "{name} is used once only: remove it from KNOWN");
    }
}

/// The types that other files can name: `pub`, `pub(crate)` and `pub(super)`.
fn public_types(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_type = ["struct", "enum", "union", "trait", "type"].contains(&token.text);
        let before: Vec<&str> = tokens[..at].iter().rev().take(4).map(|token| token.text).collect();
        let is_public = matches!(before[..], ["pub", ..] | [")", "crate" | "super", "(", "pub"]);
        // `$name` in a macro is not a name.
        if is_type && is_public && tokens[at + 1].text != "$" {
            found.push(tokens[at + 1].text.to_owned());
        }
    }
    found
}

#[test]
fn public_types_are_found() {
    let text = "pub struct A; struct B; pub(crate) enum C {} impl T { type D = u8; } pub fn e() {} pub type F = u8;";
    assert_eq!(public_types(text), ["A", "C", "F"]);
}
