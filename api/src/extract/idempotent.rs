//! A request that creates or moves something and runs once: its body, its transaction and, if the caller sent one, its
//! `Idempotency-Key`.
//!
//! The key and the stored answer are written in the transaction of the effect, so neither exists without the other. A
//! replay never reaches the handler: the extractor answers it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::error::Error;
use shared::idempotency::{self, Answer, BodyHash, Claim, Key, WAIT_FOR_KEY};
use shared::platform::db;
use shared::values::UserId;
use sqlx::{PgPool, Postgres, Transaction};

use crate::error::{ApiError, ApiResult};
use crate::extract::json;
use crate::extract::principal::Caller;
use crate::policy::Policy;
use crate::state::AppState;

pub static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub static IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Between two attempts to take a key that another request holds.
const PAUSE: Duration = Duration::from_millis(20);

/// A request's body and its transaction. The handler must `answer`, or the transaction is rolled back.
pub struct Once<T> {
    pub body: T,
    pub tx: Transaction<'static, Postgres>,
    kept_as: Option<(UserId, Key, BodyHash)>,
}

impl<T> Once<T> {
    /// Stores the answer under the key, commits, and returns the answer.
    pub async fn answer(self, status: StatusCode, body: &impl Serialize) -> Result<Response, ApiError> {
        let answer = Answer { status: status.as_u16(), headers: BTreeMap::new(), body: written(body)? };
        self.finish(answer).await
    }

    /// As `answer`, with status 201, the address of the new thing, and its version.
    pub async fn created(self, location: String, version: i32, body: &impl Serialize) -> Result<Response, ApiError> {
        let headers = [("location".to_owned(), location), ("etag".to_owned(), crate::extract::etag::of(version))];
        let answer = Answer { status: 201, headers: headers.into(), body: written(body)? };
        self.finish(answer).await
    }

    /// As `begun`, for something that goes on after the answer.
    pub async fn accepted(self, location: String, body: &impl Serialize) -> Result<Response, ApiError> {
        let headers = [("location".to_owned(), location)];
        self.finish(Answer { status: 202, headers: headers.into(), body: written(body)? }).await
    }

    /// As `created`, for a thing without versions because nobody edits it.
    pub async fn begun(self, location: String, body: &impl Serialize) -> Result<Response, ApiError> {
        let headers = [("location".to_owned(), location)];
        self.finish(Answer { status: 201, headers: headers.into(), body: written(body)? }).await
    }

    /// As `created`, for an answer that holds a secret. Under the key we store the answer without it, so a replay has none.
    pub async fn created_with_secret<B: Serialize>(
        self,
        location: String,
        shown: &B,
        stored: &B,
    ) -> Result<Response, ApiError> {
        let headers = BTreeMap::from([("location".to_owned(), location)]);
        self.answer_with_secret(StatusCode::CREATED, headers, shown, stored).await
    }

    /// An answer that holds a secret. Under the key we store another one without it.
    pub async fn answer_with_secret(
        mut self,
        status: StatusCode,
        headers: BTreeMap<String, String>,
        shown: &impl Serialize,
        stored: &impl Serialize,
    ) -> Result<Response, ApiError> {
        let status = status.as_u16();
        if let Some((caller, key, _)) = self.kept_as.take() {
            let answer = Answer { status, headers: headers.clone(), body: written(stored)? };
            idempotency::remember(&mut self.tx, caller, &key, &answer).await?;
        }
        self.finish(Answer { status, headers, body: written(shown)? }).await
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

/// The key that came with a request, where the route's policy says that it takes one.
pub fn key(parts: &Parts) -> ApiResult<Option<Key>> {
    let takes_key = parts.extensions.get::<Policy>().is_some_and(|policy| policy.takes_key);
    match parts.headers.get(&IDEMPOTENCY_KEY).filter(|_| takes_key) {
        Some(value) => Ok(Some(Key::parse(value.to_str().unwrap_or_default())?)),
        None => Ok(None),
    }
}

impl<T: DeserializeOwned + Send> FromRequest<AppState> for Once<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        ReceivedBody::read(request, state, Reading::json()).await?.begin(&state.db).await
    }
}

/// How a request is read.
pub struct Reading<T> {
    /// Looks at the content type, before the body is read.
    pub check: fn(&HeaderMap, &Body) -> ApiResult<()>,
    /// Is the body large, so that it should be in memory only once?
    pub large: bool,
    pub parse: fn(&Bytes) -> ApiResult<T>,
    /// By what a repeat of the request is recognised.
    pub hash: fn(&str, &str, &[u8]) -> BodyHash,
}

