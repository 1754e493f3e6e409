//! What the application's database role may do, where it is not the owner of the schema. Writes no table.
//!
//! The owner migrates. API and worker connect as a role that can neither change the schema nor rewrite what is
//! append-only. The owner gives that role its privileges after each migration, from the list below.

use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use super::schema::quoted;

/// Every table, with what the statements of our code need. A test compares it with the tables that the migrations make.
///
/// What Postgres does for a foreign key (`on delete cascade`) it does with the owner's privileges. `select … for update`
/// needs `update`.
pub const PRIVILEGES: &[(&str, &str)] = &[
    ("_sqlx_migrations", "select"),
    ("actions", "select, insert"),
    ("api_keys", "select, insert, update"),
    // Its functions make, close and drop the parts.
    ("archive_months", "select, update (files, written_at)"),
    // Runs are removed after 30 days.
    ("audit_runs", "select, insert, delete"),
    ("audit_starts", "select, insert, delete"),
    ("bulk_actions", "select, insert, update"),
    ("categories", "select, insert, update, delete"),
    ("charges", "select, insert, update"),
    ("clockwork", "select, insert, update"),
    ("customers", "select, insert, update"),
    // Numbers are removed after `FEED_KEPT`, and with them the events that belong to no order.
    ("entity_events", "select, insert, delete"),
    ("feed", "select, insert, delete"),
    ("feed_head", "select, update"),
    ("idempotency_keys", "select, insert, update, delete"),
    ("inventory", "select, insert, update"),
    ("invites", "select, insert, update, delete"),
    ("job_attempts", "select, insert"),
    ("job_history", "select, insert, update, delete"),
    ("jobs", "select, insert, update, delete"),
    ("known_networks", "select, insert, update, delete"),
    ("order_events", "select, insert"),
    ("order_items", "select, insert"),
    ("orders", "select, insert, update"),
    ("products", "select, insert, update"),
    ("queue_history", "select, insert, update, delete"),
    ("queues", "select, update"),
    ("recovery_codes", "select, insert, update, delete"),
    ("refresh_tokens", "select, insert, update"),
    ("request_history", "select, insert, update, delete"),
    ("reservation_lines", "select, insert"),
    ("reservations", "select, insert, update"),
    ("saved_views", "select, insert, update, delete"),
    ("schedules", "select, insert, update, delete"),
    ("service_accounts", "select, insert, update"),
    ("sessions", "select, insert, update, delete"),
    ("shipments", "select, insert, update"),
    ("shop_history", "select, insert, update, delete"),
    // Of the simulated payment provider and carrier, which use the worker's connections.
    ("simulated_attempts", "select, insert, update"),
    ("simulated_bookings", "select, insert"),
    ("simulated_charges", "select, insert, update"),
    ("stock_checkpointed", "select, update"),
    ("stock_checkpoints", "select, insert, update"),
    ("stock_closings", "select, insert, delete"),
    ("stock_movements", "select, insert"),
    ("taken_orders", "select, insert, update, delete"),
    ("totp", "select, insert, update, delete"),
    ("users", "select, insert, update"),
    ("warehouses", "select, insert, update"),
    ("webhook_attempts", "select, insert"),
    ("webhook_bodies", "select, insert, delete"),
    ("webhook_deliveries", "select, insert, update, delete"),
    ("webhook_endpoints", "select, insert, update, delete"),
    ("webhook_head", "select, update"),
    ("webhook_pumps", "select, insert, update"),
    ("webhook_replays", "select, insert, update, delete"),
    ("workers", "select, insert, update, delete"),
];

/// The functions that act with the rights of the owner, for what the application may do only in this way.
const FUNCTIONS: [&str; 5] = [
    "archive_extend()",
    "archive_close(text)",
    "archive_mark_removed(text)",
    "archive_drop_table()",
    // Workers of the release before call it.
    "archive_remove(text)",
];

/// Any constant number. Two that grant at the same time would fail with "tuple concurrently updated".
const LOCK: i64 = 0x726f_6c65;

/// Gives the application's role exactly the privileges of the list, in one transaction. Repeating it changes nothing.
/// Tables that do not exist, because some migrations were taken back, are left out.
pub async fn grant(db: &PgPool, role: &str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    refuse_unfit(&mut tx, role).await?;
    let role = quoted(role);
    let schema: String = sqlx::query_scalar("select current_schema()::text").fetch_one(&mut *tx).await?;
    let schema = quoted(&schema);
    let mut grants = vec![
        format!("grant usage on schema {schema} to {role}"),
        format!("revoke all on all tables in schema {schema} from {role}"),
        format!("revoke all on all sequences in schema {schema} from {role}"),
        format!("grant usage on all sequences in schema {schema} to {role}"),
    ];
    for (table, privileges) in PRIVILEGES {
        let table = format!("{schema}.{table}");
        if exists(&mut tx, "select to_regclass($1) is not null", &table).await? {
            grants.push(format!("grant {privileges} on {table} to {role}"));
        }
    }
    for function in FUNCTIONS {
        let function = format!("{schema}.{function}");
        if exists(&mut tx, "select to_regprocedure($1) is not null", &function).await? {
            grants.push(format!("grant execute on function {function} to {role}"));
        }
    }
    sqlx::raw_sql(AssertSqlSafe(grants.join(";\n"))).execute(&mut *tx).await?;
    tx.commit().await
}

/// A role that does not exist, or that has more rights than can be taken from it.
async fn refuse_unfit(conn: &mut PgConnection, role: &str) -> Result<(), sqlx::Error> {
    let unfit: Option<(bool, bool)> = sqlx::query_as(
        "select rolsuper, pg_has_role(oid, (select datdba from pg_database where datname = current_database()), 'member')
           from pg_roles where rolname = $1",
    )
    .bind(role)
    .fetch_optional(conn)
    .await?;
    let why = match unfit {
        Some((false, false)) => return Ok(()),
        Some((true, _)) => "is a superuser, who may do everything",
        Some((false, true)) => "owns the database, and so may change the schema",
        None => "does not exist: deploy/postgres/roles.sql makes it",
    };
    Err(sqlx::Error::Configuration(format!("the role {role} {why}").into()))
}

async fn exists(conn: &mut PgConnection, question: &'static str, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(question).bind(name).fetch_one(conn).await
}
