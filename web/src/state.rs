//! What the pages need of the process that serves them.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use shared::catalog::categories::{self, CategoryCount};
use shared::error::Result;
use shared::identity::attempts::Tried;
use shared::identity::authenticate::Identity;
use shared::orders::manual::Following;
use shared::orders::placing::lanes::PlacingLanes;
use shared::platform::limits::{Limit, Limiter};
use shared::principal::Source;
use shared::queue::doorbell::Doorbell;
use shared::queue::{Origin, Plan};
use sqlx::PgPool;

/// A clone is cheap: it shares everything.
#[derive(Clone)]
pub struct WebState(Arc<Shared>);

pub struct Shared {
    pub parts: Parts,
    shelves: Mutex<Option<(Instant, Arc<Vec<CategoryCount>>)>>,
}

/// What the process lends to its pages.
pub struct Parts {
    pub db: PgPool,
    pub identity: Arc<Identity>,
    pub limiter: Arc<Limiter>,
    /// Wrong passwords for one account from one address. `None`: rate limits are off.
    pub wrong_passwords: Option<Limit>,
    pub placing: Arc<PlacingLanes>,
    pub doorbell: Doorbell,
    pub max_attempts: i32,
    pub delivery_delay: Duration,
    pub console: bool,
    pub shop: bool,
}

/// Every shop page shows the categories, which change seldom.
const CATEGORIES_KEPT: Duration = Duration::from_secs(5);

/// More do not fit into the head of a page.
const MOST_CATEGORIES: i64 = 40;

impl WebState {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared { parts, shelves: Mutex::new(None) }))
    }

    /// For jobs that follow from a request.
    pub fn plan(&self, origin: &Origin) -> Plan {
        Plan { delay: Duration::ZERO, max_attempts: self.max_attempts, origin: origin.clone() }
    }

    pub fn following(&self, origin: &Origin) -> Following {
        Following { plan: self.plan(origin), delivery_delay: self.delivery_delay }
    }

    pub fn tried<'a>(&'a self, source: &'a Source) -> Tried<'a> {
        Tried { limiter: &self.limiter, limit: self.wrong_passwords, source }
    }

    /// The categories that have products, at most a few seconds old.
    pub async fn categories(&self) -> Result<Arc<Vec<CategoryCount>>> {
        let kept = self.0.shelves.lock().expect("no code panics under this lock").clone();
        if let Some((since, categories)) = kept
            && since.elapsed() < CATEGORIES_KEPT
        {
            return Ok(categories);
        }
        let read = Arc::new(categories::with_products(&mut *self.db.acquire().await?, MOST_CATEGORIES).await?);
        *self.0.shelves.lock().expect("no code panics under this lock") = Some((Instant::now(), read.clone()));
        Ok(read)
    }
}

impl Deref for WebState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}
