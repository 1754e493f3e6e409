//! What holds for every route.

mod headers;
mod health;
mod rate_limits;
mod refusals;

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use serde_json::Value;
use testkit::app::settings;
use testkit::person::Reply;
use tokio::net::TcpListener;
use tower::ServiceExt;

pub fn state(database_url: &str, options: &[&str]) -> api::state::AppState {
    let cli = settings(database_url, options);
    api::serve::state(&cli.common, cli.serve).expect("the settings are fine")
}

pub async fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap()
}

/// Calls a router without a network.
pub async fn call(api: &Router, request: axum::http::request::Builder) -> Reply {
    reply(api.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

pub async fn reply(response: Response) -> Reply {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8(bytes.into()).unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Reply { status: parts.status, headers: parts.headers, body, text }
}

pub fn seconds(reply: &Reply, name: &str) -> u64 {
    reply.header(name).parse().unwrap_or_else(|_| panic!("{name} is not in {reply:?}"))
}
