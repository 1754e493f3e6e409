//! The cart, in a cookie of the browser: SKUs and quantities. Anybody may have written it, so it is read like any input.

use std::time::Duration;

use axum::http::HeaderValue;
use form_urlencoded::{Serializer, parse};
use shared::orders::placing::request::MAX_LINES;
use shared::values::{Quantity, Sku};

use crate::cookies;
use crate::visit::Visit;

const COOKIE: &str = "millrace-cart";

/// Browsers keep 4,096 bytes of a cookie with its name and attributes.
const MOST_BYTES: usize = 3_500;

const KEPT: Duration = Duration::from_hours(30 * 24);

/// The name under which the cookie holds the key of the last form, so that a form that is sent twice adds once.
const LAST_KEY: &str = "~";

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Basket {
    pub lines: Vec<(Sku, Quantity)>,
    last_key: String,
}

impl Basket {
    pub fn of(visit: &Visit) -> Self {
        visit.cookie(COOKIE).map(Self::read).unwrap_or_default()
    }

    /// Leaves out every line that cannot be one.
    fn read(cookie: &str) -> Self {
        let mut basket = Self::default();
        for (name, value) in parse(cookie.as_bytes()).take(MAX_LINES + 1) {
            if name == LAST_KEY {
                basket.last_key = value.into_owned();
            } else if let (Ok(sku), Some(quantity)) = (name.parse::<Sku>(), quantity(&value))
                && basket.lines.len() < MAX_LINES
                && basket.lines.iter().all(|(known, _)| *known != sku)
            {
                basket.lines.push((sku, quantity));
            }
        }
        basket
    }

    pub fn units(&self) -> i64 {
        self.lines.iter().map(|(_, quantity)| i64::from(quantity.get())).sum()
    }

    /// Adds to a line, or a line. False: there is no room for it.
    pub fn add(&mut self, sku: Sku, quantity: Quantity, key: &str) -> bool {
        if !key.is_empty() && self.last_key == key {
            return true;
        }
        let sum = |old: Quantity| Quantity::try_from(i64::from(old.get()) + i64::from(quantity.get())).unwrap_or(old);
        match self.lines.iter_mut().find(|(known, _)| *known == sku) {
            Some((_, old)) => *old = sum(*old),
            None => self.lines.push((sku, quantity)),
        }
        key.clone_into(&mut self.last_key);
        let fits = self.lines.len() <= MAX_LINES && self.written().len() <= MOST_BYTES;
        if !fits {
            self.lines.pop();
        }
        fits
    }

    /// Sets the quantity of a line; none removes it.
    pub fn set(&mut self, sku: &Sku, quantity: Option<Quantity>) {
        match quantity {
            Some(quantity) => {
                self.lines.iter_mut().filter(|(known, _)| known == sku).for_each(|line| line.1 = quantity);
            }
            None => self.lines.retain(|(known, _)| known != sku),
        }
    }

    fn written(&self) -> String {
        let mut text = Serializer::new(String::new());
        for (sku, quantity) in &self.lines {
            text.append_pair(sku.as_str(), &quantity.get().to_string());
        }
        if !self.last_key.is_empty() {
            text.append_pair(LAST_KEY, &self.last_key);
        }
        text.finish()
    }

    /// The cookie that keeps it.
    pub fn kept(&self, visit: &Visit) -> HeaderValue {
        cookies::set(COOKIE, &self.written(), Some(KEPT), visit.channel)
    }

    pub fn emptied(visit: &Visit) -> HeaderValue {
        cookies::remove(COOKIE, visit.channel)
    }
}

pub fn quantity(text: &str) -> Option<Quantity> {
    Quantity::try_from(text.parse::<i64>().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(basket: &Basket) -> Vec<(&str, i32)> {
        basket.lines.iter().map(|(sku, quantity)| (sku.as_str(), quantity.get())).collect()
    }

    #[test]
    fn a_cookie_that_was_tampered_with_loses_its_bad_lines_and_no_more() {
        let basket = Basket::read("MUG=2&TEA=-1&=3&POT=99999999&CUP=x&MUG=7&%3Cscript%3E=1&A+B=3&junk");
        assert_eq!(lines(&basket), [("MUG", 2), ("<script>", 1), ("A B", 3)]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut basket = Basket::read("MUG=2");
        assert!(basket.add("A&B=C;".parse().unwrap(), quantity("3").unwrap(), "key"));
        assert!(basket.add("A&B=C;".parse().unwrap(), quantity("3").unwrap(), "key"), "sent twice");
        assert!(basket.add("MUG".parse().unwrap(), quantity("1").unwrap(), "other"));
        assert_eq!(Basket::read(&basket.written()), basket);
        assert_eq!(lines(&basket), [("MUG", 3), ("A&B=C;", 3)]);
        basket.set(&"MUG".parse().unwrap(), None);
        assert_eq!(lines(&basket), [("A&B=C;", 3)]);
    }

    #[test]
    fn a_cart_has_an_end() {
        let mut basket = Basket::default();
        let added = (0..MAX_LINES + 5).filter(|number| {
            basket.add(format!("SKU-{number}").parse().unwrap(), quantity("1").unwrap(), &number.to_string())
        });
        assert_eq!(added.count(), MAX_LINES);
    }
}
