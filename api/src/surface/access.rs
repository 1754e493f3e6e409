//! Lets a request in or refuses it: who calls, whether their rate limit has room, whether the route's policy allows it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::identity::cookies::CookieToken;
use shared::principal::{Permissions, Principal, Source, Surface};
use web::cookies::{self, Channel};
use web::csrf;

use crate::error::{ApiError, ApiResult};
use crate::extract::principal::Caller;
use crate::policy::{Face, Policy};
use crate::state::AppState;
use crate::surface::limits;
use crate::surface::request_id::RequestId;

/// Authenticates the caller, counts the request against their rate limit, and refuses what the policy does not allow.
///
/// All of that happens before the handler reads anything of the request.
pub async fn admit(State(state): State<AppState>, mut request: Request, next: Next) -> ApiResult<Response> {
    let policy = *request.extensions().get::<Policy>().expect("`around` runs before this");
    let source = source(&state, &request);
    // Pages believe only their cookie, everything else only a token.
    let caller = match policy.face {
        Face::Html(surface) => {
            let channel = channel(&state, &request);
            request.extensions_mut().insert(channel);
            by_cookie(&state, request.headers(), surface, channel, &source).await?
        }
        Face::Json | Face::Docs => authenticate(&state, request.headers(), &source).await?,
    };
    let subject = match caller.as_ref().and_then(|caller| caller.user_id()) {
        Some(user_id) => user_id.to_string(),
        None => source.address.map_or_else(String::new, |address| address.to_string()),
    };
    let standing = match policy.class {
        Some(class) => limits::take(&state, class, &subject).await,
        None => None,
    };
    let refusal = standing.as_ref().and_then(limits::refusal);
    let refusal = refusal.or_else(|| from_another_site(&policy, &request));
    let refusal = refusal.or_else(|| policy.access.check(caller.as_deref()).err().map(ApiError::from));
    let mut response = if let Some(refusal) = refusal {
        refusal.into_response()
    } else {
        request.extensions_mut().insert(source);
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller.0.clone());
            request.extensions_mut().insert(caller);
        }
        next.run(request).await
    };
    if let Some(standing) = standing {
        limits::add_headers(&mut response, &standing);
    }
    Ok(response)
}

/// Where the request came from. `X-Forwarded-For` counts only if a trusted proxy sent it.
fn source(state: &AppState, request: &Request) -> Source {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip());
    let request_id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
    Source { request_id, address: Some(state.settings.trusted_proxies.client(peer, request.headers())) }
}

/// A form that another site made the browser send is refused before anything of it is read.
fn from_another_site(policy: &Policy, request: &Request) -> Option<ApiError> {
    let is_page = matches!(policy.face, Face::Html(_));
    let ours = csrf::is_ours(request.method(), request.uri(), request.headers());
    (is_page && !ours).then(|| {
        let detail = "this form was sent from another site; open the page here and send it again";
        ApiError::new(StatusCode::FORBIDDEN, "cross_site", detail)
    })
}

/// Over TLS if we serve it, or if a proxy that we trust says that it does.
fn channel(state: &AppState, request: &Request) -> Channel {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let trusted = peer.is_some_and(|ConnectInfo(peer)| state.settings.trusted_proxies.trusts(peer.ip().to_canonical()));
    let proto = request.headers().get("x-forwarded-proto").and_then(|proto| proto.to_str().ok());
    let over_tls = state.tls.is_some() || (trusted && proto == Some("https"));
    Channel::of(over_tls, csrf::host(request.uri(), request.headers()).unwrap_or_default())
}

/// Who has signed in with this browser. In the shop everybody is a customer, also staff.
async fn by_cookie(
    state: &AppState,
    headers: &HeaderMap,
    surface: Surface,
    channel: Channel,
    source: &Source,
) -> ApiResult<Option<Caller>> {
    let cookie = cookies::read(headers, &cookies::session_name(surface, channel));
    let Some(token) = cookie.and_then(CookieToken::parse) else { return Ok(None) };
    let Some(person) = state.identity.by_cookie(&state.db, &token, surface).await? else { return Ok(None) };
    tracing::Span::current().record("user_id", tracing::field::display(person.user_id));
    let mut principal = Principal::person(person, source.clone());
    if surface == Surface::Shop {
        principal.permissions = Permissions::NONE;
    }
    Ok(Some(Caller(Arc::new(principal))))
}

/// `None` without a token, or with one that is not valid.
async fn authenticate(state: &AppState, headers: &HeaderMap, source: &Source) -> ApiResult<Option<Caller>> {
    let Some(token) = bearer(headers) else { return Ok(None) };
    match state.identity.authenticate(&state.db, token).await {
        Ok(person) => {
            tracing::Span::current().record("user_id", tracing::field::display(person.user_id));
            Ok(Some(Caller(Arc::new(Principal::person(person, source.clone())))))
        }
        Err(Error::Unauthenticated) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
