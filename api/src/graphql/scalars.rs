//! Scalars, enums and small values of the GraphQL schema, in the same form as in REST.

use async_graphql::{Enum, InputValueError, InputValueResult, Number, Scalar, ScalarType, SimpleObject, Value};
use chrono::{DateTime, Utc};
use shared::orders::status::Status;
use shared::orders::{PaymentStatus, ShipmentStatus, Who};
use shared::principal::Role;
use shared::values::Money;

/// A time in UTC, as RFC 3339 has it: `2026-11-21T09:30:00Z`
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub DateTime<Utc>);

#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for Time {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Ok(Self(text.parse()?)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::String(text) if text.parse::<DateTime<Utc>>().is_ok())
    }

    fn to_value(&self) -> Value {
        // As serde writes times, and so as in REST.
        serde_json::to_value(self.0).ok().and_then(|text| Value::from_json(text).ok()).unwrap_or_default()
    }
}

/// A whole number of up to 64 bits, as a JSON integer
#[derive(Debug, Clone, Copy)]
pub(super) struct Int64(pub i64);

#[Scalar]
impl ScalarType for Int64 {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number.as_i64().map(Self).ok_or_else(|| InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn is_valid(value: &Value) -> bool {
        matches!(value, Value::Number(number) if number.is_i64())
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(self.0))
    }
}

/// An amount in minor units of its currency
#[derive(Debug, Clone, SimpleObject)]
#[graphql(name = "Money")]
pub(super) struct MoneyNode {
    amount: Int64,
    /// ISO 4217, such as `USD`
    currency: String,
}

impl From<Money> for MoneyNode {
    fn from(money: Money) -> Self {
        Self { amount: Int64(money.amount), currency: money.currency.to_string() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "OrderStatus", remote = "Status")]
pub(super) enum OrderStatusName {
    Pending,
    Processing,
    Paid,
    Shipped,
    Delivered,
    Cancelling,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "PaymentStatus", remote = "PaymentStatus")]
pub(super) enum PaymentStatusName {
    /// The provider was asked and has not answered
    Pending,
    Charged,
    Declined,
    Refunded,
    /// Voided before anything was taken
    Voided,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "ShipmentStatus", remote = "ShipmentStatus")]
pub(super) enum ShipmentStatusName {
    Booking,
    Shipped,
    Delivered,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "Who", remote = "Who")]
pub(super) enum WhoName {
    Worker,
    Staff,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "Role", remote = "Role")]
pub(super) enum RoleName {
    Customer,
    Staff,
    Admin,
}
