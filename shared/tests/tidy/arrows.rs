//! Imports point downwards between the layers of `shared`, and no files import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::sources::{SHIPPED, Token, members, root, shipped_part, sources, tokens};

/// The layers of `shared` from the bottom, as in the table at the head of `shared/src/lib.rs`. A module imports only
/// modules of the layers before its own.
const LAYERS: &[&[&str]] = &[
    &["platform", "migrations"],
    &["invalid"],
    &["values", "scope"],
    &["error"],
    &["page", "batch"],
    &["principal", "months"],
    &["queue", "actions", "idempotency", "feed"],
    &["customers", "warehouses", "schedule", "health", "history"],
    &["identity", "catalog", "inventory", "payments", "shipping"],
    &["orders"],
    &["webhooks"],
    &["audit", "product_cache"],
    &["ops"],
    &["metrics", "retention", "archive", "seed"],
];

/// Which of our crates a shipped crate may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("shared", &[]),
    ("web", &["millrace-shared"]),
    ("api", &["millrace-shared", "millrace-web"]),
    ("worker", &["millrace-shared"]),
];

/// Known circles, by one of their files. No circle may be added.
const KNOWN_CIRCLES: &[&str] = &[];

#[test]
fn modules_of_shared_import_lower_layers_only() {
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for (file, imports) in imports("shared") {
        let module = top(&file);
        if module == "lib" {
            continue;
        }
        let Some(layer) = layer_of(module) else {
            panic!("`{module}` has no place in LAYERS, nor in the head of lib.rs")
        };
        for import in imports.iter().filter(|import| top(import) != module) {
            if layer_of(top(import)).is_none_or(|below| below >= layer) {
                wrong.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these imports do not point to a lower layer:\n{}", wrong.join("\n"));
}

#[test]
fn the_head_of_shared_names_the_modules_in_the_order_of_the_layers() {
    let text = fs::read_to_string(root().join("shared/src/lib.rs")).unwrap();
    let table = text.lines().filter(|line| line.starts_with("//! |")).collect::<String>();
    let named: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, LAYERS.concat());
}

/// `mod child;` is a declaration and not an import. But a file that uses `child::…` imports its child, and a child that
/// uses `super::…` imports its parent. Both together are a circle, also between a `mod.rs` or `lib.rs` and its
/// children.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for krate in SHIPPED {
        let graph = imports(krate);
        for circle in circles_in(&graph) {
            circles.push(circle.iter().map(|file| format!("{krate}/src/{file}")).collect::<Vec<_>>());
        }
    }
    let known = |circle: &Vec<String>| KNOWN_CIRCLES.iter().any(|file| circle.iter().any(|it| it == file));
    let new: Vec<String> = circles.iter().filter(|circle| !known(circle)).map(|circle| circle.join(" ")).collect();
    assert!(new.is_empty(), "these files import each other:\n{}", new.join("\n"));
    for file in KNOWN_CIRCLES {
        let is_left = circles.iter().any(|circle| circle.iter().any(|it| it == file));
        assert!(is_left, "{file} is in no circle any more: remove it from KNOWN_CIRCLES");
    }
}

#[test]
fn crates_depend_on_lower_crates_only() {
    for (krate, allowed) in CRATES.iter().filter(|(krate, _)| members().iter().any(|member| member == krate)) {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
        for line in dependencies.lines().filter(|line| line.starts_with("millrace-")) {
            let name = line.split(['.', ' ']).next().unwrap();
            assert!(allowed.contains(&name), "{krate} must not depend on {name}");
        }
    }
}

// ---- the graph -------------------------------------------------------------------------------

type Graph = BTreeMap<String, BTreeSet<String>>;

