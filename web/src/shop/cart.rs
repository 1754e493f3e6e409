//! The cart: a cookie with SKUs and quantities. Whatever a browser sends is read as a stranger's text: prices come from the
//! database, and a line that makes no sense is left out.

use axum::http::{HeaderMap, HeaderValue};
use shared::catalog::products::{self, ProductView};
use shared::error::Result;
use shared::orders::placing::request::MAX_LINES;
use shared::values::{Money, Sku};
use sqlx::PgConnection;

use crate::ui::list::segment;
use crate::ui::money::money;
use crate::visit::cookie;

const COOKIE: &str = "millrace-cart";
/// A month.
const KEPT_SECONDS: u32 = 30 * 24 * 60 * 60;
/// As many as a line of an order may have.
pub(super) const MAX_QUANTITY: u32 = 10_000;

/// What somebody means to buy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cart(Vec<CartLine>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CartLine {
    pub(super) sku: Sku,
    pub(super) quantity: u32,
    /// The price in minor units when it was put in, so that we can say that it has changed.
    pub(super) seen: Option<i64>,
}

impl Cart {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        cookie(headers, COOKIE).map(Self::read).unwrap_or_default()
    }

    fn read(text: &str) -> Self {
        let mut cart = Self::default();
        for line in text.split('|').filter_map(CartLine::read).take(MAX_LINES) {
            if cart.line(&line.sku).is_none() {
                cart.0.push(line);
            }
        }
        cart
    }

    pub(super) fn cookie(&self, secure: bool) -> HeaderValue {
        let lines: Vec<String> = self.0.iter().map(CartLine::written).collect();
        let secure = if secure { "; Secure" } else { "" };
        let age = if self.0.is_empty() { 0 } else { KEPT_SECONDS };
        let cookie = format!("{COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}", lines.join("|"));
        HeaderValue::from_str(&cookie).expect("everything in a line is percent-encoded")
    }

    pub(super) fn units(&self) -> usize {
        self.0.iter().map(|line| line.quantity as usize).sum()
    }

    pub(super) fn lines(&self) -> &[CartLine] {
        &self.0
    }

    pub(super) fn line(&self, sku: &Sku) -> Option<&CartLine> {
        self.0.iter().find(|line| line.sku == *sku)
    }

    /// No more lines than an order may have.
    pub(super) fn put(&mut self, sku: Sku, quantity: u32, seen: Option<i64>) {
        self.0.retain(|line| line.sku != sku);
        if quantity > 0 && self.0.len() < MAX_LINES {
            self.0.push(CartLine { sku, quantity: quantity.min(MAX_QUANTITY), seen });
        }
    }
}

impl CartLine {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let sku = form_urlencoded::parse(format!("s={}", parts.next()?).as_bytes()).next()?.1.into_owned();
        let quantity = parts.next()?.parse().ok().filter(|quantity| (1..=MAX_QUANTITY).contains(quantity))?;
        Some(Self { sku: sku.parse().ok()?, quantity, seen: parts.next().and_then(|price| price.parse().ok()) })
    }

    fn written(&self) -> String {
        let seen = self.seen.map(|seen| format!(":{seen}")).unwrap_or_default();
        format!("{}:{}{seen}", segment(self.sku.as_str()), self.quantity)
    }
}

/// A line of the cart with its product as it is now.
pub(super) struct Priced {
    pub(super) product: ProductView,
    pub(super) quantity: u32,
    seen: Option<i64>,
}

impl Priced {
    pub(super) fn total(&self) -> Money {
        Money {
            amount: self.product.price.amount.saturating_mul(self.quantity.into()),
            currency: self.product.price.currency,
        }
    }

    /// What keeps this line from being bought as it is.
    pub(super) fn problem(&self) -> Option<String> {
        match self.product.available {
            _ if !self.product.active => Some("No longer sold.".to_owned()),
            ..=0 => Some("Sold out.".to_owned()),
            left if left < i64::from(self.quantity) => Some(format!("Only {left} left.")),
            _ => None,
        }
    }

    pub(super) fn change(&self) -> Option<String> {
        let before = self.seen.filter(|seen| *seen != self.product.price.amount)?;
        let before = Money { amount: before, currency: self.product.price.currency };
        Some(format!("The price has changed. It was {}.", money(before)))
    }
}

/// The lines whose products exist, in the order of the cart.
pub(super) async fn price(conn: &mut PgConnection, cart: &Cart) -> Result<Vec<Priced>> {
    let skus: Vec<Sku> = cart.0.iter().map(|line| line.sku.clone()).collect();
    let found = products::by_skus(conn, &skus).await?;
    let priced = cart.0.iter().filter_map(|line| {
        let product = found.iter().find(|product| product.sku == line.sku)?.clone();
        Some(Priced { product, quantity: line.quantity, seen: line.seen })
    });
    Ok(priced.collect())
}

/// One total for each currency.
pub(super) fn totals(lines: &[Priced]) -> Vec<Money> {
    let mut totals: Vec<Money> = Vec::new();
    for total in lines.iter().map(Priced::total) {
        match totals.iter_mut().find(|sum| sum.currency == total.currency) {
            Some(sum) => sum.amount = sum.amount.saturating_add(total.amount),
            None => totals.push(total),
        }
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cart_is_read_as_it_was_written() {
        let mut cart = Cart::default();
        cart.put("MUG|RED:1".parse().unwrap(), 2, Some(1250));
        cart.put("TEA".parse().unwrap(), 1, None);
        let cookie = cart.cookie(true).to_str().unwrap().to_owned();
        let value = cookie.split(['=', ';']).nth(1).unwrap();
        assert_eq!(Cart::read(value), cart);
        assert_eq!(cart.units(), 3);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_left_out() {
        for text in ["", "|", ":", "MUG", "MUG:0", "MUG:-1", "MUG:99999999", "%00:1", ":1"] {
            assert_eq!(Cart::read(text), Cart::default(), "{text}");
        }
        assert_eq!(Cart::read("MUG:1|nonsense|TEA:2|MUG:5").lines().len(), 2);
        let many: Vec<String> = (0..200).map(|at| format!("SKU-{at}:1")).collect();
        assert_eq!(Cart::read(&many.join("|")).lines().len(), MAX_LINES);
    }
}
