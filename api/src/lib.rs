//! HTTP in, JSON out: each module's `routes()` merged into one router, with one surface around it.

pub mod commands;
pub mod config;
pub mod error;
pub mod extract;
pub mod serve;
pub mod surface;

mod catalog;
mod customers;
mod docs;
mod health;
mod identity;
mod inventory;
mod metrics;
mod open_files;
mod ops;
mod orders;
mod placing;
mod warehouses;

use std::sync::Arc;

use axum::Router;
use shared::identity::Identity;
use shared::platform::health::Probe;
use shared::platform::limits::Limiter;
use shared::product_cache::Cache;
use shared::queue::doorbell::Doorbell;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;

use crate::config::Serve;
use crate::metrics::ApiMetrics;
use crate::surface::tls::Tls;

/// What handlers share. Cloning it clones handles.
#[derive(Clone)]
pub struct AppState {
    pub db: PgPool,
    pub identity: Arc<Identity>,
    pub settings: Arc<Serve>,
    pub limiter: Arc<Limiter>,
    pub probe: Arc<Probe>,
    pub cache: Arc<Cache>,
    pub placing: Arc<placing::Placing>,
    pub metrics: Arc<ApiMetrics>,
    /// Rung after a commit that wrote jobs.
    pub doorbell: Doorbell,
    /// Where the API itself speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// Cancelled when the process has been asked to stop.
    pub stopping: CancellationToken,
}

impl axum::extract::FromRef<AppState> for PgPool {
    fn from_ref(state: &AppState) -> Self {
        state.db.clone()
    }
}

impl axum::extract::FromRef<AppState> for Arc<Cache> {
    fn from_ref(state: &AppState) -> Self {
        state.cache.clone()
    }
}

/// Everything that this API serves.
pub fn app(state: AppState) -> Router {
    let (routes, document) = routes().split_for_parts();
    surface::wrap(docs::serve(routes, document), state, surface::REQUEST_TIMEOUT)
}

fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(docs::document())
        .merge(health::routes())
        .merge(identity::routes())
        .merge(catalog::routes())
        .merge(customers::routes())
        .merge(warehouses::routes())
        .merge(inventory::routes())
        .merge(orders::routes())
        .merge(ops::routes())
}
