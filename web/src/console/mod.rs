//! The console: pages for the people who run the shop. A file for each screen, with its routes.

pub mod order;
pub mod orders;
pub mod shell;

use crate::rule::PageRoutes;

pub fn routes() -> PageRoutes {
    PageRoutes::default().merge(shell::routes()).merge(orders::routes()).merge(order::routes())
}
