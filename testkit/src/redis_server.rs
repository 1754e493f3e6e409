//! A Redis of a test's own, to be flushed, frozen and killed.

use servers::home::Home;
use servers::redis::Redis;

pub struct RedisServer {
    redis: Redis,
    home: Home,
}

impl RedisServer {
    /// It keeps nothing on disk: what is killed comes back empty.
    pub async fn start() -> Self {
        let home = Home::new(&std::env::temp_dir()).await.unwrap();
        Self { redis: Redis::start_in_memory(&home).await.unwrap(), home }
    }

    pub fn url(&self) -> String {
        self.redis.url()
    }

    /// As an option of the API.
    pub fn option(&self) -> String {
        format!("--redis-url={}", self.url())
    }

    /// Its connections stay open, and nothing answers.
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

    /// How often clients have used a command.
    pub async fn calls(&self, command: &str) -> u64 {
        self.redis.calls(command).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.home.remove());
    }
}
