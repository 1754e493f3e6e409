//! Types whose values are always valid: ids, texts, quantities, money, addresses. Code that gets one does not check it
//! again. Writes no table.
//!
//! Deserialising checks the value. The error carries a code; the API's JSON reader adds the path of the field.

pub mod password;
pub mod search;
pub mod whole_number;

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use serde::de;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use crate::invalid::Invalid;
use crate::values::whole_number::WholeNumber;

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

id! {
    UserId, SessionId, CustomerId, CategoryId, ProductId, WarehouseId, InventoryId,
    ReservationId, OrderId, JobId, ApiKeyId, WebhookId
}

/// Declares a text of bounded length without control characters. White space around it is removed; `$min` counts what is
/// left, `$max` counts what was sent. The pattern says the same in the OpenAPI document.
macro_rules! text {
    ($($(#[$doc:meta])* $name:ident: $min:tt..=$max:tt, $pattern:tt, $code:literal, $what:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type, ToSchema)]
        #[serde(try_from = "String")]
        #[sqlx(transparent)]
        #[schema(value_type = String, min_length = $min, max_length = $max, pattern = $pattern)]
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
                let (sent, text) = (text.chars().count(), text.trim());
                let plain = !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r');
                if plain && sent <= $max && ($min..=$max).contains(&text.chars().count()) {
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
    Name: 1..=200, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_name", "a name";
    /// The shop's identifier of a product. Upper and lower case are different.
    Sku: 1..=64, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_sku", "a SKU";
    /// The shop's identifier of a warehouse.
    WarehouseCode: 1..=32, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_code", "a warehouse code";
    Description: 0..=10_000, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_description", "a description";
    Phone: 3..=40, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]+[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_phone", "a phone number";
    /// A reason that a person typed.
    Note: 0..=500, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_note", "a note";
    /// What staff write into an order's timeline.
    Remark: 1..=2000, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\t\n\r \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000][^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$", "invalid_note", "a note";
}

/// An e-mail address as the user typed it. Accounts are told apart by its `key()`.
///
/// It is ASCII only. Other letters have look-alikes and invisible neighbours, and programs disagree about their lower case
/// (Rust and Postgres turn `İ` into different texts), so one account would have many spellings. A domain with other
/// letters has an ASCII form, which begins with `xn--`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
#[schema(value_type = String, format = "email", max_length = 254, example = "alice@example.com")]
pub struct Email(String);

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The normal form: equal for all spellings of one address. The column `users.email_key` holds it.
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or("", |(local, _)| local)
    }
}

impl TryFrom<String> for Email {
    type Error = Invalid;

    /// Checks only what every address must have. Whether it exists, only the mail server knows.
    fn try_from(text: String) -> Result<Self, Invalid> {
        let text = text.trim();
        let in_local = |c: char| c.is_ascii_graphic() && !r#""(),:;<>@[\]"#.contains(c);
        let fine = text.len() <= 254
            && text.split_once('@').is_some_and(|(local, domain)| {
                (1..=64).contains(&local.len())
                    && local.chars().all(in_local)
                    && domain.contains('.')
                    && domain.split('.').all(|label| {
                        (1..=63).contains(&label.len())
                            && !label.starts_with('-')
                            && !label.ends_with('-')
                            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                    })
            });
        if fine {
            return Ok(Self(text.to_owned()));
        }
        let message = if text.is_ascii() {
            "this is not an e-mail address such as alice@example.com"
        } else {
            "an e-mail address has no letters beyond a to z here; write such a domain in its form with xn--"
        };
        Err(Invalid::new("invalid_email", message))
    }
}

impl FromStr for Email {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

/// The token that the storefront got from the payment provider. It is never printed, and we erase it after the charge.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, min_length = 1, max_length = 200)]
pub struct PaymentToken(SecretString);

impl PaymentToken {
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// From the column of the database, which got it from `expose`.
    pub fn stored(text: String) -> Self {
        Self(text.into())
    }
}

impl TryFrom<String> for PaymentToken {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let text = text.trim();
        if (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
            return Ok(Self(text.to_owned().into()));
        }
        let message = "a payment token has 1 to 200 characters and no control characters";
        Err(Invalid::new("invalid_payment_token", message))
    }
}

impl FromStr for PaymentToken {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.to_owned().try_into()
    }
}

/// A number of units, from 1 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "WholeNumber")]
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

impl TryFrom<WholeNumber> for Quantity {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number) if (1..=Self::MAX).contains(&i64::from(number)) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_quantity", format!("a quantity is from 1 to {}", Self::MAX))),
        }
    }
}

/// A number of units on a shelf, as a stock count may find it; it may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "WholeNumber")]
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

impl TryFrom<WholeNumber> for Units {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
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
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
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
    let WholeNumber(amount) = WholeNumber::deserialize(deserializer)?;
    if (0..=Money::MAX_PRICE).contains(&amount) {
        return Ok(amount);
    }
    let message = format!("an amount is in minor units, from 0 to {}", Money::MAX_PRICE);
    Err(de::Error::custom(Invalid::new("invalid_amount", message)))
}

