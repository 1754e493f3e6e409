//! Reads the plans that `auto_explain` sends.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context as In, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// The notices of Postgres since the last `take`.
#[derive(Debug, Clone, Default)]
pub struct Plans(Arc<Mutex<Vec<String>>>);

impl Plans {
    /// Collects every notice of this process. Warnings go to standard error.
    pub fn listen() -> anyhow::Result<Self> {
        let plans = Self::default();
        let notices = Targets::new().with_target("sqlx::postgres::notice", Level::INFO);
        let warnings = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(LevelFilter::WARN);
        tracing_subscriber::registry().with(plans.clone().with_filter(notices)).with(warnings).try_init()?;
        Ok(plans)
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no thread panics while it holds this"))
    }
}

impl<S: Subscriber> Layer<S> for Plans {
    fn on_event(&self, event: &Event<'_>, _: In<'_, S>) {
        event.record(&mut Message(self));
    }
}

struct Message<'a>(&'a Plans);

impl Visit for Message<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.0.0.lock().expect("no thread panics while it holds this").push(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A statement that ran, with its cost.
#[derive(Debug, Serialize)]
pub struct Statement {
    pub sql: String,
    /// Without planning.
    pub ms: f64,
    /// Rows and index entries that its scans read, whether they were used or not.
    pub rows_read: u32,
    /// Pages of 8 kB, from Postgres's buffers or not.
    pub buffers: u32,
    pub indexes: Vec<String>,
    /// Sequential scans of large tables. Scans of small tables are fast and not counted.
    pub seq_scans: Vec<String>,
    /// True if a sort or a hash did not fit into memory.
    pub spills: bool,
    pub plan: Value,
}

impl Statement {
    /// Reads `duration: 0.123 ms  plan:` and the JSON after it.
    pub fn read(notice: &str, large_tables: &[String]) -> anyhow::Result<Self> {
        let (head, plan) = notice.split_once("plan:").context("a notice that is no plan")?;
        let ms = head.trim_start_matches("duration:").trim().trim_end_matches("ms").trim().parse()?;
        let Value::Object(mut explained) = serde_json::from_str(plan)? else { anyhow::bail!("a plan is an object") };
        let sql = explained.remove("Query Text").and_then(|sql| sql.as_str().map(str::to_owned)).unwrap_or_default();
        let plan = explained.remove("Plan").context("a plan has a root")?;
        let buffers = number(&plan, "Shared Hit Blocks").saturating_add(number(&plan, "Shared Read Blocks"));
        let spills = number(&plan, "Temp Written Blocks") > 0;
        let (indexes, seq_scans) = (Vec::new(), Vec::new());
        let mut statement = Self { sql, ms, rows_read: 0, buffers, indexes, seq_scans, spills, plan: Value::Null };
        statement.look_at(&plan, large_tables);
        statement.plan = plan;
        Ok(statement)
    }

    pub fn in_short(&self) -> String {
        let words: Vec<&str> = self.sql.split_whitespace().collect();
        let short: String = words.join(" ").chars().take(120).collect();
        format!("{short}…")
    }

    fn look_at(&mut self, node: &Value, large_tables: &[String]) {
        let name = |key| node[key].as_str().unwrap_or_default().to_owned();
        let (kind, table, index) = (name("Node Type"), name("Relation Name"), name("Index Name"));
        let loops = number(node, "Actual Loops");
        let counts =
            if kind == "Seq Scan" { large_tables.contains(&table) } else { !(table.is_empty() && index.is_empty()) };
        if counts && loops > 0 {
            let found = ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck"];
            let rows: u32 = found.iter().map(|found| number(node, found)).sum();
            self.rows_read = self.rows_read.saturating_add(rows.saturating_mul(loops));
            if kind == "Seq Scan" {
                self.seq_scans.push(table);
            } else if !index.is_empty() && !self.indexes.contains(&index) {
                self.indexes.push(index);
            }
        }
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.look_at(child, large_tables);
        }
    }
}

/// A missing number is 0. A number that is too large becomes the largest `u32`.
fn number(node: &Value, key: &str) -> u32 {
    u32::try_from(node[key].as_u64().unwrap_or_default()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scan that discards nearly all rows, a lookup that ran 51 times, and a node that never ran.
    const NOTICE: &str = r#"duration: 12.500 ms  plan:
{ "Query Text": "select 1", "Plan": { "Node Type": "Nested Loop", "Actual Rows": 51, "Actual Loops": 1,
    "Shared Hit Blocks": 300, "Shared Read Blocks": 7, "Temp Written Blocks": 0, "Plans": [
  { "Node Type": "Index Scan", "Relation Name": "products", "Index Name": "products_pkey",
    "Actual Rows": 51, "Actual Loops": 1, "Rows Removed by Filter": 9949 },
  { "Node Type": "Index Scan", "Relation Name": "inventory", "Index Name": "inventory_pkey", "Actual Rows": 2, "Actual Loops": 51 },
  { "Node Type": "Seq Scan", "Relation Name": "warehouses", "Actual Rows": 3, "Actual Loops": 51 },
  { "Node Type": "Seq Scan", "Relation Name": "orders", "Actual Rows": 0, "Actual Loops": 0 }] } }"#;

    #[test]
    fn what_was_read_is_counted_whether_it_was_of_use_or_not() {
        let read = Statement::read(NOTICE, &["products".to_owned(), "orders".to_owned()]).unwrap();
        assert_eq!((read.rows_read, read.buffers, read.spills), (10_102, 307, false));
        assert_eq!(read.indexes, ["products_pkey", "inventory_pkey"]);
        assert!(read.seq_scans.is_empty(), "a small table may be read whole, and what never ran reads nothing");
    }

    #[test]
    fn a_large_table_that_is_read_whole_is_named() {
        let read = Statement::read(NOTICE, &["warehouses".to_owned()]).unwrap();
        assert_eq!((read.rows_read, read.seq_scans), (10_102 + 153, vec!["warehouses".to_owned()]));
    }
}
