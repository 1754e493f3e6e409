//! Products and their categories.

pub mod categories;
pub mod products;

use crate::error::Error;

fn unknown_category(field: &str) -> Error {
    Error::field(field, "category_not_found", "there is no category with this id")
}
