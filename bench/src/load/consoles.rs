//! `./dev bench console`: what a hundred open consoles cost, beside one and none, while orders come in and the queues hold
//! millions of jobs. Each console does what the page's scripts do: it follows the stream and reads the overview again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Client, redirect};
use servers::home::Home;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::generator::Load;
use super::requests::{self, Buying};
use super::system::{System, statements};
use super::usage;
use crate::fill;
use crate::report::say;

const CONSOLES: usize = 100;
/// A shop of 400,000 orders a day.
const ORDERS_PER_SECOND: u16 = 5;
/// A page asks for itself again at most this often, and by chance up to `JITTER` later (`web/src/assets/live.js`).
const REST: Duration = Duration::from_secs(2);
const JITTER: u32 = 500;

/// The aims of the specification.
const MOST_CPU_PERCENT: f64 = 5.0;
const SLOWEST_STATEMENT_MS: f64 = 250.0;
const PAGE_MS: f64 = 25.0;
const FIRST_VISIT_KB: f64 = 120.0;

#[derive(Debug, Args)]
pub struct ConsoleSettings {
    /// How long each of the three phases is measured
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u16).range(5..=600))]
    seconds: u16,
    /// So many jobs are ready, and as many are dead
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1000..))]
    jobs: u32,
    /// Where millrace-api is, built for speed
    #[arg(long, default_value = "target/release", value_name = "DIR")]
    bins: PathBuf,
}

/// What so many consoles cost.
struct Phase {
    consoles: usize,
    seconds: f64,
    statements_per_second: f64,
    /// Of one core, by the API process.
    cpu_percent: f64,
    slowest_statement_ms: f64,
    slowest_statement: String,
    /// What was called most, with its calls a second.
    frequent: Vec<(f64, String)>,
    /// How long each answer took, in order.
    pages: Vec<Duration>,
}

/// Answers whether all aims are met.
pub async fn run(settings: &ConsoleSettings) -> Result<bool> {
    Home::during(async |home| measure(home, settings).await).await
}

async fn measure(home: &Home, settings: &ConsoleSettings) -> Result<bool> {
    say("starting Postgres and Redis, and creating 10,000 products");
    let system = System::start(home, &settings.bins.canonicalize()?).await?;
    say(format!("writing {0} jobs that are ready and {0} that are dead", settings.jobs));
    write_jobs(&system.main.db, settings.jobs).await?;
    system.main.count_statements(true).await?;
    let (api, addr) = system.api(&system.main, &[]).await?;
    let pid = api.pid().context("the API has ended")?;
    fill::create_users(&system.main.url.as_str().into()).await?;
    let buyers = requests::buyers(addr).await?;
    let staff = Staff::sign_in(addr).await?;
    let first_visit_kb = staff.first_visit().await?;
    let orders = Load {
        addr,
        connections: 4,
        expected: 201,
        ask: system.main.products.orders(Buying::Spread, &buyers),
        pace: Some(Arc::new(Semaphore::new(0))),
    };
    let measuring = async {
        let mut phases = Vec::new();
        for consoles in [0, 1, CONSOLES] {
            say(format!("{consoles} consoles for {} s", settings.seconds));
            let time = Duration::from_secs(settings.seconds.into());
            phases.push(phase(&system.main.db, &staff, pid, consoles, time).await?);
        }
        anyhow::Ok(phases)
    };
    let (phases, ordered) = orders.during(Instant::now(), orders.keep_pace(ORDERS_PER_SECOND, measuring)).await?;
    let phases = phases?;
    ensure!(ordered.errors == 0, "{} orders were refused", ordered.errors);
    drop(api);
    system.stop().await?;
    Ok(show(&phases, first_visit_kb))
}

