//! A shop that is older than the test.

use sqlx::AssertSqlSafe;

use crate::app::TestApp;

/// Begins the parts of history that many months ago. The movements of stock that are there stay.
const BEGIN: &str = concat!(
    "create temp table kept as select * from stock_movements;\n",
    include_str!("past_months.sql"),
    "insert into stock_movements select * from kept; drop table kept",
);

/// Makes everything older by so many months: the ids, in which the times are. Only a superuser may change the ledger.
const MOVE: &str = "
    set session_replication_role = replica;
    create function pg_temp.older(id uuid) returns uuid language sql as $$
        select (lpad(to_hex(('x' || lpad(left(replace(id::text, '-', ''), 12), 16, '0'))::bit(64)::bigint
                            - (extract(epoch from now() - (now() - interval '{months} months')) * 1000)::bigint), 12, '0')
                || substr(replace(id::text, '-', ''), 13))::uuid $$;
    update orders set id = pg_temp.older(id);
    update order_items set order_id = pg_temp.older(order_id);
    update order_events set order_id = pg_temp.older(order_id);
    update reservations set order_id = pg_temp.older(order_id) where order_id is not null;
    update charges set order_id = pg_temp.older(order_id);
    update shipments set order_id = pg_temp.older(order_id);
    update jobs set order_id = pg_temp.older(order_id) where order_id is not null;
    update stock_movements set id = pg_temp.older(id), order_id = pg_temp.older(order_id);
    update feed set subject = pg_temp.older(subject) where type like 'order.%';
    update idempotency_keys set resource = pg_temp.older(resource) where resource is not null;
    drop function pg_temp.older(uuid);
    set session_replication_role = default";

impl TestApp {
    /// Gives the history parts for these past months, as if the shop had been there then. Before orders are placed.
    pub async fn began_months_ago(&self, months: u32) {
        self.run(BEGIN, months).await;
    }

    /// Makes all orders and movements older by so many months.
    pub async fn move_to_the_past(&self, months: u32) {
        self.run(MOVE, months).await;
    }

    async fn run(&self, sql: &str, months: u32) {
        let sql = sql.replace("{months}", &months.to_string());
        let mut conn = self.db.acquire().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *conn).await.unwrap();
    }
}
