//! What the shop sells and how it is sorted.

pub mod categories;
pub mod products;

use crate::error::Error;

fn unknown_category(field: &str) -> Error {
    Error::field(field, "category_not_found", "there is no category with this id")
}
