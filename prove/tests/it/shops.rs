//! Two shops in one database, each in a schema of its own, with one Redis.

use futures::future::join_all;
use prove::client::{Clients, Request};
use prove::cluster::Cluster;
use servers::home::Home;
use servers::postgres::{Access, Postgres, Stop, postgres_bin};
use servers::process::Process;
use servers::redis::Redis;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, PgPool};
use testkit::until::until;
use tokio::net::lookup_host;
use tokio::process::Command;
use uuid::Uuid;

use crate::bins;
use crate::shop::{Shop, leaders, make_roles, migrate, root};

/// A table that one of them lacked, the other one would find in `public`.
const SCHEMAS: [Option<&str>; 2] = [None, Some("shop_7")];

#[tokio::test]
async fn two_shops_share_a_database_and_a_redis() {
    let home = Home::new(&std::env::temp_dir()).await.unwrap();
    let mut postgres = Postgres::start(&home, &["fsync=off"]).await.unwrap();
    make_roles(&postgres).await;
    let places = SCHEMAS.map(|schema| Access { user: "millrace_app", schema, ..postgres.access() });
    // At the same time, as two deployments would.
    join_all(places.map(|place| migrate(&home, place))).await;
    let mut redis = Redis::start(&home).await.unwrap();
    let [mut mine, mut other] = [open(&home, &redis, places[0], &[]).await, open(&home, &redis, places[1], &[]).await];

    let (buyers, others) = (mine.buyers().await, other.buyers().await);
    tokio::join!(mine.more_orders(20), other.more_orders(20));
    for shop in [&mine, &other] {
        until("each shop has leaders of its own", async || leaders(&shop.cluster.db).await == 2).await;
    }
    // One shop loses its workers. The other one notices nothing.
    for worker in &other.cluster.workers {
        let mut process = worker.process.lock().await;
        process.kill().await.unwrap();
        worker.start_again(&mut process).await.unwrap();
    }
    tokio::join!(mine.more_orders(20), other.more_orders(20));
    until("it has leaders again", async || leaders(&other.cluster.db).await == 2).await;

    nothing_is_shared(&mine, &other).await;
    for (shop, buyers) in [(&mut mine, buyers), (&mut other, others)] {
        shop.open.send_replace(false);
        buyers.join_all().await;
        shop.check().await;
        shop.cluster.close().await.unwrap();
    }
    redis.kill().await.unwrap();
    postgres.stop(Stop::Immediate).await.unwrap();
    home.remove().unwrap();
}

/// Needs `TEST_CITUS_URL`: a superuser's URL of the database `postgres` on the coordinator, without a password. The cluster has
/// two nodes for data, `wal_level=logical` and `citus.enable_unsafe_triggers=on`.
#[tokio::test]
async fn two_shops_share_a_cluster_of_citus_and_one_of_them_moves_while_it_sells() {
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let Ok(url) = std::env::var("TEST_CITUS_URL") else {
        println!("TEST_CITUS_URL is not set, so this test did nothing");
        return;
    };
    let server: PgConnectOptions = url.parse().unwrap();
    let user: &str = Box::leak(server.get_username().to_owned().into_boxed_str());
    let addr = lookup_host((server.get_host(), server.get_port())).await.unwrap().next().unwrap();
    let home = Home::new(&std::env::temp_dir()).await.unwrap();
    let mut redis = Redis::start(&home).await.unwrap();
    let mut shops = Vec::new();
    for _ in 0..2 {
        let schema: &str = Box::leak(format!("shop_{}", Uuid::now_v7().simple()).into_boxed_str());
        let place = Access { user, addr, schema: Some(schema) };
        prove::cluster::migrate(&home, bins(), place).await.unwrap();
        let mut psql = Command::new(postgres_bin(&home).join("psql"));
        psql.args(["-X", "-q", "-d", &url, "-v", &format!("shop={schema}"), "-f"]);
        assert!(psql.arg(root().join("deploy/postgres/citus.sql")).status().await.unwrap().success());
        rebuild_feed(&home, place).await;
        shops.push((schema, place, open(&home, &redis, place, &[("CACHE", "off")]).await));
    }
    let mut buyers = Vec::new();
    for (.., shop) in &shops {
        buyers.push(shop.buyers().await);
    }
    let (schema, place, moving) = &shops[0];
    join_all(shops.iter().map(|(.., shop)| shop.more_orders(20))).await;
    let before = moving.placed();
    let citus = PgPool::connect_with(server.ssl_mode(PgSslMode::Disable)).await.unwrap();
    sqlx::query(
        "select citus_schema_move($1::regnamespace, nodename, nodeport)
           from pg_dist_node n
          where shouldhaveshards and isactive
            and not exists (select from citus_shards s where s.table_name::text like $1 || '.%' and s.nodeport = n.nodeport)
          limit 1",
    )
    .bind(schema)
    .execute(&citus)
    .await
    .unwrap();
    let meanwhile = moving.placed() - before;
    join_all(shops.iter().map(|(.., shop)| shop.more_orders(20))).await;
    println!("{meanwhile} orders while the shop moved; the longest gap was {}", moving.longest_gap(before));
    assert!(meanwhile > 0, "it sells while it moves");

    nothing_is_shared(&shops[0].2, &shops[1].2).await;
    for ((.., shop), buyers) in shops.iter().zip(buyers) {
        shop.open.send_replace(false);
        buyers.join_all().await;
    }
    rebuild_feed(&home, *place).await;
    for (schema, _, mut shop) in shops {
        shop.check().await;
        shop.cluster.close().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("drop schema {schema} cascade"))).execute(&citus).await.unwrap();
    }
    redis.kill().await.unwrap();
    home.remove().unwrap();
}

/// The numbers of transactions are those of another node now, as after a restore.
async fn rebuild_feed(home: &Home, place: Access) {
    let settings = [("DATABASE_URL", &*place.url()), ("LOG_FORMAT", "json")];
    Process::api(home, bins(), "rebuild", &settings).run(&["feed", "rebuild"]).await.unwrap();
}

async fn open(home: &Home, redis: &Redis, place: Access, settings: &[(&str, &str)]) -> Shop {
    let name = place.schema.unwrap_or("millrace");
    let home = Home::at(home.dir.join(name)).await.unwrap();
    let url = redis.url();
    let own: Vec<_> =
        [("REDIS_URL", &*url), ("REDIS_PREFIX", name)].into_iter().chain(settings.iter().copied()).collect();
    Shop::open(Cluster::open_at(&home, place, bins(), 1, 2, &own).await.unwrap()).await
}

/// Neither orders nor accounts of one shop are known in the other one, although both sign tokens with the same key.
async fn nothing_is_shared(mine: &Shop, other: &Shop) {
    let my_order = mine.clients.history().order_ids()[0];
    let path = format!("/v1/orders/{my_order}");
    for (shop, person, expected) in [
        (mine, &mine.staff, "200 "),
        (other, &other.staff, "404 order_not_found"),
        (other, &mine.staff, "401 unauthenticated"),
    ] {
        let clients = Clients::new(shop.cluster.clone()).unwrap();
        let reply = clients.ask_once(0, person, &Request::get(&path)).await.unwrap();
        assert_eq!(format!("{} {}", reply.status, reply.code()), expected);
    }
}
