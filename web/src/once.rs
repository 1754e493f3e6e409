//! A form that changes something and runs once. Each form carries a random `key`, so a double click, reload and the back
//! button are one effect: the second answer leads to the same page as the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use shared::error::Error;
use shared::idempotency::{self, Answer, BodyHash, Claim, Key, WAIT_FOR_KEY};
use shared::platform::db;
use shared::values::UserId;
use sqlx::{PgPool, Postgres, Transaction};

use crate::WebState;
use crate::console::common::CommonParts;
use crate::form::Fields;
use crate::refusal::{PageError, PageResult};
use crate::visit::Visit;

/// The name of the hidden field.
pub const KEY: &str = "key";

/// Between two attempts to take a key that another request holds.
const PAUSE: Duration = Duration::from_millis(20);

/// A form and its transaction. The handler must `leave`, or the transaction is rolled back.
pub struct OnceForm {
    pub visit: Visit,
    pub fields: Fields,
    pub tx: Transaction<'static, Postgres>,
    kept_as: Option<(UserId, Key)>,
    common: Arc<CommonParts>,
}

impl OnceForm {
    /// Commits, and sends the browser to a page.
    pub async fn leave(mut self, to: &str) -> PageResult<Response> {
        if let Some((user_id, key)) = &self.kept_as {
            let headers = BTreeMap::from([("location".to_owned(), to.to_owned())]);
            let answer = Answer { status: StatusCode::SEE_OTHER.as_u16(), headers, body: Vec::new() };
            idempotency::remember(&mut self.tx, *user_id, key, &answer).await?;
        }
        self.tx.commit().await.map_err(in_doubt)?;
        self.common.renew();
        Ok(see_other(to))
    }
}

/// Sends the browser to a page, which it asks for with GET.
pub fn see_other(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// The same page, with a word for what was done.
pub fn and_say(path: &str, done: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "done");
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).append_pair("done", done).finish();
    format!("{path}?{query}")
}

impl FromRequest<WebState> for OnceForm {
    type Rejection = Response;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(visit) = Visit::from_request_parts(&mut parts, state).await;
        let path = parts.uri.path().to_owned();
        let fields = Fields::from_request(Request::from_parts(parts, body), state).await;
        let fields = fields.map_err(IntoResponse::into_response)?;
        begin(state, visit, path, fields).await
    }
}

async fn begin(web: &WebState, visit: Visit, path: String, fields: Fields) -> Result<OnceForm, Response> {
    let failed = |error: Error| PageError(error).into_response();
    let user_id = visit.principal().map_err(failed)?.require_person().map_err(failed)?.user_id;
    let Some(key) = fields.given(KEY).map(Key::parse).transpose().map_err(failed)? else {
        let tx = web.db.begin().await.map_err(|error| failed(error.into()))?;
        return Ok(OnceForm { visit, fields, tx, kept_as: None, common: web.common.clone() });
    };
    let sent = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields.iter()).finish();
    let hash = BodyHash::of_bytes("POST", &path, sent.as_bytes());
    match claim(&web.db, user_id, &key, &hash).await.map_err(failed)? {
        Claimed::Fresh(tx) => {
            Ok(OnceForm { visit, fields, tx, kept_as: Some((user_id, key)), common: web.common.clone() })
        }
        Claimed::DoneBefore(to) => Err(see_other(&to)),
    }
}

enum Claimed {
    Fresh(Transaction<'static, Postgres>),
    /// The form was carried out before, and led to this page.
    DoneBefore(String),
}

/// Takes the key, waiting while another request holds it.
async fn claim(db: &PgPool, user_id: UserId, key: &Key, hash: &BodyHash) -> Result<Claimed, Error> {
    let deadline = Instant::now() + WAIT_FOR_KEY;
    loop {
        let mut tx = db.begin().await?;
        match idempotency::claim(&mut tx, user_id, key, hash).await? {
            Claim::Fresh => return Ok(Claimed::Fresh(tx)),
            Claim::Replay(answer) => {
                // A commit waits for the synchronous standby, so that the answer outlives a crash of the primary.
                tx.commit().await.map_err(in_doubt)?;
                let to = answer.headers.get("location").cloned();
                return to
                    .map(Claimed::DoneBefore)
                    .ok_or_else(|| Error::internal("the answer to a form has no address"));
            }
            Claim::Busy if Instant::now() >= deadline => return Err(Error::RequestInProgress),
            Claim::Busy => tx.rollback().await?,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// After a connection is lost during a commit, nobody knows whether the commit took effect.
fn in_doubt(error: sqlx::Error) -> Error {
    if db::is_transient(&error) { Error::OutcomeUnknown } else { error.into() }
}
