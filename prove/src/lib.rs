//! The chaos run: buyers and staff use a whole system while everything in it is killed, frozen, cut off and started
//! again. Then it comes to rest, and every promise is checked against what the clients remember.

mod buyers;
pub mod client;
pub mod cluster;
mod faults;
mod page;
pub mod plan;
mod report;
mod rest;
mod sabotage;
pub mod shop;
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

use crate::client::{Clients, Person};
use crate::cluster::{APIS, Cluster, STAFF, WORKERS};
use crate::faults::{Happened, inject};
use crate::report::Report;
use crate::sabotage::Sabotage;
use crate::shop::Shop;
use crate::verdict::Evidence;

const BUYERS: usize = 16;
/// When the faults are over, whoever has no answer yet goes on asking for so long.
const LAST_QUESTIONS: Duration = Duration::from_mins(1);
const PROGRESS: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub struct Settings {
    /// How long things go wrong
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    pub seconds: u64,
    /// Draws the same faults and choices again; another one each time, unless given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Damage something on purpose: the run must then fail, and say what is wrong. May be given several times
    #[arg(long, value_name = "KIND")]
    pub sabotage: Vec<Sabotage>,
    /// Let nothing go wrong
    #[arg(long)]
    pub calm: bool,
    /// Keep data and logs of a run that found nothing
    #[arg(long)]
    pub keep: bool,
    /// Where the report goes, into a folder named after the seed
    #[arg(long, default_value = ".dev/prove", value_name = "DIR")]
    pub report: PathBuf,
    /// Where the binaries are; beside this one, unless given
    #[arg(long, value_name = "DIR")]
    pub bins: Option<PathBuf>,
}

/// Answers whether all promises were kept.
pub async fn run(settings: &Settings) -> Result<bool> {
    let seed = settings.seed.unwrap_or_else(|| Rng::new().u64(..1_000_000_000));
    println!("Seed {seed}: ./dev prove --seconds {} --seed {seed} draws the same again", settings.seconds);
    let bins = match &settings.bins {
        Some(dir) => dir.clone(),
        None => std::env::current_exe()?.parent().expect("it is in a folder").to_owned(),
    };
    let cluster = Arc::new(Cluster::open(&std::env::temp_dir(), &bins, APIS, WORKERS).await?);
    println!("Logs and data: {}", cluster.home.dir.display());
    let done = live_through(settings, seed, &cluster).await;
    cluster.close().await?;
    let is_clean = done?.is_clean();
    if is_clean && !settings.keep {
        cluster.home.remove()?;
    } else {
        println!("Logs and data are kept: {}", cluster.home.dir.display());
    }
    Ok(is_clean)
}

/// One run from the opening of the shop to the verdict.
async fn live_through(settings: &Settings, seed: u64, cluster: &Arc<Cluster>) -> Result<Report> {
    let time = Duration::from_secs(settings.seconds);
    let clients = Arc::new(Clients::new(cluster.clone())?);
    let mut staff = clients.log_in(STAFF, seed).await?;
    let shop = Arc::new(Shop::open(&clients, &mut staff).await?);
    let buyers = register(&clients, seed).await?;

    let (begun, start) = (Utc::now(), Instant::now());
    let (open, is_open) = watch::channel(true);
    let mut people = JoinSet::new();
    people.spawn(shop::keep(clients.clone(), shop.clone(), staff.clone(), is_open.clone()));
    for (buyer, name) in buyers {
        people.spawn(buyers::buy(clients.clone(), shop.clone(), buyer, name, is_open.clone()));
    }
    let plan = if settings.calm { Vec::new() } else { plan::draw(seed, time) };
    println!("{BUYERS} buyers, {APIS} APIs, {WORKERS} workers; {} faults in {} s", plan.len(), settings.seconds);
    let faults = tokio::spawn(inject(cluster.clone(), start, plan));
    show_progress(&clients, &faults, start, time).await;
    let faults: Vec<Happened> = faults.await??;
    let ended = Utc::now();

    println!("The faults are over; the shop closes, and everything comes to its end");
    clients.until.send_replace(Some(Instant::now() + LAST_QUESTIONS));
    open.send_replace(false);
    people.join_all().await;
    let remembered = clients.memory().order_ids();
    for sabotage in settings.sabotage.iter().filter(|kind| kind.is_before_rest()) {
        sabotage.commit(cluster, &remembered).await?;
    }
    let (rest, left) = rest::come_to_rest(cluster, &clients, &mut staff).await?;
    for sabotage in settings.sabotage.iter().filter(|kind| !kind.is_before_rest()) {
        sabotage.commit(cluster, &remembered).await?;
    }

    let ended_by_themselves = cluster.ended_by_themselves().await?;
    let evidence = Evidence { cluster, clients: &clients, faults: &faults, open: &left, ended_by_themselves };
    let (verdict, recoveries) = verdict::reach(&evidence, &mut staff).await?;
    let run = report::Run { seed, seconds: settings.seconds, sabotage: settings.sabotage.clone(), begun, ended, rest };
    let report = Report::write(run, &evidence, verdict, recoveries).await?;
    report.print();
    page::save(&report, &settings.report.join(seed.to_string()))?;
    Ok(report)
}

async fn register(clients: &Clients, seed: u64) -> Result<Vec<(Person, String)>> {
    let mut buyers = Vec::new();
    for number in 0..BUYERS {
        let name = format!("buyer-{number}");
        let dice = seed.wrapping_add(1 + number as u64);
        buyers.push((clients.register(&format!("{name}@prove.test"), dice).await?, name));
    }
    Ok(buyers)
}

/// Says every few seconds how it goes, until the time is over and everything is put right.
async fn show_progress<T>(clients: &Clients, faults: &tokio::task::JoinHandle<T>, start: Instant, time: Duration) {
    let mut tick = interval(PROGRESS);
    tick.tick().await;
    while start.elapsed() < time || !faults.is_finished() {
        tokio::select! {
            _ = tick.tick() => {
                let memory = clients.memory();
                println!(
                    "{:>5.0} s: {} orders placed, {} answers, {} times no answer",
                    start.elapsed().as_secs_f64(),
                    memory.placed_at.len(),
                    memory.answers.values().sum::<u64>(),
                    memory.unanswered,
                );
            }
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
}
