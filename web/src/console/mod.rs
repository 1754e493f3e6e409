//! The console: pages for the people who run the shop. A file for each screen, with its routes.

pub mod order;
pub mod orders;
pub mod shell;

use crate::form::Fields;
use crate::rule::PageRoutes;

pub fn routes() -> PageRoutes {
    PageRoutes::default().merge(shell::routes()).merge(orders::routes()).merge(order::routes())
}

/// The text of all filters of a list, to which its cursors are bound.
pub fn filter_text(asked: &Fields) -> String {
    let filters = asked.iter().filter(|(name, value)| !["cursor", "done", "limit"].contains(name) && !value.is_empty());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish()
}
