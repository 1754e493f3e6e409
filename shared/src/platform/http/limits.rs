//! How long the peer of a connection may take for each step.

use std::time::Duration;

/// How long a peer may take. Tests shorten these.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A TLS handshake takes two round trips. A client that needs longer is broken or hostile.
    pub handshake: Duration,
    /// From the connection's start to its first request, and over HTTP/1.1 from a request's first byte to the end of its
    /// head. A client that sends its head more slowly holds a place that another could have (slowloris).
    pub head: Duration,
    /// Without a request. Pings of HTTP/2 do not count: they only prove that the peer answers pings.
    pub idle: Duration,
    /// After this we finish what runs and close, so that clients spread over the processes there are.
    pub lifetime: Duration,
    /// While we have something to write and the peer takes no byte. The same for one stream of HTTP/2.
    pub write: Duration,
    /// From an answer's head to its end, unless it carries `OwnTimeLimit`.
    pub answer: Duration,
    /// For the peer to go once we have said that we close and no request runs.
    pub close: Duration,
    /// Without a free place for a connection. After this, new clients should be sent to another process.
    pub full: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(30),
            idle: Duration::from_mins(1),
            lifetime: Duration::from_hours(1),
            write: Duration::from_secs(20),
            answer: Duration::from_mins(1),
            close: Duration::from_secs(5),
            full: Duration::from_secs(5),
        }
    }
}
