//! The life of the API process: listen, serve, stop gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use shared::identity::Identity;
use shared::platform::health::Probe;
use shared::platform::limits::Limiter;
use shared::platform::redis::Redis;
use shared::platform::settings::Common;
use shared::product_cache::Cache;
use shared::queue::doorbell::Doorbell;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Serve;
use crate::metrics::ApiMetrics;
use crate::placing::Placing;
use crate::surface::connections;
use crate::{AppState, app, health};

/// What runs when we are asked to stop may take this long to finish. No request may take longer.
pub const GRACE: Duration = Duration::from_secs(15);

/// Serves until the process is asked to stop, and finishes what it has begun.
pub async fn serve(common: Common, settings: Serve) -> anyhow::Result<()> {
    let api = listen(settings.api_addr, "API_ADDR").await?;
    let metrics = listen(settings.metrics_addr, "METRICS_ADDR").await?;
    let state = state(&common, settings)?;
    crate::open_files::warn_if_few(state.settings.max_connections);
    if state.settings.auto_migrate {
        shared::platform::db::migrate(&state.db).await.context("the database of DATABASE_URL could not be migrated")?;
    }
    let stopping = state.stopping.clone();
    shared::platform::shutdown::when_asked(move || stopping.cancel());
    if let Some(tls) = state.tls.clone() {
        tls.reread_when_asked();
    }
    let scheme = if state.tls.is_some() { "https" } else { "http" };
    tracing::info!(addr = %api.local_addr()?, "the API listens on {scheme}://{}", api.local_addr()?);
    tracing::info!(addr = %metrics.local_addr()?, "metrics are at http://{}/metrics", metrics.local_addr()?);
    serve_on(api, metrics, state).await
}

pub fn state(common: &Common, settings: Serve) -> anyhow::Result<AppState> {
    let db = common.pool("millrace-api").map_err(anyhow::Error::msg)?;
    let doorbell = Doorbell::new(common.queue_redis(), &common.redis_prefix)?;
    let metrics = Arc::new(ApiMetrics::new(db.clone(), &doorbell, settings.reservation_ttl)?);
    let redis = common.cache_redis().map(|url| Redis::open(url, &common.redis_prefix)).transpose()?;
    let cache = Cache::start(db.clone(), redis.clone(), settings.caching.settings(), metrics.shared.registry())?;
    let (terms, in_flight) = (settings.terms(), settings.max_placements_in_flight);
    Ok(AppState {
        identity: Arc::new(Identity::new(settings.identity()?).map_err(anyhow::Error::msg)?),
        probe: Arc::new(Probe::new(db.clone(), doorbell.clone())),
        placing: Arc::new(Placing::start(&db, &doorbell, &cache, terms, in_flight)),
        limiter: Arc::new(Limiter::new(redis)),
        cache,
        metrics,
        doorbell,
        tls: settings.tls()?.map(Arc::new),
        settings: Arc::new(settings),
        stopping: CancellationToken::new(),
        db,
    })
}

/// Serves both addresses until `state.stopping` is cancelled, then for as long as running requests need.
pub async fn serve_on(api: TcpListener, metrics: TcpListener, state: AppState) -> anyhow::Result<()> {
    let stopping = state.stopping.clone();
    let scrape = Router::new()
        .route("/metrics", get(scrape))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(state.clone());
    let scraping = tokio::spawn(axum::serve(metrics, scrape).into_future());
    let (tls, most) = (state.tls.clone(), state.settings.max_connections);
    let serving = connections::serve(api, tls, most, app(state), stopping.clone());
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = serving => {}
        () = overdue => tracing::warn!("stopped with requests still running after {GRACE:?}"),
    }
    scraping.abort();
    tracing::info!("stopped");
    Ok(())
}

async fn scrape(axum::extract::State(state): axum::extract::State<AppState>) -> Result<String, axum::http::StatusCode> {
    state.metrics.shared.text().await.map_err(|error| {
        tracing::error!(%error, "metrics cannot be written: {error}");
        axum::http::StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn listen(addr: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("{setting}={addr} cannot be listened on"))
}
