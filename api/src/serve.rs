//! Runs the API process: listens, serves, stops gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use shared::feed::waiting::FeedReaders;
use shared::health::Probe;
use shared::history::WRITE_EVERY;
use shared::identity::attempts::Attempts;
use shared::identity::authenticate::Identity;
use shared::identity::known_keys::USES_WRITTEN_EVERY;
use shared::ops::summary::Overview;
use shared::orders::placing::lanes::{PlacedBatch, PlacingLanes};
use shared::platform::http::limits::Limits;
use shared::platform::http::places::{ConnectionMetrics, OPERATORS, Places};
use shared::platform::insecure;
use shared::platform::limits::Limiter;
use shared::platform::redis::Redis;
use shared::platform::settings::Common;
use shared::product_cache::Cache;
use shared::queue::doorbell::Doorbell;
use tokio::net::TcpListener;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use web::rule::Sites;

use crate::config::{PageSettings, Serve};
use crate::graphql::graphiql;
use crate::metrics::ApiMetrics;
use crate::pages;
use crate::router::Routes;
use crate::state::{AppParts, AppState};
use crate::surface::connections;
use crate::{health, routes, surface};

/// How long running requests have to finish after the process is asked to stop. Longer than any request may take.
pub const GRACE: Duration = Duration::from_secs(15);

/// Serves until the process is asked to stop, then finishes the running requests.
pub async fn serve(common: Common, settings: Serve) -> anyhow::Result<()> {
    let api = listen(settings.api_addr, "API_ADDR").await?;
    let metrics = listen(settings.metrics_addr, "METRICS_ADDR").await?;
    let console = console_listener(&settings.pages).await?;
    let state = state(&common, settings)?;
    crate::open_files::warn_if_few(state.settings.max_connections);
    if state.settings.auto_migrate {
        shared::platform::db::migrate::up(&state.db, &shared::migrations::MIGRATOR)
            .await
            .context("the database of DATABASE_URL could not be migrated")?;
    }
    tokio::spawn(warn(state.clone()));
    let stopping = state.stopping.clone();
    shared::platform::shutdown::when_asked(move || stopping.cancel());
    if let Some(tls) = state.tls.clone() {
        tls.reread_when_asked();
    }
    let scheme = if state.tls.is_some() { "https" } else { "http" };
    tracing::info!(addr = %api.local_addr()?, "the API listens on {scheme}://{}", api.local_addr()?);
    tracing::info!(addr = %metrics.local_addr()?, "metrics are at http://{}/metrics", metrics.local_addr()?);
    if let Some(console) = &console {
        tracing::info!(addr = %console.local_addr()?, "the console is at {scheme}://{}/console", console.local_addr()?);
    }
    serve_on(Listeners { api, metrics, console }, state).await
}

async fn console_listener(pages: &PageSettings) -> anyhow::Result<Option<TcpListener>> {
    match pages.console_addr {
        Some(_) if !pages.console => anyhow::bail!("CONSOLE_ADDR is an address for the console: it needs CONSOLE=on"),
        Some(addr) => Ok(Some(listen(addr, "CONSOLE_ADDR").await?)),
        None => Ok(None),
    }
}

/// Waits until the database can be used, then says what is insecure about this process, once.
async fn warn(state: AppState) {
    state.probe.wait_until_migrated().await;
    if let Err(error) = insecure::report(&state.insecure().await, state.metrics.shared.registry()) {
        tracing::error!(%error, "the metric of insecure settings cannot be registered: {error}");
    }
}

/// The whole API: every route, with the surface around it. The console is missing if it has an address of its own.
pub fn app(state: AppState) -> Router {
    let routes = if state.settings.docs { routes::all() } else { routes::without_docs() };
    let settings = &state.settings.pages;
    let sites = Sites { shop: settings.shop, console: settings.console && settings.console_addr.is_none() };
    let routes = routes.merge(pages::routes(sites, &state.web())).merge(graphiql(sites, &state));
    surface::wrap(routes, state, surface::REQUEST_TIMEOUT)
}

/// Only in development, and only where the console is.
fn graphiql(sites: Sites, state: &AppState) -> Routes {
    let there = sites.console && !state.settings.is_public();
    if there { graphiql::routes(state.settings.public_url.as_deref()) } else { Routes::default() }
}

/// The console alone, for its own address.
fn console_app(state: AppState) -> Router {
    let sites = Sites { shop: false, console: true };
    let routes = pages::routes(sites, &state.web()).merge(graphiql(sites, &state));
    surface::wrap(routes, state, surface::REQUEST_TIMEOUT)
}

/// Where the process listens.
pub struct Listeners {
    pub api: TcpListener,
    pub metrics: TcpListener,
    /// With `CONSOLE_ADDR` only.
    pub console: Option<TcpListener>,
}

