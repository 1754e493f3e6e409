//! Webhooks: endpoints, their secrets, and the log of deliveries.

use std::collections::BTreeMap;

use axum::Json as Answer;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use shared::error::{Error, Resource};
use shared::feed::catalogue::{self, EventType};
use shared::page::{List, Paging};
use shared::principal::Permission;
use shared::scope::Scope;
use shared::values::WebhookId;
use shared::webhooks::deliveries::{self, DeliveryDetail, DeliveryFilter, DeliveryView, EventRef};
use shared::webhooks::endpoints::{self, ChangeWebhook, NewWebhook, RotateSecret, WebhookView};
use shared::webhooks::receiver_url::ReceiverUrl;
use shared::webhooks::replay::{self, ReplayCount, ReplayWebhook};
use shared::webhooks::secret::MasterKey;
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::error::{ApiResult, Problem};
use crate::extract::etag::{self, IfMatch, Tagged};
use crate::extract::idempotent::{IDEMPOTENT_REPLAYED, Once, Reading, ReceivedBody, failed};
use crate::extract::json::{Json, Listed, NoBody, NoFilter, Path};
use crate::extract::principal::Caller;
use crate::policy::{Access, Policy};
use crate::router::Routes;
use crate::state::AppState;

pub fn routes() -> Routes {
    let read = Policy::read(Access::Needs(Permission::WebhooksManage)).scope(Scope::WebhooksManage);
    let write = Policy::write(Access::Needs(Permission::WebhooksManage)).scope(Scope::WebhooksManage);
    Routes::default()
        .on(routes!(list_webhooks), read)
        .on(routes!(register_webhook), write.takes_key())
        .on(routes!(list_event_types), read)
        .on(routes!(webhook), read)
        .on(routes!(change_webhook), write)
        .on(routes!(delete_webhook), write)
        .on(routes!(pause_webhook), write.takes_key())
        .on(routes!(enable_webhook), write.takes_key())
        .on(routes!(test_webhook), write.takes_key())
        .on(routes!(rotate_webhook_secret), write.takes_key())
        .on(routes!(list_deliveries), read)
        .on(routes!(webhook_delivery), read)
        .on(routes!(redeliver_webhook), write.takes_key())
        .on(routes!(replay_webhook), write.takes_key())
}

/// An endpoint with its secret, which is shown only here and at a rotation.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "url": "https://erp.example/hooks", "types": ["order.*"],
    "description": "The ERP", "max_per_second": null, "state": "enabled", "disabled_reason": null, "failing_since": null,
    "last_success_at": null, "previous_until": null, "pending": 0,
    "created_by": {"id": "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01", "name": "Sam Staff"}, "version": 1,
    "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z",
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDQJ6gjhWKJXo="
}))]
struct WebhookWithSecret {
    #[serde(flatten)]
    webhook: WebhookView,
    /// The key of the signatures: `whsec_` and the base64 of 32 bytes
    secret: String,
}

/// The new secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDQJ6gjhWKJXo=", "previous_until": "2026-11-22T07:00:00Z"
}))]
struct NewSecret {
    /// The key of the signatures: `whsec_` and the base64 of 32 bytes
    secret: String,
    /// Until then the secret before also signs; null: it ended at once
    previous_until: Option<DateTime<Utc>>,
}

/// A test that is on its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"event_id": "evt_019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05_1"}))]
struct TestSent {
    event_id: String,
}

