//! A Redis for one test, which may flush, freeze and kill it.

use servers::home::Home;
use servers::redis::Redis;

pub struct RedisServer {
    redis: Redis,
    home: Home,
}

impl RedisServer {
    /// Without persistence: after a kill it starts empty.
    pub async fn start() -> Self {
        let home = Home::new(&std::env::temp_dir()).await.unwrap();
        Self { redis: Redis::start_in_memory(&home).await.unwrap(), home }
    }

    pub fn url(&self) -> String {
        self.redis.url()
    }

    /// The URL as an option of the API.
    pub fn option(&self) -> String {
        format!("--redis-url={}", self.url())
    }

    /// Stops the process with SIGSTOP. Connections stay open, and nothing answers.
    pub async fn freeze(&self) {
        self.redis.freeze().await.unwrap();
    }

    pub async fn thaw(&self) {
        self.redis.thaw().await.unwrap();
    }

    pub async fn kill(&mut self) {
        self.redis.kill().await.unwrap();
    }

    pub async fn start_again(&mut self) {
        self.redis.start_again().await.unwrap();
    }

    /// The reply to a command, as redis-cli prints it.
    pub async fn command(&self, words: &[&str]) -> String {
        self.redis.ask(words).await.unwrap()
    }

    /// The number of calls of a command.
    pub async fn calls(&self, command: &str) -> u64 {
        self.redis.calls(command).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.home.remove());
    }
}
