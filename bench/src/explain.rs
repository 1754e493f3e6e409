//! How Postgres finds what the API is asked for: the real statements of the real API, with the plans that ran.
//!
//! The API serves in this process. Its connections have `auto_explain`, whose notices come back to them with
//! the answers; sqlx hands notices to `tracing`, and that is where they are read.

mod cases;
pub mod plans;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use shared::page::{Page, Position};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::net::TcpListener;

use self::cases::{BORNE, Case, Sorted, Who, cases};
use self::plans::{Plans, Statement};
use crate::fill;

/// Signs the tokens of one run.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEICK0wiYbFsopBwLBYPARWckKJ59173Cc2Vfg7GOSjm+S
-----END PRIVATE KEY-----
";

/// Makes Postgres tell each plan that ran.
pub const AUTO_EXPLAIN: &[(&str, &str)] = &[
    ("session_preload_libraries", "auto_explain"),
    ("auto_explain.log_min_duration", "0"),
    ("auto_explain.log_analyze", "on"),
    ("auto_explain.log_buffers", "on"),
    // Rows are what counts; reading the clock at each of them would count too.
    ("auto_explain.log_timing", "off"),
    ("auto_explain.log_format", "json"),
    ("auto_explain.log_level", "notice"),
];

/// The fastest run is kept: what else the machine does is no part of a plan.
const RUNS: usize = 3;

/// The page that must cost what the first one costs, or the middle of a shorter list.
const DEEP_PAGE: i64 = 10_000;
const PAGE: u32 = 50;

/// A deep page may cost more by what differs between any two pages, and not by what was skipped.
const DEEP_COSTS_AT_MOST: f64 = 1.5;

/// Rows that a statement may read, and pages of 8 kB that it may touch, for each row that is asked for: an order
/// comes with a customer, items and a job, each of them found through an index of three or four levels.
const ROWS_EACH: u32 = 60;
const BUFFERS_EACH: u32 = 30;
/// And whatever is asked for.
const AT_LEAST: u32 = 100;

/// A search may cost more: no index finds a word or a price and has the products in the order of the list too,
/// so it reads what it finds, or reads along the list until it has found enough. That is about 30 ms.
const SEARCH_ROWS: u32 = 200_000;
const SEARCH_BUFFERS: u32 = 12_000;

/// Answers whether all is as it should be.
pub async fn run(url: &SecretString, json: Option<&Path>) -> anyhow::Result<bool> {
    let db = PgPool::connect(url.expose_secret()).await.context("DATABASE_URL")?;
    let is_superuser = "select rolsuper from pg_roles where rolname = current_user";
    let is_superuser: bool = sqlx::query_scalar(is_superuser).fetch_one(&db).await?;
    ensure!(is_superuser, "only a superuser may switch auto_explain on");
    let mut bench = Bench::start(url, db).await?;
    let mut measured = bench.log_in().await?;
    let cases = cases();
    for case in &cases {
        eprint!("\r{:<100.100}", case.path);
        measured.extend(bench.measure(case).await.with_context(|| case.path.to_owned())?);
    }
    eprint!("\r{:<100}\r", "");

    print!("{}", table(&measured));
    let (borne, judged): (Vec<&Measured>, Vec<&Measured>) = measured.iter().partition(|one| one.is_borne());
    let mut complaints: Vec<String> = judged.iter().flat_map(|one| one.complaints()).collect();
    complaints.extend(bench.not_asked(&cases).await?);
    println!();
    for (path, why) in BORNE {
        println!("borne: {path}: {why}");
        if borne.iter().filter(|one| one.request.ends_with(path)).all(|one| one.complaints().is_empty()) {
            complaints.push(format!("{path} reads no more than it should: take it out of BORNE"));
        }
    }
    for complaint in &complaints {
        println!("FAILED: {complaint}");
    }
    println!("{} requests, {} complaints", measured.len(), complaints.len());
    if let Some(file) = json {
        serde_json::to_writer_pretty(File::create(file)?, &json!({ "requests": measured, "complaints": complaints }))?;
    }
    Ok(complaints.is_empty())
}

