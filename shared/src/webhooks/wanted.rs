//! Which types of events an endpoint gets. Writes no table.

use utoipa::ToSchema;

use crate::error::{Error, Result};
use crate::feed::catalogue;
use crate::invalid::Invalid;

/// Every event has one type, so more names would repeat.
const MOST_TYPES: usize = 50;

/// How the API's description shows an entry of `types`.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, pattern = r"^(\*|[a-z]+\.(\*|[a-z_]+))$", example = "order.*")]
pub struct EventPattern(pub String);

/// Checks the types of an endpoint, and drops repetitions.
pub fn checked(types: &[String]) -> Result<Vec<String>> {
    if !(1..=MOST_TYPES).contains(&types.len()) {
        return Err(Error::field("types", "invalid_value", format!("there must be 1 to {MOST_TYPES} types")));
    }
    let mut wrong = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for (at, name) in types.iter().enumerate() {
        if !catalogue::is_known(name) {
            let message = format!("`{}` is no type of event; GET /v1/webhooks/event-types lists them", shortened(name));
            wrong.push(Invalid::new("unknown_event_type", message).at(format!("types[{at}]")));
        } else if !known.contains(name) {
            known.push(name.clone());
        }
    }
    if wrong.is_empty() { Ok(known) } else { Err(Error::InvalidFields(wrong)) }
}

/// Is this type of event among those that an endpoint wants?
pub fn matches(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|pattern| catalogue::matches(pattern, name))
}

fn shortened(name: &str) -> String {
    name.chars().take(50).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_names_families_or_everything() {
        let wanted = |types: &[&str]| types.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        for (types, code) in [
            (vec!["*"], ""),
            (vec!["order.*", "product.created"], ""),
            (vec!["order.paid", "order.paid"], ""),
            (vec![], "invalid_value"),
            (vec!["order.*"; 51], "invalid_value"),
            (vec!["order"], "unknown_event_type"),
            (vec!["order.p*"], "unknown_event_type"),
            (vec!["*.paid"], "unknown_event_type"),
            (vec!["order.eaten"], "unknown_event_type"),
            (vec![""], "unknown_event_type"),
        ] {
            assert_eq!(checked(&wanted(&types)).as_ref().err().map_or("", Error::code), code, "{types:?}");
        }
        assert_eq!(checked(&wanted(&["order.paid", "order.paid"])).unwrap(), ["order.paid"]);
        for (types, name, fits) in [
            (vec!["*"], "stock.low", true),
            (vec!["order.*"], "order.paid", true),
            (vec!["order.*"], "stock.low", false),
            (vec!["order.paid"], "order.paid", true),
            (vec!["order.paid"], "order.placed", false),
        ] {
            assert_eq!(matches(&wanted(&types), name), fits, "{types:?} {name}");
        }
    }
}
