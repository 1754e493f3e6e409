//! The errors of the domain, one variant for each reason. `kind()` groups the reasons; the API turns a kind into a status
//! code, the worker into "retry" or "give up". `code()` is the stable name that clients and tests compare. Writes no table.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::invalid::{FieldError, Invalid};
use crate::platform::db;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Cloning is cheap: callers that wait for the same result share one error.
///
/// The code of a variant is its name in snake case (see `code`), so renaming a variant breaks clients.
#[derive(Debug, Clone, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    // It does not exist, or the caller may not see it.
    #[error("there is no {0} with this id")]
    NotFound(Resource),

    // The request is wrong.
    #[error("{}", .0.message)]
    Invalid(Invalid),
    #[error("{}", summary(.0))]
    InvalidFields(Vec<FieldError>),
    #[error("this Idempotency-Key was used before with a different request; use a new key for a new request")]
    IdempotencyKeyReused,

    // The caller is unknown, or lacks a permission.
    #[error("the access token is missing, expired or invalid; log in, or refresh the token")]
    Unauthenticated,
    #[error("the API key is unknown, revoked or expired; ask an administrator for a new one")]
    #[strum(serialize = "unauthenticated")]
    BadKey,
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    #[error("the token is no longer valid; log in again")]
    InvalidToken,
    #[error("this account has a second factor; log in again with its `code` as well")]
    TotpRequired,
    #[error("the code is wrong, too old, or was used before; take the next one that the app shows")]
    InvalidCode,
    #[error("this needs your password again: log in (POST /v1/auth/login), or send it to POST /v1/me/password/confirm")]
    PasswordRequired,
    #[error("staff need a second factor here: set it up with POST /v1/me/totp; until then nothing else is open to you")]
    TotpSetupRequired,
    #[error("this requires the role `{needed}`")]
    Forbidden { needed: &'static str },
    #[error("no API key opens this; only a person who is signed in may do it")]
    #[strum(serialize = "forbidden")]
    NotForKeys,
    #[error("the API key lacks a scope; this needs {}", scopes(.needed))]
    InsufficientScope { needed: Vec<&'static str> },
    #[error("the API key may not be used from this address; see its `allowed_ips`")]
    AddressNotAllowed,

    // The present state does not allow it.
    #[error("an account with this e-mail address already exists; log in instead")]
    EmailTaken,
    #[error("your second factor is on; switch it off first (DELETE /v1/me/totp)")]
    TotpAlreadyOn,
    #[error("there is no second factor to confirm; begin with POST /v1/me/totp")]
    TotpNotSetUp,
    #[error("this is the last administrator who can log in; create another one first")]
    LastAdmin,
    #[error("the service account is not active; make it active first")]
    ServiceAccountInactive,
    #[error("the key is {state}; only one that is active can be rotated, so make a new one")]
    KeyNotActive { state: String },
    #[error("a product with the SKU `{sku}` already exists")]
    SkuTaken { sku: String },
    #[error("a category with this name already exists")]
    CategoryNameTaken,
    #[error("a warehouse with this code already exists")]
    WarehouseCodeTaken,
    #[error("the category still has products or sub-categories; move them first")]
    CategoryInUse,
    #[error("this product already has stock settings in this warehouse; adjust those")]
    InventoryExists,
    #[error("on hand would fall to {would_be}, but {reserved} units are reserved; nothing was changed")]
    WouldGoNegative { would_be: i64, reserved: i64 },
    #[error("not enough stock: {}", shortages(.0))]
    InsufficientStock(Vec<Shortage>),
    #[error("the reservation is {state}; this needs one that is held")]
    ReservationNotHeld { state: String },
    #[error("the reservation belongs to order {order_id} and changes only with it; change the order instead")]
    ReservationBelongsToOrder { order_id: uuid::Uuid },
    #[error("{open} orders of this customer are unpaid, and the limit is {limit}; pay or cancel one first")]
    TooManyOpenOrders { open: i64, limit: u32 },
    #[error(
        "a customer who has not paid for an order yet may hold {limit} unpaid, and would hold {would_hold}; order less, or \
         pay for an order first"
    )]
    TooMuchUnpaid { limit: String, would_hold: String },
    #[error("the order is being shipped and can no longer be cancelled")]
    OrderNotCancellable,
    #[error("an order that is `{from}` can become {}, not `{to}`", either(.allowed))]
    InvalidTransition { from: &'static str, to: &'static str, allowed: Vec<&'static str> },
    #[error("a payment is in progress; wait for its result, or cancel the order")]
    PaymentInProgress,
    #[error(
        "the payment token was erased, so the order cannot be charged; take the money another way, or cancel the order"
    )]
    PaymentTokenErased,
    #[error("a request with this Idempotency-Key is still running; try again in a moment")]
    RequestInProgress,
    #[error("the job is {state}; only a dead job can be retried or discarded")]
    JobNotDead { state: String },
    #[error("{by} looks after this order; put it back first")]
    OrderTaken { by: String },
    #[error("there are {limit} webhooks already; delete one first")]
    TooManyWebhooks { limit: i64 },
    #[error("the webhook is disabled; enable it instead")]
    WebhookDisabled,
    #[error("the webhook is not enabled; enable it first")]
    WebhookNotEnabled,
    #[error("the secret before is still good; wait until `previous_until`")]
    RotationInProgress,
    #[error("this delivery still waits to be sent")]
    DeliveryPending,
    #[error("another attempt holds this job now; the changes of this attempt were rolled back")]
    LeaseLost,
    #[error("the selection has changed since the preview; look at the new one")]
    PreviewStale { preview: Value },
    #[error("it has changed since you read it; read it again and repeat your change")]
    VersionMismatch,

    #[error(
        "events after this cursor are too old and were removed; go on from `oldest`, and read the present state of what you follow"
    )]
    CursorExpired { oldest: String },
    #[error(
        "the items and the timeline of this order are in the archive, in the part {month}; nothing can be added to them"
    )]
    OrderArchived { month: String },
    #[error("the feed was restored from a dump of another database; run `millrace-api feed rebuild`")]
    FeedOfAnotherDatabase,

    // Temporary.
    #[error("webhooks are off here: WEBHOOK_MASTER_KEY is not set")]
    WebhooksOff,
    #[error("the server is overloaded; try again shortly")]
    Overloaded,
    #[error("too many requests; try again in {retry_after_seconds} s")]
    RateLimited { retry_after_seconds: u64 },
    #[error("the outcome is unknown: the request may have been carried out; repeat it with the same Idempotency-Key")]
    OutcomeUnknown,
    #[error("the database did not answer in time; try again shortly")]
    Unavailable(#[source] Arc<sqlx::Error>),

    #[error("something went wrong on our side; try again, and report the request id if it happens again")]
    Internal(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

/// What a reason means to a caller: the API maps it to a status code, the worker to "retry" or "give up".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Invalid,
    Unauthenticated,
    Forbidden,
    Conflict,
    Gone,
    Stale,
    RateLimited,
    Unavailable,
    Unknown,
    Internal,
}

/// The kind of thing that was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case", suffix = "_not_found")]
pub enum Resource {
    User,
    Session,
    Customer,
    Category,
    Product,
    Warehouse,
    Inventory,
    Reservation,
    Order,
    Job,
    Queue,
    AuditRun,
    Bulk,
    View,
    Webhook,
    Delivery,
    ServiceAccount,
    ApiKey,
}

/// A line of an order or a reservation that asked for more than is available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// The index of the line in the request.
    pub line: usize,
    pub product_id: uuid::Uuid,
    pub sku: Option<String>,
    pub requested: i64,
    pub available: i64,
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Invalid(_) | Self::InvalidFields(_) | Self::IdempotencyKeyReused => Kind::Invalid,
            Self::Unauthenticated
            | Self::BadKey
            | Self::InvalidCredentials
            | Self::InvalidToken
            | Self::TotpRequired
            | Self::InvalidCode => Kind::Unauthenticated,
            Self::Forbidden { .. }
            | Self::NotForKeys
            | Self::InsufficientScope { .. }
            | Self::AddressNotAllowed
            | Self::PasswordRequired
            | Self::TotpSetupRequired => Kind::Forbidden,
            Self::EmailTaken
            | Self::TotpAlreadyOn
            | Self::TotpNotSetUp
            | Self::LastAdmin
            | Self::ServiceAccountInactive
            | Self::KeyNotActive { .. }
            | Self::SkuTaken { .. }
            | Self::CategoryNameTaken
            | Self::WarehouseCodeTaken
            | Self::CategoryInUse
            | Self::InventoryExists
            | Self::WouldGoNegative { .. }
            | Self::InsufficientStock(_)
            | Self::ReservationNotHeld { .. }
            | Self::ReservationBelongsToOrder { .. }
            | Self::TooManyOpenOrders { .. }
            | Self::OrderNotCancellable
            | Self::InvalidTransition { .. }
            | Self::PaymentInProgress
            | Self::PaymentTokenErased
            | Self::TooMuchUnpaid { .. }
            | Self::RequestInProgress
            | Self::JobNotDead { .. }
            | Self::OrderTaken { .. }
            | Self::PreviewStale { .. }
            | Self::TooManyWebhooks { .. }
            | Self::WebhookDisabled
            | Self::WebhookNotEnabled
            | Self::RotationInProgress
            | Self::DeliveryPending
            | Self::LeaseLost => Kind::Conflict,
            Self::CursorExpired { .. } | Self::OrderArchived { .. } => Kind::Gone,
            Self::VersionMismatch => Kind::Stale,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::Overloaded | Self::WebhooksOff | Self::Unavailable(_) => Kind::Unavailable,
            Self::OutcomeUnknown => Kind::Unknown,
            Self::FeedOfAnotherDatabase | Self::Internal(_) => Kind::Internal,
        }
    }

    /// The stable name that clients and tests compare.
    pub fn code(&self) -> &str {
        match self {
            Self::NotFound(resource) => (*resource).into(),
            Self::Invalid(invalid) => &invalid.code,
            Self::InvalidFields(fields) => common_code(fields),
            error => error.into(),
        }
    }

    /// The fields that are wrong, each with the data that a client program may need.
    pub fn fields(&self) -> Vec<Value> {
        match self {
            Self::InvalidFields(fields) => fields.iter().map(|field| json!(field)).collect(),
            Self::PreviewStale { preview } => {
                vec![
                    json!({ "field": "expected", "code": "preview_stale", "message": self.to_string(), "preview": preview }),
                ]
            }
            Self::InsufficientStock(lines) => lines
                .iter()
                .map(|short| {
                    json!({
                        "field": format!("items[{}].quantity", short.line),
                        "code": "insufficient_stock",
                        "message": short.to_string(),
                        "product_id": short.product_id,
                        "sku": short.sku,
                        "requested": short.requested,
                        "available": short.available,
                    })
                })
                .collect(),
            Self::InvalidTransition { allowed, .. } => vec![json!({
                "field": "status",
                "code": "invalid_transition",
                "message": self.to_string(),
                "allowed": allowed,
            })],
            _ => Vec::new(),
        }
    }

    /// Members of the answer besides those that every error has.
    pub fn members(&self) -> Map<String, Value> {
        match self {
            Self::CursorExpired { oldest } => Map::from_iter([("oldest".to_owned(), json!(oldest))]),
            Self::InsufficientScope { needed } => Map::from_iter([("needed".to_owned(), json!(needed))]),
            _ => Map::new(),
        }
    }

    /// How many seconds a client should wait before it tries again.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(*retry_after_seconds),
            Self::Overloaded | Self::Unavailable(_) | Self::RequestInProgress => Some(1),
            _ => None,
        }
    }

    pub fn invalid(code: &str, message: impl Into<String>) -> Self {
        Self::Invalid(Invalid::new(code, message))
    }

    pub fn field(field: impl Into<String>, code: &str, message: impl Into<String>) -> Self {
        Self::InvalidFields(vec![Invalid::new(code, message).at(field)])
    }

    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(Arc::from(error.into()))
    }

    /// Is one entry of a batch at fault, so that the others succeed without it? Then the batch is repeated one by one.
    ///
    /// - Not when the database was unreachable, slow or overloaded: that fails each entry alike.
    /// - Of other database errors, only those about values (SQLSTATE 22 and 23). A missing table or a wrong statement
    ///   also fails each entry, and one by one would only multiply the failures.
    /// - Everything else is about an entry: a rule of the domain refused it, or one of its values could not be converted.
    pub fn is_about_data(&self) -> bool {
        match self.kind() {
            Kind::Unavailable | Kind::RateLimited | Kind::Unknown => false,
            _ => match self {
                Self::Internal(cause) => cause.downcast_ref::<sqlx::Error>().is_none_or(db::is_about_data),
                _ => true,
            },
        }
    }
}

