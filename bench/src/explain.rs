//! Runs the real statements of the real API and checks the plans that Postgres used.
//!
//! The API serves in this process. Its connections have `auto_explain` on, which sends each plan back as a notice. sqlx
//! gives notices to `tracing`, where we read them.

mod cases;
mod graphql;
mod names;
pub mod plans;
mod webhooks;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use api::serve::Listeners;
use clap::Parser;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use shared::page::{Page, Position};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;

use self::cases::{ACCEPTED, Case, FROM_MEMORY, Sorted, User, cases};
use self::plans::{Plans, Statement};
use crate::fill;

/// Signs the tokens of one run.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

/// Makes Postgres send the plan of each statement.
pub const AUTO_EXPLAIN: &[(&str, &str)] = &[
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    // We count rows. Reading the clock for each row would slow down the statements.
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_level", "notice"),
];

/// The fastest of these runs counts, because other processes slow down some of them.
const RUNS: usize = 3;

/// The deep page, which must cost what the first one costs. For a shorter list it is the middle.
const DEEP_PAGE: i64 = 10_000;
const PAGE: u32 = 50;

/// Two pages differ a little in cost. A plan that reads the skipped rows costs far more.
const DEEP_COSTS_AT_MOST: f64 = 1.5;

/// Rows that a statement may read, and pages of 8 kB that it may touch, for each row of the answer. An order has a
/// customer, items and a job, each found through an index of three or four levels.
const ROWS_EACH: u32 = 60;
const BUFFERS_EACH: u32 = 30;
/// Added to both limits, whatever the answer.
const AT_LEAST: u32 = 100;

/// A search may cost more. No index both finds a word or a price and has the products in the order of the list. So
/// Postgres reads all matches, or reads along the list until it has found enough. That takes about 30 ms.
const SEARCH_ROWS: u32 = 200_000;
const SEARCH_BUFFERS: u32 = 12_000;

/// With fewer rows, a read that grows with the shop may stay within the limits.
const A_MILLION_ORDERS: &str = "select reltuples > 9e5 from pg_class where oid = 'orders'::regclass";

/// Returns true if no statement violates a limit.
pub async fn run(url: &SecretString, json: Option<&Path>) -> anyhow::Result<bool> {
    let db = PgPool::connect(url.expose_secret()).await.context("DATABASE_URL")?;
    let is_superuser = "select rolsuper from pg_roles where rolname = current_user";
    let is_superuser: bool = sqlx::query_scalar(is_superuser).fetch_one(&db).await?;
    ensure!(is_superuser, "only a superuser may switch auto_explain on");
    let mut bench = Bench::start(url, db).await?;
    let mut measured = bench.log_in().await?;
    let cases: Vec<Case> = cases().into_iter().chain(webhooks::cases()).chain(graphql::cases()).collect();
    for case in &cases {
        eprint!("\r{:<100.100}", case.path);
        measured.extend(bench.measure(case).await.with_context(|| case.path.to_owned())?);
    }
    eprint!("\r{:<100}\r", "");

    print!("{}", table(&measured));
    let (accepted, judged): (Vec<&Measured>, Vec<&Measured>) = measured.iter().partition(|one| one.is_accepted());
    let mut violations: Vec<String> = judged.iter().flat_map(|one| one.violations()).collect();
    violations.extend(bench.not_asked(&cases).await?);
    println!();
    let is_full: bool = sqlx::query_scalar(A_MILLION_ORDERS).fetch_one(&bench.db).await?;
    for (path, why) in ACCEPTED {
        println!("accepted: {path}: {why}");
        if is_full && accepted.iter().filter(|one| one.request.ends_with(path)).all(|one| one.violations().is_empty()) {
            violations.push(format!("{path} stays within the limits: remove it from ACCEPTED"));
        }
    }
    for violation in &violations {
        println!("FAILED: {violation}");
    }
    println!("{} requests, {} violations", measured.len(), violations.len());
    if let Some(file) = json {
        serde_json::to_writer_pretty(File::create(file)?, &json!({ "requests": measured, "violations": violations }))?;
    }
    Ok(violations.is_empty())
}