/// A postal address. The shop decides which fields it has; we store them unchanged. `Debug` does not print them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Address(Map<String, Value>);

impl Address {
    const MAX_FIELDS: usize = 20;
    const MAX_NAME: usize = 64;
    const MAX_CHARACTERS: usize = 500;
    /// Room for any house number or coordinate. Postgres writes all digits of a number; of 1.8e308 that is more than we can
    /// read again, so an order with such an address could not be shown any more.
    const MAX_NUMBER: f64 = 1e15;
}

impl Address {
    /// In the order in which addresses are written; the fields that only this shop has come last.
    const WRITTEN_FIRST: [&str; 7] = ["name", "line1", "line2", "postal_code", "city", "region", "country"];

    /// As a person reads it: a line for each field that is filled in.
    pub fn lines(&self) -> Vec<String> {
        let known = Self::WRITTEN_FIRST.iter().filter_map(|name| self.0.get(*name));
        let others = self.0.iter().filter(|(name, _)| !Self::WRITTEN_FIRST.contains(&name.as_str())).map(|(_, it)| it);
        let line = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
            other => Some(other.to_string()),
        };
        known.chain(others).filter_map(line).collect()
    }

    /// The text of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }
}

impl ToSchema for Address {}

impl PartialSchema for Address {
    /// Written by hand: the derive macro cannot say how many fields there are, nor what is in them.
    fn schema() -> RefOr<Schema> {
        // Postgres cannot store NUL in text.
        let text = || ObjectBuilder::new().pattern(Some(r"^[^\u0000]*$"));
        let plain = [Type::String, Type::Number, Type::Boolean, Type::Null].into_iter().collect();
        let value = text()
            .schema_type(SchemaType::Array(plain))
            .max_length(Some(Self::MAX_CHARACTERS))
            .minimum(Some(-Self::MAX_NUMBER))
            .maximum(Some(Self::MAX_NUMBER));
        let name = text().schema_type(Type::String).max_length(Some(Self::MAX_NAME));
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("A postal address. The shop decides which fields it has; they are stored as they are."))
            .min_properties(Some(1))
            .max_properties(Some(Self::MAX_FIELDS))
            .property_names(Some(name))
            .additional_properties(Some(Schema::from(value)))
            .examples([json!({"name": "Alice", "line1": "1 Mill Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB"})])
            .into()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl TryFrom<Map<String, Value>> for Address {
    type Error = Invalid;

    fn try_from(fields: Map<String, Value>) -> Result<Self, Invalid> {
        let plain = |value: &Value| match value {
            Value::String(text) => text.chars().count() <= Self::MAX_CHARACTERS,
            Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() <= Self::MAX_NUMBER),
            Value::Null | Value::Bool(_) => true,
            Value::Array(_) | Value::Object(_) => false,
        };
        let fits = (1..=Self::MAX_FIELDS).contains(&fields.len())
            && fields.iter().all(|(name, value)| name.chars().count() <= Self::MAX_NAME && plain(value));
        if fits {
            Ok(Self(fields))
        } else {
            let message = "an address is an object of 1 to 20 plain fields of at most 500 characters each";
            Err(Invalid::new("invalid_address", message))
        }
    }
}

/// The short number of an order, which a person can read out. It is a bijection of a counter, so it is unique. Neighbours look
/// different, so a wrong letter rarely gives the number of another order. It hides nothing: who knows the factor below can
/// tell how many orders there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderNumber(pub i64);

impl OrderNumber {
    /// 7 characters of 5 bits each. The factor is odd, so it has an inverse modulo 2^35: no two counters give the same number.
    const BITS: u32 = 35;
    const FACTOR: u64 = 0x5_A3C9_17D3;
    /// Undoes the factor. Newton's method doubles the number of right bits with each step.
    const INVERSE: u64 = {
        let (mut inverse, mut steps) = (1_u64, 0);
        while steps < 6 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(Self::FACTOR.wrapping_mul(inverse)));
            steps += 1;
        }
        inverse
    };
    /// Crockford's alphabet, without letters that look like digits.
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
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

impl FromStr for OrderNumber {
    type Err = Invalid;

    /// In any case, and without the `M-` too. Letters that look like digits count as those digits.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("invalid_number", "an order's number looks like M-4XK29QC");
        let text = text.trim().to_ascii_uppercase().replace(['O'], "0").replace(['I', 'L'], "1");
        let digits = text.strip_prefix("M-").unwrap_or(&text);
        if digits.len() != 7 {
            return Err(wrong());
        }
        let scattered = digits.bytes().try_fold(0_u64, |number, digit| {
            let digit = Self::ALPHABET.iter().position(|letter| *letter == digit)?;
            Some(number << 5 | u64::try_from(digit).ok()?)
        });
        let counter = scattered.ok_or_else(wrong)?.wrapping_mul(Self::INVERSE) & ((1 << Self::BITS) - 1);
        Ok(Self(counter.cast_signed()))
    }
}

/// Deserialises a field of a PATCH that may be null. None: not given. Some(None): null. Some(Some(value)): a value.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
