//! Charging for orders: our ledger of effects, and the provider's interface. Alone writes `charges`.
//!
//! A charge is written before the provider is called: its id is the provider's key over all attempts, so an
//! attempt that finds it there asks what became of it before it charges again.

pub mod simulated;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::{Money, OrderId};

/// What a provider has to say about a key, once and for all: the first final answer stays the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Charged,
    Declined {
        reason: String,
    },
    /// Voided before it was charged: nothing was taken, and nothing will be under this key.
    Closed,
    Refunded,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// It surely did nothing.
    #[error("the payment provider is not available: {0}")]
    Unavailable(String),
    /// It may have acted or not: to be asked before it is asked to act again.
    #[error("the payment provider did not answer in time; whether it acted is not known")]
    Unknown,
}

/// A payment provider. A second one will come; that is why this is a trait.
pub trait PaymentProvider: Send + Sync {
    /// Takes the money, once for each key however often it is asked.
    fn charge<'a>(&'a self, key: Uuid, amount: Money, token: &'a str) -> BoxFuture<'a, Result<Outcome, ProviderError>>;

    /// What became of a key; none if it never heard of it.
    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>>;

    /// Gives the money back, or closes the key so that a late charge is refused.
    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>>;
}

/// What the provider was, or is to be, asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The provider's key.
    pub id: Uuid,
    pub order_id: OrderId,
    pub amount: Money,
}

/// A charge without an answer so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub charge: Charge,
    /// An earlier attempt wrote it, so the provider may have been asked.
    pub asked_before: bool,
}

/// Writes the charge of an order, whose lock the caller holds, or finds the one that is out; none if it has
/// its answer.
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
    let out = at_provider(conn, order_id).await?.filter(|charge| charge.state == "started");
    Ok(out.map(|out| Opened { charge: out.charge, asked_before: true }))
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

/// The same, if the order was paid for by hand meanwhile.
pub(crate) async fn superseded(conn: &mut PgConnection, order_id: OrderId) -> Result<Option<Charge>> {
    let by_hand = sqlx::query_scalar!(
        r#"select exists (select from charges where order_id = $1 and manual and state = 'charged') as "by_hand!""#,
        order_id as OrderId,
    )
    .fetch_one(&mut *conn)
    .await?;
    if by_hand { to_void(conn, order_id).await } else { Ok(None) }
}

/// Keeps what the provider said, whatever became of the order. What was given back stays given back: an
/// answer that comes later than that is an old one.
pub(crate) async fn settle(conn: &mut PgConnection, charge: &Charge, outcome: &Outcome) -> Result<()> {
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

/// Money that came another way. The caller holds the order's lock.
pub(crate) async fn take_by_hand(conn: &mut PgConnection, order_id: OrderId, amount: Money) -> Result<()> {
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

/// Money that came by hand goes back by hand. Tells whether there was any.
pub(crate) async fn return_by_hand(conn: &mut PgConnection, order_id: OrderId) -> Result<bool> {
    let returned = sqlx::query!(
        "update charges set state = 'refunded', updated_at = clock_timestamp()
          where order_id = $1 and manual and state = 'charged'",
        order_id as OrderId,
    )
    .execute(conn)
    .await?;
    Ok(returned.rows_affected() > 0)
}
