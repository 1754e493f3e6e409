//! Whoever has changed something sees it: an answer to a change waits until this process has heard of it.

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;

use crate::AppState;

/// Below these stands what changes products, stock or warehouses. Placed orders forget what they took themselves
/// (`placing`): there are too many of them to ask the database for each.
const CHANGES: [&str; 4] = ["/v1/products", "/v1/inventory", "/v1/warehouses", "/v1/orders/"];

pub async fn after_change(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let changes = !reads && CHANGES.iter().any(|start| path.starts_with(start));
    let response = next.run(request).await;
    if changes && response.status().is_success() {
        // Boxed, so that requests that read have no room for it.
        Box::pin(state.cache.catch_up()).await;
    }
    response
}
