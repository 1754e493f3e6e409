//! Stock: its rows, its ledger, counts, and reservations made by hand.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::error::{Error, Invalid};
use shared::idempotency::BodyHash;
use shared::identity::principal::Permission;
use shared::inventory::adjust::{self, Adjust, Adjustment};
use shared::inventory::bulk::{self, CountRow, Counted, Counts, MAX_ROWS};
use shared::inventory::ledger::{self, MovementFilter, MovementView};
use shared::inventory::reserve::{self, ReservationRef, ReservationView, Reserve};
use shared::inventory::{self, NewStock, OnHand, ReorderSettings, StockFilter, StockView};
use shared::orders::reap::{self, Reaped};
use shared::page::{List, Paging};
use shared::product_cache::Cache;
use shared::queue::Origin;
use shared::values::{InventoryId, ProductId, ReservationId};
use sqlx::PgPool;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::AppState;
use crate::error::{ApiResult, Problem};
use crate::extract::etag::{IfMatch, Tagged};
use crate::extract::idempotent::{self, Once};
use crate::extract::json::{self, Json, Listed, NoFilter, Path, Query};
use crate::extract::principal::{Caller, Staff};
use crate::orders;

/// Room for 10,000 rows with the longest SKUs in the wordiest JSON.
const BULK_BODY_LIMIT: usize = 16 * 1024 * 1024;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(count))
        .layer(DefaultBodyLimit::max(BULK_BODY_LIMIT))
        .routes(routes!(list, create))
        .routes(routes!(low_stock))
        .routes(routes!(on_hand))
        .routes(routes!(movements))
        .routes(routes!(one, update))
        .routes(routes!(adjust))
        .routes(routes!(reserve))
        .routes(routes!(reservation))
        .routes(routes!(release))
        .routes(routes!(ship))
        .routes(routes!(reap))
}

/// Stock
#[utoipa::path(
    get, path = "/v1/inventory", tag = "inventory", security(("token" = [])), params(StockFilter, Paging), responses(
    (status = 200, description = "A page of stock, oldest rows first", body = List<StockView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
async fn list(
    State(db): State<PgPool>,
    _staff: Staff,
    list: Listed<StockFilter>,
) -> ApiResult<Answer<List<StockView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(inventory::list(&mut conn, &list.filter, &list.page).await?))
}

/// Stock at or below its reorder level, worst first
#[utoipa::path(
    get, path = "/v1/inventory/low-stock", tag = "inventory", security(("token" = [])), params(Paging), responses(
    (status = 200, description = "A page of what is low; first what is farthest below its reorder level", body = List<StockView>),
    (status = 422, description = "`invalid_limit` or `invalid_cursor`", body = Problem),
))]
async fn low_stock(
    State(db): State<PgPool>,
    _staff: Staff,
    list: Listed<NoFilter>,
) -> ApiResult<Answer<List<StockView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(inventory::list_low(&mut conn, &list.page).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OfProduct {
    product_id: ProductId,
}

/// What there is of a product
///
/// Anybody sees `available`; staff also see what is on hand, what is reserved, and where. What others have just
/// changed may show a moment late; an order is decided by what is there.
#[utoipa::path(get, path = "/v1/inventory/onhand", tag = "inventory", params(OfProduct), responses(
    (status = 200, description = "What can be bought now, over all active warehouses", body = OnHand),
    (status = 404, description = "`product_not_found`", body = Problem),
    (status = 422, description = "`product_id` is missing or is not an id", body = Problem),
))]
async fn on_hand(
    State(cache): State<Arc<Cache>>,
    caller: Option<Caller>,
    Query(of): Query<OfProduct>,
) -> ApiResult<Answer<OnHand>> {
    let is_staff = caller.is_some_and(|caller| caller.may(Permission::InventoryRead));
    Ok(Answer(cache.product(of.product_id).await?.on_hand(is_staff)))
}

/// A row of stock
#[utoipa::path(
    get, path = "/v1/inventory/{id}", tag = "inventory", security(("token" = [])), params(("id" = InventoryId, Path)), responses(
    (status = 200, description = "The row; `ETag` is the version of its reorder settings", body = StockView),
    (status = 404, description = "`inventory_not_found`", body = Problem),
))]
async fn one(State(db): State<PgPool>, _staff: Staff, Path(id): Path<InventoryId>) -> ApiResult<Tagged<StockView>> {
    let mut conn = db.acquire().await?;
    let stock = inventory::find(&mut conn, id).await?;
    Ok(Tagged(stock.version, stock))
}

