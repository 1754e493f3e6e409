//! A client that reads the feed while faults are injected. The verdict compares what it was told with the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::client::{Clients, Person, Request};
use crate::cluster::Cluster;

/// After the last event the sequencer may need so long, also if another worker has to take over.
const LAST_EVENTS: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(100);

/// What the feed has told.
pub struct FeedReader {
    clients: Arc<Clients>,
    me: Person,
    cursor: Option<String>,
    /// Subject and sequence of each event, in the order of the feed.
    told: Vec<(String, i64)>,
}

impl FeedReader {
    pub fn new(clients: Arc<Clients>, me: Person) -> Self {
        Self { clients, me, cursor: None, told: Vec::new() }
    }

    /// Reads until `open` is false, one page after the other, from any API.
    pub async fn read(mut self, open: watch::Receiver<bool>) -> Self {
        while *open.borrow() {
            self.page().await;
        }
        self
    }

    /// Reads what is left. Everything else has ended, so the feed ends too.
    pub async fn finish(&mut self, cluster: &Cluster) -> Result<()> {
        let until = Instant::now() + LAST_EVENTS;
        while self.told.len() < self.events(cluster).await?.len() && Instant::now() < until {
            self.page().await;
            sleep(PAUSE).await;
        }
        Ok(())
    }

    async fn page(&mut self) {
        let after = self.cursor.as_ref().map_or_else(String::new, |cursor| format!("&after={cursor}"));
        let asked = Request::get(&format!("/v1/events?limit=200&wait=1{after}"));
        let Some(page) = self.clients.ask(&mut self.me, &asked).await.filter(|page| page.status == 200) else { return };
        for event in page.body["data"].as_array().into_iter().flatten() {
            let subject = event["subject"]["id"].as_str().unwrap_or_default().to_owned();
            self.told.push((subject, event["sequence"].as_i64().unwrap_or_default()));
        }
        self.cursor = page.body["next_cursor"].as_str().map(ToOwned::to_owned);
    }

    async fn events(&self, cluster: &Cluster) -> Result<BTreeSet<(String, i64)>> {
        let events: Vec<(String, i64)> = sqlx::query_as(
            "select order_id::text, sequence::int8 from order_events
             union all select subject::text, sequence::int8 from entity_events",
        )
        .fetch_all(&cluster.db)
        .await?;
        Ok(events.into_iter().collect())
    }

    /// How many events there were, and those that were not told, told twice, told out of order, or that do not exist.
    pub async fn offenders(&self, cluster: &Cluster) -> Result<(usize, Vec<Value>)> {
        let mut missing = self.events(cluster).await?;
        let all = missing.len();
        let (mut last, mut offenders) = (BTreeMap::<&str, i64>::new(), Vec::new());
        for (subject, sequence) in &self.told {
            let before = last.insert(subject, *sequence).unwrap_or(0);
            let exists = missing.remove(&(subject.clone(), *sequence));
            if *sequence != before + 1 || !exists {
                let told = json!({ "subject": subject, "sequence": sequence, "after": before, "exists": exists });
                offenders.push(told);
            }
        }
        let not_told = |(subject, sequence)| json!({ "subject": subject, "sequence": sequence, "told": false });
        offenders.extend(missing.into_iter().map(not_told));
        Ok((all, offenders))
    }
}
