//! Types whose values are always valid: ids, texts, quantities, money, addresses. Code that gets one does not check it
//! again. Writes no table.
//!
//! Deserialising checks the value. The error carries a code; the API's JSON reader adds the path of the field.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::invalid::Invalid;

/// Declares a type of id, so that the compiler refuses a customer's id where an order's is needed.
macro_rules! id {
    ($($name:ident),+) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Ids are ordered by time, so rows that are created together are stored together.
            #[expect(clippy::new_without_default, reason = "each call makes a different id; a default would be the same each time")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

id!(UserId, SessionId, CustomerId, CategoryId, ProductId, WarehouseId, InventoryId, ReservationId, OrderId, JobId);

/// Declares a text of bounded length without control characters. White space around it is removed.
macro_rules! text {
    ($($(#[$doc:meta])* $name:ident: $min:tt..=$max:tt, $code:literal, $what:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
        #[serde(try_from = "String")]
        #[sqlx(transparent)]
        #[schema(value_type = String, min_length = $min, max_length = $max)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub fn into_string(self) -> String {
                self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                let text = text.trim();
                let length = text.chars().count();
                let plain = !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r');
                if plain && ($min..=$max).contains(&length) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::new($code, concat!($what, " has ", $min, " to ", $max, " characters and no control characters")))
                }
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.to_owned().try_into()
            }
        }
    )+};
}

text! {
    /// The name of a person or a thing.
    Name: 1..=200, "invalid_name", "a name";
    /// The shop's identifier of a product. Upper and lower case are different.
    Sku: 1..=64, "invalid_sku", "a SKU";
    /// The shop's identifier of a warehouse.
    WarehouseCode: 1..=32, "invalid_code", "a warehouse code";
    Description: 0..=10_000, "invalid_description", "a description";
    Phone: 3..=40, "invalid_phone", "a phone number";
    /// A reason that a person typed.
    Note: 0..=500, "invalid_note", "a note";
    /// The token that the storefront got from the payment provider. We erase it after the charge.
    PaymentToken: 1..=200, "invalid_payment_token", "a payment token";
}

/// An e-mail address as the user typed it. Two addresses that differ only in case belong to the same account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
#[schema(value_type = String, format = "email", max_length = 254, example = "alice@example.com")]
pub struct Email(String);

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Email {
    type Error = Invalid;

    /// Checks only what every address must have. Whether it exists, only the mail server knows.
    fn try_from(text: String) -> Result<Self, Invalid> {
        let text = text.trim();
        let fine = text.len() <= 254
            && text.chars().all(|c| !c.is_whitespace() && !c.is_control())
            && text.split_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && !domain.contains('@')
                    && domain.contains('.')
                    && domain.split('.').all(|label| {
                        !label.is_empty()
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                    })
            });
        if fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("invalid_email", "this is not an e-mail address such as alice@example.com"))
        }
    }
}

impl FromStr for Email {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

/// A password that a user may choose. It is never printed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, format = "password", min_length = 8, max_length = 128)]
pub struct NewPassword(SecretString);

impl NewPassword {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl TryFrom<String> for NewPassword {
    type Error = Invalid;

    /// The upper bound protects the hash function, which is slow by design, from a password of a megabyte.
    fn try_from(text: String) -> Result<Self, Invalid> {
        match text.chars().count() {
            8..=128 => Ok(Self(text.into())),
            _ => Err(Invalid::new("weak_password", "a password has 8 to 128 characters")),
        }
    }
}

/// A number of units, from 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "i64")]
#[sqlx(transparent)]
#[schema(value_type = i32, minimum = 1, maximum = 10_000, example = 2)]
pub struct Quantity(i32);

impl Quantity {
    /// More of one product in one order is a typing error, or an attempt to block the stock.
    pub const MAX: i64 = 10_000;

    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number) if (1..=Self::MAX).contains(&i64::from(number)) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_quantity", format!("a quantity is from 1 to {}", Self::MAX))),
        }
    }
}

/// A number of units on a shelf, as a stock count may find it; it may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "i64")]
#[sqlx(transparent)]
#[schema(value_type = i32, minimum = 0, maximum = 1_000_000_000, example = 40)]
pub struct Units(i32);

impl Units {
    /// Below `i32::MAX`, so that a delivery can be added without overflow.
    pub const MAX: i64 = 1_000_000_000;

    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for Units {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number) if (0..=Self::MAX).contains(&i64::from(number)) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_quantity", format!("a number of units is from 0 to {}", Self::MAX))),
        }
    }
}

/// A currency, by its ISO 4217 code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(into = "String")]
#[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "USD")]
pub struct Currency([u8; 3]);

impl FromStr for Currency {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.as_bytes() {
            &[a, b, c] if [a, b, c].iter().all(u8::is_ascii_uppercase) => Ok(Self([a, b, c])),
            _ => Err(Invalid::new("invalid_currency", "a currency is an ISO 4217 code such as USD")),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).expect("a currency consists of three capital letters"))
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.to_string()
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in integer minor units of a currency; never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Money {
    #[schema(value_type = i64, minimum = 0, maximum = 1_000_000_000_000i64, example = 1999)]
    #[serde(deserialize_with = "amount")]
    pub amount: i64,
    pub currency: Currency,
}

impl Money {
    /// An order has at most a million units, so its total fits into an i64.
    pub const MAX_PRICE: i64 = 1_000_000_000_000;

