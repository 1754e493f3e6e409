//! Every dependency is used: each crate uses those in its `Cargo.toml`, and some crate uses each one of the workspace.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::{members, root, sources, tokens};

/// Dependencies that only a file of another crate uses, which the tests include by its path.
const KNOWN_UNUSED: &[(&str, &str)] = &[("worker", "millrace-api")];

#[test]
fn every_dependency_is_used_by_its_crate() {
    for krate in members() {
        let manifest = fs::read_to_string(root().join(&krate).join("Cargo.toml")).unwrap();
        let shipped = words(&format!("{krate}/src"));
        let tested: BTreeSet<String> = words(&format!("{krate}/tests")).union(&shipped).cloned().collect();
        for (section, words) in [("[dependencies]", &shipped), ("[dev-dependencies]", &tested)] {
            for name in names_in(&manifest, section) {
                let is_used = words.contains(&imported_as(&name));
                let is_known = KNOWN_UNUSED.contains(&(krate.as_str(), name.as_str()));
                assert!(is_used || is_known, "{krate} has {name} in {section} and does not use it");
                assert!(!is_used || !is_known, "{krate} uses {name}: remove it from KNOWN_UNUSED");
            }
        }
    }
}

#[test]
fn every_dependency_of_the_workspace_is_named_by_a_crate() {
    let mut named = BTreeSet::new();
    for krate in members() {
        let manifest = fs::read_to_string(root().join(&krate).join("Cargo.toml")).unwrap();
        named.extend(names_in(&manifest, "[dependencies]"));
        named.extend(names_in(&manifest, "[dev-dependencies]"));
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for name in names_in(&manifest, "[workspace.dependencies]") {
        assert!(named.contains(&name), "no crate names {name}, which the workspace has in its dependencies");
    }
}

/// The names of the dependencies in a section, as on crates.io.
fn names_in(manifest: &str, section: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let names = lines.filter(|line| line.starts_with(|it: char| it.is_ascii_lowercase()));
    names.map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned()).collect()
}

/// The name of a dependency in the sources. Our own crates drop the prefix `millrace-`.
fn imported_as(name: &str) -> String {
    name.strip_prefix("millrace-").unwrap_or(name).replace('-', "_")
}

/// All words in the sources of a folder, without comments and strings.
fn words(folder: &str) -> BTreeSet<String> {
    sources(folder)
        .iter()
        .flat_map(|(_, text)| tokens(text).iter().map(|token| token.text.to_owned()).collect::<Vec<_>>())
        .collect()
}
