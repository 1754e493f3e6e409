//! The pages of Millrace, rendered here and served by the API's binary: `/` is the shop, `/console` the console.
//!
//! A page is a function: it reads its parameters, calls into `shared`, and returns markup. `routes` lists all of them with
//! the rule that holds for each. Everything a page does, a JSON route does too, by the same function of `shared`.
//!
//! | module | what |
//! | --- | --- |
//! | `routes`, `rule` | every page with its rule: who may open it, its rate limit |
//! | `visit` | who looks at a page, in which time zone and theme |
//! | `path`, `form`, `once` | reading an address and a form, and making it one effect however often it is sent |
//! | `page`, `ui` | the layout, and the parts that pages are made of; the only places with class names |
//! | `refusal` | errors as pages, and as a sentence beside what was asked |
//! | `live` | the stream that tells open pages that something has changed |
//! | `console`, `shop`, `entrance` | the pages, a file for each screen |

pub mod assets;
pub mod console;
pub mod entrance;
pub mod form;
pub mod live;
pub mod once;
mod order_form;
pub mod page;
pub mod path;
pub mod refusal;
pub mod routes;
pub mod rule;
pub mod shop;
pub mod ui;
pub mod visit;

use std::sync::Arc;

use shared::identity::attempts::Attempts;
use shared::identity::authenticate::Identity;
use shared::ops::summary::Overview;
use shared::orders::placing::lanes::PlacingLanes;
use shared::product_cache::Cache;
use shared::queue::doorbell::Doorbell;
use shared::webhooks::settings::WebhookSettings;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::console::common::CommonParts;
use crate::live::Live;

/// What all pages share. A clone is cheap: it shares everything.
#[derive(Clone)]
pub struct WebState {
    pub db: PgPool,
    pub identity: Arc<Identity>,
    pub attempts: Arc<Attempts>,
    pub cache: Arc<Cache>,
    pub placing: Arc<PlacingLanes>,
    pub doorbell: Doorbell,
    pub live: Arc<Live>,
    /// The numbers of the overview, read once a second for all viewers.
    pub overview: Arc<Overview>,
    pub common: Arc<CommonParts>,
    pub settings: Arc<WebSettings>,
    /// Cancelled when the process is asked to stop.
    pub stopping: CancellationToken,
}

/// What the pages need to know of the process's settings.
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Attempts that a job has when staff retry it.
    pub job_max_attempts: i32,
    /// Do browsers reach us over TLS? Cookies are then `Secure`, and their names begin with `__Host-`.
    pub secure: bool,
    /// How people reach us, for links in invitations. `None`: as the request was addressed.
    pub public_url: Option<String>,
    pub reservation_ttl: std::time::Duration,
    /// How long the simulated carrier takes.
    pub delivery_delay: std::time::Duration,
    pub webhooks: WebhookSettings,
}
