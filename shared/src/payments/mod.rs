//! Charging for orders: our ledger of charges, and the interface of payment providers. Alone writes `charges`.
//!
//! A charge is written before the provider is called, and its id is the provider's idempotency key in every attempt.
//! An attempt that finds the row asks the provider what became of that key before it charges again.

pub mod simulated;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::{Money, OrderId};

/// A provider's final answer for a key. The first final answer stays the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Charged,
    Declined {
        reason: String,
    },
    /// Voided before it was charged: nothing was taken, and nothing will be taken under this key.
    Closed,
    Refunded,
}

/// Why the provider gave no final answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider certainly did nothing.
    #[error("the payment provider is not available: {0}")]
    Unavailable(String),
    /// The provider may have acted or not: ask `find` before you ask it to act again.
    #[error("the payment provider did not answer in time; whether it acted is not known")]
    Unknown,
}

/// A payment provider. A second one will come; that is why this is a trait.
pub trait PaymentProvider: Send + Sync {
    /// Takes the money, once for each key, however often it is called.
    fn charge<'a>(&'a self, key: Uuid, amount: Money, token: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>>;

    /// What became of a key; None if the provider does not know it.
    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>>;

    /// Gives the money back, or closes the key so that a late charge is refused.
    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>>;
}

/// A charge at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's key.
    pub id: Uuid,
    pub order_id: OrderId,
    pub amount: Money,
}

/// A charge that has no final answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub charge: Charge,
    /// An earlier attempt wrote the row, so the provider may have been called.
    pub asked_before: bool,
}

/// Writes the charge of an order that the caller holds locked, or returns the one that was written before. None: that
/// one has its final answer.
pub(crate) async fn open(conn: &mut PgConnection, order_id: OrderId, amount: Money) -> Result<Option<Opened>> {
    let id = sqlx::query_scalar!(
        "insert into charges (order_id, amount_minor, currency) values ($1, $2, $3)
         on conflict (order_id, manual) do nothing returning id",
        order_id as OrderId,
        amount.amount,
        amount.currency.to_string(),
    )
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(id) = id {
        return Ok(Some(Opened { charge: Charge { id, order_id, amount }, asked_before: false }));
    }
    let started = at_provider(conn, order_id).await?.filter(|charge| charge.state == "started");
    Ok(started.map(|started| Opened { charge: started.charge, asked_before: true }))
}

struct AtProvider {
    charge: Charge,
    state: String,
}

async fn at_provider(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<AtProvider>> {
    let row = sqlx::query!(
        "select id, amount_minor, currency, state from charges where order_id = $1 and not manual",
        order_id as OrderId,
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| {
        let amount = Money::stored(row.amount_minor, &row.currency);
        AtProvider { charge: Charge { id: row.id, order_id, amount }, state: row.state }
    }))
}

/// What the provider took for an order, or may have taken.
pub(crate) async fn to_void(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<Charge>> {
    let charge = at_provider(conn, order_id).await?;
    Ok(charge.filter(|charge| charge.state == "started" || charge.state == "charged").map(|charge| charge.charge))
}

/// The charge of an order at the provider, for staff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeAtProvider {
    /// The provider's key, the same in all attempts.
    pub key: Uuid,
    /// The provider has given no final answer yet.
    pub open: bool,
}

pub async fn charge_of(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<ChargeAtProvider>> {
    Ok(sqlx::query_as!(
        ChargeAtProvider,
        r#"select id as key, state = 'started' as "open!" from charges where order_id = $1 and not manual"#,
        order_id as OrderId,
    )
    .fetch_optional(conn)
    .await?)
}

/// As `to_void`, if staff have recorded a payment by hand for the order; else None.
pub(crate) async fn to_void_if_paid_manually(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<Charge>> {
    let paid_manually = sqlx::query_scalar!(
        r#"select exists (select from charges where order_id = $1 and manual and state = 'charged') as "paid_manually!""#,
        order_id as OrderId,
    )
    .fetch_one(&mut *conn)
    .await?;
    if paid_manually { to_void(conn, order_id).await } else { Ok(None) }
}

/// Records the provider's answer, whatever became of the order. A charge that was refunded stays refunded: an answer
/// that arrives after that is an old one.
pub(crate) async fn record_outcome(conn: &mut PgConnection, charge: &Charge, outcome: &Outcome) -> Result<()> {
    let (state, reason) = match outcome {
        Outcome::Charged => ("charged", None),
        Outcome::Declined { reason } => ("declined", Some(reason.as_str())),
        Outcome::Closed => ("voided", None),
        Outcome::Refunded => ("refunded", None),
    };
    sqlx::query!(
        "update charges set state = $2, reason = $3, updated_at = clock_timestamp()
          where id = $1 and (state = 'started' or (state = 'charged' and $2 = 'refunded'))",
        charge.id,
        state,
        reason,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records money that came another way. The caller holds the order locked.
pub(crate) async fn record_manual_charge(conn: &mut PgConnection, order_id: OrderId, amount: Money) -> Result<()> {
    sqlx::query!(
        "insert into charges (order_id, amount_minor, currency, state, manual) values ($1, $2, $3, 'charged', true)",
        order_id as OrderId,
        amount.amount,
        amount.currency.to_string(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks money that came another way as refunded: staff give it back themselves.
pub(crate) async fn refund_manual_charge(conn: &mut PgConnection, order_id: OrderId) -> Result<()> {
    sqlx::query!(
        "update charges set state = 'refunded', updated_at = clock_timestamp()
          where order_id = $1 and manual and state = 'charged'",
        order_id as OrderId,
    )
    .execute(conn)
    .await?;
    Ok(())
}
