//! Migrations: each has its way down, and new ones contain no statement that locks a table for long or breaks running code.

use std::collections::BTreeSet;
use std::fs;

use crate::sources::root;

/// The first migration that is checked for dangerous statements. Earlier ones were merged before the check existed, and a
/// merged migration is never edited.
const CHECKED_FROM: usize = 12;

/// Stands in the line above a dangerous statement, with the reason why it does no harm there.
const SAFE: &str = "-- safe: ";

#[test]
fn every_migration_has_its_way_down() {
    let names: BTreeSet<String> = fs::read_dir(root().join("migrations"))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let ways = |end: &str| names.iter().filter_map(|name| name.strip_suffix(end)).collect::<Vec<_>>();
    assert_eq!(ways(".up.sql"), ways(".down.sql"));
    assert_eq!(names.len(), ways(".up.sql").len() * 2, "{names:?}");
    for (number, name) in (1..).zip(ways(".up.sql")) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name} does not have the number {number}");
    }
}

#[test]
fn new_migrations_contain_no_dangerous_statement() {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_checked = name.ends_with(".up.sql") && name[..4].parse::<usize>().unwrap() >= CHECKED_FROM;
        if is_checked {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(dangers(&text).into_iter().map(|(line, what)| format!("{name}:{line}: {what}")));
        }
    }
    let help =
        format!("see \"What locks a table\" in migrations/README.md, or write `{SAFE}<reason>` in the line above");
    assert!(found.is_empty(), "dangerous statements; {help}:\n{}", found.join("\n"));
}

struct Word {
    text: String,
    line: usize,
}

/// The words of an SQL text in lower case, without comments and strings. A bracket, comma or semicolon is a word too.
fn words(sql: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut in_string = false;
    for (line, text) in (1..).zip(sql.lines()) {
        let mut code = String::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '\'' => in_string = !in_string,
                _ if in_string => {}
                '-' if rest.peek() == Some(&'-') => break,
                '(' | ')' | ',' | ';' => code.extend([' ', character, ' ']),
                _ => code.push(character.to_ascii_lowercase()),
            }
        }
        words.extend(code.split_whitespace().map(|text| Word { text: text.to_owned(), line }));
    }
    words
}

/// The dangerous statements of a migration, by line, without those that give a reason.
fn dangers(sql: &str) -> Vec<(usize, &'static str)> {
    let words = words(sql);
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    let made = made_tables(&texts);
    let mut found = Vec::new();
    let mut start = 0;
    for statement in texts.split(|text| *text == ";") {
        for at in 0..statement.len() {
            if let Some(what) = danger(statement, at, &made) {
                found.push((words[start + at].line, what));
            }
        }
        start += statement.len() + 1;
    }
    let lines: Vec<&str> = sql.lines().collect();
    let has_reason = |line: usize| {
        let above = line.checked_sub(2).map_or("", |above| lines[above].trim());
        above.strip_prefix(SAFE).is_some_and(|reason| !reason.trim().is_empty())
    };
    found.retain(|(line, _)| !has_reason(*line));
    if texts.contains(&"concurrently") && !runs_alone_without_transaction(sql, &texts) {
        found.push((1, "`concurrently` must be the only statement of a file that begins with `-- no-transaction`"));
    }
    found
}

/// The tables that a migration makes. Nobody uses them yet, so nothing that locks them does harm.
fn made_tables<'a>(texts: &[&'a str]) -> BTreeSet<&'a str> {
    let made = texts.windows(6).filter_map(|words| match *words {
        ["create", "table", "if", "not", "exists", name] => Some(name),
        ["create", "table", name, ..] if name != "if" => Some(name),
        _ => None,
    });
    made.collect()
}