/// One request, with every statement that it ran.
#[derive(Debug, Serialize)]
struct Measured {
    user: User,
    request: String,
    page: i64,
    /// Buffers and time of this page, divided by those of the first page.
    of_first: Option<(f64, f64)>,
    http_ms: f64,
    statements: Vec<Statement>,
    /// The page size.
    limit: u32,
    search: bool,
    /// The answer, if it was an error, such as a statement timeout.
    refused: Option<String>,
}

struct Bench {
    plans: Plans,
    /// Without `auto_explain`.
    db: PgPool,
    /// The API's own pool.
    pool: PgPool,
    url: String,
    http: reqwest::Client,
    tokens: BTreeMap<User, String>,
    /// The values of `{name}` in the cases.
    names: Vec<(&'static str, String)>,
    large_tables: Vec<String>,
}

impl Bench {
    async fn start(url: &SecretString, db: PgPool) -> anyhow::Result<Self> {
        let plans = Plans::listen()?;
        let url = explaining(url.expose_secret());
        let fixed = ["millrace-api", "--database-url", &url, "--jwt-private-key", KEY, "--rate-limits", "off"];
        // A cache would answer the second request, and it polls the database by itself.
        let settings = ["--cache", "off", "--webhook-master-key", "a master key that everybody may know"];
        let cli = api::config::Cli::try_parse_from(fixed.into_iter().chain(settings))?;
        let state = api::serve::state(&cli.common, cli.serve)?;
        let pool = state.db.clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (api, metrics) = (TcpListener::bind(any).await?, TcpListener::bind(any).await?);
        let url = format!("http://{}", api.local_addr()?);
        tokio::spawn(api::serve::serve_on(Listeners { api, metrics, console: None }, state));

        let large_tables = sqlx::query_scalar(
            "select relname::text from pg_class where relkind = 'r' and reltuples >= 10000 and relnamespace = 'public'::regnamespace",
        );
        let large_tables: Vec<String> = large_tables.fetch_all(&db).await?;
        if !large_tables.iter().any(|table| table == "orders") {
            bail!("the database is not filled; run `millrace-bench fill` first");
        }
        let names = names(&db).await?;
        let http = reqwest::Client::new();
        Ok(Self { plans, db, pool, url, http, tokens: BTreeMap::new(), names, large_tables })
    }

    /// Logs all users in. The login, the refresh and the first request of a session are measured too.
    async fn log_in(&mut self) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for (user, email) in [
            (User::Staff, fill::STAFF),
            (User::Admin, fill::ADMIN),
            (User::HotCustomer, "{hot_email}"),
            (User::Customer, "{email}"),
        ] {
            let body = json!({ "email": self.named(email), "password": fill::PASSWORD });
            let (login, tokens) = self.once(User::Anyone, Method::POST, "/v1/auth/login", Some(body)).await?;
            let body = json!({ "refresh_token": tokens["refresh_token"] });
            let (refresh, tokens) = self.once(User::Anyone, Method::POST, "/v1/auth/refresh", Some(body)).await?;
            let token = tokens["access_token"].as_str().context("a refresh answers with a token")?;
            self.tokens.insert(user, token.to_owned());
            let (me, _) = self.once(user, Method::GET, "/v1/me", None).await?;
            measured = vec![login, refresh, me]; // The last round, that of the customer, is kept.
        }
        Ok(measured)
    }

    async fn measure(&self, case: &Case) -> anyhow::Result<Vec<Measured>> {
        let path = self.named(case.path);
        if let Some(body) = case.body {
            let body = serde_json::from_str(&self.named(body))?;
            return Ok(vec![self.once(case.user, Method::POST, &path, Some(body)).await?.0]);
        }
        let first = self.fastest(case, &path).await?;
        let Some((page, cursor)) = self.deep_page(case, &path).await? else { return Ok(vec![first]) };
        let separator = if path.contains('?') { '&' } else { '?' };
        let deep = self.fastest(case, &format!("{path}{separator}cursor={cursor}")).await?;
        let of_first = (ratio(deep.buffers(), first.buffers()), ratio(deep.ms(), first.ms()));
        let deep = Measured { request: first.request.clone(), page, of_first: Some(of_first), ..deep };
        Ok(vec![first, deep])
    }

