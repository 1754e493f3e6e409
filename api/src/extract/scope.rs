//! Scopes that depend on what the body of a request asks for.

use axum::body::Body;
use axum::extract::Request;
use serde_json::Value;
use shared::error::Error;
use shared::principal::{Principal, ServiceAccount};
use shared::scope::Scope;

use crate::error::ApiResult;
use crate::extract::json;
use crate::state::AppState;

/// Refuses a key that lacks a scope which this body needs, before anything else of the body is judged: a key must not
/// learn what is right about a request that it may not make. Returns the request as it was.
///
/// `needed` gets the body, or null if it is not JSON.
pub async fn require(
    state: &AppState,
    caller: &Principal,
    request: Request,
    needed: fn(&ServiceAccount, &Value) -> Vec<Scope>,
) -> ApiResult<Request> {
    let Some(account) = caller.service_account() else { return Ok(request) };
    let (parts, body) = request.into_parts();
    let bytes = json::read(Request::from_parts(parts.clone(), body), state).await?;
    let needed = needed(account, &serde_json::from_slice(&bytes).unwrap_or_default());
    if needed.iter().any(|scope| !account.scopes.contain(*scope)) {
        return Err(Error::InsufficientScope { needed: needed.into_iter().map(Scope::name).collect() }.into());
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}
