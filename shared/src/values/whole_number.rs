//! Whole numbers of requests. Writes no table.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A whole number of a request. JSON knows only one kind of number, so `2.0` is the same as `2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber(pub i64);

impl<'de> Deserialize<'de> for WholeNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor)
    }
}

/// Deserialises a whole number that may be absent or null.
pub fn whole_i32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    let Some(WholeNumber(number)) = Option::deserialize(deserializer)? else { return Ok(None) };
    i32::try_from(number)
        .map(Some)
        .map_err(|_| de::Error::invalid_value(Unexpected::Signed(number), &"a number of 32 bits"))
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = WholeNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<WholeNumber, E> {
        Ok(WholeNumber(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<WholeNumber, E> {
        let whole = i64::try_from(number).map(WholeNumber);
        whole.map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<WholeNumber, E> {
        // Written without its fraction, because `as` would round what does not fit.
        let whole = if number.fract() == 0.0 { format!("{number:.0}").parse().ok() } else { None };
        whole.map(WholeNumber).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::WholeNumber;

    #[test]
    fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
        for (text, number) in [
            ("2", Some(2)),
            ("2.0", Some(2)),
            ("-2.0", Some(-2)),
            ("2e3", Some(2000)),
            ("2.5", None),
            ("1e300", None),
            ("99999999999999999999", None),
            ("\"2\"", None),
            ("null", None),
        ] {
            assert_eq!(serde_json::from_str(text).ok().map(|WholeNumber(number)| number), number, "{text}");
        }
    }
}
