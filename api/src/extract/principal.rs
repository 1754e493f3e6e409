//! Who is asking. A handler that takes a `Caller`, a `Staff` or an `Admin` can be called by nobody else.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use shared::error::Error;
use shared::identity::Role;

use crate::AppState;
use crate::error::{ApiError, ApiResult};
use crate::surface::limits;

/// Anybody with a valid access token.
#[derive(Debug, Clone)]
pub struct Caller(pub shared::identity::Caller);

/// Staff, or an administrator.
#[derive(Debug, Clone)]
pub struct Staff(pub shared::identity::Caller);

#[derive(Debug, Clone)]
pub struct Admin(pub shared::identity::Caller);

/// Where the request came from, believing only proxies that we trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// What `identify` found out, kept with the request.
type Identified = Result<shared::identity::Caller, ()>;

/// Looks at the token once, and takes the request out of its caller's rate limit.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> ApiResult<Response> {
    let peer =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
    let address = ClientAddr(state.settings.trusted_proxies.client(peer, request.headers()));
    request.extensions_mut().insert(address);

    let mut subject = address.0.to_string();
    if let Some(token) = bearer(request.headers()) {
        let identified: Identified = match state.identity.authenticate(&state.db, token).await {
            Ok(caller) => {
                tracing::Span::current().record("user_id", tracing::field::display(caller.user_id));
                subject = caller.user_id.to_string();
                Ok(caller)
            }
            Err(Error::Unauthenticated) => Err(()),
            Err(other) => return Err(other.into()),
        };
        request.extensions_mut().insert(identified);
    }
    limits::apply(&state, &subject, request, next).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn caller(parts: &Parts) -> ApiResult<shared::identity::Caller> {
    match parts.extensions.get::<Identified>() {
        Some(Ok(caller)) => Ok(caller.clone()),
        _ => Err(Error::Unauthenticated.into()),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        caller(parts).map(Self)
    }
}

/// For what anybody may see and staff see more of. A token that is not valid is no token here.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, ApiError> {
        Ok(caller(parts).ok().map(Self))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        caller.require(Role::Staff)?;
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        caller.require(Role::Admin)?;
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ClientAddr {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(*parts.extensions.get::<Self>().expect("`identify` runs before every handler"))
    }
}

impl Deref for Caller {
    type Target = shared::identity::Caller;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for Staff {
    type Target = shared::identity::Caller;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Deref for Admin {
    type Target = shared::identity::Caller;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