/// If all fields fail for the same reason, the error has the code of that reason.
fn common_code(fields: &[FieldError]) -> &str {
    match fields {
        [first, rest @ ..] if rest.iter().all(|field| field.code == first.code) => &first.code,
        _ => "validation_failed",
    }
}

fn summary(fields: &[FieldError]) -> String {
    match fields {
        [one] => format!("`{}`: {}", one.field, one.message),
        many => format!("{} fields are wrong; see `errors`", many.len()),
    }
}

fn either(allowed: &[&str]) -> String {
    match allowed {
        [] => "no other status".to_owned(),
        allowed => allowed.iter().map(|status| format!("`{status}`")).collect::<Vec<_>>().join(" or "),
    }
}

fn scopes(needed: &[&str]) -> String {
    needed.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" and ")
}

fn shortages(lines: &[Shortage]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let product = self.sku.clone().unwrap_or_else(|| self.product_id.to_string());
        write!(f, "`{product}`: {} requested, {} available", self.requested, self.available)
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code: &str = (*self).into();
        f.write_str(&code.trim_end_matches("_not_found").replace('_', " "))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if db::is_transient(&error) {
            return Self::Unavailable(Arc::new(error));
        }
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            // The trigger on a part of history that is closed.
            Some("ARCHV") => Self::OrderArchived {
                month: error.as_database_error().and_then(|error| error.constraint()).unwrap_or_default().to_owned(),
            },
            // Postgres refused a value that our own checks let through. The request is at fault.
            Some(code) if code.starts_with("22") => {
                Self::invalid("invalid_value", "a value in the request is outside the range that can be stored")
            }
            _ => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable() {
        for (error, code) in [
            (Error::NotFound(Resource::Product), "product_not_found"),
            (Error::invalid("invalid_value", "x"), "invalid_value"),
            (Error::field("q", "invalid_search", "x"), "invalid_search"),
            (Error::IdempotencyKeyReused, "idempotency_key_reused"),
            (Error::Forbidden { needed: "staff" }, "forbidden"),
            (Error::NotForKeys, "forbidden"),
            (Error::InsufficientScope { needed: vec!["orders:write"] }, "insufficient_scope"),
            (Error::AddressNotAllowed, "address_not_allowed"),
            (Error::SkuTaken { sku: "MUG".to_owned() }, "sku_taken"),
            (Error::RateLimited { retry_after_seconds: 1 }, "rate_limited"),
            (Error::internal("x"), "internal"),
        ] {
            assert_eq!(error.code(), code);
        }
        assert_eq!(Error::NotFound(Resource::Product).to_string(), "there is no product with this id");
    }

    #[test]
    fn a_batch_is_repeated_one_by_one_only_if_an_entry_is_at_fault() {
        for (error, about_data) in [
            (Error::from(sqlx::Error::PoolTimedOut), false),
            (Error::from(sqlx::Error::RowNotFound), false),
            (Error::Overloaded, false),
            (Error::OutcomeUnknown, false),
            (Error::invalid("invalid_value", "x"), true),
            (Error::NotFound(Resource::Order), true),
            (Error::internal("a value that cannot be converted"), true),
        ] {
            assert_eq!(error.is_about_data(), about_data, "{error:?}");
        }
    }
}
