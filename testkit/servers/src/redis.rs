//! Redis, one server of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;
use tokio::process::Child;

use super::{Home, Wait, free_port};

/// A Redis of its own.
pub struct Redis {
    home: Home,
    data: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Redis {
    pub async fn start(home: &Home) -> Result<Self> {
        let mut redis = Self { home: home.clone(), data: home.folder("redis")?, port: free_port(), child: None };
        redis.start_again().await?;
        Ok(redis)
    }

    /// It comes back with what was in its file when it ended.
    pub async fn start_again(&mut self) -> Result<()> {
        let mut command = self.home.server(Path::new("redis-server"), "redis")?;
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]);
        command.arg("--dir").arg(&self.data);
        self.child = Some(command.spawn().context("redis-server; `./dev test` installs it")?);
        let log = self.home.log("redis");
        let wait = Wait::for_("Redis answers", &log);
        loop {
            if let Ok(mut connection) = self.connect().await
                && redis::cmd("PING").exec_async(&mut connection).await.is_ok()
            {
                return Ok(());
            }
            wait.a_moment().await?;
        }
    }

    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    pub async fn connect(&self) -> Result<MultiplexedConnection> {
        Ok(redis::Client::open(self.url())?.get_multiplexed_async_connection().await?)
    }

    pub async fn flush(&self) -> Result<()> {
        Ok(redis::cmd("FLUSHALL").exec_async(&mut self.connect().await?).await?)
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        Self::url_at(self.addr())
    }

    pub fn url_at(addr: SocketAddr) -> String {
        format!("redis://{addr}")
    }
}
