//! A caller who has changed a product or its stock sees the change in their next read from this process.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::policy::{Policy, Stale};
use crate::state::AppState;

/// Delays the answer to a change until the product cache of this process has read the change from the database.
///
/// Placing an order also changes stock, but its policy does not say so: there are too many orders to ask the database
/// after each. Placing marks the ordered products as stale in this process's cache itself.
pub async fn catch_up_after_change(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let changes = request.extensions().get::<Policy>().is_some_and(|policy| policy.stale == Stale::Products);
    let response = next.run(request).await;
    let done = response.status().is_success() || response.status().is_redirection();
    if changes && done {
        // Boxed, so that the futures of all other requests are not larger because of it.
        Box::pin(state.cache.catch_up()).await;
    }
    response
}