/// Begins to stock a product in a warehouse
#[utoipa::path(
    post, path = "/v1/inventory", tag = "inventory", security(("token" = [])), request_body = NewStock, responses(
    (status = 201, description = "The row; `Location` says where it is", body = StockView),
    (status = 404, description = "`product_not_found` or `warehouse_not_found`", body = Problem),
    (status = 409, description = "`inventory_exists`: adjust the row that is there", body = Problem),
))]
async fn create(staff: Staff, mut once: Once<NewStock>) -> ApiResult<Response> {
    let stock = inventory::create(&mut once.tx, &staff, &once.body).await?;
    once.created(format!("/v1/inventory/{}", stock.id), stock.version, &stock).await
}

/// Changes when to reorder
#[utoipa::path(
    patch, path = "/v1/inventory/{id}", tag = "inventory", security(("token" = [])),
    params(("id" = InventoryId, Path), ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ReorderSettings, responses(
    (status = 200, description = "The row as it is now", body = StockView),
    (status = 404, description = "`inventory_not_found`", body = Problem),
    (status = 412, description = "`version_mismatch`", body = Problem),
))]
async fn update(
    State(db): State<PgPool>,
    staff: Staff,
    Path(id): Path<InventoryId>,
    IfMatch(seen): IfMatch,
    Json(body): Json<ReorderSettings>,
) -> ApiResult<Tagged<StockView>> {
    let mut tx = db.begin().await?;
    let stock = inventory::update_settings(&mut tx, &staff, id, seen, &body).await?;
    tx.commit().await?;
    Ok(Tagged(stock.version, stock))
}

/// Sets stock right: units that came, broke, were found or went missing
#[utoipa::path(
    post, path = "/v1/inventory/{id}/adjustments", tag = "inventory", security(("token" = [])),
    params(("id" = InventoryId, Path)), request_body = Adjust, responses(
    (status = 201, description = "The movement that it became", body = Adjustment),
    (status = 404, description = "`inventory_not_found`", body = Problem),
    (status = 409, description = "`would_go_negative`: on hand would fall below reserved", body = Problem),
    (status = 422, description = "`invalid_delta`: it is 0 or too large", body = Problem),
))]
async fn adjust(staff: Staff, Path(id): Path<InventoryId>, mut once: Once<Adjust>) -> ApiResult<Response> {
    let adjustment = adjust::adjust(&mut once.tx, &staff, id, &once.body).await?;
    once.answer(StatusCode::CREATED, &adjustment).await
}

/// The ledger: every change of stock
#[utoipa::path(
    get, path = "/v1/inventory/movements", tag = "inventory", security(("token" = [])),
    params(MovementFilter, Paging), responses(
    (status = 200, description = "A page of movements, newest first", body = List<MovementView>),
    (status = 422, description = "`invalid_limit`, `invalid_cursor`, or a filter is not right", body = Problem),
))]
async fn movements(
    State(db): State<PgPool>,
    _staff: Staff,
    list: Listed<MovementFilter>,
) -> ApiResult<Answer<List<MovementView>>> {
    let mut conn = db.acquire().await?;
    Ok(Answer(ledger::list(&mut conn, &list.filter, &list.page).await?))
}

/// Sets stock to what was counted, all rows or none
///
/// As JSON or as CSV with a header: `sku` or `product_id`, `warehouse`, `quantity`, `at`. Every row that cannot be
/// right is named, the first one as `items[0]`.
#[utoipa::path(
    post, path = "/v1/inventory/bulk", tag = "inventory", security(("token" = [])),
    request_body(content(
        (CountsBody = "application/json"),
        (String = "text/csv", example = "sku,warehouse,quantity\nMUG-STONE-350,EAST,40\n")
    )), responses(
    (status = 200, description = "How many rows were counted, and of those changed and created", body = Counted),
    (status = 422, description = "`product_not_found`, `warehouse_not_found`, `below_reserved`, `duplicate_row`, \
        `invalid_time`, `invalid_quantity`, … for each row, or `invalid_items`: not 1 to 10,000 rows", body = Problem),
))]
async fn count(staff: Staff, OnceCounted(mut once): OnceCounted) -> ApiResult<Response> {
    let counted = bulk::count(&mut once.tx, &staff, std::mem::take(&mut once.body)).await?;
    once.answer(StatusCode::OK, &counted).await
}

