//! What the pages of the console show to everybody alike. It is read at most once a second, so a hundred viewers cost the
//! database what one does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono_tz::Tz;
use shared::actions::{self, ActionFilter, ActionView};
use shared::error::Result;
use shared::inventory::StockView;
use shared::inventory::list as stock;
use shared::ops::queues::{self, PausedQueue};
use shared::ops::workers;
use shared::page::Page;
use shared::platform::briefly::Briefly;
use sqlx::PgPool;

/// Rows of each short list of the overview.
const SHORT: i64 = 5;

/// What every page says at its top.
pub struct Notices {
    pub workers: i64,
    pub paused: Vec<PausedQueue>,
}

/// The lists below the charts of the overview.
pub struct ShortLists {
    pub low: Vec<StockView>,
    pub done: Vec<ActionView>,
}

pub struct CommonParts {
    db: PgPool,
    /// Raised by everything after which an answer must not be older.
    edition: AtomicU64,
    notices: Briefly<u64, Notices>,
    short: Briefly<u64, ShortLists>,
    charts: Briefly<(&'static str, Tz), String>,
}

impl CommonParts {
    pub fn new(db: PgPool) -> Self {
        Self {
            db,
            edition: AtomicU64::new(0),
            notices: Briefly::default(),
            short: Briefly::default(),
            charts: Briefly::default(),
        }
    }

    /// Something has changed: the next page reads again.
    pub fn renew(&self) {
        self.edition.fetch_add(1, Ordering::Relaxed);
    }

    pub async fn notices(&self) -> Result<Arc<Notices>> {
        let fresh = Box::pin(async {
            let mut conn = self.db.acquire().await?;
            Ok(Notices { workers: workers::count(&mut conn).await?, paused: queues::paused(&mut conn).await? })
        });
        self.notices.get(self.edition.load(Ordering::Relaxed), fresh).await
    }

    /// The charts of a range for a time zone, as `draw` makes them: most of what the overview costs.
    pub async fn charts(&self, range: &'static str, zone: Tz, draw: impl FnOnce() -> String) -> Result<Arc<String>> {
        self.charts.get((range, zone), async { Ok(draw()) }).await
    }

    pub async fn short_lists(&self) -> Result<Arc<ShortLists>> {
        let fresh = Box::pin(async {
            let mut conn = self.db.acquire().await?;
            let page = Page::parse(Some(SHORT), None, "")?;
            let low = stock::list_low(&mut conn, &page).await?.data;
            let done = actions::list(&mut conn, &ActionFilter::default(), &page).await?.data;
            Ok(ShortLists { low, done })
        });
        self.short.get(self.edition.load(Ordering::Relaxed), fresh).await
    }
}
