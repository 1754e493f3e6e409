//! Who is asking. A handler that takes a `Caller`, a `Staff` or an `Admin` can be called by nobody else.

use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use axum::extract::{ConnectInfo, FromRequestParts, OptionalFromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use shared::error::Error;
use shared::identity::principal::{Permission, Person, Principal, Source};

use crate::AppState;
use crate::error::{ApiError, ApiResult};
use crate::surface::{RequestId, limits};

/// Anybody with a valid access token.
#[derive(Debug, Clone)]
pub struct Caller {
    principal: Principal,
    person: Person,
}

/// Staff, or an administrator.
#[derive(Debug, Clone)]
pub struct Staff(Caller);

#[derive(Debug, Clone)]
pub struct Admin(Caller);

/// Where the request came from, believing only proxies that we trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub IpAddr);

/// What `identify` found out, kept with the request.
type Identified = Result<Caller, ()>;

impl Caller {
    pub fn person(&self) -> &Person {
        &self.person
    }
}

/// Looks at the token once, and takes the request out of its caller's rate limit.
pub async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> ApiResult<Response> {
    let peer =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map_or(IpAddr::from([0, 0, 0, 0]), |info| info.0.ip());
    let address = ClientAddr(state.settings.trusted_proxies.client(peer, request.headers()));
    request.extensions_mut().insert(address);
    let request_id = request.extensions().get::<RequestId>().map(|RequestId(id)| id.clone());
    let source = Source { request_id, address: Some(address.0) };
    request.extensions_mut().insert(source.clone());

    let mut subject = address.0.to_string();
    if let Some(token) = bearer(request.headers()) {
        let identified: Identified = match state.identity.authenticate(&state.db, token).await {
            Ok(person) => {
                tracing::Span::current().record("user_id", tracing::field::display(person.user_id));
                subject = person.user_id.to_string();
                Ok(Caller { principal: Principal::person(person.clone(), source), person })
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

fn caller(parts: &Parts) -> ApiResult<Caller> {
    match parts.extensions.get::<Identified>() {
        Some(Ok(caller)) => Ok(caller.clone()),
        _ => Err(Error::Unauthenticated.into()),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        caller(parts)
    }
}

/// For what anybody may see and staff see more of. A token that is not valid is no token here.
impl<S: Send + Sync> OptionalFromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, ApiError> {
        Ok(caller(parts).ok())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Staff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        caller.require(Permission::OrdersRead)?;
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let caller = caller(parts)?;
        caller.require(Permission::UsersWrite)?;
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
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl Deref for Staff {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}

impl Deref for Admin {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0
    }
}
