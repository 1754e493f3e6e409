//! The OpenAPI document is one that generators can use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> Value {
    serde_json::to_value(api::routes::document()).unwrap()
}

/// Each operation: its name, and where it is.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let each = |(method, says): (&String, &Value)| {
            let id = says["operationId"].as_str()?;
            Some((id.to_owned(), format!("{} {path}", method.to_uppercase())))
        };
        item.as_object().unwrap().iter().filter_map(each).collect::<Vec<_>>()
    });
    operations.collect()
}

/// Generators make a function of each name, so a name that changes breaks programs. `UPDATE=1 ./dev test operations` adds new
/// ones; one that has gone must be removed by hand.
#[test]
fn names_of_operations_do_not_change() {
    let file = root().join("sdk/operations.txt");
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let served =
        operations(&document()).iter().map(|(id, place)| format!("{id} {place}\n")).collect::<Vec<_>>().concat();
    let gone: Vec<&str> = written.lines().filter(|line| !served.lines().any(|it| it == *line)).collect();
    assert!(gone.is_empty(), "these operations have another name now, or are gone: {gone:#?}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, &served).unwrap();
    } else {
        assert!(written == served, "sdk/operations.txt is out of date: UPDATE=1 ./dev test operations rewrites it");
    }
}

/// Otherwise a generator makes one type for each place, with a name of its own.
#[test]
fn enums_have_names() {
    let document = document();
    let mut nameless = Vec::new();
    visit(&document, &mut String::new(), &mut |path, value| {
        let is_named = path.strip_prefix("/components/schemas/").is_some_and(|rest| !rest.contains('/'));
        if value["enum"].as_array().is_some_and(|values| values.len() > 1) && !is_named {
            nameless.push(format!("{path}: {}", value["enum"]));
        }
    });
    assert!(nameless.is_empty(), "these enums need a type of their own: {nameless:#?}");
}

fn visit(value: &Value, path: &mut String, look: &mut impl FnMut(&str, &Value)) {
    look(path, value);
    let mut below = |name: &str, value: &Value| {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        visit(value, path, look);
        path.truncate(length);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(values) => values.iter().enumerate().for_each(|(at, value)| below(&at.to_string(), value)),
        _ => {}
    }
}

#[test]
fn examples_fit_the_types_that_are_generated_from_the_document() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
    std::fs::write(&file, document().to_string()).unwrap();
    let checked = Command::new(root().join("sdk/check")).arg(&file).output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&said));
}