pub fn state(common: &Common, settings: Serve) -> anyhow::Result<AppState> {
    let database = common.database().map_err(anyhow::Error::msg)?;
    let db = database.pool(common.database_max_connections, "millrace-api");
    let reports = database.pool_for_reports("millrace-api-reports");
    let doorbell = Doorbell::new(common.queue_redis(), &common.redis_prefix)?;
    let metrics = Arc::new(ApiMetrics::new(db.clone(), &doorbell, settings.reservation_ttl)?);
    database.fence.register(metrics.shared.registry())?;
    let redis = common.cache_redis().map(|url| Redis::open(url, &common.redis_prefix)).transpose()?;
    let connections = ConnectionMetrics::new("millrace_api")?;
    connections.register(metrics.shared.registry())?;
    let trusted = settings.trusted_proxies.clone();
    let places = Places::new(settings.connections(), move |peer| trusted.trusts(peer), connections);
    let cache = Cache::start(db.clone(), redis.clone(), settings.caching.settings(), metrics.shared.registry())?;
    let (terms, limits) = (settings.terms(), settings.placing_limits());
    let after_batch = {
        let (doorbell, cache, counted) = (doorbell.clone(), cache.clone(), metrics.shared.counted.clone());
        move |batch: PlacedBatch| {
            doorbell.ring(batch.rings);
            cache.mark_stale(batch.sold);
            batch.totals.into_iter().for_each(|total| counted.order(total));
        }
    };
    let identity = Identity::new(settings.identity()?).map_err(anyhow::Error::msg)?;
    identity.metrics.register(metrics.shared.registry())?;
    let identity = Arc::new(identity);
    let limiter = Arc::new(Limiter::new(redis));
    let stopping = CancellationToken::new();
    Ok(AppState::from(AppParts {
        feed: FeedReaders::new(db.clone(), stopping.clone()),
        attempts: Arc::new(Attempts::new(
            db.clone(),
            limiter.clone(),
            identity.clone(),
            settings.rate_limits.attempts(),
        )),
        identity,
        overview: Arc::new(Overview::new(db.clone())),
        probe: Arc::new(Probe::new(db.clone(), doorbell.clone())),
        placing: Arc::new(PlacingLanes::start(&db, terms, limits, after_batch)),
        limiter,
        cache,
        metrics,
        insecure: settings.insecure().into_iter().chain(common.insecure()).collect(),
        doorbell,
        places,
        connection_limits: Limits::default(),
        tls: settings.tls()?.map(Arc::new),
        settings: Arc::new(settings),
        stopping,
        reports,
        db,
    }))
}

/// Serves all addresses until `state.stopping` is cancelled, then waits for the running requests.
pub async fn serve_on(listeners: Listeners, state: AppState) -> anyhow::Result<()> {
    let Listeners { api, metrics, console } = listeners;
    let stopping = state.stopping.clone();
    let (history, db) = (state.metrics.shared.counted.clone(), state.db.clone());
    let scrape = Router::new()
        .route("/metrics", get(scrape))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .with_state(state.clone());
    let (tls, places, limits) = (state.tls.clone(), state.places.clone(), state.connection_limits);
    let scrapers = Places::new(OPERATORS, |_| false, ConnectionMetrics::new("millrace_metrics")?);
    // It answers until everything else has ended, so that the last figures are scraped too.
    let scraping = connections::serve(metrics, None, scrapers, limits, scrape, CancellationToken::new());
    let scraping = tokio::spawn(scraping);
    let writing = tokio::spawn(write_history(state.clone()));
    let identity = state.identity.clone();
    let writing_uses = tokio::spawn(write_uses_of_keys(state.clone()));
    let console = serve_console(console, &state)?;
    let serving = connections::serve(api, tls, places, limits, app(state), stopping.clone());
    let serving = async { tokio::join!(serving, console) };
    let overdue = async {
        stopping.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = serving => {}
        () = overdue => tracing::warn!("stopped with requests still running after {GRACE:?}"),
    }
    scraping.abort();
    drop(writing.await); // It ended when the process was asked to stop, or shortly after.
    drop(writing_uses.await);
    if let Err(error) = identity.api_keys.write_uses(&db).await {
        tracing::warn!(%error, "when API keys were last used could not be written: {error}");
    }
    if let Err(error) = history.write(&db).await {
        tracing::warn!(%error, "statistics could not be written: {error}");
    }
    tracing::info!("stopped");
    Ok(())
}

/// With places of its own: whoever fills those of the public address does not keep staff out.
fn serve_console(console: Option<TcpListener>, state: &AppState) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let trusted = state.settings.trusted_proxies.clone();
    let metrics = ConnectionMetrics::new("millrace_console")?;
    if console.is_some() {
        metrics.register(state.metrics.shared.registry())?;
    }
    let places = Places::new(state.settings.connections(), move |peer| trusted.trusts(peer), metrics);
    let (tls, limits, stopping) = (state.tls.clone(), state.connection_limits, state.stopping.clone());
    let state = state.clone();
    Ok(async move {
        if let Some(console) = console {
            connections::serve(console, tls, places, limits, console_app(state), stopping).await;
        }
    })
}

/// Writes every few seconds what this process placed, until it is asked to stop.
async fn write_history(state: AppState) {
    let mut every = tokio::time::interval(WRITE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while state.stopping.run_until_cancelled(every.tick()).await.is_some() {
        if let Err(error) = state.metrics.shared.counted.write(&state.db).await {
            tracing::warn!(%error, "statistics could not be written: {error}");
        }
    }
}

/// Writes once a minute when API keys were last used, until it is asked to stop.
async fn write_uses_of_keys(state: AppState) {
    let mut every = tokio::time::interval(USES_WRITTEN_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while state.stopping.run_until_cancelled(every.tick()).await.is_some() {
        if let Err(error) = state.identity.api_keys.write_uses(&state.db).await {
            tracing::warn!(%error, "when API keys were last used could not be written: {error}");
        }
    }
}

async fn scrape(axum::extract::State(state): axum::extract::State<AppState>) -> Result<String, axum::http::StatusCode> {
    state.metrics.shared.text().await.map_err(|error| {
        tracing::error!(%error, "cannot write the metrics: {error}");
        axum::http::StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn listen(addr: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.with_context(|| format!("cannot listen on {setting}={addr}"))
}
