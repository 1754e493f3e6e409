//! Orders over HTTP: placing, reading, moving them.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use shared::error::Error;
use shared::idempotency::BodyHash;
use shared::identity::principal::{By, Permission};
use shared::orders::cancel::{self, Cancel};
use shared::orders::manual::{self, Following, SetStatus};
use shared::orders::placing::lanes::Placed;
use shared::orders::placing::request::{MAX_LINES, OrderLine, PlaceOrder, ProductRef};
use shared::orders::read::{OrderEvent, OrderFilter};
use shared::orders::{OrderView, read};
use shared::page::{List, Paging};
use shared::queue::{Origin, Plan};
use shared::values::{Address, CustomerId, OrderId, PaymentToken, ProductId, Quantity, Sku};
use sqlx::PgPool;
use tracing::{Instrument, Span, field, info_span};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::etag::{self, IfMatch, Tagged};
use crate::extract::idempotent::{self, IDEMPOTENT_REPLAYED, Once};
use crate::extract::json::{self, Listed, Path};
use crate::extract::principal::{Caller, Staff};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, place))
        .routes(routes!(get))
        .routes(routes!(events))
        .routes(routes!(cancel))
        .routes(routes!(set_status))
}

/// What to order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "items": [{ "sku": "MUG-STONE-350", "quantity": 2 }],
    "payment_token": "tok_ok",
    "shipping_address": { "name": "Alice", "line1": "1 Mill Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB" }
}))]
struct PlaceOrderBody {
    /// 1 to 100 lines; two of the same product are one line with the sum
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<LineBody>,
    #[schema(value_type = String, example = "tok_ok")]
    payment_token: PaymentToken,
    shipping_address: Address,
    /// For whom; only staff may say
    #[schema(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
}

/// A product, by its id or by its SKU, and how many of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LineBody {
    #[schema(value_type = Option<uuid::Uuid>)]
    product_id: Option<ProductId>,
    #[schema(value_type = Option<String>)]
    sku: Option<Sku>,
    quantity: Quantity,
}

/// Place an order
///
/// Reserves the stock and writes the payment job, or does nothing at all. Orders that arrive at the same
/// time are placed together, each accepted or refused on its own.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", security(("token" = [])),
    request_body = PlaceOrderBody,
    responses(
        (status = 201, description = "Placed: `pending`, its stock held, its payment on its way", body = OrderView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "`insufficient_stock` (each short line with `requested` and `available`), `too_many_open_orders`, `request_in_progress`", body = Problem),
        (status = 422, description = "`product_not_found`, `product_inactive`, `mixed_currencies`, `customer_not_found`, `idempotency_key_reused`, …", body = Problem),
        (status = 503, description = "`overloaded`: too many orders are being placed; nothing was done, see `Retry-After`", body = Problem),
        (status = 504, description = "`outcome_unknown`: ask again with the same key", body = Problem),
    ))]
async fn place(State(state): State<AppState>, caller: Caller, request: Request) -> ApiResult<Response> {
    let order = read_order(&state, &caller, request).await?;
    let placing = info_span!("place", otel.kind = "producer");
    let Placed { order, replayed } = state.placing.place(order).instrument(placing).await?;
    Span::current().record("order_id", field::display(order.id));
    let headers = [(header::LOCATION, format!("/v1/orders/{}", order.id)), (header::ETAG, etag::of(order.version))];
    let mut response = (StatusCode::CREATED, headers, Json(order)).into_response();
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Makes an order of what came in. A batch takes its key, so this does not go through `Once`.
async fn read_order(state: &AppState, caller: &Caller, request: Request) -> ApiResult<PlaceOrder> {
    let key = idempotent::key(request.headers())?;
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    json::require_json(request.headers(), request.body())?;
    let bytes = json::read(request, state).await?;
    let body: PlaceOrderBody = json::parse(&bytes)?;
    Ok(PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: caller.person().user_id.0, name: caller.person().name.as_str().to_owned() },
        customer_id: for_whom(state, caller, body.customer_id).await?,
        lines: lines(body.items)?,
        payment_token: body.payment_token,
        shipping_address: body.shipping_address,
        key: key.map(|key| (key, BodyHash::of("POST", "/v1/orders", &bytes))),
        origin,
    })
}

async fn for_whom(state: &AppState, caller: &Caller, asked: Option<CustomerId>) -> ApiResult<CustomerId> {
    match asked {
        None => Ok(caller.person().customer_id),
        Some(customer_id) if customer_id == caller.person().customer_id => Ok(customer_id),
        Some(customer_id) if caller.may(Permission::OrdersWrite) => {
            // Boxed since it is rare: each of a thousand orders that wait would have room for it.
            let exists = Box::pin(async {
                let mut conn = state.db.acquire().await?;
                shared::customers::exists(&mut conn, customer_id).await
            });
            if exists.await? {
                return Ok(customer_id);
            }
            Err(Error::field("customer_id", "customer_not_found", "there is no customer with this id").into())
        }
        Some(_) => Err(Error::Forbidden { needed: "staff" }.into()),
    }
}

fn lines(items: Vec<LineBody>) -> ApiResult<Vec<OrderLine>> {
    if !(1..=MAX_LINES).contains(&items.len()) {
        let message = format!("an order has 1 to {MAX_LINES} lines, not {}", items.len());
        return Err(Error::field("items", "invalid_items", message).into());
    }
    let line = |(position, item): (usize, LineBody)| match (item.product_id, item.sku) {
        (Some(id), None) => Ok(OrderLine { product: ProductRef::Id(id), quantity: item.quantity }),
        (None, Some(sku)) => Ok(OrderLine { product: ProductRef::Sku(sku), quantity: item.quantity }),
        _ => {
            let message = "a line names its product by `product_id` or by `sku`, one of the two";
            Err(ApiError::from(Error::field(format!("items[{position}]"), "product_or_sku", message)))
        }
    };
    items.into_iter().enumerate().map(line).collect()
}

