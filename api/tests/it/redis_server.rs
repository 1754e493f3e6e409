//! A Redis server of a test's own, to be killed and frozen.

use std::process::Stdio;

use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use testkit::app::until;

pub struct RedisServer {
    port: u16,
    child: Child,
}

impl RedisServer {
    pub async fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir", "/tmp"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server is installed by ./dev test");
        until("Redis listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Self { port, child }
    }

    /// As an option of the API.
    pub fn option(&self) -> String {
        format!("--redis-url=redis://127.0.0.1:{}", self.port)
    }

    /// Its connections stay open, and nothing answers.
    pub async fn freeze(&self) {
        self.signal("STOP").await;
    }

    pub async fn thaw(&self) {
        self.signal("CONT").await;
    }

    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// What a command answers, as redis-cli writes it.
    pub async fn command(&self, words: &[&str]) -> String {
        let port = self.port.to_string();
        let answer = Command::new("redis-cli").args(["-p", &port]).args(words).output().await.unwrap();
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }
}
