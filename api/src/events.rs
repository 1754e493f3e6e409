//! The feed over HTTP: every event of orders, products, stock and webhooks, in one order, without gaps.

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use serde::Deserialize;
use shared::error::Error;
use shared::feed::cursor::After;
use shared::feed::read::{self, FeedFilter, FeedPage};
use shared::principal::Permission;
use shared::scope::Scope;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::error::{ApiResult, Problem};
use crate::extract::json::Query;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

/// The longest `wait`. Proxies close connections that say nothing for longer.
const MAX_WAIT_SECONDS: i64 = 20;

pub fn routes() -> Routes {
    let policy = Policy::read(Access::Needs(Permission::EventsRead)).scope(Scope::EventsRead);
    Routes::default().on(routes!(events), policy.waits(Duration::from_secs(MAX_WAIT_SECONDS.unsigned_abs())))
}

/// Which part of the feed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FeedQuery {
    /// The `next_cursor` of the page before, whatever the filter was; or `now`, to begin after the newest event. Without it,
    /// the feed begins with the oldest event that is kept
    #[param(pattern = "^(now|[A-Za-z0-9_-]{16})$")]
    after: Option<String>,
    /// Only events of these types, with commas between them: `order.placed`, `order.*` or `*`
    #[param(example = "order.*,stock.low")]
    types: Option<String>,
    /// Only events about the order, product, row of stock or webhook with this id
    subject: Option<Uuid>,
    /// The most events in a page
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<i64>,
    /// If there is no such event yet, wait for one: so many seconds at most
    #[param(minimum = 0, maximum = 20, default = 0)]
    wait: Option<i64>,
}

/// Read the feed
///
/// Every event of orders, products, stock and webhooks, each once, without gaps, and those of one subject in the order of
/// their `sequence`. Go on with `next_cursor`, also after an empty page: nothing is missed, however long ago that was, until
/// the events are older than `FEED_KEPT`. With `wait`, the answer comes as soon as there is an event that passes the filter.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(FeedQuery),
    responses(
        (status = 200, description = "A page of the feed", body = FeedPage),
        (status = 410, description = "`cursor_expired`: events after this cursor were removed. `oldest` is a cursor to go on from", body = Problem),
        (status = 422, description = "`invalid_cursor`, `unknown_event_type`, `invalid_limit`, `invalid_wait`", body = Problem),
        (status = 503, description = "`overloaded`: too many requests wait here", body = Problem),
    ))]
async fn events(State(state): State<AppState>, Query(asked): Query<FeedQuery>) -> ApiResult<Answer<FeedPage>> {
    let after = After::parse(asked.after.as_deref())?;
    let filter = FeedFilter::parse(asked.types.as_deref(), asked.subject)?;
    let limit = read::limit(asked.limit)?;
    let wait = wait(asked.wait.unwrap_or(0))?;
    Ok(Answer(state.feed.page(after, &filter, limit, wait).await?))
}

fn wait(seconds: i64) -> ApiResult<Duration> {
    match u64::try_from(seconds) {
        Ok(whole) if seconds <= MAX_WAIT_SECONDS => Ok(Duration::from_secs(whole)),
        _ => {
            Err(Error::field("wait", "invalid_wait", format!("it must be from 0 to {MAX_WAIT_SECONDS} seconds")).into())
        }
    }
}
