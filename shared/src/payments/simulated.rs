//! A payment provider that takes no money. It keeps its own books on its own connections, never in one of our
//! transactions, so that the audit would see a double charge. Alone writes `simulated_charges` and
//! `simulated_attempts`.
//!
//! The payment token scripts how it behaves, so that a storefront can rehearse every outcome.

use std::collections::HashMap;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sqlx::PgPool;
use uuid::Uuid;

use super::{Outcome, PaymentProvider, ProviderError};
use crate::batch::{Batcher, Together};
use crate::error::Error;
use crate::values::{Money, PaymentToken};

/// How long a request that is scripted to get no answer waits: the timeout of the client, well within a job's lease.
const NO_ANSWER_AFTER: Duration = Duration::from_secs(2);

/// The limit of `tok_slow_N`: a script must not hold a worker's slot for longer.
const SLOWEST: Duration = Duration::from_secs(30);

/// More failures than any budget of attempts.
const MOST_FAILURES: u32 = 1000;

pub struct SimulatedProvider {
    books: PgPool,
    entering: Batcher<Entering>,
    latency: Duration,
    scripts: Scripts,
}

/// Does the provider obey tokens that slow it down or make it fail? Anybody who may order can send one, so in a shop that
/// is open it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    On,
    Off,
}

/// What a token makes the provider do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Charge,
    Decline {
        reason: &'static str,
    },
    /// Fails this many times, then charges.
    Flaky(u32),
    Unavailable,
    /// Charges, and the first answer is lost.
    TimeoutCharged,
    /// The first request is lost.
    TimeoutLost,
    /// Charges, and answers after this time.
    Slow(Duration),
}

impl Script {
    /// What the token says, where scripts are allowed.
    fn allowed(token: &str, scripts: Scripts) -> Self {
        match (Self::of(token), scripts) {
            (script @ (Self::Charge | Self::Decline { .. }), _) | (script, Scripts::On) => script,
            (_, Scripts::Off) => Self::Decline { reason: "scripts_are_off" },
        }
    }

    fn of(token: &str) -> Self {
        match token {
            "tok_ok" => Self::Charge,
            "tok_declined" => Self::Decline { reason: "card_declined" },
            "tok_unavailable" => Self::Unavailable,
            "tok_timeout_charged" => Self::TimeoutCharged,
            "tok_timeout_lost" => Self::TimeoutLost,
            other => Self::with_number(other).unwrap_or(Self::Decline { reason: "unknown_token" }),
        }
    }

    fn with_number(token: &str) -> Option<Self> {
        let (name, number) = token.rsplit_once('_')?;
        let number: u32 = number.parse().ok()?;
        match name {
            "tok_flaky" => Some(Self::Flaky(number.min(MOST_FAILURES))),
            "tok_slow" => Some(Self::Slow(Duration::from_millis(number.into()).min(SLOWEST))),
            _ => None,
        }
    }
}

impl SimulatedProvider {
    /// Also starts the task that enters charges into the books.
    pub fn new(books: PgPool, latency: Duration, scripts: Scripts) -> Self {
        Self { entering: Batcher::start(Entering { books: books.clone() }), books, latency, scripts }
    }

    async fn run_script(&self, key: Uuid, amount: Money, token: &PaymentToken) -> Result<Outcome, ProviderError> {
        let charge = || self.enter(key, amount, "charged", None);
        match Script::allowed(token.expose(), self.scripts) {
            Script::Decline { reason } => self.enter(key, amount, "declined", Some(reason)).await,
            Script::Unavailable => Err(unavailable()),
            Script::Flaky(failures) if self.count(key).await? <= failures => Err(unavailable()),
            Script::TimeoutLost if self.count(key).await? == 1 => no_answer().await,
            Script::Charge | Script::Flaky(_) | Script::TimeoutLost => charge().await,
            Script::TimeoutCharged => {
                let outcome = charge().await?;
                if self.count(key).await? == 1 { no_answer().await } else { Ok(outcome) }
            }
            Script::Slow(time) => {
                let outcome = charge().await?;
                tokio::time::sleep(time).await;
                Ok(outcome)
            }
        }
    }

    /// The first final answer for a key stays its answer.
    async fn enter(
        &self,
        key: Uuid,
        amount: Money,
        state: &'static str,
        reason: Option<&'static str>,
    ) -> Result<Outcome, ProviderError> {
        self.entering.ask(NewEntry { key, amount, state, reason }).await.map_err(|error| {
            tracing::warn!(%error, "the simulated provider could not use its books: {error}");
            ProviderError::Unknown
        })
    }

    async fn look_up(&self, key: Uuid) -> Result<Option<Outcome>, ProviderError> {
        let entry = sqlx::query_as!(Entry, "select state, reason from simulated_charges where key = $1", key)
            .fetch_optional(&self.books)
            .await;
        entry.map(|entry| entry.map(Entry::outcome)).map_err(lost)
    }

    async fn refund_or_close(&self, key: Uuid) -> Result<Outcome, ProviderError> {
        let entry = sqlx::query_as!(
            Entry,
            "insert into simulated_charges as c (key, state) values ($1, 'closed')
             on conflict (key) do update set state = case when c.state = 'charged' then 'refunded' else c.state end
             returning state, reason",
            key,
        )
        .fetch_one(&self.books)
        .await;
        entry.map(Entry::outcome).map_err(lost)
    }