/// Holds stock by hand: every line, or nothing
///
/// A line without `warehouse_id` comes from the first active warehouse by priority that has every line, else whole
/// from the first that has it, else from several.
#[utoipa::path(
    post, path = "/v1/inventory/reserve", tag = "inventory", security(("token" = [])), request_body = Reserve, responses(
    (status = 201, description = "The reservation, `held`; `Location` says where it is", body = ReservationView),
    (status = 409, description = "`insufficient_stock`: for each short line `requested` and `available`", body = Problem),
    (status = 422, description = "`product_not_found`, `warehouse_not_found`, `invalid_quantity`, `invalid_ttl`, \
        `invalid_items`: not 1 to 100 lines", body = Problem),
))]
async fn reserve(State(state): State<AppState>, staff: Staff, mut once: Once<Reserve>) -> Result<Response, Response> {
    let ttl = state.settings.reservation_ttl;
    let mut reserved = reserve::reserve(&mut once.tx, &staff, &once.body, ttl).await;
    if let Err(Error::InsufficientStock(short)) = &reserved {
        once = once.again(&state.db, reap::free_overdue(&state.db, short)).await?;
        reserved = reserve::reserve(&mut once.tx, &staff, &once.body, ttl).await;
    }
    let reservation = reserved.map_err(idempotent::failed)?;
    let location = format!("/v1/inventory/reservations/{}", reservation.id);
    once.begun(location, &reservation).await.map_err(IntoResponse::into_response)
}

/// A reservation, an order's or one made by hand
#[utoipa::path(
    get, path = "/v1/inventory/reservations/{id}", tag = "inventory", security(("token" = [])),
    params(("id" = ReservationId, Path)), responses(
    (status = 200, description = "The reservation", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
))]
async fn reservation(
    State(state): State<AppState>,
    _staff: Staff,
    Path(id): Path<ReservationId>,
) -> ApiResult<Answer<ReservationView>> {
    let mut conn = state.db.acquire().await?;
    let reservation = reserve::find(&mut conn, id).await?;
    state.cache.shown(reservation.updated_at, reservation.items.iter().map(|item| item.product_id));
    Ok(Answer(reservation))
}

/// Gives back what was held by hand
#[utoipa::path(
    post, path = "/v1/inventory/release", tag = "inventory", security(("token" = [])), request_body = ReservationRef, responses(
    (status = 200, description = "The reservation, `released`", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
    (status = 409, description = "`reservation_not_held`, or `reservation_belongs_to_order`: act on the order", body = Problem),
))]
async fn release(staff: Staff, mut once: Once<ReservationRef>) -> ApiResult<Response> {
    let reservation = reserve::release(&mut once.tx, &staff, once.body.reservation_id).await?;
    once.answer(StatusCode::OK, &reservation).await
}

/// What was held by hand leaves the house
#[utoipa::path(
    post, path = "/v1/inventory/ship", tag = "inventory", security(("token" = [])), request_body = ReservationRef, responses(
    (status = 200, description = "The reservation, `shipped`; on hand and reserved fell together", body = ReservationView),
    (status = 404, description = "`reservation_not_found`", body = Problem),
    (status = 409, description = "`reservation_not_held`, or `reservation_belongs_to_order`: act on the order", body = Problem),
))]
async fn ship(staff: Staff, mut once: Once<ReservationRef>) -> ApiResult<Response> {
    let reservation = reserve::ship(&mut once.tx, &staff, once.body.reservation_id).await?;
    once.answer(StatusCode::OK, &reservation).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Runs the reaper now: ends the reservations that are overdue, and the orders that nobody paid for
///
/// An overdue order whose payment job is dead is cancelled by a worker, since the provider may have been paid.
#[utoipa::path(post, path = "/v1/inventory/reaper", tag = "inventory", security(("token" = [])), responses(
    (status = 200, description = "How many reservations were overdue", body = Reaped),
))]
async fn reap(
    State(state): State<AppState>,
    staff: Staff,
    Extension(origin): Extension<Origin>,
    mut once: Once<Nothing>,
) -> ApiResult<Response> {
    // In transactions of its own, while this one keeps the key: it locks nothing else.
    let plan = orders::plan(&state, origin);
    let (reaped, rings) = reap::reap_manually(&state.db, &mut once.tx, &staff, &plan).await?;
    state.doorbell.ring(rings);
    once.answer(StatusCode::OK, &reaped).await
}