    async fn fastest(&self, case: &Case, path: &str) -> anyhow::Result<Measured> {
        let mut fastest: Option<Measured> = None;
        for _ in 0..RUNS {
            let (run, _) = self.once(case.user, Method::GET, path, None).await?;
            if fastest.as_ref().is_none_or(|fastest| run.ms() < fastest.ms()) {
                fastest = Some(run);
            }
        }
        let fastest = fastest.expect("RUNS is not zero");
        Ok(Measured { request: format!("GET {}", case.path), search: case.search, ..fastest })
    }

    async fn once(
        &self,
        user: User,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(Measured, Value)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(token) = self.tokens.get(&user) {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.plans.take();
        let start = Instant::now();
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        let http_ms = start.elapsed().as_secs_f64() * 1000.0;
        self.settled().await?;
        let limit = path.split(['?', '&']).find_map(|pair| pair.strip_prefix("limit=")).map(str::parse);
        let limit = match path {
            // Every edge has a node, and what lies below it is read for all of them at once.
            "/v1/graphql" => u32::try_from(body.matches(r#""node":"#).count())?.max(1),
            _ if body.starts_with(r#"{"data":"#) => limit.transpose()?.unwrap_or(PAGE),
            _ => 1,
        };
        let plans = self.plans.take();
        // sqlx reads the catalog for types once per connection.
        let plans = plans.iter().filter(|plan| !plan.contains("pg_catalog"));
        let statements = plans.map(|plan| Statement::read(plan, &self.large_tables)).collect::<Result<_, _>>()?;
        let request = format!("{method} {path}");
        let refused = (!status.is_success()).then(|| body.clone());
        let measured =
            Measured { user, request, page: 1, of_first: None, http_ms, statements, limit, search: false, refused };
        Ok((measured, serde_json::from_str(&body)?))
    }

    /// Waits until all connections of the API are idle. A plan may arrive after the answer.
    async fn settled(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.pool.num_idle() < self.pool.size() as usize {
            ensure!(Instant::now() < deadline, "a connection of the API stays busy");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// A page far into the list, and the cursor that leads there. None if the list is shorter than two pages.
    async fn deep_page(&self, case: &Case, path: &str) -> anyhow::Result<Option<(i64, String)>> {
        let Some(Sorted { rows, by, rank }) = case.sorted else { return Ok(None) };
        let rows = self.named(rows);
        let count = AssertSqlSafe(format!("select count(*) from {rows}"));
        let count: i64 = sqlx::query_scalar(count).fetch_one(&self.db).await?;
        let page = DEEP_PAGE.min(count / i64::from(PAGE) / 2);
        if page < 2 {
            return Ok(None);
        }
        let last = AssertSqlSafe(format!("select ({rank})::bigint, id from {rows} order by {by} offset $1 limit 1"));
        let (rank, id) = sqlx::query_as(last).bind((page - 1) * i64::from(PAGE) - 1).fetch_one(&self.db).await?;
        Ok(Some((page, cursor(path, Position { rank, id })?)))
    }

    fn named(&self, text: &str) -> String {
        named(text, &self.names)
    }

    /// Read routes without a case. Every new route needs one.
    async fn not_asked(&self, cases: &[Case]) -> anyhow::Result<Vec<String>> {
        let document: Value = self.http.get(format!("{}/openapi.json", self.url)).send().await?.json().await?;
        let paths = document["paths"].as_object().context("the document has paths")?;
        let asked = |path: &str| {
            let same = |a: &str, b: &str| a == b || (a.starts_with('{') && b.starts_with('{'));
            let cases = cases.iter().map(|case| case.path.split('?').next().unwrap_or_default());
            cases.chain(["/v1/me"]).chain(FROM_MEMORY.iter().copied()).any(|case| {
                case.split('/').count() == path.split('/').count()
                    && case.split('/').zip(path.split('/')).all(|(a, b)| same(a, b))
            })
        };
        let reads = paths.iter().filter(|(path, verbs)| path.starts_with("/v1/") && verbs.get("get").is_some());
        let not_asked = reads.filter(|(path, _)| !asked(path));
        Ok(not_asked.map(|(path, _)| format!("GET {path} has no case in bench/src/explain/cases.rs")).collect())
    }
}

impl Measured {
    fn buffers(&self) -> f64 {
        self.statements.iter().map(|statement| f64::from(statement.buffers)).sum()
    }

    fn rows_read(&self) -> u32 {
        self.statements.iter().map(|statement| statement.rows_read).sum()
    }

    fn ms(&self) -> f64 {
        self.statements.iter().map(|statement| statement.ms).sum()
    }

    fn is_accepted(&self) -> bool {
        ACCEPTED.iter().any(|(path, _)| self.request.ends_with(path))
    }

    fn violations(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|answer| format!("{self}: {answer}"));
        let mut violations: Vec<String> = refused.collect();
        if self.refused.is_none() && self.statements.is_empty() {
            violations.push(format!("{self}: runs no statement, so there is nothing to check"));
        }
        for statement in &self.statements {
            let (most_rows, most_buffers) = if self.search {
                (SEARCH_ROWS, SEARCH_BUFFERS)
            } else {
                (AT_LEAST + ROWS_EACH * self.limit, AT_LEAST + BUFFERS_EACH * self.limit)
            };
            let mut add = |what: String| violations.push(format!("{self}: {what}: {}", statement.in_short()));
            for table in &statement.seq_scans {
                add(format!("scans {table}"));
            }
            if statement.rows_read > most_rows {
                add(format!("reads {} rows, at most {most_rows} are allowed", statement.rows_read));
            }
            if statement.buffers > most_buffers {
                add(format!("touches {} buffers, at most {most_buffers} are allowed", statement.buffers));
            }
            if statement.spills {
                add("sorts on disk".to_owned());
            }
        }
        if let Some((buffers, _)) = self.of_first
            && buffers > DEEP_COSTS_AT_MOST
            && self.buffers() > f64::from(AT_LEAST)
        {
            violations.push(format!("{self}: costs {buffers:.1} times what page 1 costs"));
        }
        violations
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, page {})", self.request, self.user, self.page)
    }
}

/// The table in Markdown, as `docs/performance.md` has it.
fn table(measured: &[Measured]) -> String {
    let mut rows =
        vec![["request", "as", "page", "rows read", "buffers", "ms", "× page 1", "indexes"].map(str::to_owned)];
    rows.push(["---", "---", "--:", "--:", "--:", "--:", "--:", "---"].map(str::to_owned));
    for one in measured {
        let mut indexes: Vec<&str> = Vec::new();
        for index in one.statements.iter().flat_map(|statement| &statement.indexes) {
            if !indexes.contains(&index.as_str()) {
                indexes.push(index);
            }
        }
        rows.push([
            one.request.clone(),
            one.user.to_string(),
            one.page.to_string(),
            one.rows_read().to_string(),
            format!("{:.0}", one.buffers()),
            format!("{:.2}", one.ms()),
            one.of_first.map_or(String::new(), |(buffers, ms)| format!("{buffers:.2} / {ms:.2}")),
            indexes.join(", "),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 7] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let cells = row.iter().enumerate().map(|(column, cell)| match (column, widths.get(column)) {
            (0 | 1, Some(width)) => format!("{cell:<width$}"),
            (_, Some(width)) => format!("{cell:>width$}"),
            (_, None) => cell.clone(),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    rows.iter().map(line).collect()
}

/// The URL of the same database with `auto_explain` on.
fn explaining(url: &str) -> String {
    let options = AUTO_EXPLAIN.iter().map(|(name, value)| format!("options[{name}]={value}"));
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", options.collect::<Vec<_>>().join("&"))
}

/// The cursor of a page of this list that ends with this row.
fn cursor(path: &str, last: Position) -> anyhow::Result<String> {
    // The API binds a cursor to its list, which it names like this.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut filters: Vec<_> =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "limit" && name != "cursor").collect();
    filters.sort();
    let filters = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
    let page = Page::parse(Some(1), None, &format!("{path}?{filters}"))?;
    page.list(vec![last; 2], |row| *row).next_cursor.context("a page that is not the last one has a cursor")
}

/// Looks up the values of the names. Each may use the names before it.
async fn names(db: &PgPool) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut names = Vec::new();
    for (name, sql) in names::NAMES {
        let sql = AssertSqlSafe(format!("select ({})::text", named(sql, &names)));
        let value: Option<String> = sqlx::query_scalar(sql).fetch_one(db).await?;
        names.push((*name, value.with_context(|| format!("the database has nothing for {{{name}}}"))?));
    }
    Ok(names)
}

fn named(text: &str, names: &[(&str, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn ratio(of: f64, by: f64) -> f64 {
    if by > 0.0 { of / by } else { 1.0 }
}