/// Half of them wait, and half died of one of 50 errors.
async fn write_jobs(db: &PgPool, count: u32) -> Result<()> {
    let sql = format!(
        "begin;
         set local statement_timeout = 0;
         insert into jobs (queue, kind, args, max_attempt, run_at)
         select (array['high', 'default', 'low'])[1 + n % 3]::queue, 'noop', '{{}}', 8, now() + interval '1 second' * (n % 3600)
           from generate_series(1, {count}) n;
         insert into jobs (queue, kind, args, state, attempt, max_attempt, finished_at, error, error_fingerprint)
         select 'default', 'noop', '{{}}', 'dead', 8, 8, now() - interval '1 second' * (n % 86400), 'error ' || n % 50, md5((n % 50)::text)
           from generate_series(1, {count}) n;
         commit;
         analyze jobs;"
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

async fn phase(db: &PgPool, staff: &Staff, api: u32, consoles: usize, time: Duration) -> Result<Phase> {
    let from = Instant::now() + REST * 2;
    let end = from + time;
    let mut open = JoinSet::new();
    for number in 0..consoles {
        // Spread evenly, as chance does.
        let jitter = Duration::from_millis((number * 37) as u64 % u64::from(JITTER));
        open.spawn(staff.clone().follow(REST + jitter, from, end));
    }
    tokio::time::sleep_until(from.into()).await;
    sqlx::raw_sql("select pg_stat_statements_reset()").execute(db).await?;
    let (statements_before, cpu_before) = (statements(db).await?, usage::of(api)?.cpu_seconds);
    tokio::time::sleep_until(end.into()).await;
    let seconds = time.as_secs_f64();
    let statements_per_second = (statements(db).await? - statements_before) / seconds;
    let cpu_percent = (usage::of(api)?.cpu_seconds - cpu_before) / seconds * 100.0;
    let (slowest_statement_ms, slowest_statement) = slowest(db).await?;
    let frequent = frequent(db, seconds).await?;
    let mut pages = Vec::new();
    while let Some(console) = open.join_next().await {
        pages.extend(console??);
    }
    pages.sort_unstable();
    Ok(Phase {
        consoles,
        seconds,
        statements_per_second,
        cpu_percent,
        slowest_statement_ms,
        slowest_statement,
        frequent,
        pages,
    })
}

async fn slowest(db: &PgPool) -> Result<(f64, String)> {
    let sql = "select max_exec_time, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) from pg_stat_statements
                where dbid = (select oid from pg_database where datname = current_database()) and query not like '%pg_stat_statements%'
                order by max_exec_time desc limit 1";
    Ok(sqlx::query_as(sql).fetch_optional(db).await?.unwrap_or_default())
}

async fn frequent(db: &PgPool, seconds: f64) -> Result<Vec<(f64, String)>> {
    let sql = "select calls::float8 / $1, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) from pg_stat_statements
                where dbid = (select oid from pg_database where datname = current_database()) order by calls desc limit 12";
    Ok(sqlx::query_as(sql).bind(seconds).fetch_all(db).await?)
}

/// Somebody who is signed in to the console.
#[derive(Clone)]
struct Staff {
    http: Client,
    site: String,
    cookie: String,
}

impl Staff {
    async fn sign_in(api: SocketAddr) -> Result<Self> {
        let http = Client::builder().redirect(redirect::Policy::none()).build()?;
        let site = format!("http://{api}");
        let body = format!("email={}&password={}", fill::STAFF.replace('@', "%40"), fill::PASSWORD.replace(' ', "+"));
        let request = http.post(format!("{site}/console/signin")).header(ORIGIN, &site).body(body);
        let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await?;
        let cookie = answer.headers().get(SET_COOKIE).and_then(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookie = cookie.with_context(|| format!("no sign-in: {}", answer.status()))?.to_owned();
        Ok(Self { http, site, cookie })
    }

    /// Reads the overview whenever the stream says that something has changed. Returns how long each answer took.
    async fn follow(self, rest: Duration, from: Instant, until: Instant) -> Result<Vec<Duration>> {
        let stream = self.http.get(format!("{}/console/live", self.site)).header(COOKIE, &self.cookie);
        let mut stream = stream.send().await?.error_for_status()?;
        let mut took = Vec::new();
        while let Ok(heard) = tokio::time::timeout_at(until.into(), stream.chunk()).await
            && Instant::now() < until
        {
            if heard?.is_none() {
                // The server ends a stream after a minute.
                let again = self.http.get(format!("{}/console/live", self.site)).header(COOKIE, &self.cookie);
                stream = again.send().await?.error_for_status()?;
                continue;
            }
            let start = Instant::now();
            self.get("/console").await?;
            if start >= from {
                took.push(start.elapsed());
            }
            tokio::time::sleep(rest).await;
        }
        Ok(took)
    }

    /// The bytes of an answer's body on the wire.
    async fn get(&self, path: &str) -> Result<usize> {
        let request = self.http.get(format!("{}{path}", self.site)).header(COOKIE, &self.cookie);
        let answer = request.header(ACCEPT, "text/html").header(ACCEPT_ENCODING, "gzip").send().await?;
        ensure!(answer.status() == 200, "{path} answered {}", answer.status());
        Ok(answer.bytes().await?.len())
    }

    /// The overview with everything that it loads, in kB on the wire.
    async fn first_visit(&self) -> Result<f64> {
        let page = self.text("/console").await?;
        let mut files = links(&page, &["href=\"", "src=\""]);
        let mut at = 0;
        while at < files.len() {
            let file = files[at].clone();
            at += 1;
            let Some((folder, name)) = file.rsplit_once('/') else { continue };
            if Path::new(name).extension().is_none_or(|kind| kind != "js") {
                continue;
            }
            for module in links(&self.text(&file).await?, &["from \"./", "import \"./"]) {
                let module = format!("{folder}/{module}");
                if !files.contains(&module) {
                    files.push(module);
                }
            }
        }
        let mut bytes = self.get("/console").await?;
        for file in &files {
            bytes += self.get(file).await?;
        }
        Ok(f64::from(u32::try_from(bytes)?) / 1000.0)
    }

    async fn text(&self, path: &str) -> Result<String> {
        let request = self.http.get(format!("{}{path}", self.site)).header(COOKIE, &self.cookie);
        Ok(request.header(ACCEPT, "text/html").send().await?.error_for_status()?.text().await?)
    }
}

/// The files that a text names after one of these marks: our own, and each once.
fn links(text: &str, marks: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for mark in marks {
        for rest in text.split(mark).skip(1) {
            let link = rest.split('"').next().unwrap_or_default().to_owned();
            let is_file = link.starts_with("/assets/") || mark.ends_with("./");
            if is_file && !found.contains(&link) {
                found.push(link);
            }
        }
    }
    found
}

/// Prints the table, and answers whether it is good.
fn show(phases: &[Phase], first_visit_kb: f64) -> bool {
    println!("\n{ORDERS_PER_SECOND} orders a second, open consoles          |        0 |        1 |      {CONSOLES}");
    let row = |what: &str, of: &dyn Fn(&Phase) -> String| {
        let cells: Vec<String> = phases.iter().map(|phase| format!("{:>8}", of(phase))).collect();
        println!("{what:<42} | {}", cells.join(" | "));
    };
    let rate = |phase: &Phase| f64::from(u32::try_from(phase.pages.len()).unwrap_or(u32::MAX)) / phase.seconds;
    let p95 = |phase: &Phase| {
        let at = phase.pages.len() * 95 / 100;
        phase.pages.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0)
    };
    row("statements a second", &|phase| format!("{:.1}", phase.statements_per_second));
    row("CPU of the API, % of a core", &|phase| format!("{:.1}", phase.cpu_percent));
    row("slowest statement, ms", &|phase| format!("{:.1}", phase.slowest_statement_ms));
    row("pages read a second", &|phase| format!("{:.1}", rate(phase)));
    row("95 of 100 pages within, ms", &|phase| format!("{:.1}", p95(phase)));
    println!("first visit with all its files: {first_visit_kb:.1} kB");
    let [none, one, many] = phases else { return false };
    for phase in phases {
        println!("slowest with {}: {}", phase.consoles, phase.slowest_statement);
    }
    println!("statements a second with {}:", many.consoles);
    for (rate, statement) in &many.frequent {
        println!("{rate:8.1}  {statement}");
    }
    let cost = |phase: &Phase| phase.statements_per_second - none.statements_per_second;
    let cpu = many.cpu_percent - none.cpu_percent;
    let aims = [
        (
            "100 consoles cause at most as many statements as one, and one a page",
            cost(many) <= cost(one) + rate(many) + 1.0,
        ),
        ("they take at most 5 % of a core", cpu <= MOST_CPU_PERCENT),
        ("no statement takes 250 ms", many.slowest_statement_ms <= SLOWEST_STATEMENT_MS),
        ("95 of 100 pages take 25 ms at most", p95(many) <= PAGE_MS),
        ("a first visit is 120 kB at most", first_visit_kb <= FIRST_VISIT_KB),
    ];
    for (aim, met) in aims {
        println!("{} {aim}", if met { "yes" } else { "NO " });
    }
    aims.iter().all(|(_, met)| *met)
}