/// Stock counts as JSON. The rows are read one by one, so that each that is wrong can be named.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"sku": "MUG-01", "warehouse": "EAST", "quantity": 40, "at": "2026-11-21T07:00:00Z"}]}))]
struct CountsBody {
    #[schema(value_type = Vec<CountRow>, min_items = 1, max_items = 10_000)]
    items: Vec<Value>,
}

/// Stock counts, in JSON or in CSV.
struct OnceCounted(Once<Counts>);

impl FromRequest<AppState> for OnceCounted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let refused = IntoResponse::into_response;
        let (mut parts, body) = request.into_parts();
        let caller = <Caller as FromRequestParts<AppState>>::from_request_parts(&mut parts, state).await;
        let caller = caller.map_err(refused)?.person().user_id;
        let key = idempotent::key(&parts.headers).map_err(refused)?;
        let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
        let is_csv = is_csv(&parts.headers);
        if !is_csv {
            json::require_json(&parts.headers, &body).map_err(refused)?;
        }
        let bytes = json::read(Request::from_parts(parts, body), state).await.map_err(refused)?;
        let counts =
            if is_csv { csv(&bytes) } else { json::parse::<CountsBody>(&bytes).map(|body| counts(body.items)) };
        let hash = || BodyHash::of(method.as_str(), &path, &bytes);
        Once::begin(&state.db, counts.map_err(refused)?, caller, key, hash).await.map(Self)
    }
}

fn is_csv(headers: &header::HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")
}

fn counts(rows: Vec<Value>) -> Counts {
    let asked = rows.len();
    if asked > MAX_ROWS {
        return Counts { asked, ..Counts::default() }; // Refused for that; what they say does not matter.
    }
    let (rows, complaints) = json::each("items", rows);
    Counts { asked, rows, complaints }
}

const COLUMNS: [&str; 5] = ["sku", "product_id", "warehouse", "quantity", "at"];

/// Makes of each record what it would be in JSON, so that both are read by the same rules.
fn csv(bytes: &Bytes) -> ApiResult<Counts> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // As spreadsheets write it.
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let columns: Vec<String> = match reader.headers() {
        Ok(columns) => columns.iter().map(str::to_lowercase).collect(),
        Err(error) => return Err(Error::invalid("invalid_csv", format!("the header cannot be read: {error}")).into()),
    };
    require_columns(&columns)?;

    let mut broken = Vec::new();
    let mut rows = Vec::new();
    for (index, record) in reader.into_records().take(MAX_ROWS + 1).enumerate() {
        let record = record.unwrap_or_else(|error| {
            broken.push(Invalid::new("invalid_csv", error.to_string()).at(format!("items[{index}]")));
            csv::StringRecord::new()
        });
        rows.push(
            columns.iter().zip(&record).filter(|(_, text)| !text.is_empty()).map(cell).collect::<Map<_, _>>().into(),
        );
    }
    let mut counts = counts(rows);
    // A record that is broken says nothing, which is not what is wrong with it.
    counts.complaints.retain(|complaint| !broken.iter().any(|broken| complaint.field.starts_with(&broken.field)));
    counts.complaints.extend(broken);
    Ok(counts)
}

fn require_columns(columns: &[String]) -> ApiResult<()> {
    let has = |column: &str| columns.iter().any(|given| given == column);
    let unknown = columns
        .iter()
        .enumerate()
        .find(|(index, column)| !COLUMNS.contains(&column.as_str()) || columns[..*index].contains(column));
    if let Some((_, column)) = unknown {
        let message = format!("the columns are {}, each once", COLUMNS.join(", "));
        return Err(Error::field(column, "unknown_field", message).into());
    }
    let missing = ["warehouse", "quantity"].into_iter().find(|column| !has(column));
    let missing = missing.or_else(|| (!has("sku") && !has("product_id")).then_some("sku"));
    match missing {
        Some(column) => Err(Error::field(column, "missing_field", "the header does not have this column").into()),
        None => Ok(()),
    }
}

fn cell((column, text): (&String, &str)) -> (String, Value) {
    let number = (column == "quantity").then(|| text.parse::<i64>().ok()).flatten();
    (column.clone(), number.map_or_else(|| text.into(), Value::from))
}