/// List webhooks
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", params(Paging), responses(
    (status = 200, description = "A page of endpoints, oldest first", body = List<WebhookView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn list_webhooks(State(db): State<PgPool>, asked: Listed<NoFilter>) -> ApiResult<Answer<List<WebhookView>>> {
    Ok(Answer(endpoints::list(&mut *db.acquire().await?, &asked.page).await?))
}

/// Register a webhook
///
/// It gets events from now on, signed by Standard Webhooks with the secret of the answer: at least once, and those of one
/// subject in the order of their `sequence`.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = NewWebhook, responses(
    (status = 201, description = "The endpoint with its secret", body = WebhookWithSecret, headers(("Location" = String), ("ETag" = String))),
    (status = 409, description = "`too_many_webhooks`", body = Problem),
    (status = 422, description = "`invalid_url`, `url_not_allowed`, `unknown_event_type`", body = Problem),
    (status = 503, description = "`webhooks_off`: WEBHOOK_MASTER_KEY is not set", body = Problem),
))]
async fn register_webhook(
    State(state): State<AppState>,
    caller: Caller,
    request: Request,
) -> Result<Response, Response> {
    let key = master_key(&state).map_err(IntoResponse::into_response)?;
    let received = ReceivedBody::<NewWebhook>::read(request, &state, Reading::json()).await?;
    judge(&state, Some(&received.body().url)).await.map_err(IntoResponse::into_response)?;
    let mut once = match received.begin(&state.db).await {
        Ok(once) => once,
        Err(answered) => return Ok(shown_again(answered, key, None).await),
    };
    let webhook = endpoints::create(&mut once.tx, &caller, &once.body).await.map_err(failed)?;
    let headers = BTreeMap::from([
        ("location".to_owned(), format!("/v1/webhooks/{}", webhook.id)),
        ("etag".to_owned(), etag::of(webhook.version)),
    ]);
    let stored = stored(&webhook, FIRST).map_err(IntoResponse::into_response)?;
    let shown = WebhookWithSecret { secret: key.secret(webhook.id, FIRST).text(), webhook };
    once.answer_with_secret(StatusCode::CREATED, headers, &shown, &stored).await.map_err(IntoResponse::into_response)
}

/// The number of the first secret of an endpoint.
const FIRST: i32 = 1;

/// List the types of events
///
/// The catalogue: each type with a JSON Schema of its `data`.
#[utoipa::path(get, path = "/v1/webhooks/event-types", tag = "webhooks", responses(
    (status = 200, description = "All types", body = List<EventType>),
))]
async fn list_event_types() -> Answer<List<EventType>> {
    Answer(List { data: catalogue::catalogue(), next_cursor: None })
}

/// Read a webhook
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks", params(("id" = WebhookId, Path)), responses(
    (status = 200, description = "The endpoint, its version in `ETag`", body = WebhookView, headers(("ETag" = String))),
    (status = 404, description = "`webhook_not_found`", body = Problem),
))]
async fn webhook(State(db): State<PgPool>, Path(id): Path<WebhookId>) -> ApiResult<Tagged<WebhookView>> {
    let webhook = endpoints::get(&mut *db.acquire().await?, id).await?;
    Ok(Tagged(webhook.version, webhook))
}

/// Change a webhook
///
/// A new URL holds for the next attempt of everything that waits, new types for later events.
#[utoipa::path(
    patch, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ChangeWebhook, responses(
    (status = 200, description = "The endpoint as it is now", body = WebhookView, headers(("ETag" = String))),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
    (status = 422, description = "`invalid_url`, `url_not_allowed`, `unknown_event_type`", body = Problem),
))]
async fn change_webhook(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ChangeWebhook>,
) -> ApiResult<Tagged<WebhookView>> {
    judge(&state, body.url.as_deref()).await?;
    let mut tx = state.db.begin().await?;
    let webhook = endpoints::change(&mut tx, &caller, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(webhook.version, webhook))
}

/// Delete a webhook
///
/// What waits is dropped. One attempt that is out may still arrive.
#[utoipa::path(
    delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = WebhookId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    responses(
    (status = 204, description = "It is gone"),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
async fn delete_webhook(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    IfMatch(seen): IfMatch,
) -> ApiResult<StatusCode> {
    let mut tx = db.begin().await?;
    endpoints::delete(&mut tx, &caller, id, seen).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a webhook
///
/// Its events gather, and go out in order when it is enabled. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/webhooks/{id}/pause", tag = "webhooks", params(("id" = WebhookId, Path)), responses(
    (status = 200, description = "The endpoint, `paused`", body = WebhookView),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 409, description = "`webhook_disabled`: Millrace has disabled it", body = Problem),
))]
async fn pause_webhook(caller: Caller, Path(id): Path<WebhookId>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let webhook = endpoints::pause(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::OK, &webhook).await
}

