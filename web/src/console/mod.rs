//! The console: pages for the people who run the shop. A file for each screen, with its routes.

mod activity;
mod audit;
mod categories;
pub mod common;
mod count;
mod customers;
mod failures;
mod inbox;
mod jobs;
mod me;
mod order;
mod order_view;
mod orders;
mod overview;
mod place;
mod products;
mod queues;
mod search;
mod service_accounts;
mod shell;
mod slip;
mod stock;
mod users;
mod warehouses;
mod webhook_log;
mod webhooks;
mod workers;

use crate::rule::PageRoutes;

pub fn routes() -> PageRoutes {
    let screens = [
        shell::routes(),
        overview::routes(),
        inbox::routes(),
        orders::routes(),
        order::routes(),
        slip::routes(),
        customers::routes(),
        place::routes(),
        products::routes(),
        categories::routes(),
        stock::routes(),
        count::routes(),
        warehouses::routes(),
        webhooks::routes(),
        webhook_log::routes(),
        failures::routes(),
        jobs::routes(),
        queues::routes(),
        workers::routes(),
        audit::routes(),
        activity::routes(),
        search::routes(),
        users::routes(),
        service_accounts::routes(),
        me::routes(),
    ];
    screens.into_iter().fold(PageRoutes::default(), PageRoutes::merge)
}