impl<T: DeserializeOwned> Reading<T> {
    /// As most requests are.
    pub fn json() -> Self {
        Self { check: json::require_json, large: false, parse: |bytes| json::parse(bytes), hash: BodyHash::of }
    }
}

/// A request that was read, before its transaction begins.
pub struct ReceivedBody<T> {
    body: T,
    caller: UserId,
    key: Option<(Key, BodyHash)>,
}

impl<T> ReceivedBody<T> {
    pub async fn read(request: Request, state: &AppState, reading: Reading<T>) -> Result<Self, Response> {
        let refused = IntoResponse::into_response;
        let (mut parts, body) = request.into_parts();
        let caller = caller(&mut parts, state).await.map_err(refused)?;
        let key = key(&parts).map_err(refused)?;
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        (reading.check)(&parts.headers, &body).map_err(refused)?;
        let large = parts.extensions.get::<Policy>().filter(|_| reading.large).map(|policy| policy.body_limit);
        let request = Request::from_parts(parts, body);
        let bytes = match large {
            Some(limit) => json::read_large(request, limit).await,
            None => json::read(request, state).await,
        };
        let bytes = bytes.map_err(refused)?;
        let body = (reading.parse)(&bytes).map_err(refused)?;
        let key = key.map(|key| (key, (reading.hash)(method.as_str(), &path, &bytes)));
        Ok(Self { body, caller, key })
    }

    pub fn body(&self) -> &T {
        &self.body
    }

    /// Begins the transaction, or answers again if the key was used before.
    pub async fn begin(self, db: &PgPool) -> Result<Once<T>, Response> {
        Once::begin(db, self.body, self.caller, self.key).await
    }
}

impl<T> Once<T> {
    async fn begin(db: &PgPool, body: T, caller: UserId, key: Option<(Key, BodyHash)>) -> Result<Self, Response> {
        let Some((key, hash)) = key else {
            let tx = db.begin().await.map_err(failed)?;
            return Ok(Self { body, tx, kept_as: None });
        };
        match claim(db, caller, &key, &hash).await.map_err(failed)? {
            Claimed::Fresh(tx) => Ok(Self { body, tx, kept_as: Some((caller, key, hash)) }),
            Claimed::Replay(answer) => {
                let mut response = response(answer);
                response.headers_mut().insert(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"));
                Err(response)
            }
        }
    }

    /// Rolls back what was tried, which releases all locks and the key, runs `meanwhile`, and begins again.
    pub async fn again<R>(
        self,
        db: &PgPool,
        meanwhile: impl Future<Output = Result<R, Error>>,
    ) -> Result<Self, Response> {
        let Self { body, tx, kept_as } = self;
        tx.rollback().await.map_err(failed)?;
        meanwhile.await.map_err(failed)?;
        match kept_as {
            Some((caller, key, hash)) => Self::begin(db, body, caller, Some((key, hash))).await,
            None => Ok(Self { body, tx: db.begin().await.map_err(failed)?, kept_as }),
        }
    }
}

/// The user whose key it is: keys are per caller.
async fn caller(parts: &mut Parts, state: &AppState) -> ApiResult<UserId> {
    let caller = <Caller as FromRequestParts<AppState>>::from_request_parts(parts, state).await?;
    Ok(caller.require_user_id()?)
}

/// After a connection is lost during a commit, nobody knows whether the commit took effect.
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

/// Takes the key, waiting while another request holds it. No connection is held between two attempts.
async fn claim(db: &PgPool, caller: UserId, key: &Key, hash: &BodyHash) -> Result<Claimed, Error> {
    let deadline = Instant::now() + WAIT_FOR_KEY;
    loop {
        let mut tx = db.begin().await?;
        match idempotency::claim(&mut tx, caller, key, hash).await? {
            Claim::Fresh => return Ok(Claimed::Fresh(tx)),
            Claim::Replay(answer) => {
                // After a crash of the primary, the answer may be stored here but not yet on the synchronous standby.
                // A commit waits for the standby.
                tx.commit().await.map_err(in_doubt)?;
                return Ok(Claimed::Replay(answer));
            }
            Claim::Busy if Instant::now() >= deadline => return Err(Error::RequestInProgress),
            Claim::Busy => tx.rollback().await?,
        }
        tokio::time::sleep(PAUSE).await;
    }
}
