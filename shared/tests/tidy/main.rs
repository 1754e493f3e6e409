//! Checks of the sources that the compiler cannot make. Here: which module writes which table, what requests refuse, how
//! files begin. `arrows`: which file imports which. `names`: no type name twice. `length`: files and functions.
//! `dependencies`: none that is unused. `documents`: the files that they name exist. `migrations`: no dangerous statement.

mod arrows;
mod dependencies;
mod documents;
mod length;
mod migrations;
mod names;
mod sources;

use std::collections::{BTreeMap, BTreeSet};

use shared::platform::db::roles::PRIVILEGES;
use sources::{members, sources, tokens};

/// The only files that write tables of other modules. The heads of these files say why.
const WRITES_FOR_OTHERS: &[(&str, &[&str])] = &[
    (
        "orders/placing/",
        &["idempotency_keys", "inventory", "jobs", "reservation_lines", "reservations", "stock_movements"],
    ),
    ("feed/rebuild.rs", &["order_events"]),
];

/// These types read JSON that we have written, or a file of the operator. An unknown field there is not an error of a
/// client.
const READ_FROM_OURSELVES: &[&str] = &[
    "Archive",
    "ArchiveFile",
    "BulkStep",
    "Audit",
    "CancelOrder",
    "Claims",
    "DeliverOrder",
    "EventShipment",
    "Finding",
    "HeldItem",
    "ItemLine",
    "ItemRow",
    "JobRow",
    "MovementLine",
    "Noop",
    "OrderCustomer",
    "OrderPayment",
    "OrderShipment",
    "PricedProduct",
    "ProcessPayment",
    "ProductView",
    "Prune",
    "Reap",
    "RunningJob",
    "DeliverWebhooks",
    "ReplayCount",
    "ReplayWebhooks",
    "ShipOrder",
    "Tick",
];

#[test]
fn every_table_is_written_by_one_module_which_says_so() {
    let tables = tables();
    assert!(tables.contains("orders") && tables.contains("simulated_charges"), "{tables:?}");
    let mut writers: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources("shared/src") {
        for table in tables.iter().filter(|table| writes(&text, table)) {
            let for_others =
                |(place, tables): &(&str, &[&str])| path.starts_with(place) && tables.contains(&table.as_str());
            if !WRITES_FOR_OTHERS.iter().any(for_others) {
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
fn times_are_written_as_citus_takes_them() {
    for (path, text) in sources("shared/src") {
        let set = |(at, _): (usize, &str)| !text[..at].ends_with(['<', '>']);
        let sets = text.match_indices("= clock_timestamp()").any(set);
        assert!(!sets, "{path}: set a time to `statement_timestamp()`; Citus refuses `clock_timestamp()` in an update");
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
fn every_file_opens_with_what_it_is_for() {
    for folder in members().iter().flat_map(|member| [format!("{member}/src"), format!("{member}/tests")]) {
        for (path, text) in sources(&folder) {
            assert!(text.starts_with("//! "), "{folder}/{path} does not say what it is for");
        }
    }
}

#[test]
fn no_test_sleeps() {
    for folder in members().iter().map(|member| format!("{member}/tests")) {
        for (path, text) in sources(&folder) {
            let calls = tokens(&text).windows(2).any(|pair| (pair[0].text, pair[1].text) == ("sleep", "("));
            assert!(!calls, "{folder}/{path} sleeps: wait for a condition instead, bounded");
        }
    }
}

// ---- reading the sources ---------------------------------------------------------------------

/// All tables. A test of the API compares the list with the database.
fn tables() -> BTreeSet<String> {
    PRIVILEGES.iter().map(|(table, _)| (*table).to_owned()).collect()
}

/// Does this text insert into, update, delete from, merge into or truncate the table?
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

/// The head comments of all files of a module.
fn heads_of(wanted: &str) -> String {
    let files = sources("shared/src").into_iter().filter(|(path, _)| module(path) == wanted);
    files
        .flat_map(|(_, text)| {
            text.lines().take_while(|line| line.starts_with("//!")).map(ToOwned::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// The structs that derive `Deserialize`, with the attributes between the derive and the name.
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