    /// From columns of the database, which has the same checks.
    pub fn stored(amount: i64, currency: &str) -> Self {
        Self { amount, currency: currency.parse().expect("the database allows only valid currencies") }
    }
}

fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let amount = i64::deserialize(deserializer)?;
    if (0..=Money::MAX_PRICE).contains(&amount) {
        return Ok(amount);
    }
    let message = format!("an amount is in minor units, from 0 to {}", Money::MAX_PRICE);
    Err(serde::de::Error::custom(Invalid::new("invalid_amount", message)))
}

/// A postal address. The shop decides which fields it has; we store them unchanged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Map<String, Value>")]
#[schema(value_type = Object, example = json!({"name": "Alice", "line1": "1 Mill Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"}))]
pub struct Address(Map<String, Value>);

impl Address {
    const MAX_FIELDS: usize = 20;
    const MAX_CHARACTERS: usize = 500;
}

impl TryFrom<Map<String, Value>> for Address {
    type Error = Invalid;

    fn try_from(fields: Map<String, Value>) -> Result<Self, Invalid> {
        let plain = |value: &Value| match value {
            Value::String(text) => text.chars().count() <= Self::MAX_CHARACTERS,
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::Array(_) | Value::Object(_) => false,
        };
        let fits = (1..=Self::MAX_FIELDS).contains(&fields.len())
            && fields.iter().all(|(name, value)| name.len() <= 64 && plain(value));
        if fits {
            Ok(Self(fields))
        } else {
            let message = "an address is an object of 1 to 20 plain fields of at most 500 characters each";
            Err(Invalid::new("invalid_address", message))
        }
    }
}

/// The short number of an order, which a person can read out. It is a bijection of a counter, so it is unique; it scatters the
/// counter, so that it does not reveal how many orders the shop has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderNumber(pub i64);

impl OrderNumber {
    /// 7 characters of 5 bits each. The factor is odd, so it has an inverse modulo 2^35: no two counters give the same number.
    const BITS: u32 = 35;
    const FACTOR: u64 = 0x5_A3C9_17D3;
    /// The factor times this is 1 modulo 2^35, so it takes the scattering back.
    const INVERSE: u64 = 0x3_5ADC_585B;
    /// Crockford's alphabet, without letters that look like digits.
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
}

impl FromStr for OrderNumber {
    type Err = Invalid;

    /// Reads `M-4XK29QC` in any case, also without `M-`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("invalid_number", "an order number is M- and 7 letters and digits");
        let text = text.trim().to_ascii_uppercase();
        let digits = text.strip_prefix("M-").unwrap_or(&text);
        if digits.len() != (Self::BITS / 5) as usize {
            return Err(wrong());
        }
        let mut scattered = 0;
        for letter in digits.bytes() {
            let digit = Self::ALPHABET.iter().position(|known| *known == letter).ok_or_else(wrong)?;
            scattered = scattered << 5 | digit as u64;
        }
        let counter = scattered.wrapping_mul(Self::INVERSE) & ((1 << Self::BITS) - 1);
        Ok(Self(counter.cast_signed()))
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scattered = self.0.cast_unsigned().wrapping_mul(Self::FACTOR) & ((1 << Self::BITS) - 1);
        f.write_str("M-")?;
        (0..Self::BITS / 5).rev().try_for_each(|digit| {
            let index = usize::try_from(scattered >> (5 * digit) & 31).expect("five bits are below 32");
            write!(f, "{}", char::from(Self::ALPHABET[index]))
        })
    }
}

/// Deserialises a field of a PATCH that may be null. None: not given. Some(None): null. Some(Some(value)): a value.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        for (text, fine) in [
            ("alice@example.com", true),
            (" alice@example.com ", true),
            ("a+b@sub.example.co.uk", true),
            ("alice", false),
            ("alice@", false),
            ("@example.com", false),
            ("alice@example", false),
            ("alice@@example.com", false),
            ("a b@example.com", false),
            ("alice@-example.com", false),
            ("alice@example..com", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<Email>().is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn quantities() {
        for (number, fine) in [(1, true), (10_000, true), (0, false), (-1, false), (10_001, false), (i64::MAX, false)] {
            assert_eq!(Quantity::try_from(number).is_ok(), fine, "{number}");
        }
    }

    #[test]
    fn texts_are_trimmed_and_bounded() {
        assert_eq!(" Mug ".parse::<Name>().unwrap().as_str(), "Mug");
        for wrong in ["", "   ", "a\0b", &"x".repeat(201)] {
            assert_eq!(wrong.parse::<Name>().unwrap_err().code, "invalid_name");
        }
    }

    #[test]
    fn order_numbers_are_short_and_differ() {
        let numbers: std::collections::BTreeSet<String> = (1..=10_000).map(|n| OrderNumber(n).to_string()).collect();
        assert_eq!(numbers.len(), 10_000);
        assert!(numbers.iter().all(|number| number.len() == 9));
    }

    #[test]
    fn money_is_whole_and_bounded() {
        for (text, fine) in [
            (r#"{"amount": 1999, "currency": "USD"}"#, true),
            (r#"{"amount": 19.99, "currency": "USD"}"#, false),
            (r#"{"amount": -1, "currency": "USD"}"#, false),
            (r#"{"amount": 9223372036854775807, "currency": "USD"}"#, false),
            (r#"{"amount": 1, "currency": "usd"}"#, false),
        ] {
            assert_eq!(serde_json::from_str::<Money>(text).is_ok(), fine, "{text}");
        }
    }
}