/// The top-level module: `orders` for `orders/read.rs`, `error` for `error.rs`.
fn top(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// `orders/read.rs` is the module `orders::read`, `orders/mod.rs` is `orders`, `lib.rs` is the root.
fn module_path(file: &str) -> Vec<&str> {
    let mut path: Vec<&str> = file.strip_suffix(".rs").unwrap().split('/').collect();
    if matches!(path[..], [.., "mod"] | ["lib"]) {
        path.pop();
    }
    path
}

/// The imports of each file of a crate. A binary's `main.rs` uses the crate from outside, so it is left out.
fn imports(krate: &str) -> Graph {
    let files: Vec<(String, String)> =
        sources(&format!("{krate}/src")).into_iter().filter(|(file, _)| file != "main.rs").collect();
    let modules: BTreeMap<Vec<&str>, &str> = files.iter().map(|(file, _)| (module_path(file), file.as_str())).collect();
    let mut graph = Graph::new();
    for (file, text) in &files {
        let tokens = tokens(shipped_part(text));
        let here = module_path(file);
        let imported = graph.entry(file.clone()).or_default();
        for path in paths(&tokens) {
            let Some(path) = absolute(&path, &here, &modules) else { continue };
            // The longest prefix of the path that is a module. The rest is an item in it.
            let target = (0..=path.len()).rev().find_map(|length| modules.get(&path[..length]));
            imported.extend(target.filter(|target| *target != file).map(|target| (*target).to_owned()));
        }
    }
    graph
}

/// A path of this crate, from its root. None for a path into another crate.
fn absolute<'a>(path: &[&'a str], here: &[&'a str], modules: &BTreeMap<Vec<&str>, &str>) -> Option<Vec<&'a str>> {
    let mut base = match path.first()? {
        &"crate" => Vec::new(),
        &"self" => here.to_vec(),
        &"super" => here[..here.len().checked_sub(1)?].to_vec(),
        child if path.len() > 1 && modules.contains_key(&[here, &[*child]].concat()) => [here, &[*child]].concat(),
        _ => return None,
    };
    for segment in &path[1..] {
        if *segment == "super" {
            base.pop();
        } else {
            base.push(segment);
        }
    }
    Some(base)
}

/// All paths of a file: those of `use`, with their braces resolved, and those in the code.
fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|before| tokens[before].text);
        let text = tokens[at].text;
        if text == "use" && before != Some("+") {
            at = use_tree(tokens, at + 1, &[], &mut found);
        } else if is_name(text) && before != Some("::") && before != Some("mod") {
            at = simple_path(tokens, at, &mut found);
        }
        at += 1;
    }
    found
}

fn is_name(text: &str) -> bool {
    text.starts_with(|it: char| it.is_alphabetic() || it == '_')
}

/// Reads `a::b::c`; returns the index of its last token.
fn simple_path<'a>(tokens: &[Token<'a>], start: usize, found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = vec![tokens[start].text];
    let mut at = start;
    while let Some([colons, name]) = tokens.get(at + 1..at + 3)
        && colons.text == "::"
        && is_name(name.text)
    {
        path.push(name.text);
        at += 2;
    }
    // A single name is a variable, or the `crate` of `pub(crate)`.
    found.extend(Some(path).filter(|path| path.len() > 1));
    at
}

/// Reads `a::{b, c::{d, e}}` into its single paths; returns the index of its last token.
fn use_tree<'a>(tokens: &[Token<'a>], start: usize, before: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> usize {
    let mut path = before.to_vec();
    let mut at = start;
    loop {
        match tokens[at].text {
            "::" => {}
            "{" => {
                let end = crate::sources::closing(tokens, at);
                while at < end {
                    at = use_tree(tokens, at + 1, &path, found) + 1;
                }
                return end;
            }
            "," | ";" | "}" => {
                // After a trailing comma there is no name.
                found.extend(Some(path).filter(|path| path.len() > before.len()));
                return at - 1;
            }
            "as" => at += 1,
            name => path.push(name),
        }
        at += 1;
    }
}

/// The groups of files that import each other in a circle.
fn circles_in(graph: &Graph) -> BTreeSet<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let circle = |file: &String| {
        let others = reached[file].iter().filter(|other| reached[**other].contains(file));
        others.map(|other| (*other).clone()).collect::<Vec<_>>()
    };
    graph.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

/// All files that a file imports, directly or through others.
fn reachable<'a>(graph: &'a Graph, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = graph[from].iter().collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(&graph[file]);
        }
    }
    reached
}

#[test]
fn paths_are_found_in_use_and_in_code() {
    let text = "use crate::a::{b, c::{D as E, self},}; pub(crate) use x::y; fn f() { super::g::h(); k.l::<M>(); n::o }";
    let found: Vec<String> = paths(&tokens(text)).iter().map(|path| path.join("::")).collect();
    for path in ["crate::a::b", "crate::a::c::D", "crate::a::c::self", "x::y", "super::g::h", "n::o"] {
        assert!(found.iter().any(|it| it == path), "{path} is not in {found:?}");
    }
    assert_eq!(found.len(), 6, "{found:?}");
}

#[test]
fn circles_are_found() {
    let graph = |edges: &[(&str, &[&str])]| -> Graph {
        edges.iter().map(|(from, to)| ((*from).to_owned(), to.iter().map(|to| (*to).to_owned()).collect())).collect()
    };
    assert!(circles_in(&graph(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
    let circles = circles_in(&graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]));
    assert_eq!(circles.into_iter().collect::<Vec<_>>(), [["b", "c"]]);
}
