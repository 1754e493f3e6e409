//! The binary as its operator meets it.

mod commands;
mod life;
mod settings;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::app::{PASSWORD, TEST_KEY};
use testkit::until::until;

/// Stands in the settings of every process here, and in nothing that one may print.
pub const SECRET: &str = "hunter2-is-secret";

/// Nothing that a process of ours is asked to do takes longer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary with these settings and no others. It runs where no `.env` is.
pub fn binary(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace-api"));
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command.envs(settings.iter().copied());
    command
}

/// What it takes to serve: free ports, a key, a database.
pub fn enough(database_url: &str) -> Vec<(&str, &str)> {
    vec![
        ("DATABASE_URL", database_url),
        ("JWT_PRIVATE_KEY", TEST_KEY),
        ("API_ADDR", "127.0.0.1:0"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        // The application's role could not.
        ("AUTO_MIGRATE", if database_url.contains("millrace_app") { "false" } else { "true" }),
    ]
}

/// Runs a command that ends by itself, and sees that it prints no secret.
pub fn run(command: &mut Command) -> (bool, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary is there");
    let printed = format!("{}{}", String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_no_secret(&printed);
    (status.success(), printed)
}

pub fn assert_no_secret(printed: &str) {
    let key = TEST_KEY.lines().nth(1).unwrap();
    for secret in [SECRET, key, PASSWORD] {
        assert!(!printed.contains(secret), "a secret is printed: {printed}");
    }
}

/// An API that serves until it is stopped or dropped.
pub struct Process {
    pub child: Child,
    pub lines: Receiver<String>,
    pub seen: Vec<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the binary is there");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines, seen: Vec::new() }
    }

    /// Starts it, and waits until it says where it listens.
    pub fn serve(database_url: &str) -> (Self, String) {
        let mut process = Self::start(&mut binary(&enough(database_url)));
        let url = process.url();
        (process, url)
    }

    pub fn url(&mut self) -> String {
        let line = self.line("the API listens");
        let addr = serde_json::from_str::<Value>(&line).unwrap()["addr"].as_str().unwrap().to_owned();
        assert!(!addr.ends_with(":0"), "{line}");
        format!("http://{addr}")
    }

    /// Waits for a line of the log that holds this.
    pub fn line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with `{text}` in {:#?}", self.seen);
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Its resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end. Everything that it logged is in `seen` then.
    pub async fn end(&mut self) -> ExitStatus {
        until("the process ends", async || self.child.try_wait().unwrap().is_some()).await;
        self.seen.extend(self.lines.iter());
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
