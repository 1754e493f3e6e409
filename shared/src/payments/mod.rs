//! Charging for orders: our ledger of charges, and the interface of payment providers. Alone writes `charges`.
//!
//! A charge is written before the provider is called, and its id is the provider's idempotency key in every attempt.
//! An attempt that finds the row asks the provider what became of that key before it charges again.

pub mod simulated;

use std::collections::HashMap;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Result;
use crate::values::{Money, OrderId, PaymentToken};

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
    /// The provider certainly did nothing. The text is logged and kept, so it never contains the token.
    #[error("the payment provider is not available: {0}")]
    Unavailable(String),
    /// The provider may have acted or not: ask `find` before you ask it to act again.
    #[error("the payment provider did not answer in time; whether it acted is not known")]
    Unknown,
}

/// A payment provider. A second one will come; that is why this is a trait.
pub trait PaymentProvider: Send + Sync {
    /// Takes the money, once for each key, however often it is called.
    fn charge<'a>(
        &'a self,
        key: Uuid,
        amount: Money,
        token: &'a PaymentToken,
    ) -> BoxFuture<'a, Result<Outcome, ProviderError>>;

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

/// Writes the charges of orders that the caller holds locked, or finds those that were written before. An order whose
/// charge has its final answer is missing.
pub(crate) async fn open(conn: &mut PgConnection, orders: &[(OrderId, Money)]) -> Result<HashMap<OrderId, Opened>> {
    let ids: Vec<OrderId> = orders.iter().map(|(id, _)| *id).collect();
    let amounts: Vec<i64> = orders.iter().map(|(_, amount)| amount.amount).collect();
    let currencies: Vec<String> = orders.iter().map(|(_, amount)| amount.currency.to_string()).collect();
    let written = sqlx::query!(
        r#"insert into charges (order_id, amount_minor, currency)
           select * from unnest($1::uuid[], $2::bigint[], $3::text[])
           on conflict (order_id, manual) do nothing
           returning id, order_id as "order_id: OrderId""#,
        &ids as &[OrderId],
        &amounts,
        &currencies,
    )
    .fetch_all(&mut *conn)
    .await?;
    let written: HashMap<OrderId, Uuid> = written.into_iter().map(|row| (row.order_id, row.id)).collect();
    let opened = |(order_id, amount): &(OrderId, Money)| {
        let charge = Charge { id: *written.get(order_id)?, order_id: *order_id, amount: *amount };
        Some((*order_id, Opened { charge, asked_before: false }))
    };
    let mut opened: HashMap<OrderId, Opened> = orders.iter().filter_map(opened).collect();
    let before: Vec<OrderId> = ids.into_iter().filter(|id| !written.contains_key(id)).collect();
    for (order_id, found) in at_provider(conn, &before).await? {
        if found.state == "started" {
            opened.insert(order_id, Opened { charge: found.charge, asked_before: true });
        }
    }
    Ok(opened)
}

struct AtProvider {
    charge: Charge,
    state: String,
}

/// The charges of these orders that the provider knows, or may know.
async fn at_provider(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, AtProvider>> {
    if orders.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"select id, order_id as "order_id: OrderId", amount_minor, currency, state
             from charges where order_id = any($1) and not manual"#,
        orders as &[OrderId],
    )
    .fetch_all(conn)
    .await?;
    let charges = rows.into_iter().map(|row| {
        let amount = Money::stored(row.amount_minor, &row.currency);
        let charge = Charge { id: row.id, order_id: row.order_id, amount };
        (row.order_id, AtProvider { charge, state: row.state })
    });
    Ok(charges.collect())
}

/// What the provider took for these orders, or may have taken.
pub(crate) async fn to_void(conn: &mut PgConnection, orders: &[OrderId]) -> Result<HashMap<OrderId, Charge>> {
    let known = at_provider(conn, orders).await?;
    let open = known.into_iter().filter(|(_, known)| known.state == "started" || known.state == "charged");
    Ok(open.map(|(order_id, known)| (order_id, known.charge)).collect())
}

/// As `to_void`, of those orders for which staff have recorded a payment by hand.
pub(crate) async fn to_void_if_paid_manually(
    conn: &mut PgConnection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, Charge>> {
    if orders.is_empty() {
        return Ok(HashMap::new());
    }
    let paid_manually = sqlx::query_scalar!(
        r#"select order_id as "order_id: OrderId" from charges where order_id = any($1) and manual and state = 'charged'"#,
        orders as &[OrderId],
    );
    let paid_manually = paid_manually.fetch_all(&mut *conn).await?;
    to_void(conn, &paid_manually).await
}

/// Records the provider's answers, whatever became of the orders. A charge that was refunded stays refunded: an answer
/// that arrives after that is an old one.
pub(crate) async fn record_outcomes(conn: &mut PgConnection, answers: &[(&Charge, &Outcome)]) -> Result<()> {
    if answers.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = answers.iter().map(|(charge, _)| charge.id).collect();
    let (states, reasons): (Vec<&str>, Vec<Option<&str>>) =
        answers.iter().map(|(_, outcome)| outcome.as_stored()).unzip();
    sqlx::query!(
        "with given as materialized (select $1::uuid[] as ids, $2::text[] as states, $3::text[] as reasons)
         update charges c set state = answer.state, reason = answer.reason, updated_at = statement_timestamp()
           from (select t.* from given, unnest(ids, states, reasons) t (id, state, reason)) answer
          where c.id = answer.id and (c.state = 'started' or (c.state = 'charged' and answer.state = 'refunded'))",
        &ids,
        &states as &[&str],
        &reasons as &[Option<&str>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

impl Outcome {
    /// The state of a charge with this answer, and its reason.
    fn as_stored(&self) -> (&str, Option<&str>) {
        match self {
            Self::Charged => ("charged", None),
            Self::Declined { reason } => ("declined", Some(reason)),
            Self::Closed => ("voided", None),
            Self::Refunded => ("refunded", None),
        }
    }
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
pub(crate) async fn refund_manual_charges(conn: &mut PgConnection, orders: &[OrderId]) -> Result<()> {
    sqlx::query!(
        "update charges set state = 'refunded', updated_at = statement_timestamp()
          where order_id = any($1) and manual and state = 'charged'",
        orders as &[OrderId],
    )
    .execute(conn)
    .await?;
    Ok(())
}
