//! The routes of `/v1/orders`.

mod cancel;
mod list;
mod place;
mod place_at_once;
mod plans;
mod set_status;
mod taken;
mod unpaid;

use serde_json::Value;
use testkit::person::Person;

/// The order and its timeline, to check that a refusal changed nothing.
pub async fn as_it_is(who: &Person<'_>, order: &str) -> (Value, Vec<String>) {
    (who.see(order).await, who.story(order).await)
}