/// One request, with every statement that it ran.
#[derive(Debug, Serialize)]
struct Measured {
    who: Who,
    request: String,
    page: i64,
    /// This page's buffers and time by those of the first page.
    of_first: Option<(f64, f64)>,
    http_ms: f64,
    statements: Vec<Statement>,
    /// What was asked for.
    limit: u32,
    search: bool,
    /// What it answered instead, such as that a statement took too long.
    refused: Option<String>,
}

struct Bench {
    plans: Plans,
    /// Without `auto_explain`.
    db: PgPool,
    /// The API's own.
    pool: PgPool,
    url: String,
    http: reqwest::Client,
    tokens: BTreeMap<Who, String>,
    /// What stands for `{name}` in the cases.
    names: Vec<(&'static str, String)>,
    large_tables: Vec<String>,
}

impl Bench {
    async fn start(url: &SecretString, db: PgPool) -> anyhow::Result<Self> {
        let plans = Plans::listen()?;
        let url = explaining(url.expose_secret());
        let fixed = ["millrace-api", "--database-url", &url, "--jwt-private-key", KEY, "--rate-limits", "off"];
        // A cache would answer the second time, and asks by itself what has changed.
        let cli = api::config::Cli::try_parse_from(fixed.into_iter().chain(["--cache", "off"]))?;
        let state = api::serve::state(&cli.common, cli.serve)?;
        let pool = state.db.clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (api, metrics) = (TcpListener::bind(any).await?, TcpListener::bind(any).await?);
        let url = format!("http://{}", api.local_addr()?);
        tokio::spawn(api::serve::serve_on(api, metrics, state));

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

    /// Logs everybody in. What that asks the database is measured too, and the first request of a session,
    /// which looks for the session.
    async fn log_in(&mut self) -> anyhow::Result<Vec<Measured>> {
        let mut measured = Vec::new();
        for (who, email) in [
            (Who::Staff, fill::STAFF),
            (Who::Admin, fill::ADMIN),
            (Who::HotCustomer, "{hot_email}"),
            (Who::Customer, "{email}"),
        ] {
            let body = json!({ "email": self.named(email), "password": fill::PASSWORD });
            let (login, tokens) = self.once(Who::Anyone, Method::POST, "/v1/auth/login", Some(body)).await?;
            let body = json!({ "refresh_token": tokens["refresh_token"] });
            let (refresh, tokens) = self.once(Who::Anyone, Method::POST, "/v1/auth/refresh", Some(body)).await?;
            let token = tokens["access_token"].as_str().context("a refresh answers with a token")?;
            self.tokens.insert(who, token.to_owned());
            let (me, _) = self.once(who, Method::GET, "/v1/me", None).await?;
            measured = vec![login, refresh, me]; // The customer's stay.
        }
        Ok(measured)
    }

    async fn measure(&self, case: &Case) -> anyhow::Result<Vec<Measured>> {
        let path = self.named(case.path);
        if let Some(body) = case.body {
            let body = serde_json::from_str(&self.named(body))?;
            return Ok(vec![self.once(case.who, Method::POST, &path, Some(body)).await?.0]);
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
            let (run, _) = self.once(case.who, Method::GET, path, None).await?;
            if fastest.as_ref().is_none_or(|fastest| run.ms() < fastest.ms()) {
                fastest = Some(run);
            }
        }
        let fastest = fastest.expect("there is more than no run");
        Ok(Measured { request: format!("GET {}", case.path), search: case.search, ..fastest })
    }

    async fn once(
        &self,
        who: Who,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(Measured, Value)> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
        if let Some(token) = self.tokens.get(&who) {
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
        let limit = if body.starts_with(r#"{"data":"#) { limit.transpose()?.unwrap_or(PAGE) } else { 1 };
        let plans = self.plans.take();
        let plans = plans.iter().filter(|plan| !plan.contains("pg_catalog")); // sqlx asks for types once a connection.
        let statements = plans.map(|plan| Statement::read(plan, &self.large_tables)).collect::<Result<_, _>>()?;
        let request = format!("{method} {path}");
        let refused = (!status.is_success()).then(|| body.clone());
        let measured =
            Measured { who, request, page: 1, of_first: None, http_ms, statements, limit, search: false, refused };
        Ok((measured, serde_json::from_str(&body)?))
    }

    /// The plan of a statement comes when its connection is done with it, which may be after the answer.
    async fn settled(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.pool.num_idle() < self.pool.size() as usize {
            ensure!(Instant::now() < deadline, "a connection of the API is not given back");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// A page far into the list and the cursor that leads there, if the list is as long as two pages.
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

    /// Routes that no case asks for: whoever adds one adds its case.
    async fn not_asked(&self, cases: &[Case]) -> anyhow::Result<Vec<String>> {
        let document: Value = self.http.get(format!("{}/openapi.json", self.url)).send().await?.json().await?;
        let paths = document["paths"].as_object().context("the document has paths")?;
        let asked = |path: &str| {
            let same = |a: &str, b: &str| a == b || (a.starts_with('{') && b.starts_with('{'));
            cases.iter().map(|case| case.path.split('?').next().unwrap_or_default()).chain(["/v1/me"]).any(|case| {
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

    fn is_borne(&self) -> bool {
        BORNE.iter().any(|(path, _)| self.request.ends_with(path))
    }

    fn complaints(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|answer| format!("{self}: {answer}"));
        let mut complaints: Vec<String> = refused.collect();
        if self.refused.is_none() && self.statements.is_empty() {
            complaints.push(format!("{self}: asks the database nothing, so nothing is known of it"));
        }
        for statement in &self.statements {
            let (most_rows, most_buffers) = if self.search {
                (SEARCH_ROWS, SEARCH_BUFFERS)
            } else {
                (AT_LEAST + ROWS_EACH * self.limit, AT_LEAST + BUFFERS_EACH * self.limit)
            };
            let mut complain = |what: String| complaints.push(format!("{self}: {what}: {}", statement.in_short()));
            for table in &statement.seq_scans {
                complain(format!("scans {table}"));
            }
            if statement.rows_read > most_rows {
                complain(format!("reads {} rows, of {most_rows} at most", statement.rows_read));
            }
            if statement.buffers > most_buffers {
                complain(format!("touches {} buffers, of {most_buffers} at most", statement.buffers));
            }
            if statement.spills {
                complain("sorts on disk".to_owned());
            }
        }
        if let Some((buffers, _)) = self.of_first
            && buffers > DEEP_COSTS_AT_MOST
            && self.buffers() > f64::from(AT_LEAST)
        {
            complaints.push(format!("{self}: costs {buffers:.1} times what page 1 costs"));
        }
        complaints
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, page {})", self.request, self.who, self.page)
    }
}

/// In Markdown, so that it can be pasted into `docs/performance.md`.
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
            one.who.to_string(),
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

/// The same database, by connections that tell their plans.
fn explaining(url: &str) -> String {
    let options = AUTO_EXPLAIN.iter().map(|(name, value)| format!("options[{name}]={value}"));
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", options.collect::<Vec<_>>().join("&"))
}

/// The cursor that a page of this list would end with if this was its last row.
fn cursor(path: &str, last: Position) -> anyhow::Result<String> {
    // As the API names the list that a cursor is bound to.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let mut filters: Vec<_> =
        form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "limit" && name != "cursor").collect();
    filters.sort();
    let filters = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
    let page = Page::parse(Some(1), None, &format!("{path}?{filters}"))?;
    page.list(vec![last; 2], |row| *row).next_cursor.context("a page that is not the last one has a cursor")
}

/// Finds out what the cases ask for; each may use the names before it.
async fn names(db: &PgPool) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut names = Vec::new();
    for (name, sql) in cases::NAMES {
        let sql = AssertSqlSafe(format!("select ({})::text", named(sql, &names)));
        let value: Option<String> = sqlx::query_scalar(sql).fetch_one(db).await?;
        names.push((*name, value.with_context(|| format!("nothing was found for {{{name}}}"))?));
    }
    Ok(names)
}

fn named(text: &str, names: &[(&str, String)]) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

fn ratio(of: f64, by: f64) -> f64 {
    if by > 0.0 { of / by } else { 1.0 }
}
