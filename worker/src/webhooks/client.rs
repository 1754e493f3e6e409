//! The HTTP client for addresses that staff have chosen. It judges each address where it connects: a check before the request
//! would be open to a name that points elsewhere a moment later.
//!
//! It follows no redirect, uses no proxy, and keeps no cookie.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use shared::platform::addresses::Networks;
use shared::webhooks::receiver_url::{Reachable, ReceiverUrl};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection that is kept for the next delivery. Receivers close them after a minute or so.
const KEPT: Duration = Duration::from_secs(30);
/// As many as one endpoint has attempts at the same time.
const KEPT_PER_HOST: usize = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Asks for the addresses of a name.
pub type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// None of the addresses of a name may be reached.
#[derive(Debug, thiserror::Error)]
#[error("no address of this name may be reached")]
pub struct NotAllowed;

/// One client for the internet, one for what only the opened networks may serve.
#[derive(Clone)]
pub struct GuardedClient {
    internet: reqwest::Client,
    opened: reqwest::Client,
    allowed: Networks,
}

impl GuardedClient {
    pub fn new(allowed: &Networks) -> reqwest::Result<Self> {
        Self::with(allowed, Arc::new(|name: String| ask_the_system(name).boxed()))
    }

    /// With another way to look names up.
    pub fn with(allowed: &Networks, look_up: LookUp) -> reqwest::Result<Self> {
        let client = |reach| {
            let resolver = JudgingResolver { look_up: look_up.clone(), reach, allowed: allowed.clone() };
            reqwest::Client::builder()
                .dns_resolver(Arc::new(resolver))
                .redirect(Policy::none())
                .no_proxy()
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(KEPT)
                .pool_max_idle_per_host(KEPT_PER_HOST)
                .user_agent(concat!("Millrace/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let (internet, opened) = (client(Reachable::Internet)?, client(Reachable::OpenedNetworks)?);
        Ok(Self { internet, opened, allowed: allowed.clone() })
    }

    /// A request to this URL. The resolver is not asked for an address in the URL itself, so that is judged here.
    pub fn post(&self, to: &ReceiverUrl) -> Result<reqwest::RequestBuilder, NotAllowed> {
        let reach = to.reach();
        if to.literal().is_some_and(|address| !reach.includes(address, &self.allowed)) {
            return Err(NotAllowed);
        }
        let client = match reach {
            Reachable::Internet => &self.internet,
            Reachable::OpenedNetworks => &self.opened,
        };
        Ok(client.post(to.url.clone()))
    }
}

/// Leaves out the addresses that may not be reached.
struct JudgingResolver {
    look_up: LookUp,
    reach: Reachable,
    allowed: Networks,
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, reach, allowed) = ((self.look_up)(name.as_str().to_owned()), self.reach, self.allowed.clone());
        Box::pin(async move {
            let found = found.await?;
            let some = !found.is_empty();
            let reached: Vec<SocketAddr> =
                found.into_iter().filter(|address| reach.includes(address.ip(), &allowed)).collect();
            if reached.is_empty() && some {
                return Err(Failure::from(NotAllowed));
            }
            Ok(Box::new(reached.into_iter()) as Addrs)
        })
    }
}

async fn ask_the_system(name: String) -> std::io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((name, 0)).await?.collect())
}
