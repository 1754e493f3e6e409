//! A shop whose buyers go on buying while a test replaces its database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::join_all;
use prove::catalog::Catalog;
use prove::client::{Clients, Person, Request};
use prove::cluster::{Cluster, STAFF};
use serde_json::{Value, json};
use servers::home::Home;
use servers::postgres::{Access, Postgres};
use servers::process::Process;
use sqlx::PgPool;
use testkit::until::until_some;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::bins;

/// Longer than any step here takes.
const TIMEOUT: Duration = Duration::from_mins(5);
const BUYERS: u64 = 6;

pub struct Shop {
    pub cluster: Arc<Cluster>,
    pub clients: Arc<Clients>,
    pub staff: Person,
    /// The buyers buy while this is true.
    pub open: watch::Sender<bool>,
}

impl Shop {
    pub async fn open(cluster: Cluster) -> Self {
        let cluster = Arc::new(cluster);
        let clients = Arc::new(Clients::new(cluster.clone()).unwrap());
        clients.until.send_replace(Some(tokio::time::Instant::now() + TIMEOUT));
        let mut staff = clients.log_in(STAFF, 1).await.unwrap();
        Catalog::open(&clients, &mut staff).await.unwrap();
        Self { cluster, clients, staff, open: watch::Sender::new(true) }
    }

    /// Buyers who place one order after another, and repeat each request until it is answered.
    pub async fn buyers(&self) -> JoinSet<()> {
        let emails: Vec<String> = (0..BUYERS).map(|number| format!("buyer-{number}@prove.test")).collect();
        let people = join_all(emails.iter().zip(0..).map(|(email, seed)| self.clients.register(email, seed))).await;
        let mut buyers = JoinSet::new();
        for (number, me) in people.into_iter().enumerate() {
            let (clients, open, mut me) = (self.clients.clone(), self.open.subscribe(), me.unwrap());
            buyers.spawn(async move {
                while *open.borrow() {
                    clients.ask(&mut me, &order(&format!("SPREAD-{number}"))).await.expect("it is answered in time");
                }
            });
        }
        buyers
    }

    /// Waits until this many more orders were answered 201.
    pub async fn more_orders(&self, more: usize) {
        let before = self.placed();
        until_some("more orders are placed", async || (self.placed() >= before + more).then_some(())).await;
    }

    pub fn placed(&self) -> usize {
        self.clients.history().placed_at.len()
    }

    /// Each request got an answer, if only a 503: the API closed no connection without one.
    pub fn assert_all_were_answered(&self) {
        let history = self.clients.history();
        assert_eq!(history.unanswered, 0, "{:?}", history.answers);
    }

    /// The longest time between two answers 201, from the one of this index on.
    pub fn longest_gap(&self, from: usize) -> TimeDelta {
        let mut placed = self.clients.history().placed_at[from..].to_vec();
        placed.sort_unstable();
        placed.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// Checks that every order that was answered 201 is in the database once, is delivered, and was charged once at the
    /// provider; that no answer was unexpected; and that the audit finds nothing.
    pub async fn check(&mut self) {
        let ids = self.clients.history().order_ids();
        let delivered = "select count(*) from orders where id = any($1) and status = 'delivered'";
        let all = async || sqlx::query_scalar(delivered).bind(&ids).fetch_one(&self.cluster.db).await.ok();
        until_some("all are delivered", async || all().await.filter(|found: &i64| *found == ids.len() as i64)).await;
        let counts =
            "select (select count(*) from orders), (select count(*) from simulated_charges where state = 'charged')";
        let counts: (i64, i64) = sqlx::query_as(counts).fetch_one(&self.cluster.db).await.unwrap();
        assert_eq!(counts, (ids.len() as i64, ids.len() as i64));
        {
            let history = self.clients.history();
            assert!(history.unexpected.is_empty() && history.contradictions.is_empty(), "{history:#?}");
        }
        let report = self.clients.full_audit(&mut self.staff).await.unwrap();
        assert_eq!(report["violations"], Value::from(0), "{report:#}");
        assert!(self.cluster.ended_by_themselves().await.unwrap().is_empty());
    }
}

pub fn order(sku: &str) -> Request {
    let body = json!({
        "items": [{ "sku": sku, "quantity": 1 }], "payment_token": "tok_ok", "shipping_address": { "city": "Bath" },
    });
    Request::post("/v1/orders", Uuid::now_v7().to_string(), body)
}

/// Makes the roles of the owner and of the application.
pub async fn make_roles(postgres: &Postgres) {
    let script = root().join("deploy/postgres/roles.sql");
    let mut psql = Command::new(postgres.bin().join("psql"));
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &postgres.url(), "-f"]).arg(script);
    psql.env("MILLRACE_OWNER_PASSWORD", "o").env("MILLRACE_APP_PASSWORD", "a");
    assert!(psql.status().await.unwrap().success());
}

/// Migrates as the owner, and gives the application's role its privileges.
pub async fn migrate(home: &Home, shop: Access) {
    let owner = Access { user: "millrace_owner", ..shop }.url();
    let settings = [("DATABASE_URL", &*owner), ("DATABASE_APP_ROLE", "millrace_app"), ("LOG_FORMAT", "json")];
    Process::api(home, bins(), "migrate", &settings).run(&["migrate"]).await.unwrap();
}

/// How many of the two leaderships of a shop, of the queue's maintenance and of the feed, somebody has.
pub async fn leaders(db: &PgPool) -> i64 {
    sqlx::query_scalar(
        "select count(*) from pg_locks, unnest($1::bigint[]) number
          where locktype = 'advisory' and granted and objsubid = 1
            and classid::bigint << 32 | objid::bigint = hashtextextended(current_schema()::text, number)",
    )
    .bind([shared::queue::maintain::LOCK, shared::feed::sequencer::LOCK])
    .fetch_one(db)
    .await
    .unwrap()
}

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in the workspace")
}