/// List orders
///
/// A customer's own; for staff all, with their customers. Newest first.
#[utoipa::path(get, path = "/v1/orders", tag = "orders", security(("token" = [])), params(OrderFilter, Paging),
    responses((status = 200, description = "A page of orders", body = List<OrderView>)))]
async fn list(
    State(state): State<AppState>,
    caller: Caller,
    asked: Listed<OrderFilter>,
) -> ApiResult<impl IntoResponse> {
    let mut conn = state.db.acquire().await?;
    let orders = read::list(&mut conn, &caller, asked.filter, asked.page).await?;
    orders.data.iter().for_each(|order| show(&state, order));
    Ok(Json(orders))
}

/// The products of an order are not shown older than the order.
fn show(state: &AppState, order: &OrderView) {
    state.cache.shown(order.updated_at, order.items.iter().map(|item| item.product_id));
}

/// Read an order
#[utoipa::path(get, path = "/v1/orders/{id}", tag = "orders", security(("token" = [])),
    params(("id" = uuid::Uuid, Path)),
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag" = String))),
        (status = 404, description = "`order_not_found`: there is none with this id, or it is another's", body = Problem),
    ))]
async fn get(State(state): State<AppState>, caller: Caller, Path(id): Path<OrderId>) -> ApiResult<Tagged<OrderView>> {
    let mut conn = state.db.acquire().await?;
    let order = read::get(&mut conn, &caller, id).await?;
    show(&state, &order);
    Ok(Tagged(order.version, order))
}

/// Read an order's timeline
///
/// What happened to it, in the order in which it happened.
#[utoipa::path(get, path = "/v1/orders/{id}/events", tag = "orders", security(("token" = [])),
    params(("id" = uuid::Uuid, Path), Paging),
    responses(
        (status = 200, description = "The timeline, ascending", body = List<OrderEvent>),
        (status = 404, description = "`order_not_found`", body = Problem),
    ))]
async fn events(
    State(db): State<PgPool>,
    caller: Caller,
    Path(id): Path<OrderId>,
    asked: Listed<NoFilter>,
) -> ApiResult<impl IntoResponse> {
    let NoFilter {} = asked.filter;
    let mut conn = db.acquire().await?;
    Ok(Json(read::events(&mut conn, &caller, id, asked.page).await?))
}

/// Cancel an order
///
/// A worker then voids or refunds what was charged, gives the stock back, and the order becomes `cancelled`.
/// Asked again, nothing more happens.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", security(("token" = [])),
    params(("id" = uuid::Uuid, Path)), request_body = Cancel,
    responses(
        (status = 202, description = "The order, `cancelling`; or as it is, if it was cancelled before", body = OrderView),
        (status = 404, description = "`order_not_found`: there is none with this id, or it is another's", body = Problem),
        (status = 409, description = "`order_not_cancellable`: it is being shipped", body = Problem),
    ))]
async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<OrderId>,
    Extension(origin): Extension<Origin>,
    mut once: Once<Cancel>,
) -> ApiResult<Response> {
    let plan = plan(&state, origin);
    let (order, ring) = cancel::cancel(&mut once.tx, &caller, id, &once.body, &plan).await?;
    let answer = once.answer(StatusCode::ACCEPTED, &order).await?;
    state.doorbell.ring(ring);
    Ok(answer)
}

/// Move an order by hand
///
/// Along the lines pending → processing → paid → shipped → delivered, with all that follows from each: `paid`
/// writes a manual charge, posts the stock and has the order shipped; `shipped` lets the stock leave. Before that
/// `cancelling` (or `cancelled`) has it cancelled by a worker.
#[utoipa::path(patch, path = "/v1/orders/{id}/status", tag = "orders", security(("token" = [])),
    params(("id" = uuid::Uuid, Path), ("If-Match" = Option<String>, Header)), request_body = SetStatus,
    responses(
        (status = 200, description = "The order", body = OrderView, headers(("ETag" = String))),
        (status = 404, description = "`order_not_found`", body = Problem),
        (status = 409, description = "`invalid_transition`: `errors[0].allowed` has the states it may move to; \
            `payment_in_progress`: the provider is being asked; `order_not_cancellable`: it is being shipped", body = Problem),
        (status = 412, description = "`version_mismatch`: it was changed since", body = Problem),
    ))]
async fn set_status(
    State(state): State<AppState>,
    staff: Staff,
    Path(id): Path<OrderId>,
    IfMatch(seen): IfMatch,
    Extension(origin): Extension<Origin>,
    json::Json(asked): json::Json<SetStatus>,
) -> ApiResult<Tagged<OrderView>> {
    let following = Following { plan: plan(&state, origin), delivery_delay: state.settings.delivery_delay };
    let mut tx = state.db.begin().await?;
    let (order, rings) = manual::set_status(&mut tx, &staff, id, seen, asked.status, &following).await?;
    tx.commit().await?;
    state.doorbell.ring(rings);
    Ok(Tagged(order.version, order))
}

/// For jobs that follow from a request.
pub fn plan(state: &AppState, origin: Origin) -> Plan {
    Plan { delay: Duration::ZERO, max_attempts: state.settings.job_max_attempts, origin }
}

/// For lists that cannot be filtered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFilter {}
