//! One purchase and one repair, in headless Chromium: what a stranger does who has only the README.

use std::process::Stdio;

use serde_json::{Value, json};
use testkit::app::{PASSWORD, TestApp};
use testkit::until::until;
use testkit::workers::{TestSystem, WorkerProcess};
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use uuid::Uuid;

const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1440,1000",
];

/// A chromedriver on a port of its own, which ends with the test, and its browser.
struct Browser {
    driver: WebDriver,
    address: String,
    _process: Child,
}

impl Browser {
    async fn start() -> Self {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().expect("chromedriver is installed: ./dev test installs it");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("chromedriver says its port");
            if let Some(port) = line.split("successfully on port ").nth(1) {
                break format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
            }
        };
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag).unwrap();
        }
        capabilities.set("goog:loggingPrefs", json!({ "browser": "ALL" })).unwrap();
        let driver = WebDriver::new(&address, capabilities).await.expect("Chromium starts");
        Self { driver, address, _process: process }
    }

    /// Waits until the page shows this text.
    async fn sees(&self, text: &str) {
        until(&format!("the page says “{text}”"), async || self.text().await.contains(text)).await;
    }

    async fn text(&self) -> String {
        match self.driver.find(By::Tag("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    async fn press(&self, words: &str) {
        let path = format!("//*[self::a or self::button][normalize-space(.)='{words}']");
        self.driver.query(By::XPath(path)).and_displayed().first().await.unwrap().click().await.unwrap();
    }

    async fn write(&self, field: &str, text: &str) {
        let element = self.driver.query(By::Css(format!("main [name={field}]"))).first().await.unwrap();
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// What the browser's console has said: errors of scripts, refused resources, breaches of the CSP.
    async fn complaints(&self) -> Vec<String> {
        let session = self.driver.session_id().to_string();
        let url = format!("{}/session/{session}/se/log", self.address);
        let log = reqwest::Client::new().post(url).json(&json!({ "type": "browser" })).send().await.unwrap();
        let log: Value = log.json().await.unwrap();
        let entries = log["value"].as_array().expect("a log").iter();
        entries.filter(|entry| entry["level"] != "INFO").map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn a_stranger_buys_and_staff_repair_the_payment() {
    let app = TestApp::with(&["--job-max-attempts=8"]).await;
    let mug = app.product("mug", 1250, 10).await;
    let staff_email = app.staff().await.email;
    let system = TestSystem { app, redis: None, prefix: String::new(), mug };
    let worker = WorkerProcess::start(&system, &[]);
    let url = &system.app.url;
    let browser = Browser::start().await;

    browser.driver.goto(url).await.unwrap();
    browser.press("A mug").await;
    browser.sees("In stock").await;
    browser.press("Add to cart").await;
    browser.sees("It is in your cart.").await;
    browser.press("Go to the checkout").await;
    browser.sees("New here?").await;
    browser.press("Make an account").await;
    browser.sees("At least 8 characters.").await;
    browser.write("name", "Stella Stranger").await;
    browser.write("email", &format!("{}@example.com", Uuid::now_v7().simple())).await;
    browser.write("password", PASSWORD).await;
    browser.press("Make the account").await;
    browser.sees("Where it goes").await;
    for (field, text) in [("line1", "1 Mill Lane"), ("postal_code", "BA1 1AA"), ("city", "Bath"), ("country", "GB")] {
        browser.write(field, text).await;
    }
    browser.driver.find(By::Css("[value=tok_flaky_8]")).await.unwrap().click().await.unwrap();
    browser.press("Place the order").await;
    browser.sees("Thank you. Your order is placed.").await;
    let number = browser.driver.current_url().await.unwrap().path().rsplit('/').next().unwrap().to_owned();
    until("the payment was given up", async || {
        browser.driver.refresh().await.unwrap();
        browser.text().await.contains("a person looks at it now")
    })
    .await;

    browser.driver.goto(format!("{url}/console")).await.unwrap();
    browser.write("email", &staff_email).await;
    browser.write("password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.sees("Payment waits for you").await;
    browser.press(&number).await;
    browser.sees("We tried 8 times").await;
    browser.press("Retry payment").await;
    browser.sees("The job is retried now.").await;
    until("the order is delivered", async || {
        browser.driver.refresh().await.unwrap();
        browser.text().await.contains("Delivered")
    })
    .await;
    browser.press("Activity").await;
    browser.sees("Retried a job").await;
    let row = browser.driver.find(By::XPath("//tr[contains(., 'Retried a job')]")).await.unwrap().text().await.unwrap();
    assert!(row.contains("Some One"), "{row}");

    assert_eq!(browser.complaints().await, [""; 0]);
    browser.driver.quit().await.unwrap();
    worker.kill().await;
}