/// Enable a webhook
///
/// What has gathered goes out first, in order. Asked again, nothing changes.
#[utoipa::path(post, path = "/v1/webhooks/{id}/enable", tag = "webhooks", params(("id" = WebhookId, Path)), responses(
    (status = 200, description = "The endpoint, `enabled`", body = WebhookView),
    (status = 404, description = "`webhook_not_found`", body = Problem),
))]
async fn enable_webhook(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    let (webhook, rings) = endpoints::enable(&mut once.tx, &caller, id).await?;
    let answer = once.answer(StatusCode::OK, &webhook).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// Send a test event
///
/// A `webhook.test` to this endpoint, whatever its types.
#[utoipa::path(post, path = "/v1/webhooks/{id}/test", tag = "webhooks", params(("id" = WebhookId, Path)), responses(
    (status = 202, description = "The event; its delivery is in the log shortly", body = TestSent),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 409, description = "`webhook_not_enabled`", body = Problem),
))]
async fn test_webhook(caller: Caller, Path(id): Path<WebhookId>, mut once: Once<NoBody>) -> ApiResult<Response> {
    let event_id = deliveries::test(&mut once.tx, &caller, id).await?;
    once.answer(StatusCode::ACCEPTED, &TestSent { event_id }).await
}

/// Rotate the secret of a webhook
///
/// For `overlap_hours` both secrets sign, the new one first.
#[utoipa::path(post, path = "/v1/webhooks/{id}/rotate-secret", tag = "webhooks", params(("id" = WebhookId, Path)),
    request_body = RotateSecret, responses(
    (status = 200, description = "The new secret", body = NewSecret),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 409, description = "`rotation_in_progress`: the secret before still signs", body = Problem),
    (status = 503, description = "`webhooks_off`: WEBHOOK_MASTER_KEY is not set", body = Problem),
))]
async fn rotate_webhook_secret(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    request: Request,
) -> Result<Response, Response> {
    let key = master_key(&state).map_err(IntoResponse::into_response)?;
    let received = ReceivedBody::<RotateSecret>::read(request, &state, Reading::json()).await?;
    let mut once = match received.begin(&state.db).await {
        Ok(once) => once,
        Err(answered) => return Ok(shown_again(answered, key, Some(id)).await),
    };
    let rotated = endpoints::rotate(&mut once.tx, &caller, id, &once.body).await.map_err(failed)?;
    let shown = NewSecret { secret: key.secret(id, rotated.number).text(), previous_until: rotated.previous_until };
    let stored = stored(&json!({ "previous_until": rotated.previous_until }), rotated.number)
        .map_err(IntoResponse::into_response)?;
    once.answer_with_secret(StatusCode::OK, BTreeMap::new(), &shown, &stored).await.map_err(IntoResponse::into_response)
}

/// List deliveries of a webhook
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = WebhookId, Path), DeliveryFilter, Paging), responses(
    (status = 200, description = "A page of deliveries, newest first", body = List<DeliveryView>),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 422, description = "`invalid_limit`, `invalid_cursor` or `invalid_value`", body = Problem),
))]
async fn list_deliveries(
    State(db): State<PgPool>,
    Path(id): Path<WebhookId>,
    asked: Listed<DeliveryFilter>,
) -> ApiResult<Answer<List<DeliveryView>>> {
    Ok(Answer(deliveries::list(&mut *db.acquire().await?, id, &asked.filter, &asked.page).await?))
}

/// Read a delivery
///
/// With the text that is sent, and every attempt.
#[utoipa::path(get, path = "/v1/webhooks/{id}/deliveries/{event_id}", tag = "webhooks",
    params(("id" = WebhookId, Path), ("event_id" = String, Path)), responses(
    (status = 200, description = "The delivery", body = DeliveryDetail),
    (status = 404, description = "`webhook_not_found` or `delivery_not_found`", body = Problem),
))]
async fn webhook_delivery(
    State(db): State<PgPool>,
    Path((id, event_id)): Path<(WebhookId, String)>,
) -> ApiResult<Answer<DeliveryDetail>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(deliveries::get(&mut conn, id, event(&event_id)?).await?))
}

