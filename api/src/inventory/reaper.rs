//! Runs the reaper on request.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::orders::reap::{self, Reaped};
use shared::queue::Origin;

use crate::error::ApiResult;
use crate::extract::idempotent::Once;
use crate::extract::json::NoBody;
use crate::extract::principal::Caller;
use crate::state::AppState;

/// Run the reaper now: end overdue reservations and the unpaid orders they belong to
///
/// An overdue order whose payment job is dead is cancelled by a worker, because the provider may have charged it.
#[utoipa::path(post, path = "/v1/inventory/reaper", tag = "inventory", responses(
    (status = 200, description = "How many reservations were overdue", body = Reaped),
))]
pub(super) async fn reap(
    State(state): State<AppState>,
    Extension(origin): Extension<Origin>,
    caller: Caller,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    // The reaper uses transactions of its own. The open one only holds the idempotency key, so they cannot deadlock.
    let (reaped, rings) = reap::reap_manually(&state.db, &mut once.tx, &caller, &state.plan(origin)).await?;
    state.doorbell.ring(rings);
    once.answer(StatusCode::OK, &reaped).await
}
