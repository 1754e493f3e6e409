//! What the queues hold, counted up to a bound, so that it stays cheap with millions of jobs. Writes no table.

use sqlx::PgConnection;

use super::Queue;
use crate::error::Result;

/// Counting stops here: more than this is "100,000 or more". So the statement reads at most some hundred thousand entries
/// of an index, which takes about 50 ms.
pub const COUNTED_TO: i64 = 100_000;

/// What a queue holds. Counts stop at `COUNTED_TO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub queue: Queue,
    pub ready: i64,
    pub scheduled: i64,
    pub running: i64,
    pub dead: i64,
    /// For how long the oldest ready job has been due; 0 without one.
    pub oldest_seconds: i64,
    pub paused: bool,
}

/// All queues, in the order of their priority. The index of dead jobs is not by queue, so of those the newest are counted
/// and told apart.
pub async fn read(conn: &mut PgConnection) -> Result<Vec<Depth>> {
    Ok(sqlx::query_as!(
        Depth,
        r#"with dead as (
               select queue, count(*) as jobs
                 from (select queue from jobs where state = 'dead' order by id desc limit $1) newest group by queue)
           select q.name as "queue: Queue", q.paused,
                  (select count(*) from (select from jobs where queue = q.name and state = 'ready' and run_at <= now()
                                          order by run_at limit $1) due) as "ready!",
                  (select count(*) from (select from jobs where queue = q.name and state = 'ready' and run_at > now()
                                          order by run_at limit $1) later) as "scheduled!",
                  (select count(*) from (select from jobs where queue = q.name and state = 'running' limit $1) held)
                      as "running!",
                  coalesce((select jobs from dead where queue = q.name), 0) as "dead!",
                  (select coalesce(greatest(extract(epoch from now() - min(run_at)), 0), 0)::bigint
                     from jobs where queue = q.name and state = 'ready') as "oldest_seconds!"
             from queues q order by q.name"#,
        COUNTED_TO,
    )
    .fetch_all(conn)
    .await?)
}
