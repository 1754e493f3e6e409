//! Checks each refusal that a test sees against the OpenAPI document: its operation must name the code.

use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

/// The codes of these statuses follow from what is stored, so a client may want to branch on each of them. Those of a wrong
/// request (400, 422) name a field and its reason, and are too many.
const STATUSES: [u16; 5] = [401, 403, 404, 409, 412];

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(api::routes::document()).expect("the document can be written as JSON"));

/// Panics if the operation does not document this code with this status. Pages are not in the document.
pub fn check(method: &Method, path: &str, status: u16, code: &str) {
    let path = path.split('?').next().unwrap_or_default();
    let method = method.as_str().to_lowercase();
    let Some((template, operation)) = operation(&method, path).filter(|_| STATUSES.contains(&status)) else { return };
    let described = operation["responses"][status.to_string()]["description"].as_str().unwrap_or_default();
    assert!(
        described.contains(&format!("`{code}`")),
        "{method} {template} answered {status} `{code}`, and its OpenAPI document has only: {described}"
    );
}

/// A path without parameters comes before one with them.
fn operation<'a>(method: &str, path: &str) -> Option<(&'a str, &'a Value)> {
    let paths = DOCUMENT["paths"].as_object()?;
    let mut found: Vec<_> = paths
        .iter()
        .filter(|(template, item)| fits(template, path) && item[method].is_object())
        .map(|(template, item)| (template.as_str(), &item[method]))
        .collect();
    found.sort_by_key(|(template, _)| template.matches('{').count());
    found.first().copied()
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(path).all(|(part, given)| part.starts_with('{') || *part == given)
}
