//! A request for a page: who asks, from where, with which cookies. Every handler takes one.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use form_urlencoded::parse;
use shared::error::{Error, Result};
use shared::principal::{Person, Principal, Source};
use shared::queue::Origin;
use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Transaction};

use crate::cookies::{self, Channel};
use crate::reader::Reader;
use crate::state::WebState;

pub struct Visit {
    pub state: WebState,
    /// Who has signed in on this surface.
    pub caller: Option<Arc<Principal>>,
    pub source: Source,
    pub origin: Origin,
    pub channel: Channel,
    pub reader: Reader,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit
where
    WebState: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let extensions = &parts.extensions;
        Ok(Self {
            state: WebState::from_ref(state),
            caller: extensions.get::<Arc<Principal>>().cloned(),
            source: extensions.get::<Source>().cloned().unwrap_or_default(),
            origin: extensions.get::<Origin>().cloned().unwrap_or_default(),
            channel: extensions.get::<Channel>().copied().unwrap_or(Channel::Plain),
            reader: Reader::of(&parts.headers),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
        })
    }
}

impl Visit {
    /// The policy of the route has let them in, so on most pages there is one.
    pub fn caller(&self) -> Result<&Principal> {
        self.caller.as_deref().ok_or(Error::Unauthenticated)
    }

    pub fn person(&self) -> Result<&Person> {
        self.caller()?.require_person()
    }

    pub async fn connection(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.state.db.acquire().await?)
    }

    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.state.db.begin().await?)
    }

    /// A parameter of the address; none where it is empty.
    pub fn query(&self, name: &str) -> Option<String> {
        let pairs = parse(self.uri.query().unwrap_or_default().as_bytes());
        pairs.into_owned().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value)
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        cookies::read(&self.headers, name)
    }
}
