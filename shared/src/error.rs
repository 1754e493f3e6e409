//! Everything that can go wrong in the domain, one variant per reason. `kind()` sorts the reasons for the
//! edges, which know what to answer; `code()` is the name that clients and tests match on.

use serde_json::{Value, json};

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    // Not there, or not for this caller to see.
    #[error("there is no {0} with this id")]
    NotFound(Resource),

    // Something about the request itself.
    #[error("{}", .0.message)]
    Invalid(Invalid),
    #[error("{}", summary(.0))]
    InvalidFields(Vec<FieldError>),
    #[error("this Idempotency-Key was used before with another request; use a new key for a new request")]
    IdempotencyKeyReused,

    // Who asks.
    #[error("the access token is missing, expired or not valid; log in or refresh it")]
    Unauthenticated,
    #[error("e-mail or password are not right")]
    InvalidCredentials,
    #[error("the token is not valid any more; log in again")]
    InvalidToken,
    #[error("this needs the role `{needed}`")]
    Forbidden { needed: &'static str },

    // The state of things says no.
    #[error("an account with this e-mail address exists already; log in instead")]
    EmailTaken,
    #[error("this is the last administrator who can log in; make another one first")]
    LastAdmin,
    #[error("a product with the SKU `{sku}` exists already")]
    SkuTaken { sku: String },
    #[error("a category with this name exists already")]
    CategoryNameTaken,
    #[error("a warehouse with this code exists already")]
    WarehouseCodeTaken,
    #[error("the category still has products or sub-categories; move them first")]
    CategoryInUse,
    #[error("this product has stock settings in this warehouse already; adjust those")]
    InventoryExists,
    #[error("on hand would fall to {would_be} while {reserved} are reserved; nothing was changed")]
    WouldGoNegative { would_be: i64, reserved: i64 },
    #[error("not enough stock: {}", shortages(.0))]
    InsufficientStock(Vec<Shortage>),
    #[error("the reservation is {state}, so this cannot be done any more")]
    ReservationNotHeld { state: String },
    #[error("the reservation belongs to order {order_id} and moves with it; act on the order")]
    ReservationBelongsToOrder { order_id: uuid::Uuid },
    #[error("{open} orders of this customer wait for payment, and {limit} may; pay or cancel one first")]
    TooManyOpenOrders { open: i64, limit: u32 },
    #[error("the order is being shipped, so it cannot be cancelled any more")]
    OrderNotCancellable,
    #[error("an order that is `{from}` becomes {}, and not `{to}`", either(.allowed))]
    InvalidTransition { from: &'static str, to: &'static str, allowed: Vec<&'static str> },
    #[error("the payment provider is being asked for the money; wait for its answer, or cancel the order")]
    PaymentInProgress,
    #[error("the request with this Idempotency-Key is still being carried out; ask again in a moment")]
    RequestInProgress,
    #[error("the job is {state}; only a dead one can be retried or discarded")]
    JobNotDead { state: String },
    #[error("another attempt holds this job now; nothing of this one was kept")]
    LeaseLost,
    #[error("it was changed since you read it; read it again and repeat your change")]
    VersionMismatch,

    // Not now.
    #[error("too much is asked for at this moment; try again shortly")]
    Overloaded,
    #[error("too many requests; try again in {retry_after_seconds} s")]
    RateLimited { retry_after_seconds: u64 },
    #[error("whether this was carried out is not known yet; ask again with the same Idempotency-Key")]
    OutcomeUnknown,
    #[error("the database did not answer in time; try again shortly")]
    Unavailable(#[source] sqlx::Error),

    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What the reasons have in common, as far as the edges care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    Invalid,
    Unauthenticated,
    Forbidden,
    Conflict,
    Stale,
    RateLimited,
    Unavailable,
    Unknown,
    Internal,
}

/// What was not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    User,
    Customer,
    Category,
    Product,
    Warehouse,
    Inventory,
    Reservation,
    Order,
    Job,
    Queue,
}

/// One value that cannot be: its stable code and a sentence that a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Invalid {
    pub code: String,
    pub message: String,
}