/// Send a delivery again
///
/// With the same id and the same body, and ten new attempts.
#[utoipa::path(post, path = "/v1/webhooks/{id}/deliveries/{event_id}/redeliver", tag = "webhooks",
    params(("id" = WebhookId, Path), ("event_id" = String, Path)), responses(
    (status = 202, description = "The delivery, `pending`", body = DeliveryView),
    (status = 404, description = "`webhook_not_found` or `delivery_not_found`", body = Problem),
    (status = 409, description = "`delivery_pending`: it still waits to be sent", body = Problem),
))]
async fn redeliver_webhook(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, event_id)): Path<(WebhookId, String)>,
    mut once: Once<NoBody>,
) -> ApiResult<Response> {
    let (delivery, rings) = deliveries::redeliver(&mut once.tx, &caller, id, event(&event_id)?).await?;
    let answer = once.answer(StatusCode::ACCEPTED, &delivery).await?;
    state.doorbell.ring(rings);
    Ok(answer)
}

/// Send many deliveries again
///
/// Since a cursor of the feed or a time: those that failed, or with `only: "all"` every event that fits the endpoint, also from
/// before it was made. What is pending stays. With `dry_run` it only counts.
#[utoipa::path(post, path = "/v1/webhooks/{id}/replay", tag = "webhooks", params(("id" = WebhookId, Path)),
    request_body = ReplayWebhook, responses(
    (status = 200, description = "With `dry_run`: how many would be sent", body = ReplayCount),
    (status = 202, description = "How many are sent", body = ReplayCount),
    (status = 404, description = "`webhook_not_found`", body = Problem),
    (status = 422, description = "`too_far_back`, `invalid_cursor`, `unknown_event_type`, `missing_field`", body = Problem),
))]
async fn replay_webhook(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<WebhookId>,
    mut once: Once<ReplayWebhook>,
) -> ApiResult<Response> {
    let asked = once.body.clone();
    let (count, ring) = replay::replay(&mut once.tx, &caller, id, &asked).await?;
    if asked.dry_run {
        return Ok(Answer(count).into_response());
    }
    let answer = once.answer(StatusCode::ACCEPTED, &count).await?;
    state.doorbell.ring(ring);
    Ok(answer)
}

fn event(id: &str) -> ApiResult<EventRef> {
    Ok(EventRef::parse(id).ok_or(Error::NotFound(Resource::Delivery))?)
}

fn master_key(state: &AppState) -> ApiResult<&MasterKey> {
    Ok(state.settings.webhooks.master_key()?)
}

/// Judges a URL. It may ask the DNS, so it comes before the transaction.
async fn judge(state: &AppState, url: Option<&str>) -> ApiResult<()> {
    let Some(url) = url else { return Ok(()) };
    Ok(ReceiverUrl::parse(url)?.judge(&state.settings.webhooks.webhook_allow).await?)
}

// ---- secrets under an Idempotency-Key -------------------------------------------------------

/// What is stored under the key: the number of the secret in its place.
fn stored(answer: &impl Serialize, number: i32) -> ApiResult<Value> {
    let mut stored = serde_json::to_value(answer).map_err(Error::internal)?;
    stored["secret"] = json!(number);
    Ok(stored)
}

/// An answer is at most so long.
const ANSWER: usize = 64 * 1024;

/// Shows a stored answer again, with the secret that its number means.
async fn shown_again(answered: Response, key: &MasterKey, id: Option<WebhookId>) -> Response {
    if !answered.headers().contains_key(&IDEMPOTENT_REPLAYED) {
        return answered; // It was refused.
    }
    let (parts, body) = answered.into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER).await else { return failed(Error::internal("a stored answer is too long")) };
    let Ok(mut answer) = serde_json::from_slice::<Value>(&bytes) else {
        return failed(Error::internal("a stored answer is not JSON"));
    };
    let id = id.or_else(|| answer["id"].as_str().and_then(|id| id.parse().ok()));
    let number = answer["secret"].as_i64().and_then(|number| i32::try_from(number).ok());
    if let (Some(id), Some(number)) = (id, number) {
        answer["secret"] = json!(key.secret(id, number).text());
    }
    Response::from_parts(parts, answer.to_string().into())
}
