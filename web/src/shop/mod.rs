//! The shop: pages for the people who buy. A file for each screen, with its routes.

mod account;
mod browse;
mod cart;
mod cart_page;
mod checkout;
mod orders;
mod product;
mod shell;

use crate::rule::PageRoutes;

pub fn routes() -> PageRoutes {
    PageRoutes::default()
        .merge(browse::routes())
        .merge(product::routes())
        .merge(cart_page::routes())
        .merge(checkout::routes())
        .merge(orders::routes())
        .merge(account::routes())
}
