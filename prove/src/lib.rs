//! The chaos run. Buyers and staff use a whole system while its processes and servers are killed, frozen, disconnected
//! and restarted. Afterwards it waits until all work is done, and checks every promise against what the clients were
//! answered.

mod buyers;
pub mod catalog;
pub mod client;
pub mod cluster;
mod drain;
mod faults;
mod feed;
mod hooks;
mod page;
pub mod plan;
mod report;
mod sabotage;
mod staff;
mod storefront;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use chrono::Utc;
use clap::Args;
use fastrand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use uuid::Uuid;

use crate::buyers::Buyer;
use crate::catalog::Catalog;
use crate::client::Clients;
use crate::cluster::{APIS, Cluster, STAFF, WORKERS};
use crate::faults::{InjectedFault, inject};
use crate::feed::FeedReader;
use crate::report::Report;
use crate::sabotage::Sabotage;
use crate::verdict::{Evidence, Webhooks};

const BUYERS: usize = 16;
/// How long clients repeat unanswered requests after the last fault.
const LAST_REPEATS: Duration = Duration::from_mins(1);
const PROGRESS: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Settings {
    /// How long faults are injected, in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    pub seconds: u64,
    /// Draws the same faults and the same random choices again. Without it the seed is random
    #[arg(long)]
    pub seed: Option<u64>,
    /// Damages the data on purpose. The run must then fail and name the damage. May be given several times
    #[arg(long, value_name = "KIND")]
    pub sabotage: Vec<Sabotage>,
    /// Injects no faults
    #[arg(long)]
    pub calm: bool,
    /// Keeps the data and logs of a run without violations
    #[arg(long)]
    pub keep: bool,
    /// The folder for the report, which gets a subfolder named after the seed
    #[arg(long, default_value = ".dev/prove", value_name = "DIR")]
    pub report: PathBuf,
    /// The folder of the binaries. Default: the folder of this program
    #[arg(long, value_name = "DIR")]
    pub bins: Option<PathBuf>,
}

/// Returns true if all promises were kept.
pub async fn run(settings: &Settings) -> Result<bool> {
    let seed = settings.seed.unwrap_or_else(|| Rng::new().u64(..1_000_000_000));
    println!("Seed {seed}: ./dev prove --seconds {} --seed {seed} repeats the same random choices", settings.seconds);
    let bins = match &settings.bins {
        Some(dir) => dir.clone(),
        None => std::env::current_exe()?.parent().expect("the program is in a folder").to_owned(),
    };
    let cluster = Arc::new(Cluster::open(&std::env::temp_dir(), &bins, APIS, WORKERS).await?);
    println!("Logs and data: {}", cluster.home.dir.display());
    let done = run_on(settings, seed, &cluster).await;
    cluster.close().await?;
    let is_clean = done?.is_clean();
    if is_clean && !settings.keep {
        cluster.home.remove()?;
    } else {
        println!("Logs and data are kept: {}", cluster.home.dir.display());
    }
    Ok(is_clean)
}

/// One run, from creating the products to the verdict.
async fn run_on(settings: &Settings, seed: u64, cluster: &Arc<Cluster>) -> Result<Report> {
    let time = Duration::from_secs(settings.seconds);
    let clients = Arc::new(Clients::new(cluster.clone())?);
    let mut staff = clients.log_in(STAFF, seed).await?;
    let catalog = Arc::new(Catalog::open(&clients, &mut staff).await?);
    let receiver = hooks::open(&clients, &mut staff).await?;
    let storefront = storefront::open(&clients, &mut staff, seed).await?;
    let reader = FeedReader::new(clients.clone(), storefront.me.clone());
    let mut buyers = register(&clients, seed).await?;
    buyers.push(storefront);

    let (begun, start) = (Utc::now(), Instant::now());
    let (open, is_open) = watch::channel(true);
    let mut people = JoinSet::new();
    let reading = tokio::spawn(reader.read(is_open.clone()));
    people.spawn(staff::work(clients.clone(), catalog.clone(), staff.clone(), is_open.clone()));
    for buyer in buyers {
        people.spawn(buyers::buy(clients.clone(), catalog.clone(), buyer, is_open.clone()));
    }
    let plan = if settings.calm { Vec::new() } else { plan::draw(seed, time) };
    println!(
        "{BUYERS} buyers, a storefront with an API key, {APIS} APIs, {WORKERS} workers; {} faults in {} s",
        plan.len(),
        settings.seconds
    );
    let faults = tokio::spawn(inject(cluster.clone(), start, plan));
    show_progress(&clients, &faults, start, time).await;
    let faults: Vec<InjectedFault> = faults.await??;
    let ended = Utc::now();

    println!("The faults have ended. Buyers stop, and the workers finish all open work");
    clients.until.send_replace(Some(Instant::now() + LAST_REPEATS));
    open.send_replace(false);
    people.join_all().await;
    let mut feed = reading.await?;
    let remembered = clients.history().order_ids();
    sabotage(settings, cluster, &remembered, true).await?;
    let (rest, left) = drain::wait_until_done(cluster, &clients, &mut staff).await?;
    let undelivered = hooks::wait_until_delivered(cluster).await?;
    sabotage(settings, cluster, &remembered, false).await?;

    feed.finish(cluster).await?;
    let ended_by_themselves = cluster.ended_by_themselves().await?;
    let webhooks = Webhooks { receiver: &receiver, undelivered };
    let evidence = Evidence {
        cluster,
        clients: &clients,
        faults: &faults,
        open: &left,
        feed: &feed,
        webhooks,
        ended_by_themselves,
    };
    let (verdict, recoveries) = verdict::check(&evidence, &mut staff).await?;
    let run = report::Run { seed, seconds: settings.seconds, sabotage: settings.sabotage.clone(), begun, ended, rest };
    let report = Report::write(run, &evidence, verdict, recoveries).await?;
    report.print();
    page::save(&report, &settings.report.join(seed.to_string()))?;
    Ok(report)
}

/// Damages the data as asked, before or after all open work is done.
async fn sabotage(settings: &Settings, cluster: &Cluster, orders: &[Uuid], before_rest: bool) -> Result<()> {
    for kind in settings.sabotage.iter().filter(|kind| kind.is_before_rest() == before_rest) {
        kind.apply(cluster, orders).await?;
    }
    Ok(())
}

async fn register(clients: &Clients, seed: u64) -> Result<Vec<Buyer>> {
    let mut buyers = Vec::new();
    for number in 0..BUYERS {
        let name = format!("buyer-{number}");
        let rng = seed.wrapping_add(1 + number as u64);
        let me = clients.register(&format!("{name}@prove.test"), rng).await?;
        buyers.push(Buyer { me, name, customer_id: None });
    }
    Ok(buyers)
}

/// Prints the progress every 5 seconds, until the time is over and all faults have ended.
async fn show_progress<T>(clients: &Clients, faults: &tokio::task::JoinHandle<T>, start: Instant, time: Duration) {
    let mut tick = interval(PROGRESS);
    tick.tick().await;
    while start.elapsed() < time || !faults.is_finished() {
        tokio::select! {
            _ = tick.tick() => {
                let history = clients.history();
                println!(
                    "{:>5.0} s: {} orders placed, {} answers, {} requests without an answer",
                    start.elapsed().as_secs_f64(),
                    history.placed_at.len(),
                    history.answers.values().sum::<u64>(),
                    history.unanswered,
                );
            }
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
}
