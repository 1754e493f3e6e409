//! What Redis itself can do: ids popped from a sorted set, 100 a call, and one id for a client that waits.

use std::time::Duration;

use anyhow::Result;
use chrono::Utc;

use super::{Verb, print_time};

pub async fn run(verb: &Verb, redis_url: &str) -> Result<()> {
    let mut redis = redis::Client::open(redis_url)?.get_multiplexed_async_connection().await?;
    redis.set_response_timeout(Duration::from_secs(5));
    match *verb {
        Verb::Push { jobs } => {
            for from in (0..jobs).step_by(1000) {
                let mut add = redis::cmd("ZADD");
                add.arg("bare");
                for job in from..jobs.min(from + 1000) {
                    add.arg(job).arg(uuid::Uuid::now_v7().to_string());
                }
                add.exec_async(&mut redis).await?;
            }
            Ok(())
        }
        Verb::Work { .. } => loop {
            let mut take = redis::cmd("BZMPOP");
            take.arg(1).arg(1).arg("bare").arg("MIN").arg("COUNT").arg(100);
            let taken: Option<(String, Vec<(String, f64)>)> = take.query_async(&mut redis).await?;
            for (id, _) in taken.into_iter().flat_map(|(_, ids)| ids) {
                if let Ok(number) = id.parse() {
                    print_time(number, Utc::now());
                }
            }
        },
        Verb::OneByOne { jobs } => {
            for number in 0..jobs {
                let at = Utc::now();
                redis::cmd("ZADD").arg("bare").arg(1).arg(number).exec_async(&mut redis).await?;
                print_time(number, at);
                tokio::time::sleep(Duration::from_millis(10)).await; // Let the pop wait again.
            }
            Ok(())
        }
    }
}
