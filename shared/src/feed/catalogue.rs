//! Every type of event with its subject, a sentence, and the JSON Schema of its `data`, made from the types in `data`.
//! Writes no table.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::data::{
    AdjustedStock, LowStock, OrderCancelled, OrderCancelling, OrderJob, OrderMoved, OrderNoted, OrderPaid, OrderPlaced,
    OrderShipped, ProductFacts, WebhookDisabled, WebhookTested,
};

/// A type of event.
#[derive(Debug, Clone, PartialEq, serde::Serialize, ToSchema)]
#[schema(example = json!({
    "type": "order.paid", "subject": "order", "description": "The order is paid.",
    "schema": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}
}))]
pub struct EventType {
    #[serde(rename = "type")]
    #[schema(example = "order.placed")]
    pub name: &'static str,
    /// What it is about: `order`, `product`, `stock` or `webhook`
    #[schema(example = "order")]
    pub subject: &'static str,
    pub description: &'static str,
    /// JSON Schema of `data`
    #[schema(value_type = Object)]
    pub schema: Value,
}

/// A type, what it means, and the schema of its `data`.
type Described = (&'static str, &'static str, fn() -> Value);

/// Every type, in the order of a life.
const TYPES: &[Described] = &[
    ("order.placed", "An order was placed, and its stock is reserved.", schema_of::<OrderPlaced>),
    ("order.processing", "The payment of the order has begun.", schema_of::<OrderMoved>),
    ("order.paid", "The order is paid.", schema_of::<OrderPaid>),
    ("order.shipped", "The order has left its warehouses.", schema_of::<OrderShipped>),
    ("order.delivered", "The order has arrived.", schema_of::<OrderMoved>),
    ("order.cancelling", "Somebody asked for the order to be cancelled.", schema_of::<OrderCancelling>),
    ("order.cancelled", "The order is cancelled, and its stock is free again.", schema_of::<OrderCancelled>),
    ("order.job_retried", "Staff let a failed job of the order run again.", schema_of::<OrderJob>),
    ("order.job_discarded", "Staff gave up a failed job of the order.", schema_of::<OrderJob>),
    ("order.note", "Staff wrote a note; its text is in the timeline only.", schema_of::<OrderNoted>),
    ("order.slip_printed", "Packing slips of the order were printed.", schema_of::<OrderNoted>),
    ("product.created", "A product was added.", schema_of::<ProductFacts>),
    ("product.changed", "A product was changed, or is no longer sold.", schema_of::<ProductFacts>),
    ("stock.low", "What is available has come down to the reorder level.", schema_of::<LowStock>),
    ("stock.adjusted", "Somebody created, adjusted or counted the stock.", schema_of::<AdjustedStock>),
    ("webhook.test", "Staff asked for a test of a webhook.", schema_of::<WebhookTested>),
    ("webhook.disabled", "A webhook is gone or kept failing, and gets nothing any more.", schema_of::<WebhookDisabled>),
];

/// Every type of event, for `GET /v1/webhooks/event-types`.
pub fn catalogue() -> Vec<EventType> {
    let one = |(name, description, schema): &Described| EventType {
        name,
        subject: subject_of(name),
        description,
        schema: schema(),
    };
    TYPES.iter().map(one).collect()
}

/// What an event of this type is about: `order` for `order.placed`.
pub fn subject_of(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The names of all types.
pub fn names() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(name, ..)| *name)
}

/// Does this pattern fit at least one type? A pattern is a type, `order.*` or `*`.
pub fn is_known(pattern: &str) -> bool {
    TYPES.iter().any(|(name, ..)| matches(pattern, name))
}

/// Is the type one of those that the pattern means?
pub fn matches(pattern: &str, name: &str) -> bool {
    pattern == "*" || pattern == name || pattern.strip_suffix(".*").is_some_and(|subject| subject == subject_of(name))
}

/// The JSON Schema of a type, complete in itself: references are replaced by what they refer to, and flattened parts
/// are merged.
fn schema_of<T: ToSchema>() -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut parts);
    let parts: Map<String, Value> = parts.into_iter().map(|(name, schema)| (name, json!(schema))).collect();
    resolved(json!(<T as PartialSchema>::schema()), &parts)
}

fn resolved(schema: Value, parts: &Map<String, Value>) -> Value {
    match schema {
        Value::Object(mut object) => {
            if let Some(Value::String(reference)) = object.get("$ref") {
                let name = reference.rsplit('/').next().unwrap_or_default();
                return resolved(parts.get(name).cloned().unwrap_or_else(|| json!({})), parts);
            }
            let all_of = object.remove("allOf");
            let mut object: Map<String, Value> =
                object.into_iter().map(|(key, value)| (key, resolved(value, parts))).collect();
            if let Some(Value::Array(members)) = all_of {
                for member in members {
                    merge(&mut object, resolved(member, parts));
                }
            }
            Value::Object(object)
        }
        Value::Array(values) => Value::Array(values.into_iter().map(|value| resolved(value, parts)).collect()),
        other => other,
    }
}

/// Adds the properties of a part to those of the whole.
fn merge(whole: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { return };
    for (key, value) in part {
        match (whole.get_mut(&key), value) {
            (Some(Value::Object(mine)), Value::Object(its)) => mine.extend(its),
            (Some(Value::Array(mine)), Value::Array(its)) => mine.extend(its),
            (Some(_), _) => {}
            (None, value) => _ = whole.insert(key, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_schema_that_is_complete_in_itself() {
        for one in catalogue() {
            let text = one.schema.to_string();
            assert!(!text.contains("$ref") && !text.contains("allOf"), "{}: {text}", one.name);
            assert_eq!(one.schema["type"], "object", "{}: {text}", one.name);
            if one.subject == "order" {
                for field in ["number", "customer_id", "status", "by"] {
                    assert!(one.schema["properties"][field].is_object(), "{}: {text}", one.name);
                    assert!(one.schema["required"].as_array().unwrap().contains(&json!(field)) || field == "by");
                }
            }
        }
    }

    #[test]
    fn patterns_name_one_type_all_of_a_subject_or_all() {
        for (pattern, known) in [
            ("order.placed", true),
            ("order.*", true),
            ("*", true),
            ("stock.low", true),
            ("order.pla", false),
            ("order", false),
            ("order.placed.*", false),
            ("*.placed", false),
            ("", false),
        ] {
            assert_eq!(is_known(pattern), known, "{pattern}");
        }
        assert!(matches("order.*", "order.placed") && !matches("order.*", "product.created"));
    }
}
