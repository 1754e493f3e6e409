//! The settings of the worker. They are read once, at the start.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use shared::platform::insecure::Insecure;
use shared::platform::redis::server::Server;
use shared::platform::settings::{Common, JobSettings, duration, on_or_off, positive_duration};
use shared::queue::Queue;
use shared::webhooks::settings::WebhookSettings;
use shared::webhooks::times;

/// Millrace's worker: carries out the jobs that the API and other jobs have written.
///
/// Every setting can be given as an option or in the environment (also in a file `.env`).
#[derive(Debug, Parser)]
#[command(name = "millrace-worker", version)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub work: Work,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask the worker at `WORKER_ADDR` whether it is ready; fails if it is not
    Health,
}

#[derive(Debug, Clone, Args)]
pub struct Work {
    /// Where health and metrics are served; port 0 takes a free one and logs it
    #[arg(long, env = "WORKER_ADDR", default_value = "127.0.0.1:9090")]
    pub worker_addr: SocketAddr,

    /// The queues that this worker takes jobs from
    #[arg(long, env = "WORKER_QUEUES", default_value = "high,default,low")]
    pub worker_queues: Queues,

    /// Jobs that this worker runs at the same time
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub worker_concurrency: u16,

    /// How long a claimed job stays with a worker that does not renew its lease
    #[arg(long, env = "JOB_LEASE", default_value = "10s", value_parser = lease)]
    pub job_lease: Duration,

    #[command(flatten)]
    pub jobs: JobSettings,

    /// How long a job of a kind that no worker knows waits for such a worker, before a person must look at it
    #[arg(long, env = "JOB_UNKNOWN_AFTER", default_value = "10m", value_parser = positive_duration)]
    pub job_unknown_after: Duration,

    /// The pause after a job's first failed attempt; it doubles with each one
    #[arg(long, env = "RETRY_INITIAL", default_value = "1s", value_parser = positive_duration)]
    pub retry_initial: Duration,

    /// The longest pause between two attempts
    #[arg(long, env = "RETRY_MAX", default_value = "5m", value_parser = positive_duration)]
    pub retry_max: Duration,

    /// How workers learn of ready jobs: doorbell (Redis 7 or newer) or apalis-redis
    #[arg(long, env = "QUEUE_TRANSPORT", default_value = "doorbell")]
    pub queue_transport: Transport,

    /// When overdue reservations are ended: cron, with seconds first
    #[arg(long, env = "REAPER_SCHEDULE", default_value = "0 * * * * *")]
    pub reaper_schedule: cron::Schedule,

    /// How long the feed (`GET /v1/events`) keeps an event; at least 1s
    #[arg(long, env = "FEED_KEPT", default_value = "90d", value_parser = feed_kept)]
    pub feed_kept: Duration,

    /// Where old history goes, month by month: a folder on a disk that lasts, the same for all workers. Without it
    /// everything stays in the database
    #[arg(long, env = "ARCHIVE_DIR")]
    pub archive_dir: Option<PathBuf>,

    /// How long after its end a month stays in the database; at least 35d
    #[arg(long, env = "ARCHIVE_AFTER", default_value = "400d", value_parser = archive_after)]
    pub archive_after: Duration,

    /// The payment provider; required: simulated, which understands the test tokens and takes no money
    #[arg(long, env = "PAYMENT_PROVIDER")]
    pub payment_provider: Option<ProviderName>,

    /// Whether the simulated provider obeys tokens such as `tok_slow_5000`; off: it knows `tok_ok` and `tok_declined` only
    #[arg(long, env = "SIMULATED_SCRIPTS", default_value = "off", value_parser = on_or_off, action = clap::ArgAction::Set)]
    pub simulated_scripts: bool,

    /// How long the simulated provider takes to answer
    #[arg(long, env = "PAYMENT_LATENCY", default_value = "50ms", value_parser = duration)]
    pub payment_latency: Duration,

    #[command(flatten)]
    pub webhooks: WebhookSettings,

    /// How long the receiver of a webhook may take to answer
    #[arg(long, env = "WEBHOOK_TIMEOUT", default_value = "15s", value_parser = webhook_timeout)]
    pub webhook_timeout: Duration,

    /// Multiplies all waits of webhooks, from 0.00001 to 1: less than 1 to rehearse failures
    #[arg(long, env = "WEBHOOK_RETRY_SCALE", default_value = "1", value_parser = times::scale)]
    pub webhook_retry_scale: f64,
}