/// What is dangerous about the words of a statement from this one on.
fn danger(statement: &[&str], at: usize, made: &BTreeSet<&str>) -> Option<&'static str> {
    let rest = &statement[at..];
    match rest {
        ["drop", "column", ..] => Some("`drop column` breaks old code"),
        ["drop", "table", ..] => Some("`drop table` breaks old code"),
        ["rename", ..] => Some("`rename` breaks old code"),
        ["alter", "column", _, "type", ..] | ["alter", "column", _, "set", "data", ..] => {
            Some("a new type of a column rewrites the table")
        }
        ["set", "not", "null", ..] => Some("`set not null` reads the whole table under a lock"),
        ["create", "index", ..] | ["create", "unique", "index", ..] => {
            let is_safe = rest.contains(&"concurrently") || made.contains(table_after("on", rest));
            (!is_safe).then_some("`create index` without `concurrently` blocks all writes of the table")
        }
        ["add", ..] if statement.starts_with(&["alter", "table"]) => {
            let is_safe = made.contains(table_after("table", statement)) || !adds_checked_constraint(action(rest));
            (!is_safe).then_some("a new constraint without `not valid` reads the whole table under a lock")
        }
        _ => None,
    }
}

/// The table that is named after this word.
fn table_after<'a>(word: &str, statement: &[&'a str]) -> &'a str {
    let after = statement.iter().skip_while(|text| **text != word).skip(1);
    after.copied().find(|text| !["only", "if", "exists"].contains(text)).unwrap_or_default()
}

/// One action of `alter table`: up to the next comma outside of brackets.
fn action<'a, 'b>(rest: &'b [&'a str]) -> &'b [&'a str] {
    let mut depth = 0_usize;
    let end = rest.iter().position(|text| {
        match *text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        *text == "," && depth == 0
    });
    &rest[..end.unwrap_or(rest.len())]
}

/// Does this action add a constraint that Postgres checks on the rows that are there?
fn adds_checked_constraint(action: &[&str]) -> bool {
    let adds = action.iter().any(|it| ["check", "references", "foreign", "unique", "primary", "exclude"].contains(it));
    let has = |pair: [&str; 2]| action.windows(2).any(|words| words == pair);
    adds && !has(["not", "valid"]) && !has(["using", "index"])
}

/// Otherwise the statement fails: sqlx runs a migration in a transaction, and Postgres runs several statements that are
/// sent together in one transaction too.
fn runs_alone_without_transaction(sql: &str, texts: &[&str]) -> bool {
    let statements = texts.split(|text| *text == ";").filter(|statement| !statement.is_empty()).count();
    sql.starts_with("-- no-transaction\n") && statements == 1
}

#[test]
fn dangerous_statements_are_found() {
    for (sql, count) in [
        ("alter table orders drop column note;", 1),
        ("drop table orders;", 1),
        ("alter table orders rename column a to b;", 1),
        ("alter table orders alter column a type bigint, alter column b set data type text;", 2),
        ("alter table orders alter column a set not null;", 1),
        ("create unique index on only orders (a);", 1),
        ("create index a on orders (b); create index c on orders (d);", 2),
        ("-- no-transaction\ncreate index concurrently a on orders (b);", 0),
        ("create index concurrently a on orders (b);", 1),
        ("-- no-transaction\ncreate index concurrently a on orders (b);\nselect 1;", 1),
        ("create table new (a int check (a > 0));\ncreate index on new (a);\nalter table new add unique (a);", 0),
        ("alter table orders add constraint a check (b in (1, 2));", 1),
        ("alter table orders add constraint a check (b in (1, 2)) not valid, add column c int;", 0),
        ("alter table orders add column a uuid references users, add column b text default 'unique check';", 1),
        ("alter table orders add constraint a unique using index b;", 0),
        ("-- safe: the table is empty\ndrop table orders;", 0),
        ("-- safe:\ndrop table orders;", 1),
        ("-- drop table orders\nselect 'drop table orders';", 0),
    ] {
        assert_eq!(dangers(sql).len(), count, "{sql}: {:?}", dangers(sql));
    }
}