    /// How often a charge was requested under this key, this time included.
    async fn count(&self, key: Uuid) -> Result<u32, ProviderError> {
        let count = sqlx::query_scalar!(
            "insert into simulated_attempts as a (key, count) values ($1, 1)
             on conflict (key) do update set count = a.count + 1
             returning count",
            key,
        )
        .fetch_one(&self.books)
        .await;
        count.map(|count| u32::try_from(count).unwrap_or(u32::MAX)).map_err(lost)
    }
}

impl PaymentProvider for SimulatedProvider {
    fn charge<'a>(
        &'a self,
        key: Uuid,
        amount: Money,
        token: &'a PaymentToken,
    ) -> BoxFuture<'a, Result<Outcome, ProviderError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.run_script(key, amount, token).await
        }
        .boxed()
    }

    fn find(&self, key: Uuid) -> BoxFuture<'_, Result<Option<Outcome>, ProviderError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.look_up(key).await
        }
        .boxed()
    }

    fn void(&self, key: Uuid) -> BoxFuture<'_, Result<Outcome, ProviderError>> {
        async move {
            tokio::time::sleep(self.latency).await;
            self.refund_or_close(key).await
        }
        .boxed()
    }
}

/// A request for money, for the books.
struct NewEntry {
    key: Uuid,
    amount: Money,
    state: &'static str,
    reason: Option<&'static str>,
}

/// Requests that arrive together are entered together.
struct Entering {
    books: PgPool,
}

impl Together for Entering {
    type Entry = NewEntry;
    type Answer = Outcome;
    type Key = Uuid;

    fn key(entry: &NewEntry) -> Uuid {
        entry.key
    }

    async fn carry_out(&self, batch: &[NewEntry]) -> crate::error::Result<Vec<Outcome>> {
        let keys: Vec<Uuid> = batch.iter().map(|entry| entry.key).collect();
        let rows = sqlx::query!(
            "with asked as (
                 select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])
                          t (key, amount_minor, currency, state, reason) order by key)
             insert into simulated_charges as c (key, amount_minor, currency, state, reason) select * from asked
             on conflict (key) do update set key = c.key
             returning key, state, reason",
            &keys,
            &batch.iter().map(|entry| entry.amount.amount).collect::<Vec<_>>(),
            &batch.iter().map(|entry| entry.amount.currency.to_string()).collect::<Vec<_>>(),
            &batch.iter().map(|entry| entry.state).collect::<Vec<_>>() as &[&str],
            &batch.iter().map(|entry| entry.reason).collect::<Vec<_>>() as &[Option<&str>],
        )
        .fetch_all(&self.books)
        .await?;
        let mut entered: HashMap<Uuid, Outcome> =
            rows.into_iter().map(|row| (row.key, Entry { state: row.state, reason: row.reason }.outcome())).collect();
        keys.iter()
            .map(|key| entered.remove(key).ok_or_else(|| Error::internal("a charge is not in the books")))
            .collect()
    }
}

/// A row of the books.
struct Entry {
    state: String,
    reason: Option<String>,
}

impl Entry {
    fn outcome(self) -> Outcome {
        match self.state.as_str() {
            "charged" => Outcome::Charged,
            "declined" => Outcome::Declined { reason: self.reason.unwrap_or_default() },
            "refunded" => Outcome::Refunded,
            _ => Outcome::Closed,
        }
    }
}

async fn no_answer() -> Result<Outcome, ProviderError> {
    tokio::time::sleep(NO_ANSWER_AFTER).await;
    Err(ProviderError::Unknown)
}

/// Without the token: errors are logged and kept.
fn unavailable() -> ProviderError {
    ProviderError::Unavailable("the order's test token asks for it".to_owned())
}

/// The statement may have been executed although its answer was lost.
fn lost(error: sqlx::Error) -> ProviderError {
    tracing::warn!(%error, "the simulated provider could not use its books: {error}");
    ProviderError::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_scripts_only_two_tokens_are_known() {
        let off = |token| Script::allowed(token, Scripts::Off);
        assert_eq!(off("tok_ok"), Script::Charge);
        assert_eq!(off("tok_declined"), Script::Decline { reason: "card_declined" });
        assert_eq!(off("tok_visa"), Script::Decline { reason: "unknown_token" });
        for token in ["tok_slow_30000", "tok_flaky_3", "tok_unavailable", "tok_timeout_charged", "tok_timeout_lost"] {
            assert_eq!(off(token), Script::Decline { reason: "scripts_are_off" }, "{token}");
            assert_eq!(Script::allowed(token, Scripts::On), Script::of(token), "{token}");
        }
    }

    #[test]
    fn tokens_are_scripts() {
        for (token, script) in [
            ("tok_ok", Script::Charge),
            ("tok_declined", Script::Decline { reason: "card_declined" }),
            ("tok_flaky_0", Script::Flaky(0)),
            ("tok_flaky_3", Script::Flaky(3)),
            ("tok_flaky_4000000000", Script::Flaky(MOST_FAILURES)),
            ("tok_unavailable", Script::Unavailable),
            ("tok_timeout_charged", Script::TimeoutCharged),
            ("tok_timeout_lost", Script::TimeoutLost),
            ("tok_slow_250", Script::Slow(Duration::from_millis(250))),
            ("tok_slow_99999", Script::Slow(SLOWEST)),
            ("tok_slow_-1", Script::Decline { reason: "unknown_token" }),
            ("tok_flaky_", Script::Decline { reason: "unknown_token" }),
            ("tok_visa", Script::Decline { reason: "unknown_token" }),
            ("", Script::Decline { reason: "unknown_token" }),
        ] {
            assert_eq!(Script::of(token), script, "{token}");
        }
    }
}
