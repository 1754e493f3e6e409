//! All processes but the migrator reach Postgres through PgBouncer in transaction mode, as the application's role.

use prove::cluster::Cluster;
use servers::home::Home;
use servers::pgbouncer::PgBouncer;
use servers::postgres::{Postgres, Stop};
use testkit::until::until;

use crate::bins;
use crate::shop::{Shop, leaders, make_roles, migrate, root};

/// What our connections ask for. A pooler forgets it, so it must come with the role.
const LIMITS: [&str; 7] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "jit",
    "random_page_cost",
    "enable_seqscan",
    "max_parallel_workers_per_gather",
];

#[tokio::test]
async fn everything_works_through_pgbouncer_and_one_worker_leads() {
    let home = Home::new(&std::env::temp_dir()).await.unwrap();
    let mut postgres = Postgres::start(&home, &["fsync=off"]).await.unwrap();
    make_roles(&postgres).await;
    migrate(&home, postgres.access()).await;
    let pooler = PgBouncer::start(&home, root(), postgres.addr(), "millrace_app").await.unwrap();
    let cluster = Cluster::open_at(&home, pooler.access(), bins(), 2, 3, &[]).await.unwrap();
    let mut shop = Shop::open(cluster).await;
    let direct = shared::platform::db::pool(&postgres.access().url(), 1, "millrace-test").unwrap();
    for limit in LIMITS {
        let ask = "select current_setting($1)";
        let [asked, of_role] =
            [&direct, &shop.cluster.db].map(|db| sqlx::query_scalar::<_, String>(ask).bind(limit).fetch_one(db));
        assert_eq!(of_role.await.unwrap(), asked.await.unwrap(), "{limit}: what roles.sql says, and what we ask for");
    }
    direct.close().await;
    let buyers = shop.buyers().await;
    shop.more_orders(40).await;

    until("one process leads each", async || leaders(&shop.cluster.db).await == 2).await;
    for worker in &shop.cluster.workers[..2] {
        let mut process = worker.process.lock().await;
        process.kill().await.unwrap();
        worker.start_again(&mut process).await.unwrap();
    }
    until("one process leads each again", async || leaders(&shop.cluster.db).await == 2).await;
    shop.more_orders(20).await;
    shop.open.send_replace(false);
    buyers.join_all().await;
    shop.check().await;
    shop.cluster.close().await.unwrap();
    pooler.stop().await.unwrap();
    postgres.stop(Stop::Immediate).await.unwrap();
    home.remove().unwrap();
}
