//! `./dev bench soak`: honest clients place orders while hostile clients try to take the API down. Shows what the honest
//! ones notice. The limits of the API are those of production; everything stays on the loopback network.

mod attack;
mod honest;
mod tls;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use servers::home::Home;

use self::attack::{Attack, Came, KINDS};
use self::honest::{CLIENTS, Client, Met};
use self::tls::{Certificate, Target};
use super::system::System;
use super::usage;
use crate::report::say;

/// Under attack, 99 of 100 orders may take so many times as long as without it.
const RATIO: f64 = 3.0;

#[derive(Debug, Args)]
pub struct SoakSettings {
    /// How long the attack takes. Before it, the honest clients are alone for a third of that time, at most two minutes
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=30))]
    minutes: u8,
    /// Where millrace-api is, built for speed
    #[arg(long, default_value = "target/release", value_name = "DIR")]
    bins: PathBuf,
}

/// Answers whether the honest clients were served as they should be.
pub async fn run(settings: &SoakSettings) -> Result<bool> {
    Home::during(async |home| soak(home, settings).await).await
}

async fn soak(home: &Home, settings: &SoakSettings) -> Result<bool> {
    say("starting Postgres and Redis, and filling a shop of 10,000 products");
    let system = System::start(home, &settings.bins.canonicalize()?).await?;
    let certificate = Certificate::make(&home.dir).await?;
    let path = |path: &PathBuf| path.to_str().map(str::to_owned).context("the temporary folder has a strange name");
    let (cert, key) = (path(&certificate.cert)?, path(&certificate.key)?);
    let limits = [
        ("RATE_LIMITS", "on"),
        ("MAX_CONNECTIONS_PER_ADDRESS", "512"),
        ("TLS_CERT", cert.as_str()),
        ("TLS_KEY", key.as_str()),
    ];
    let (api, addr) = system.api(&system.main, &limits).await?;
    let pid = api.pid().context("the API has ended")?;
    let target = Target::new(addr, &certificate)?;
    say(format!("{CLIENTS} honest clients make accounts"));
    let clients = honest::sign_up(&target, &system.main.products).await?;

    let attacked = Duration::from_mins(settings.minutes.into());
    let alone = (attacked / 3).min(Duration::from_mins(2));
    say(format!("they place orders for {alone:?} without an attack"));
    let before = phase(&clients, alone, pid).await?;
    say(format!("and for {attacked:?} under the attack"));
    let attack = Attack::start(&target);
    let during = phase(&clients, attacked, pid).await?;
    let came = attack.stop().await?;
    drop(api);
    system.stop().await?;

    Ok(show(&before, &during, &came))
}

/// What the honest clients met, and the most memory that the API had meanwhile.
struct Phase {
    met: Met,
    memory_mib: f64,
}

async fn phase(clients: &[Client], time: Duration, api: u32) -> Result<Phase> {
    let mut memory_mib = 0.0_f64;
    let mut pulse = tokio::time::interval(Duration::from_secs(1));
    let watch = async {
        while let Ok(usage) = usage::of(api) {
            memory_mib = memory_mib.max(usage.memory_mib);
            pulse.tick().await;
        }
    };
    let met = tokio::select! {
        met = honest::place_orders(clients, time) => met?,
        () = watch => bail!("the API has ended"),
    };
    Ok(Phase { met, memory_mib })
}

/// Prints what came of it, and answers whether it is good.
fn show(before: &Phase, during: &Phase, came: &[Came; 4]) -> bool {
    println!("\n{CLIENTS} honest clients, an order each second  |    alone | under attack");
    let row = |what: &str, of: &dyn Fn(&Phase) -> String| {
        println!("{what:<42} | {:>8} | {:>12}", of(before), of(during));
    };
    row("orders placed", &|phase| phase.met.placed().to_string());
    row("half of them within, ms", &|phase| format!("{:.1}", phase.met.percentile(50)));
    row("99 of 100 within, ms", &|phase| format!("{:.1}", phase.met.percentile(99)));
    row("refused or not answered", &|phase| phase.met.refused.values().sum::<u64>().to_string());
    row("resident memory of the API at most, MiB", &|phase| format!("{:.0}", phase.memory_mib));
    for (why, count) in before.met.refused.iter().chain(&during.met.refused) {
        println!("  {count} honest requests: {why}");
    }
    println!("\nattackers");
    for (kind, came) in KINDS.iter().zip(came) {
        let figure = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        println!(
            "{:>4} {:<30} {:>6} connections opened, {:>6} closed by the API",
            kind.count(),
            kind.name(),
            figure(&came.opened),
            figure(&came.ended),
        );
        if figure(&came.served) + figure(&came.refused) > 0 {
            println!("     their requests: {} served, {} refused", figure(&came.served), figure(&came.refused));
        }
    }
    let ratio = during.met.percentile(99) / before.met.percentile(99).max(f64::EPSILON);
    let refused = before.met.refused.len() + during.met.refused.len();
    let good = refused == 0 && ratio < RATIO && during.met.placed() > 0;
    println!(
        "\nUnder attack 99 of 100 orders took {ratio:.1} times as long (aim: less than {RATIO}); nothing refused: {}. {}",
        if refused == 0 { "yes" } else { "NO" },
        if good { "Good." } else { "NOT good." },
    );
    good
}
