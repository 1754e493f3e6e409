//! What the resolvers of one request share: who asks, the database, the batches, and how errors are told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_graphql::{Context, ErrorExtensions, ServerError, Value};
use futures::future::BoxFuture;
use shared::error::{Error, Result};
use shared::orders::OrderView;
use shared::platform::limits::LimitState;
use shared::principal::Principal;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;

use crate::error::ApiError;
use crate::graphql::loads::Batches;
use crate::state::AppState;
use crate::surface::limits;

/// The most bytes of an answer, as counted by `size`. The cost of a query bounds its objects, but not their texts, nor the
/// items of an order. With names and punctuation an answer can be twice as long as this.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

pub(super) struct QueryRun {
    pub state: AppState,
    pub caller: Arc<Principal>,
    pub batches: Batches,
    request_id: String,
    cost: u32,
    /// Bytes of the answer so far.
    size: AtomicUsize,
    outcome: Mutex<RunOutcome>,
}

/// What became of a request besides its data.
#[derive(Default)]
pub(super) struct RunOutcome {
    /// Was the query valid, so that it was let in or refused by its cost?
    pub was_valid: bool,
    /// The caller's bucket after the query. None while rate limits are off.
    pub standing: Option<LimitState>,
    /// Errors of fields that are null because of them.
    pub errors: Vec<ServerError>,
}

/// The run of the request that a resolver belongs to.
pub(super) fn of<'c>(ctx: &Context<'c>) -> &'c Arc<QueryRun> {
    ctx.data_unchecked()
}

impl QueryRun {
    pub(super) fn new(state: AppState, caller: Arc<Principal>, request_id: String, cost: u32) -> Self {
        Self {
            state,
            caller,
            batches: Batches::default(),
            request_id,
            cost,
            size: AtomicUsize::new(0),
            outcome: Mutex::default(),
        }
    }

    pub(super) async fn conn(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.state.reports.acquire().await?)
    }

    pub(super) fn start_batches(&self) -> Vec<BoxFuture<'static, ()>> {
        self.batches.start(&self.state.reports, &self.caller)
    }

    /// The query is valid: takes its cost from the caller's bucket. False: the bucket has too little.
    pub(super) async fn admit(&self) -> bool {
        let standing = limits::take_points(&self.state, &self.caller, self.cost).await;
        let mut outcome = self.outcome.lock().expect("no code panics while it holds this lock");
        outcome.was_valid = true;
        outcome.standing = standing;
        standing.is_none_or(|standing| standing.retry_after.is_none())
    }

    pub(super) fn take_outcome(&self) -> RunOutcome {
        std::mem::take(&mut *self.outcome.lock().expect("no code panics while it holds this lock"))
    }

    /// Notes the error of a field that is null because of it.
    pub(super) fn note(&self, error: ServerError) {
        self.outcome.lock().expect("no code panics while it holds this lock").errors.push(error);
    }

    /// Counts a value of the answer. An error means that the answer has grown too large.
    pub(super) fn count(&self, value: &Value, is_json: bool) -> Result<()> {
        self.size.fetch_add(size(value, is_json), Ordering::Relaxed);
        if self.is_too_large() { Err(too_large()) } else { Ok(()) }
    }

    pub(super) fn is_too_large(&self) -> bool {
        self.size.load(Ordering::Relaxed) > LARGEST_ANSWER
    }

    /// The error as a resolver returns it.
    pub(super) fn refusal(&self, error: Error) -> async_graphql::Error {
        let ApiError { code, detail, .. } = error.into();
        async_graphql::Error::new(detail).extend_with(|_, extensions| {
            extensions.set("code", code.as_str());
            extensions.set("request_id", self.request_id.as_str());
        })
    }

    /// A client that has seen an order must not then see its products as they were before it.
    pub(super) fn show(&self, order: &OrderView) {
        self.state.cache.observed_change(order.updated_at, order.items.iter().map(|item| item.product_id));
    }

    pub(super) fn cost(&self) -> u32 {
        self.cost
    }

    pub(super) fn request_id(&self) -> &str {
        &self.request_id
    }
}

pub(super) fn too_large() -> Error {
    Error::invalid("answer_too_large", "the answer would be too large; ask for fewer objects or fewer of their fields")
}

/// About how many bytes a value takes. The values inside an object of the schema were counted before, and those inside JSON
/// were not.
fn size(value: &Value, is_json: bool) -> usize {
    const OF_ANY: usize = 16;
    let inside = match value {
        Value::String(text) => text.len(),
        Value::List(values) if is_json => values.iter().map(|value| size(value, is_json)).sum(),
        Value::Object(fields) if is_json => fields.iter().map(|(name, value)| name.len() + size(value, is_json)).sum(),
        _ => 0,
    };
    OF_ANY + inside
}
