//! What the compiler cannot check: who writes which table, what requests refuse, how files begin and how long they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The one file that fills the tables of other modules, and which: it says why at its head.
const WRITES_FOR_OTHERS: (&str, &[&str]) = (
    "orders/placing/statements.rs",
    &["idempotency_keys", "inventory", "jobs", "reservation_lines", "reservations", "stock_movements"],
);

/// These read what we wrote ourselves, or a file of the operator's: a field more is no mistake of a client's.
const READ_FROM_OURSELVES: &[&str] = &[
    "$name", // of a job
    "Claims",
    "Finding",
    "ItemRow",
    "JobRow",
    "Noop",
    "OrderCustomer",
    "OrderPayment",
    "OrderShipment",
    "PricedProduct",
    "ProductView",
    "RunningJob",
    "Tick",
];

/// Longer files are searched in instead of read.
const LINES: usize = 500;

#[test]
fn every_table_is_written_by_one_module_which_says_so() {
    let tables = tables();
    assert!(tables.contains("orders") && tables.contains("simulated.charges"), "{tables:?}");
    let mut writers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources("shared/src") {
        for table in tables.iter().filter(|table| writes(&text, table)) {
            if path != WRITES_FOR_OTHERS.0 || !WRITES_FOR_OTHERS.1.contains(&table.as_str()) {
                writers.entry(table).or_default().insert(module(&path));
            }
        }
    }
    for (table, modules) in writers {
        let modules: Vec<&String> = modules.iter().collect();
        let [module] = modules.as_slice() else { panic!("{table} is written by {modules:?}") };
        let said = heads_of(module).contains(&format!("`{table}`"));
        assert!(said, "the head of `{module}` does not say that it writes `{table}`");
    }
}

#[test]
fn sql_stands_in_shared_only() {
    for folder in ["api/src", "worker/src"] {
        for (path, text) in sources(folder) {
            assert!(!text.contains("sqlx::query"), "{folder}/{path} has a query of its own");
        }
    }
}

#[test]
fn every_request_refuses_fields_that_it_does_not_know() {
    for folder in ["shared/src", "api/src"] {
        for (path, text) in sources(folder) {
            for (name, attributes) in deserialized_structs(&text) {
                let strict =
                    ["deny_unknown_fields", "try_from", "transparent"].iter().any(|it| attributes.contains(it));
                assert!(strict || READ_FROM_OURSELVES.contains(&name), "{folder}/{path}: {name} takes any field");
            }
        }
    }
}

#[test]
fn every_file_opens_with_what_it_is_for_and_is_short_enough_to_read() {
    for folder in [
        "shared/src",
        "api/src",
        "worker/src",
        "bench/src",
        "prove/src",
        "testkit/src",
        "testkit/servers/src",
        "api/tests",
        "worker/tests",
        "bench/tests",
        "prove/tests",
        "shared/tests",
    ] {
        for (path, text) in sources(folder) {
            let file = format!("{folder}/{path}");
            assert!(text.starts_with("//! "), "{file} does not say what it is for");
            let long = text.lines().count() > LINES;
            assert!(!long, "{file} has {} lines", text.lines().count());
        }
    }
}

#[test]
fn no_test_sleeps() {
    for folder in ["api/tests", "worker/tests", "bench/tests", "prove/tests"] {
        for (path, text) in sources(folder) {
            assert!(!text.contains("sleep("), "{folder}/{path} sleeps: wait for a condition instead, bounded");
        }
    }
}

#[test]
fn every_migration_has_its_way_down() {
    let names: BTreeSet<String> = fs::read_dir(root().join("migrations"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    let ways = |end: &str| names.iter().filter_map(|name| name.strip_suffix(end)).collect::<Vec<_>>();
    assert_eq!(ways(".up.sql"), ways(".down.sql"));
    assert_eq!(names.len(), ways(".up.sql").len() * 2, "{names:?}");
    for (number, name) in (1..).zip(ways(".up.sql")) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name} is out of line");
    }
}

// ---- reading the sources ---------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The Rust files below a folder, by their path in it.
fn sources(folder: &str) -> Vec<(String, String)> {
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
    found
}

/// The tables that the migrations make.
fn tables() -> BTreeSet<String> {
    let ups = fs::read_dir(root().join("migrations")).unwrap().map(|file| file.unwrap().path());
    let ups = ups.filter(|path| path.to_str().unwrap().ends_with(".up.sql"));
    let text: String = ups.map(|path| fs::read_to_string(path).unwrap()).collect();
    let made = text.split("create table ").skip(1);
    made.map(|rest| rest.split([' ', '(', '\n']).next().unwrap().to_owned()).collect()
}

/// Does this text insert into, update, delete from or merge into the table?
fn writes(text: &str, table: &str) -> bool {
    ["insert into", "update", "delete from", "merge into", "truncate"].iter().any(|verb| {
        text.match_indices(&format!("{verb} {table}")).any(|(start, found)| {
            let before = text[..start].chars().next_back();
            let after = text[start + found.len()..].chars().next();
            let word = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == '.');
            !word(before) && !word(after) && !in_comment(text, start)
        })
    })
}

fn in_comment(text: &str, at: usize) -> bool {
    let line = text[..at].rsplit('\n').next().unwrap();
    line.trim_start().starts_with("//")
}

/// `orders/place.rs` and `orders/mod.rs` are the module `orders`, `catalog.rs` is `catalog`.
fn module(path: &str) -> String {
    path.split(['/', '.']).next().unwrap().to_owned()
}

/// What the files of a module say at their heads.
fn heads_of(wanted: &str) -> String {
    let files = sources("shared/src").into_iter().filter(|(path, _)| module(path) == wanted);
    files
        .flat_map(|(_, text)| {
            text.lines().take_while(|line| line.starts_with("//!")).map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The structs that derive `Deserialize`, with what stands between the derive and the name.
fn deserialized_structs(text: &str) -> Vec<(&str, &str)> {
    let derives = text.match_indices("#[derive(").map(|(start, _)| &text[start..]);
    derives
        .filter(|rest| rest.split(")]").next().unwrap().contains("Deserialize"))
        .filter_map(|rest| {
            let item = rest.find("struct ").into_iter().chain(rest.find("enum ")).min()?;
            let name = rest[item..].strip_prefix("struct ")?;
            Some((name.split(|it: char| !it.is_alphanumeric() && it != '$').next().unwrap(), &rest[..item]))
        })
        .collect()
}
