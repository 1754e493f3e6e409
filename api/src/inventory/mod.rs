//! Stock over HTTP: its rows, its ledger, counts, and reservations made by hand.

mod adjust;
mod count;
mod reaper;
mod reservations;
mod stock;
mod transfer;

use shared::platform::limits::Class;
use shared::principal::Permission;
use shared::scope::Scope;
use utoipa_axum::routes;

use crate::policy::{Access, Policy};
use crate::router::Routes;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::InventoryRead)).scope(Scope::InventoryRead);
    let write = Policy::write(Access::Needs(Permission::InventoryWrite)).scope(Scope::InventoryWrite).stales_products();
    Routes::default()
        .on(routes!(stock::list), read)
        .on(routes!(stock::create), write.takes_key())
        .on(routes!(stock::low_stock), read)
        .on(routes!(stock::on_hand), Policy::read(Access::Anyone))
        .on(routes!(stock::one), read)
        .on(routes!(stock::history), read.class(Class::Query))
        .on(routes!(stock::update), write)
        .on(routes!(adjust::adjust), write.takes_key())
        .on(routes!(transfer::transfer), write.takes_key())
        .on(routes!(adjust::movements), read.class(Class::Query))
        .on(routes!(count::count), write.takes_key().class(Class::Bulk).body_limit(count::BODY_LIMIT))
        .on(routes!(reservations::reserve), write.takes_key())
        .on(routes!(reservations::live), read)
        .on(routes!(reservations::reservation), read)
        .on(routes!(reservations::release), write.takes_key())
        .on(routes!(reservations::ship), write.takes_key())
        .on(routes!(reaper::reap), write.takes_key())
}
