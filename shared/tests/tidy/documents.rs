//! The documents name only files that exist.

use std::fs;
use std::path::Path;

use crate::sources::root;

/// The endings of files and folders that are checked.
const ENDINGS: &[&str] = &[".rs", ".sql", ".md", ".yml", "/"];

#[test]
fn documents_name_only_files_that_exist() {
    let mut documents: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "migrations/README.md"].map(str::to_owned).to_vec();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        documents.extend(Path::new(&name).extension().is_some_and(|end| end == "md").then(|| format!("docs/{name}")));
    }
    let mut missing = Vec::new();
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        for (line, text) in (1..).zip(text.lines()) {
            let paths = named_paths(text).into_iter().filter(|path| !root().join(path).exists());
            missing.extend(paths.map(|path| format!("{document}:{line}: {path}")));
        }
    }
    assert!(missing.is_empty(), "these files do not exist:\n{}", missing.join("\n"));
}

/// The paths in backticks in a line, relative to the root of the repository. A path that begins with a slash is part of
/// a URL, and `./dev` creates `.dev/`.
fn named_paths(line: &str) -> Vec<&str> {
    let is_path = |text: &str| {
        text.contains('/')
            && !text.starts_with('/')
            && !text.starts_with(".dev/")
            && ENDINGS.iter().any(|end| text.ends_with(end))
            && text.chars().all(|it| it.is_ascii_alphanumeric() || "/._-".contains(it))
    };
    line.split('`').skip(1).step_by(2).filter(|text| is_path(text)).collect()
}

#[test]
fn paths_are_found_in_backticks() {
    let line = "see `api/src/`, `docs/a.md`, `a.rs`, `.dev/log/`, `/v1/`, `jobs/<kind>.rs`, docs/b.md and `a / b.rs`";
    assert_eq!(named_paths(line), ["api/src/", "docs/a.md"]);
}
