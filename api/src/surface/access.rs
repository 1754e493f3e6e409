//! Lets a request in or refuses it: who calls, whether their rate limit has room, whether the route's policy allows it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::identity::key_text;
use shared::platform::limits::Class;
use shared::principal::{Principal, Source};
use web::entrance::session_cookie;
use web::visit::Visitor;

use crate::error::{ApiError, ApiResult};
use crate::extract::principal::Caller;
use crate::policy::{Face, Policy};
use crate::state::AppState;
use crate::surface::limits::{self, Subject};
use crate::surface::request_id::RequestId;

/// Authenticates the caller, counts the request against their rate limit, and refuses what the policy does not allow.
///
/// All of that happens before the handler reads anything of the request.
pub async fn admit(State(state): State<AppState>, mut request: Request, next: Next) -> ApiResult<Response> {
    let policy = *request.extensions().get::<Policy>().expect("`around` runs before this");
    let source = source(&state, &request);
    let (caller, refused) = match authenticate(&state, policy.face, request.headers(), &source).await {
        Ok(caller) => (Some(caller), None),
        Err(error @ (Error::Unauthenticated | Error::BadKey | Error::AddressNotAllowed)) => (None, Some(error)),
        Err(other) => return Err(other.into()),
    };
    let standing = match policy.class {
        Some(class) => limits::take(&state, class, subject(class, caller.as_deref(), &source)).await,
        None => None,
    };
    let refusal = standing.as_ref().and_then(limits::refusal);
    let refusal = refusal.or_else(|| {
        let error = policy.check(caller.as_deref()).err()?;
        // For a caller who is nobody the reason is why they are nobody.
        Some(ApiError::from(refused.filter(|_| matches!(error, Error::Unauthenticated)).unwrap_or(error)))
    });
    let mut response = if let Some(refusal) = refusal {
        refusal.into_response()
    } else {
        request.extensions_mut().insert(source);
        if let Some(caller) = caller {
            request.extensions_mut().insert(Visitor(caller.0.clone()));
            request.extensions_mut().insert(caller);
        }
        next.run(request).await
    };
    if let Some(standing) = standing {
        limits::add_headers(&mut response, &standing);
    }
    Ok(response)
}

/// For whom a request counts: its key or its user, else its address. Where passwords are guessed it is always the address: otherwise
/// each account that somebody registers would give them a limit of its own for guessing at others.
fn subject(class: Class, caller: Option<&Principal>, source: &Source) -> Subject {
    if let Some(account) = caller.and_then(Principal::service_account) {
        return account.into();
    }
    match caller.and_then(Principal::user_id) {
        Some(user_id) if class != Class::Login => Subject::User(user_id),
        _ => Subject::Address(source.address),
    }
}

/// Where the request came from. `X-Forwarded-For` counts only if a trusted proxy sent it.
fn source(state: &AppState, request: &Request) -> Source {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip());
    let request_id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
    Source { request_id, address: Some(state.settings.trusted_proxies.client(peer, request.headers())) }
}

/// Routes believe only tokens and keys, and pages only cookies: a browser adds cookies by itself, so a form on a foreign page
/// could otherwise use the API.
async fn authenticate(state: &AppState, face: Face, headers: &HeaderMap, source: &Source) -> Result<Caller, Error> {
    let principal = match (face, bearer(headers)) {
        (Face::Html(site), _) => {
            let cookie = session_cookie(headers, site, state.serves_tls()).ok_or(Error::Unauthenticated)?;
            let person = state.identity.authenticate_cookie(&state.db, site.surface(), &cookie).await?;
            Principal::person(person, source.clone())
        }
        (_, Some(key)) if key_text::is_key(key) => {
            let account = state.identity.api_keys.authenticate(&state.db, key, source.address).await?;
            Principal::service(account, source.clone())
        }
        (_, Some(token)) => Principal::person(state.identity.authenticate(&state.db, token).await?, source.clone()),
        (_, None) => return Err(Error::Unauthenticated),
    };
    if let Some(user_id) = principal.user_id() {
        tracing::Span::current().record("user_id", tracing::field::display(user_id));
    }
    Ok(Caller(Arc::new(principal)))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
