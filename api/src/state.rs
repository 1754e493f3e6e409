//! What all handlers share: the database, the settings, the caches, the doorbell.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use shared::feed::waiting::FeedReaders;
use shared::health::Probe;
use shared::identity::attempts::Attempts;
use shared::identity::authenticate::Identity;
use shared::ops::summary::Overview;
use shared::orders::placing::lanes::PlacingLanes;
use shared::platform::http::limits::Limits;
use shared::platform::http::places::Places;
use shared::platform::insecure::Insecure;
use shared::platform::limits::Limiter;
use shared::product_cache::Cache;
use shared::queue::doorbell::Doorbell;
use shared::queue::{Origin, Plan};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::config::Serve;
use crate::metrics::ApiMetrics;
use crate::surface::tls::Tls;

/// What all handlers share. Each middleware of each request takes a clone, so a clone is one pointer.
#[derive(Clone)]
pub struct AppState(Arc<AppParts>);

pub struct AppParts {
    pub db: PgPool,
    /// A few connections for queries that clients compose.
    pub reports: PgPool,
    pub identity: Arc<Identity>,
    pub settings: Arc<Serve>,
    pub limiter: Arc<Limiter>,
    /// Bounds guesses at passwords and codes.
    pub attempts: Arc<Attempts>,
    pub probe: Arc<Probe>,
    pub cache: Arc<Cache>,
    pub placing: Arc<PlacingLanes>,
    /// Readers of the feed that wait for news.
    pub feed: Arc<FeedReaders>,
    pub metrics: Arc<ApiMetrics>,
    /// What the console's overview shows, read once for all viewers.
    pub overview: Arc<Overview>,
    /// What is insecure about the settings of this process.
    pub insecure: Arc<[Insecure]>,
    /// Rung after a commit that wrote jobs.
    pub doorbell: Doorbell,
    /// The connections of the public listener.
    pub places: Arc<Places>,
    /// How long the peers of connections may take.
    pub connection_limits: Limits,
    /// Set if the API itself serves HTTPS.
    pub tls: Option<Arc<Tls>>,
    /// Cancelled when the process is asked to stop.
    pub stopping: CancellationToken,
}

impl From<AppParts> for AppState {
    fn from(parts: AppParts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for AppState {
    type Target = AppParts;

    fn deref(&self) -> &AppParts {
        &self.0
    }
}

impl FromRef<AppState> for PgPool {
    fn from_ref(state: &AppState) -> Self {
        state.db.clone()
    }
}

impl FromRef<AppState> for Arc<Cache> {
    fn from_ref(state: &AppState) -> Self {
        state.cache.clone()
    }
}

impl AppState {
    /// Changes parts of a state that nobody shares yet.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut AppParts)) -> Self {
        change(Arc::get_mut(&mut self.0).expect("nobody shares it yet"));
        self
    }

    /// What is insecure about this process: its settings, and demo users who can log in from other machines.
    pub async fn insecure(&self) -> Vec<Insecure> {
        let mut found = self.insecure.to_vec();
        if self.settings.is_public() {
            match shared::seed::demo_users_are_active(&self.db).await {
                Ok(true) => found.push(Insecure::DemoUsers),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "it is not known whether demo users are active: {error}"),
            }
        }
        found
    }

    /// Do browsers reach us over TLS, here or at a proxy?
    pub fn serves_tls(&self) -> bool {
        self.tls.is_some() || self.settings.public_url.as_ref().is_some_and(|url| url.starts_with("https://"))
    }

    /// For jobs that follow from a request.
    pub fn plan(&self, origin: Origin) -> Plan {
        Plan { delay: Duration::ZERO, max_attempts: self.settings.jobs.job_max_attempts, origin }
    }
}
