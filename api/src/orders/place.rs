//! Placing an order.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::error::Error;
use shared::idempotency::BodyHash;
use shared::orders::placing::lanes::Placed;
use shared::orders::placing::request::{MAX_LINES, OrderLine, PlaceOrder, ProductRef};
use shared::orders::{OrderView, manual};
use shared::principal::{Permission, Principal};
use shared::queue::Origin;
use shared::values::{Address, CustomerId, OrderId, PaymentToken, ProductId, Quantity, Sku};
use tracing::{Instrument, Span, field, info_span};
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::etag;
use crate::extract::idempotent::{self, IDEMPOTENT_REPLAYED};
use crate::extract::json;
use crate::extract::principal::Caller;
use crate::state::AppState;

/// The order to place.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "items": [{ "sku": "MUG-STONE-350", "quantity": 2 }],
    "payment_token": "tok_ok",
    "shipping_address": { "name": "Alice", "line1": "1 Mill Lane", "city": "Bath", "postal_code": "BA1 1AA", "country": "GB" }
}))]
pub(super) struct PlaceOrderBody {
    /// 1 to 100 lines; two of the same product are one line with the sum
    #[schema(min_items = 1, max_items = 100)]
    items: Vec<LineBody>,
    #[schema(example = "tok_ok")]
    payment_token: PaymentToken,
    shipping_address: Address,
    /// The customer who orders; only staff may name another than their own
    #[schema(value_type = Option<uuid::Uuid>)]
    customer_id: Option<CustomerId>,
}

/// A product, by its id or by its SKU, and its quantity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LineBody {
    #[schema(value_type = Option<uuid::Uuid>)]
    product_id: Option<ProductId>,
    sku: Option<Sku>,
    quantity: Quantity,
}

/// Place an order
///
/// Reserves the stock and enqueues the payment, or changes nothing. Orders that arrive at the same time share a
/// transaction, but each is accepted or refused by itself.
#[utoipa::path(post, path = "/v1/orders", tag = "orders",
    request_body = PlaceOrderBody,
    responses(
        (status = 201, description = "Placed: `pending`, its stock reserved, its payment enqueued", body = OrderView,
            headers(("Location" = String), ("ETag" = String))),
        (status = 409, description = "`insufficient_stock` (each short line with `requested` and `available`), `too_many_open_orders`, `too_much_unpaid` (what a customer who has never paid may hold unpaid), `request_in_progress`", body = Problem),
        (status = 422, description = "`product_not_found`, `product_inactive`, `mixed_currencies`, `customer_not_found`, `idempotency_key_reused`, …", body = Problem),
        (status = 503, description = "`overloaded`: too many orders are being placed, or too many of this caller; nothing was done, see `Retry-After`", body = Problem),
        (status = 504, description = "`outcome_unknown`: ask again with the same key", body = Problem),
    ))]
pub(super) async fn place(State(state): State<AppState>, caller: Caller, request: Request) -> ApiResult<Response> {
    let order = read_order(&state, &caller, request).await?;
    let placing = info_span!("place", otel.kind = "producer");
    let share_of = (!caller.may(Permission::OrdersWrite)).then_some(order.placed_by.id);
    let Placed { order, replayed } = state.placing.place(order, share_of).instrument(placing).await?;
    if !replayed && own_customer(&caller) != Some(order.customer_id) {
        Box::pin(manual::record_placed_for(&state.db, &caller, &order)).await;
    }
    Span::current().record("order_id", field::display(order.id));
    let headers = [(header::LOCATION, format!("/v1/orders/{}", order.id)), (header::ETAG, etag::of(order.version))];
    let mut response = (StatusCode::CREATED, headers, Json(order)).into_response();
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Reads the order from the request. `Once` is not used here: the transaction that places a batch takes the keys.
async fn read_order(state: &AppState, principal: &Principal, request: Request) -> ApiResult<PlaceOrder> {
    let placed_by = principal.by().ok_or(Error::Unauthenticated)?;
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
    let (parts, body) = request.into_parts();
    let key = idempotent::key(&parts)?;
    json::require_json(&parts.headers, &body)?;
    let bytes = json::read(Request::from_parts(parts, body), state).await?;
    let body: PlaceOrderBody = json::parse(&bytes)?;
    Ok(PlaceOrder {
        id: OrderId::new(),
        placed_by,
        customer_id: customer(state, principal, body.customer_id).await?,
        lines: lines(body.items)?,
        payment_token: body.payment_token,
        shipping_address: body.shipping_address,
        key: key.map(|key| (key, BodyHash::of("POST", "/v1/orders", &bytes))),
        origin,
    })
}

/// Whom people order for unless they name somebody else. Keys have no customer.
fn own_customer(principal: &Principal) -> Option<CustomerId> {
    principal.require_person().ok().map(|person| person.customer_id)
}

async fn customer(state: &AppState, principal: &Principal, asked: Option<CustomerId>) -> ApiResult<CustomerId> {
    match (asked, own_customer(principal)) {
        (None, Some(own)) => Ok(own),
        (Some(asked), Some(own)) if asked == own => Ok(own),
        (Some(other), _) => another_customer(state, principal, other).await,
        (None, None) => {
            let message = "an API key has no orders of its own; say which customer orders";
            Err(Error::field("customer_id", "missing_field", message).into())
        }
    }
}

/// Staff may order for any customer that exists.
async fn another_customer(state: &AppState, principal: &Principal, id: CustomerId) -> ApiResult<CustomerId> {
    principal.require(Permission::OrdersWrite)?;
    // Boxed because it is rare: otherwise the future of every waiting order would have room for it.
    let exists = Box::pin(async {
        let mut conn = state.db.acquire().await?;
        shared::customers::exists(&mut conn, id).await
    });
    if exists.await? {
        return Ok(id);
    }
    Err(Error::field("customer_id", "customer_not_found", "there is no customer with this id").into())
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
