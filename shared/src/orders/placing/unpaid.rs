//! What a customer holds in unpaid orders, and how much that may be. Pure: no database.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::request::PlacingTerms;
use crate::error::{Error, Result};
use crate::values::{Money, ProductId};

/// What a customer holds, as it was read before the stock was locked. Orders that were committed a moment before may be
/// missing, so an order that passes is judged again under the locks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EarlyUnpaid {
    pub orders: i64,
    pub has_paid: bool,
    pub units: i64,
}

impl EarlyUnpaid {
    /// Refuses an order of so many units that will be refused anyway, so that it need not lock stock.
    pub(super) fn check(&self, units: i64, terms: &PlacingTerms) -> Result<()> {
        check_orders(self.orders, terms)?;
        if self.has_paid { Ok(()) } else { check_units(self.units + units, terms) }
    }
}

/// What a customer holds, read while they and the stock are locked, and counted on within the batch.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpaid {
    pub orders: i64,
    pub has_paid: bool,
    /// The next two are empty for a customer who has paid: they have no such limits.
    pub units: BTreeMap<ProductId, i64>,
    /// Minor units, by currency.
    pub value: BTreeMap<String, i64>,
}

/// A product of the order that is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub product_id: ProductId,
    pub sku: &'a str,
    pub quantity: i64,
    /// Units of it in all active warehouses, reserved or not.
    pub on_hand: i64,
}

impl Unpaid {
    pub(super) fn check_orders(&self, terms: &PlacingTerms) -> Result<()> {
        check_orders(self.orders, terms)
    }

    /// Refuses an order with which a customer who has never paid would hold too much.
    pub(super) fn check(&self, wishes: &[Wish<'_>], total: Money, terms: &PlacingTerms) -> Result<()> {
        if self.has_paid {
            return Ok(());
        }
        let held: i64 = self.units.values().sum();
        check_units(held + wishes.iter().map(|wish| wish.quantity).sum::<i64>(), terms)?;
        for wish in wishes {
            let held = self.units.get(&wish.product_id).copied().unwrap_or_default();
            if let Some(limit) = terms.max_unpaid.share_of(wish.on_hand) {
                check(held + wish.quantity, limit, |count| format!("{count} units of `{}`", wish.sku))?;
            }
        }
        let currency = total.currency.to_string();
        let held = self.value.get(&currency).copied().unwrap_or_default();
        match i64::try_from(terms.max_unpaid.value).unwrap_or(i64::MAX) {
            0 => Ok(()),
            limit => {
                check(held.saturating_add(total.amount), limit, |amount| format!("{amount} {currency} in minor units"))
            }
        }
    }

    /// Counts an order that was accepted, for the orders after it in the batch.
    pub(super) fn add(&mut self, wishes: &[Wish<'_>], total: Money) {
        self.orders += 1;
        for wish in wishes {
            *self.units.entry(wish.product_id).or_default() += wish.quantity;
        }
        let value = self.value.entry(total.currency.to_string()).or_default();
        *value = value.saturating_add(total.amount);
    }
}

/// Unpaid orders reserve stock that others would buy, so a customer may have only some.
fn check_orders(open: i64, terms: &PlacingTerms) -> Result<()> {
    if terms.max_open_orders > 0 && open >= i64::from(terms.max_open_orders) {
        return Err(Error::TooManyOpenOrders { open, limit: terms.max_open_orders });
    }
    Ok(())
}

fn check_units(would_hold: i64, terms: &PlacingTerms) -> Result<()> {
    match i64::from(terms.max_unpaid.units) {
        0 => Ok(()),
        limit => check(would_hold, limit, |count| format!("{count} units")),
    }
}

fn check(would_hold: i64, limit: i64, said: impl Fn(i64) -> String) -> Result<()> {
    if would_hold <= limit {
        return Ok(());
    }
    Err(Error::TooMuchUnpaid { limit: said(limit), would_hold: said(would_hold) })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::request::MaxUnpaid;
    use super::*;

    fn terms(max_unpaid: MaxUnpaid) -> PlacingTerms {
        PlacingTerms { reservation_ttl: Duration::ZERO, max_open_orders: 3, max_unpaid, max_attempts: 1 }
    }

    #[test]
    fn who_has_never_paid_may_hold_so_much_and_no_more() {
        let product_id = ProductId::new();
        let (units, share, value) = (
            MaxUnpaid { units: 50, ..MaxUnpaid::default() },
            MaxUnpaid { share: 20, ..MaxUnpaid::default() },
            MaxUnpaid { value: 900, ..MaxUnpaid::default() },
        );
        let usd = |amount| Money { amount, currency: "USD".parse().unwrap() };
        // Of the product: units held and wanted, and on hand; of money: held and wanted.
        for (max_unpaid, (held, wanted, on_hand), (owed, total), fine) in [
            (MaxUnpaid::default(), (9000, 9000, 1), (i64::MAX, 1), true),
            (units, (30, 20, 1), (0, 0), true),
            (units, (30, 21, 100_000), (0, 0), false),
            (share, (0, 10, 1), (0, 0), true),
            (share, (5, 6, 20), (0, 0), false),
            (share, (0, 200, 1000), (0, 0), true),
            (share, (100, 101, 1000), (0, 0), false),
            (value, (0, 1, 1), (400, 500), true),
            (value, (0, 1, 1), (400, 501), false),
            (value, (0, 1, 1), (i64::MAX, 1), false),
        ] {
            let wish = [Wish { product_id, sku: "MUG", quantity: wanted, on_hand }];
            let mut unpaid = Unpaid::default();
            unpaid.add(&[Wish { quantity: held, ..wish[0] }], usd(owed));
            let found = unpaid.check(&wish, usd(total), &terms(max_unpaid));
            assert_eq!(found.is_ok(), fine, "{max_unpaid:?} {held} + {wanted} of {on_hand}: {found:?}");
            assert!(found.is_ok() || found.unwrap_err().code() == "too_much_unpaid");
            unpaid.has_paid = true;
            assert!(unpaid.check(&wish, usd(total), &terms(max_unpaid)).is_ok());
        }
    }

    #[test]
    fn an_order_that_will_be_refused_is_refused_early() {
        let terms = terms(MaxUnpaid { units: 50, ..MaxUnpaid::default() });
        for (orders, has_paid, held, units, code) in [
            (2, false, 30, 20, None),
            (3, true, 0, 1, Some("too_many_open_orders")),
            (2, false, 30, 21, Some("too_much_unpaid")),
            (2, true, 30, 21, None),
        ] {
            let found = EarlyUnpaid { orders, has_paid, units: held }.check(units, &terms);
            assert_eq!(found.err().map(|error| error.code().to_owned()).as_deref(), code);
        }
    }
}
