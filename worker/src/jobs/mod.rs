//! The list of jobs that this binary carries out: one line for each kind.
//!
//! To add a kind, declare its payload beside its domain in `shared`, write its handler in a file here, and add its line.
//! Everything else follows from the line: which jobs the worker claims, how it decodes them, who carries them out, for
//! how long at most, how many at once, and when they run by the clock.
//!
//! Each step of a handler can be repeated. After a crash at any point, running the job again repairs it.

pub mod archive;
pub mod audit;
pub mod bulk_step;
pub mod cancel_order;
pub mod deliver_order;
pub mod deliver_webhooks;
pub mod noop;
pub mod process_payment;
pub mod prune;
pub mod reap;
pub mod registry;
pub mod replay_webhooks;
pub mod ship_order;
pub mod tick;

use std::time::Duration;

use shared::ops::bulk::BulkStep;
use shared::orders::jobs::{CancelOrder, DeliverOrder, ProcessPayment, ShipOrder};
use shared::queue::Noop;
use shared::schedule::{Archive, Audit, Prune, Reap, Tick};
use shared::webhooks::jobs::{DeliverWebhooks, ReplayWebhooks};

use crate::jobs::registry::{Registry, cron};

/// An audit may wait a minute for another run, and each of its statements may take two.
const AUDIT_TIME_LIMIT: Duration = Duration::from_mins(4);

/// A replay of a million events takes minutes. It goes on where it was cut.
const REPLAY_TIME_LIMIT: Duration = Duration::from_mins(15);
/// As many as there can be, so that no endpoint waits for a slow one. Such a job waits for the network nearly all the time.
const WEBHOOKS_AT_ONCE: usize = 50 * 4;

/// A month of a large shop has hundreds of millions of rows. It goes on where it was cut, with the file that it was at.
const ARCHIVE_TIME_LIMIT: Duration = Duration::from_hours(24);

pub fn registry() -> Registry {
    Registry::default()
        .on::<ProcessPayment, _>(process_payment::run)
        .on::<CancelOrder, _>(cancel_order::run)
        .on::<ShipOrder, _>(ship_order::run)
        .on::<DeliverOrder, _>(deliver_order::run)
        .every::<Reap, _>(|settings| settings.reaper_schedule.clone(), reap::run)
        .every::<Audit, _>(|_| cron("0 */5 * * * *"), audit::run)
        .time_limit(AUDIT_TIME_LIMIT)
        .at_once(1)
        .every::<Prune, _>(|_| cron("30 * * * * *"), prune::run) // Half a minute after the reaper starts.
        .at_once(1)
        .every::<Archive, _>(|_| cron("0 20 * * * *"), archive::run)
        .time_limit(ARCHIVE_TIME_LIMIT)
        .at_once(1)
        .on::<BulkStep, _>(bulk_step::run)
        .on::<DeliverWebhooks, _>(deliver_webhooks::run)
        .time_limit(deliver_webhooks::TIME_LIMIT)
        .beside_slots(WEBHOOKS_AT_ONCE)
        .on::<ReplayWebhooks, _>(replay_webhooks::run)
        .time_limit(REPLAY_TIME_LIMIT)
        .at_once(1)
        .on::<Tick, _>(tick::run)
        .on::<Noop, _>(noop::run)
}
