//! The commands of the README work.

use std::process::Command;

use crate::process::{Process, binary, run};
use testkit::database::new_database;

/// The blocks of a document that are marked as tested.
fn commands(document: &'static str) -> Vec<&'static str> {
    let marked = document.split("<!-- test -->\n```sh\n").skip(1);
    marked.map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn a_key_is_made_and_used_as_its_document_says() {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let (loaded, printed) = run(binary(&[("DATABASE_URL", &database)]).args(["seed", seed, "--demo-users"]));
    assert!(loaded, "{printed}");
    let (_process, url) = Process::serve(&database);

    let commands = commands(include_str!("../../../docs/keys.md"));
    let [make, use_it] = commands.as_slice() else { panic!("docs/keys.md has other commands now: {commands:#?}") };
    let script = format!("set -euo pipefail; curl() {{ command curl --fail-with-body \"$@\"; }}\n{make}\n{use_it}");
    let script = script.replace("http://127.0.0.1:8080", &url);
    let pasted = Command::new("bash").args(["-c", &script]).output().unwrap();
    let (answers, complaints) = (String::from_utf8_lossy(&pasted.stdout), String::from_utf8_lossy(&pasted.stderr));
    assert!(pasted.status.success(), "{complaints}{answers}\n{script}");
    assert!(answers.contains("on_hand") && answers.contains(r#""kind":"service""#), "{answers}");
}

#[tokio::test]
async fn what_the_readme_says_can_be_pasted_and_works() {
    let database = new_database().await;
    let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed");
    let (loaded, printed) = run(binary(&[("DATABASE_URL", &database)]).args(["seed", seed, "--demo-users"]));
    assert!(loaded, "{printed}");
    let (_process, url) = Process::serve(&database);

    let commands = commands(include_str!("../../../README.md"));
    let [log_in, look, buy] = commands.as_slice() else { panic!("the README has other commands now: {commands:#?}") };
    // In one shell, as if pasted, but an error of the API fails. The last block runs twice, as the text says.
    let script = format!(
        "set -euo pipefail; curl() {{ command curl --fail-with-body \"$@\"; }}\n\
         {log_in}\n{look}\necho ---\n{buy}\necho ---\n{buy}"
    );
    let script = script.replace("http://127.0.0.1:8080", &url);
    let pasted = Command::new("bash").args(["-c", &script]).output().unwrap();
    let (answers, complaints) = (String::from_utf8_lossy(&pasted.stdout), String::from_utf8_lossy(&pasted.stderr));
    assert!(pasted.status.success(), "{complaints}{answers}\n{script}");

    let answers: Vec<&str> = answers.split("---\n").collect();
    assert!(answers[0].contains("MUG-STONE-350"), "{}", answers[0]);
    assert!(answers[1].contains(r#""status":"pending""#), "{}", answers[1]);
    assert_eq!(answers[1], answers[2], "bought once");
}
