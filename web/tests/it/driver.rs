//! A real browser: Debian's Chromium, steered by chromedriver. Each test has one of its own, with a fresh profile.
//!
//! The protocol (`WebDriver` of the W3C) is a dozen JSON requests, so it is spoken here with the HTTP client that the tests have
//! anyway. A library for it would bring a second HTTP client and a manager that downloads browsers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use testkit::until::until;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Browsers at a time: each takes a core while a page loads.
static BROWSERS: Semaphore = Semaphore::const_new(2);

const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// The key under which an answer names an element (`WebDriver`, section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    http: Client,
    port: u16,
    session: String,
    site: String,
    _driver: Child,
    _permit: SemaphorePermit<'static>,
}

impl Browser {
    /// Opens a browser for the pages of a site.
    pub async fn open(site: &str) -> Self {
        let permit = BROWSERS.acquire().await.unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is installed: ./dev test installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver says its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').parse().unwrap();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let http = Client::builder().timeout(Duration::from_mins(1)).build().unwrap();
        let mut browser =
            Self { http, port, session: String::new(), site: site.to_owned(), _driver: driver, _permit: permit };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" }, "goog:chromeOptions": { "args": FLAGS },
        } } });
        let started = browser.ask(Method::POST, "/session", wanted).await.expect("a browser starts");
        browser.session = format!("/session/{}", started["sessionId"].as_str().unwrap());
        browser
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let url = format!("http://127.0.0.1:{}{}{path}", self.port, self.session);
        let request = self.http.request(method.clone(), url);
        let request = if method == Method::GET { request } else { request.json(&body) };
        let answer: Value = request.send().await.expect("chromedriver answers").json().await.expect("it is JSON");
        let value = answer["value"].clone();
        if value["error"].is_string() { Err(value) } else { Ok(value) }
    }

    async fn must(&self, path: &str, body: Value) -> Value {
        self.ask(Method::POST, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub async fn go(&self, path: &str) {
        self.must("/url", json!({ "url": format!("{}{path}", self.site) })).await;
    }

    pub async fn js(&self, script: &str) -> Value {
        self.must("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    async fn cdp(&self, command: &str, params: Value) {
        self.must("/goog/cdp/execute", json!({ "cmd": command, "params": params })).await;
    }

    pub async fn size(&self, width: u32, height: u32) {
        let phone = width < 600;
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.cdp("Emulation.setDeviceMetricsOverride", params).await;
    }

    pub async fn scheme(&self, name: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": name }]);
        self.cdp("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// The clock of this browser is wrong by so many seconds, on every page that is opened from now on.
    pub async fn clock_is_ahead(&self, seconds: i64) {
        let source = format!("const real = Date.now; Date.now = () => real() + {seconds} * 1000;");
        self.cdp("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    }

    /// Presses keys on the page; `\u{e009}` holds Control, as `WebDriver` has it.
    pub async fn press(&self, keys: &str) {
        let body = self.find("body").await;
        self.must(&format!("/element/{body}/value"), json!({ "text": keys })).await;
    }

    /// Types with the keyboard, into what has the focus.
    pub async fn types(&self, keys: &str) {
        let press = |key: char| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key }));
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        self.must("/actions", json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] })).await;
    }

    /// What a screen reader is told: the role and the name of each part of the page, in their order.
    pub async fn spoken(&self) -> Vec<String> {
        let body = json!({ "cmd": "Accessibility.getFullAXTree", "params": {} });
        let tree = self.must("/goog/cdp/execute", body).await;
        let nodes = tree["nodes"].as_array().expect("a tree has nodes").iter().filter(|node| node["ignored"] != true);
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().trim().to_owned();
        let said = nodes.map(|node| format!("{} {}", text(&node["role"]), text(&node["name"])));
        said.filter(|said| !said.starts_with("InlineTextBox") && !said.starts_with("StaticText ")).collect()
    }

    /// How many sheets of paper the page takes.
    pub async fn sheets(&self) -> usize {
        let pdf = self.ask(Method::POST, "/print", json!({})).await.unwrap();
        let pdf = STANDARD.decode(pdf.as_str().unwrap()).unwrap();
        String::from_utf8_lossy(&pdf).matches("/Type /Page\n").count()
    }

    /// For everybody whose browser runs no scripts.
    pub async fn without_scripts(&self) {
        self.cdp("Emulation.setScriptExecutionDisabled", json!({ "value": true })).await;
    }

    /// The element, once it is there.
    async fn find(&self, css: &str) -> String {
        let mut found = String::new();
        self.wait(&format!("{css} is on the page"), async || {
            let asked = json!({ "using": "css selector", "value": css });
            let answer = self.ask(Method::POST, "/element", asked).await;
            found = answer.ok().and_then(|it| it[ELEMENT].as_str().map(ToOwned::to_owned)).unwrap_or_default();
            !found.is_empty()
        })
        .await;
        found
    }

    /// Clicks what is on the page, once it is there and can be clicked.
    pub async fn click(&self, css: &str) {
        self.wait(&format!("{css} can be clicked"), async || {
            let element = self.find(css).await;
            self.ask(Method::POST, &format!("/element/{element}/click"), json!({})).await.is_ok()
        })
        .await;
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.find(css).await;
        self.must(&format!("/element/{element}/clear"), json!({})).await;
        self.must(&format!("/element/{element}/value"), json!({ "text": text })).await;
    }

    pub async fn path(&self) -> String {
        let url = self.ask(Method::GET, "/url", Value::Null).await.unwrap();
        url.as_str().unwrap().trim_start_matches(&self.site).to_owned()
    }

    /// What a person reads on the page. Without scripts of the page's own.
    pub async fn text(&self) -> String {
        let body = self.find("body").await;
        let text = self.ask(Method::GET, &format!("/element/{body}/text"), Value::Null).await;
        text.ok().and_then(|text| text.as_str().map(ToOwned::to_owned)).unwrap_or_default()
    }

    /// Waits until these words are on the page, without a reload.
    pub async fn sees(&self, words: &str) {
        self.wait(&format!("the page says `{words}`"), async || self.text().await.contains(words)).await;
    }

    /// Waits for what a person would wait for, and shows the page if it does not come.
    async fn wait(&self, what: &str, condition: impl AsyncFnMut() -> bool) {
        let waited = Instant::now();
        let outcome = tokio::time::timeout(Duration::from_secs(50), until(what, condition)).await;
        if outcome.is_err() {
            let (path, source) = (self.path().await, self.ask(Method::GET, "/source", Value::Null).await);
            unreachable!("after {:?}, not yet: {what}. {path} is {source:?}", waited.elapsed());
        }
    }

    /// Warnings and errors of the browser about the page since it was last asked.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.must("/se/log", json!({ "type": "browser" })).await;
        let entries = entries.as_array().unwrap().iter();
        let bad = entries.filter(|entry| ["SEVERE", "WARNING"].contains(&entry["level"].as_str().unwrap_or_default()));
        // Chromium reports a transition between two pages that ends early as an error. Nobody sees a difference.
        let is_fault = |message: &String| !message.contains("Transition was aborted");
        bad.map(|entry| entry["message"].to_string()).filter(is_fault).collect()
    }

    /// What axe-core finds wrong for people who cannot see, or not well (WCAG 2.2 AA). Ask for `complaints` before: its own
    /// code is none of ours.
    pub async fn hard_to_use(&self, axe: &str) -> Vec<String> {
        const RUN: &str = "const done = arguments[arguments.length - 1];
            const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
            axe.run(document, { runOnly: rules }).then(
                (found) => done(found.violations.map((it) => it.id + ': ' + it.nodes.map((node) => node.html).join(' ').slice(0, 300))),
                (error) => done([String(error)]));";
        self.js(axe).await;
        let found = self.must("/execute/async", json!({ "script": RUN, "args": [] })).await;
        let found = found.as_array().unwrap().iter().map(|it| it.as_str().unwrap_or_default().to_owned()).collect();
        // What axe has logged is not the page's.
        self.complaints().await;
        found
    }

    /// How many pixels the page is too wide.
    pub async fn sticks_out(&self) -> i64 {
        let script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        self.js(script).await.as_i64().unwrap()
    }

    pub async fn screenshot(&self, file: &std::path::Path) {
        let shot = self.ask(Method::GET, "/screenshot", Value::Null).await.unwrap();
        std::fs::write(file, STANDARD.decode(shot.as_str().unwrap()).unwrap()).unwrap();
    }

    pub async fn sign_in(&self, path: &str, email: &str, password: &str) {
        self.go(path).await;
        self.fill("#field-email", email).await;
        self.fill("#field-password", password).await;
        self.click("main form button").await;
        self.wait("the sign-in leads on", async || !self.path().await.contains("signin")).await;
    }
}

/// Ends the browser too: chromedriver alone would leave it running.
impl Drop for Browser {
    fn drop(&mut self) {
        let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) else { return };
        driver.set_read_timeout(Some(Duration::from_secs(5))).ok();
        let request = format!("DELETE {} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", self.session);
        if driver.write_all(request.as_bytes()).is_ok() {
            let mut answer = Vec::new();
            driver.read_to_end(&mut answer).ok();
        }
    }
}