impl Work {
    /// Checks settings against each other. The error names them.
    pub fn check(&self, common: &Common) -> Result<(), String> {
        if self.payment_provider.is_none() {
            return Err(
                "PAYMENT_PROVIDER is missing. It has no default, so that no shop takes orders without taking money \
                        by mistake. For a rehearsal, write PAYMENT_PROVIDER=simulated"
                    .to_owned(),
            );
        }
        if self.retry_max < self.retry_initial {
            return Err("RETRY_MAX must not be shorter than RETRY_INITIAL".to_owned());
        }
        if self.queue_transport == Transport::ApalisRedis && common.queue_redis().is_none() {
            return Err("QUEUE_TRANSPORT=apalis-redis needs REDIS_URL or QUEUE_REDIS_URL".to_owned());
        }
        let clustered = |url| Server::parse(url).is_ok_and(|server| server.is_cluster());
        if self.queue_transport == Transport::ApalisRedis && common.queue_redis().is_some_and(clustered) {
            return Err(
                "QUEUE_TRANSPORT=apalis-redis does not work with a cluster, where its keys are on several nodes: \
                        leave it at doorbell, or give QUEUE_REDIS_URL one server, or Sentinels"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

impl Work {
    /// What is insecure about these settings.
    pub fn insecure(&self, common: &Common) -> Vec<Insecure> {
        let simulated = self.payment_provider == Some(ProviderName::Simulated);
        let payments = simulated.then_some(Insecure::SimulatedPayments);
        let scripts = (simulated && self.simulated_scripts).then_some(Insecure::Scripts);
        payments.into_iter().chain(scripts).chain(common.insecure()).collect()
    }
}

fn feed_kept(text: &str) -> Result<Duration, String> {
    let kept = duration(text)?;
    if kept < Duration::from_secs(1) { Err("it must be at least 1s".to_owned()) } else { Ok(kept) }
}

/// Stock can be shown as it was up to 31 days ago.
const SHORTEST_IN_DATABASE: Duration = Duration::from_hours(35 * 24);

fn archive_after(text: &str) -> Result<Duration, String> {
    let after = duration(text)?;
    if after < SHORTEST_IN_DATABASE { Err("it must be at least 35d".to_owned()) } else { Ok(after) }
}

/// A shorter lease would expire during the short pauses that any machine has.
const SHORTEST_LEASE: Duration = Duration::from_millis(500);

/// A worker that stops waits for 20 s; a longer attempt would be cut and made again.
const LONGEST_WEBHOOK: Duration = Duration::from_mins(1);

fn webhook_timeout(text: &str) -> Result<Duration, String> {
    let timeout = positive_duration(text)?;
    if timeout > LONGEST_WEBHOOK { Err("it must be at most 1m".to_owned()) } else { Ok(timeout) }
}

fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < SHORTEST_LEASE { Err("it must be at least 500ms".to_owned()) } else { Ok(lease) }
}

/// A set of queues, in the order of their priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queues(pub BTreeSet<Queue>);

impl FromStr for Queues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let queue = |name: &str| match name.trim() {
            "high" => Ok(Queue::High),
            "default" => Ok(Queue::Default),
            "low" => Ok(Queue::Low),
            other => Err(format!("`{other}` is not a queue: use high, default and low, separated by commas")),
        };
        text.split(',').map(queue).collect::<Result<_, _>>().map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Doorbell,
    ApalisRedis,
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "doorbell" => Ok(Self::Doorbell),
            "apalis-redis" => Ok(Self::ApalisRedis),
            other => Err(format!("`{other}` is not a transport: use doorbell or apalis-redis")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderName {
    Simulated,
}

impl FromStr for ProviderName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "simulated" => Ok(Self::Simulated),
            other => Err(format!("`{other}` is not a provider: use simulated")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_other_transport_works_with_one_server_and_sentinels_and_refuses_a_cluster() {
        for (url, works) in [("redis://h", true), ("redis+sentinel://h/name", true), ("redis+cluster://h", false)] {
            let given =
                ["--database-url=postgres://here", "--payment-provider=simulated", "--queue-transport=apalis-redis"];
            let url = format!("--queue-redis-url={url}");
            let cli = Cli::try_parse_from(["millrace-worker"].into_iter().chain(given).chain([&*url])).unwrap();
            let checked = cli.work.check(&cli.common);
            assert_eq!(checked.is_ok(), works, "{url}");
            assert!(checked.err().is_none_or(|complaint| complaint.contains("QUEUE_TRANSPORT")), "{url}");
        }
    }

    #[test]
    fn a_wrong_setting_is_refused_by_name() {
        for (option, value, named) in [
            ("--worker-addr", "9090", "WORKER_ADDR"),
            ("--worker-queues", "high,urgent", "WORKER_QUEUES"),
            ("--worker-queues", "", "WORKER_QUEUES"),
            ("--worker-concurrency", "0", "WORKER_CONCURRENCY"),
            ("--job-lease", "10", "JOB_LEASE"),
            ("--job-lease", "1ms", "JOB_LEASE"),
            ("--job-max-attempts", "0", "JOB_MAX_ATTEMPTS"),
            ("--job-unknown-after", "0s", "JOB_UNKNOWN_AFTER"),
            ("--retry-initial", "0s", "RETRY_INITIAL"),
            ("--retry-initial", "1h", "RETRY_INITIAL"),
            ("--retry-max", "soon", "RETRY_MAX"),
            ("--archive-after", "30d", "ARCHIVE_AFTER"),
            ("--queue-transport", "kafka", "QUEUE_TRANSPORT"),
            ("--queue-transport", "apalis-redis", "QUEUE_TRANSPORT"),
            ("--reaper-schedule", "* * * * *", "REAPER_SCHEDULE"),
            ("--payment-provider", "stripe", "PAYMENT_PROVIDER"),
            ("--payment-latency", "-1s", "PAYMENT_LATENCY"),
            ("--delivery-delay", "1", "DELIVERY_DELAY"),
            ("--webhook-timeout", "2m", "WEBHOOK_TIMEOUT"),
            ("--webhook-retry-scale", "2", "WEBHOOK_RETRY_SCALE"),
            ("--webhook-master-key", "short", "WEBHOOK_MASTER_KEY"),
            ("--webhook-allow", "everything", "WEBHOOK_ALLOW"),
        ] {
            let given = format!("{option}={value}");
            let provider = if option == "--payment-provider" { None } else { Some("--payment-provider=simulated") };
            let all = ["millrace-worker", "--database-url=postgres://here", &given];
            let complaint = match Cli::try_parse_from(all.into_iter().chain(provider)) {
                Ok(cli) => cli.work.check(&cli.common).expect_err(&given),
                Err(error) => error.to_string(),
            };
            assert!(complaint.contains(named), "{given}: {complaint}");
        }
    }

    #[test]
    fn queues_are_a_set_in_order_of_priority() {
        let queues: Queues = "low, high,low".parse().unwrap();
        assert_eq!(queues.0.into_iter().collect::<Vec<_>>(), [Queue::High, Queue::Low]);
    }
}
