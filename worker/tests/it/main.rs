//! Tests of workers on real servers. Most start real processes, which are killed, frozen and stopped.

mod archive;
mod backlog;
mod bulk;
mod feed;
mod fleet;
mod history;
mod limits;
mod listener;
mod lives;
mod process;
mod redis;
mod transport;
mod webhooks;
