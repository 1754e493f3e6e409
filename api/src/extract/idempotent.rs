//! A request that creates or moves something, carried out once: its body, its transaction and, where the
//! caller gave one, its `Idempotency-Key`.
//!
//! The key is taken and its answer kept in the transaction of the effect, so neither exists without the
//! other. A replay never reaches the handler: it is answered by the extractor.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::error::Error;
use shared::idempotency::{self, Answer, BodyHash, Claim, Key, WAIT_FOR_KEY};
use shared::platform::db;
use shared::values::UserId;
use sqlx::{PgPool, Postgres, Transaction};

use crate::AppState;
use crate::error::ApiError;
use crate::extract::json;
use crate::extract::principal::Caller;

pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const PAUSE: Duration = Duration::from_millis(20);

/// The body and the transaction in which it is carried out. Whoever takes one must `answer`, or nothing is kept.
pub struct Once<T> {
    pub body: T,
    pub tx: Transaction<'static, Postgres>,
    kept_as: Option<(UserId, Key, BodyHash)>,
}

impl<T> Once<T> {
    /// Keeps the answer under the key, commits, and gives it.
    pub async fn answer(self, status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
        let answer = Answer { status: status.as_u16(), headers: BTreeMap::new(), body: written(body)? };
        self.finish(answer).await
    }

    /// As `answer`, with where the new thing is and its version.
    pub async fn created(self, location: String, version: i32, body: &impl Serialize) -> Result<Response, ApiError> {
        let headers = [("location".to_owned(), location), ("etag".to_owned(), crate::extract::etag::of(version))];
        let answer = Answer { status: 201, headers: headers.into(), body: written(body)? };
        self.finish(answer).await
    }

    /// As `created`, for a thing that has no versions because nobody edits it.
    pub async fn begun(self, location: String, body: &impl Serialize) -> Result<Response, ApiError> {
        let headers = [("location".to_owned(), location)];
        self.finish(Answer { status: 201, headers: headers.into(), body: written(body)? }).await
    }

    async fn finish(mut self, answer: Answer) -> Result<Response, ApiError> {
        if let Some((caller, key, _)) = &self.kept_as {
            idempotency::remember(&mut self.tx, *caller, key, &answer).await?;
        }
        self.tx.commit().await.map_err(in_doubt)?;
        Ok(response(answer))
    }
}

fn written(body: &impl Serialize) -> Result<Vec<u8>, ApiError> {
    Ok(serde_json::to_vec(body).map_err(Error::internal)?)
}

fn response(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).expect("it was a status when it was kept");
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The key that came with a request, if one did.
pub fn key(headers: &HeaderMap) -> Result<Option<Key>, ApiError> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    Ok(Some(Key::parse(value.to_str().unwrap_or_default())?))
}

impl<T: DeserializeOwned + Send> FromRequest<AppState> for Once<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let caller = caller(&mut parts, state).await.map_err(IntoResponse::into_response)?;
        let key = key(&parts.headers).map_err(IntoResponse::into_response)?;
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        json::require_json(&parts.headers, &body).map_err(IntoResponse::into_response)?;
        let bytes = json::read(Request::from_parts(parts, body), state).await.map_err(IntoResponse::into_response)?;
        let body = json::parse(&bytes).map_err(IntoResponse::into_response)?;
        let hash = || BodyHash::of(method.as_str(), &path, &bytes);
        Self::begin(&state.db, body, caller, key, hash).await
    }
}

async fn caller(parts: &mut axum::http::request::Parts, state: &AppState) -> Result<UserId, ApiError> {
    use axum::extract::FromRequestParts;
    let caller = <Caller as FromRequestParts<AppState>>::from_request_parts(parts, state).await?;
    Ok(caller.person().user_id)
}

impl<T> Once<T> {
    /// For a body that is read in another way than as JSON.
    pub async fn begin(
        db: &PgPool,
        body: T,
        caller: UserId,
        key: Option<Key>,
        hash: impl FnOnce() -> BodyHash,
    ) -> Result<Self, Response> {
        let Some(key) = key else {
            let tx = db.begin().await.map_err(failed)?;
            return Ok(Self { body, tx, kept_as: None });
        };
        let hash = hash();
        match claim(db, caller, &key, &hash).await.map_err(failed)? {
            Claimed::Fresh(tx) => Ok(Self { body, tx, kept_as: Some((caller, key, hash)) }),
            Claimed::Replay(answer) => {
                let mut response = response(answer);
                response.headers_mut().insert(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"));
                Err(response)
            }
        }
    }
}

impl<T> Once<T> {
    /// Undoes what was tried, lets go of every lock and of the key for `meanwhile`, and begins again.
    pub async fn again<R>(
        self,
        db: &PgPool,
        meanwhile: impl Future<Output = Result<R, Error>>,
    ) -> Result<Self, Response> {
        let Self { body, tx, kept_as } = self;
        tx.rollback().await.map_err(failed)?;
        meanwhile.await.map_err(failed)?;
        match kept_as {
            Some((caller, key, hash)) => Self::begin(db, body, caller, Some(key), || hash).await,
            None => Ok(Self { body, tx: db.begin().await.map_err(failed)?, kept_as }),
        }
    }
}

/// A commit that failed with the moment may stand all the same.
fn in_doubt(error: sqlx::Error) -> Error {
    if db::is_transient(&error) { Error::OutcomeUnknown } else { error.into() }
}

pub fn failed(error: impl Into<Error>) -> Response {
    ApiError::from(error).into_response()
}

enum Claimed {
    Fresh(Transaction<'static, Postgres>),
    Replay(Answer),
}

/// Asks for the key until it is free or answered. No connection is held between two tries.
async fn claim(db: &PgPool, caller: UserId, key: &Key, hash: &BodyHash) -> Result<Claimed, Error> {
    let patient_until = Instant::now() + WAIT_FOR_KEY;
    loop {
        let mut tx = db.begin().await?;
        match idempotency::claim(&mut tx, caller, key, hash).await? {
            Claim::Fresh => return Ok(Claimed::Fresh(tx)),
            Claim::Replay(answer) => {
                // After a crash of the primary what was done may be here and not on the standby: this waits for it.
                tx.commit().await.map_err(in_doubt)?;
                return Ok(Claimed::Replay(answer));
            }
            Claim::Busy if Instant::now() >= patient_until => return Err(Error::RequestInProgress),
            Claim::Busy => tx.rollback().await?,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
