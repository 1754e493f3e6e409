//! Reads the feed in tests, and numbers its events as a worker would.

use serde_json::Value;
use shared::feed::sequencer;

use crate::app::TestApp;
use crate::person::Person;

impl TestApp {
    /// One pass of the sequencer. Returns how many events it numbered.
    pub async fn number_events(&self) -> i64 {
        let mut conn = self.db.acquire().await.unwrap();
        match sequencer::waiting(&mut conn).await.unwrap() {
            0 => 0,
            waiting => sequencer::pass(&mut conn, waiting).await.unwrap().events,
        }
    }
}

impl Person<'_> {
    /// All events from a cursor on, page by page, and the cursor at the end.
    pub async fn feed(&self, after: Option<&str>, query: &str) -> (Vec<Value>, String) {
        let (mut events, mut cursor) = (Vec::new(), after.map(ToOwned::to_owned));
        loop {
            let from = cursor.as_deref().map_or_else(String::new, |cursor| format!("after={cursor}&"));
            let page = self.get(&format!("/v1/events?{from}{query}")).await.done(200).body;
            events.extend(page["data"].as_array().unwrap().iter().cloned());
            let next = page["next_cursor"].as_str().expect("there is always a cursor").to_owned();
            if page["caught_up"] == true {
                return (events, next);
            }
            assert_ne!(cursor.as_ref(), Some(&next), "a page that is not the last one moves on");
            cursor = Some(next);
        }
    }
}