impl Invalid {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    pub fn at(self, field: impl Into<String>) -> FieldError {
        FieldError { field: field.into(), code: self.code, message: self.message }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    pub field: String,
    pub code: String,
    pub message: String,
}

/// A line that asked for more than there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// Where the line stands in the request.
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
            Self::Unauthenticated | Self::InvalidCredentials | Self::InvalidToken => Kind::Unauthenticated,
            Self::Forbidden { .. } => Kind::Forbidden,
            Self::EmailTaken
            | Self::LastAdmin
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
            | Self::RequestInProgress
            | Self::JobNotDead { .. }
            | Self::LeaseLost => Kind::Conflict,
            Self::VersionMismatch => Kind::Stale,
            Self::RateLimited { .. } => Kind::RateLimited,
            Self::Overloaded | Self::Unavailable(_) => Kind::Unavailable,
            Self::OutcomeUnknown => Kind::Unknown,
            Self::Internal(_) => Kind::Internal,
        }
    }

    pub fn code(&self) -> &str {
        match self {
            Self::NotFound(thing) => thing.not_found(),
            Self::Invalid(invalid) => &invalid.code,
            Self::InvalidFields(fields) => common_code(fields),
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Unauthenticated => "unauthenticated",
            Self::InvalidCredentials => "invalid_credentials",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden { .. } => "forbidden",
            Self::EmailTaken => "email_taken",
            Self::LastAdmin => "last_admin",
            Self::SkuTaken { .. } => "sku_taken",
            Self::CategoryNameTaken => "category_name_taken",
            Self::WarehouseCodeTaken => "warehouse_code_taken",
            Self::CategoryInUse => "category_in_use",
            Self::InventoryExists => "inventory_exists",
            Self::WouldGoNegative { .. } => "would_go_negative",
            Self::InsufficientStock(_) => "insufficient_stock",
            Self::ReservationNotHeld { .. } => "reservation_not_held",
            Self::ReservationBelongsToOrder { .. } => "reservation_belongs_to_order",
            Self::TooManyOpenOrders { .. } => "too_many_open_orders",
            Self::OrderNotCancellable => "order_not_cancellable",
            Self::InvalidTransition { .. } => "invalid_transition",
            Self::PaymentInProgress => "payment_in_progress",
            Self::RequestInProgress => "request_in_progress",
            Self::JobNotDead { .. } => "job_not_dead",
            Self::LeaseLost => "lease_lost",
            Self::VersionMismatch => "version_mismatch",
            Self::Overloaded => "overloaded",
            Self::RateLimited { .. } => "rate_limited",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Unavailable(_) => "unavailable",
            Self::Internal(_) => "internal",
        }
    }

    /// The fields at fault, with what a program may want to know about each.
    pub fn fields(&self) -> Vec<Value> {
        match self {
            Self::InvalidFields(fields) => fields.iter().map(|field| json!(field)).collect(),
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

    /// Seconds after which asking again makes sense.
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
        Self::Internal(error.into())
    }
}

/// Fields that fail for one reason give the whole its code; for several reasons it has its own.
fn common_code(fields: &[FieldError]) -> &str {
    match fields {
        [first, rest @ ..] if rest.iter().all(|field| field.code == first.code) => &first.code,
        _ => "validation_failed",
    }
}

fn summary(fields: &[FieldError]) -> String {
    match fields {
        [one] => format!("`{}`: {}", one.field, one.message),
        many => format!("{} fields are not right; see `errors`", many.len()),
    }
}

fn either(allowed: &[&str]) -> String {
    match allowed {
        [] => "nothing else".to_owned(),
        allowed => allowed.iter().map(|status| format!("`{status}`")).collect::<Vec<_>>().join(" or "),
    }
}

fn shortages(lines: &[Shortage]) -> String {
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let product = self.sku.clone().unwrap_or_else(|| self.product_id.to_string());
        write!(f, "`{product}`: {} asked for, {} available", self.requested, self.available)
    }
}

impl Resource {
    fn not_found(self) -> &'static str {
        match self {
            Self::User => "user_not_found",
            Self::Customer => "customer_not_found",
            Self::Category => "category_not_found",
            Self::Product => "product_not_found",
            Self::Warehouse => "warehouse_not_found",
            Self::Inventory => "inventory_not_found",
            Self::Reservation => "reservation_not_found",
            Self::Order => "order_not_found",
            Self::Job => "job_not_found",
            Self::Queue => "queue_not_found",
        }
    }
}

impl std::fmt::Display for Resource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.not_found().trim_end_matches("_not_found"))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if crate::platform::db::is_transient(&error) {
            return Self::Unavailable(error);
        }
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            // A value that no check of ours caught and that Postgres cannot hold. It is the request's fault.
            Some(code) if code.starts_with("22") => {
                Self::invalid("invalid_value", "a value in the request is out of the range that can be stored")
            }
            _ => Self::internal(error),
        }
    }
}
