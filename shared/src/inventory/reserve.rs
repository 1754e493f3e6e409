//! Reservations: stock that is promised. A reservation is held, then posted (paid for), then shipped; or released, or
//! expired (`expire`). Each step is one guarded statement, so a reservation takes it only once.
//!
//! An order's reservation moves with its order: the functions `…_of_orders` take orders that the caller holds
//! locked, many at once, and the number of statements does not grow with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::ledger::{self, Change, Reason};
use super::level::{self, Level, Pair};
use super::news;
use super::source::{Shelf, Shelves, SourceLine};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result, Shortage};
use crate::invalid::{FieldError, Invalid};
use crate::principal::Principal;
use crate::values::whole_number::WholeNumber;
use crate::values::{OrderId, ProductId, Quantity, ReservationId, UserId, WarehouseId};

/// The same limit as for an order's lines.
pub const MAX_LINES: usize = 100;

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "quantity": 2}], "ttl_seconds": 900}))]
pub struct Reserve {
    #[schema(min_items = 1, max_items = 100)]
    pub items: Vec<ReserveLine>,
    /// How long the stock is held; if not given, as long as for an unpaid order
    pub ttl_seconds: Option<TtlSeconds>,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveLine {
    pub product_id: ProductId,
    /// From any active warehouse, if not given
    pub warehouse_id: Option<WarehouseId>,
    pub quantity: Quantity,
}

/// How long stock is held: one second to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = i32, minimum = 1, maximum = 86_400, example = 900)]
pub struct TtlSeconds(u32);

impl TtlSeconds {
    const MAX: u32 = 86_400;
}

impl TryFrom<WholeNumber> for TtlSeconds {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match u32::try_from(number) {
            Ok(seconds) if (1..=Self::MAX).contains(&seconds) => Ok(Self(seconds)),
            _ => Err(Invalid::new("invalid_ttl", format!("a reservation lasts from 1 to {} seconds", Self::MAX))),
        }
    }
}

/// The reservation to release or to ship.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reservation_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d30"}))]
pub struct ReservationRef {
    pub reservation_id: ReservationId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ReservationState {
    Held,
    Posted,
    Shipped,
    Released,
    Expired,
}

impl ReservationState {
    /// The units are in the warehouse for this reservation, or have left it for this reservation.
    pub fn keeps_stock(self) -> bool {
        matches!(self, Self::Held | Self::Posted | Self::Shipped)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Posted => "posted",
            Self::Shipped => "shipped",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d30", "state": "held",
    "items": [{
        "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10", "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "quantity": 2
    }],
    "expires_at": "2026-11-21T07:20:00Z", "order_id": null, "created_by": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d40",
    "created_at": "2026-11-21T07:05:00Z", "updated_at": "2026-11-21T07:05:00Z"
}))]
pub struct ReservationView {
    pub id: ReservationId,
    pub state: ReservationState,
    pub items: Vec<ReservedLine>,
    /// The stock is held until then; afterwards the reaper releases it
    pub expires_at: DateTime<Utc>,
    /// Null for one made by hand
    pub order_id: Option<OrderId>,
    pub created_by: UserId,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReservedLine {
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub quantity: i32,
}

/// Holds stock by hand: every line, or nothing.
pub async fn reserve(
    conn: &mut PgConnection,
    principal: &Principal,
    asked: &Reserve,
    default_ttl: Duration,
) -> Result<ReservationView> {
    if !(1..=MAX_LINES).contains(&asked.items.len()) {
        return Err(Error::field("items", "invalid_items", format!("there are from 1 to {MAX_LINES} of them")));
    }
    let skus = skus_of(conn, &asked.items).await?;
    let warehouses = warehouses_for(conn, &asked.items).await?;
    let levels = locked_levels(conn, &asked.items, &warehouses).await?;
    let mut shelves = shelves_of(&levels, &warehouses);
    let lines: Vec<SourceLine> = asked.items.iter().map(ReserveLine::line).collect();
    let sourced = shelves.take(&lines).map_err(|short| Error::InsufficientStock(named(short, &skus)))?;

    let mut taken = BTreeMap::<Pair, i32>::new();
    for allocation in &sourced.allocations {
        *taken.entry((allocation.product_id, allocation.warehouse_id)).or_default() += allocation.quantity;
    }
    let ttl = asked.ttl_seconds.map_or(default_ttl, |TtlSeconds(seconds)| Duration::from_secs(seconds.into()));
    let actor = principal.require_user_id()?;
    let id = insert(conn, actor, &taken, ttl).await?;
    let changes: Vec<Change> = taken
        .iter()
        .map(|(&(product_id, warehouse_id), quantity)| Change {
            reserved_delta: *quantity,
            reservation_id: Some(id),
            ..Change::of(product_id, warehouse_id)
        })
        .collect();
    ledger::write(conn, Some(actor), Reason::Reserved, &changes).await?;
    news::became_low(conn, &low(&levels, &taken)).await?;
    let action = Action::new("reservation.made", "reservation", id).data(json!({ "lines": asked.items.len() }));
    actions::record(conn, principal, action).await?;
    find(conn, id).await
}

pub async fn find(conn: &mut PgConnection, id: ReservationId) -> Result<ReservationView> {
    let row = sqlx::query!(
        r#"select state as "state: ReservationState", expires_at, order_id as "order_id: OrderId", created_by as "created_by: UserId",
                  created_at, updated_at
             from reservations where id = $1"#,
        id as ReservationId,
    )
    .fetch_optional(&mut *conn)
    .await?
    .ok_or(Error::NotFound(Resource::Reservation))?;
    let items = sqlx::query_as!(
        ReservedLine,
        r#"select product_id, warehouse_id, quantity from reservation_lines
            where reservation_id = $1 order by product_id, warehouse_id"#,
        id as ReservationId,
    )
    .fetch_all(conn)
    .await?;
    Ok(ReservationView {
        id,
        state: row.state,
        items,
        expires_at: row.expires_at,
        order_id: row.order_id,
        created_by: row.created_by,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Releases a reservation that was made by hand.
pub async fn release(conn: &mut PgConnection, principal: &Principal, id: ReservationId) -> Result<ReservationView> {
    let released = (ReservationState::Released, Reason::Released, "reservation.released");
    end_manually(conn, principal, id, released).await
}

/// The stock of a reservation that was made by hand leaves: on hand and reserved fall together.
pub async fn ship(conn: &mut PgConnection, principal: &Principal, id: ReservationId) -> Result<ReservationView> {
    let shipped = (ReservationState::Shipped, Reason::Shipped, "reservation.shipped");
    end_manually(conn, principal, id, shipped).await
}

async fn end_manually(
    conn: &mut PgConnection,
    principal: &Principal,
    id: ReservationId,
    (to, reason, action): (ReservationState, Reason, &'static str),
) -> Result<ReservationView> {
    let ended = advance(conn, Whose::Manual(id), &[ReservationState::Held], to).await?;
    if ended.is_empty() {
        return Err(refusal(conn, id).await?);
    }
    take_out_of_stock(conn, principal.user_id(), &ended, reason).await?;
    actions::record(conn, principal, Action::new(action, "reservation", id)).await?;
    find(conn, id).await
}

/// The orders are paid: their reservations do not expire any more. Returns the orders whose reservation was held.
pub async fn post_of_orders(conn: &mut PgConnection, orders: &[OrderId]) -> Result<Vec<OrderId>> {
    let posted = advance(conn, Whose::Orders(orders), &[ReservationState::Held], ReservationState::Posted).await?;
    Ok(orders_of(&posted))
}

/// The orders' stock leaves. Returns the orders whose reservation was posted until now.
pub async fn ship_of_orders(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    orders: &[OrderId],
) -> Result<Vec<OrderId>> {
    let ended = advance(conn, Whose::Orders(orders), &[ReservationState::Posted], ReservationState::Shipped).await?;
    take_out_of_stock(conn, actor, &ended, Reason::Shipped).await?;
    Ok(orders_of(&ended))
}

/// The orders do not need their stock any more. Returns the orders whose reservation was released.
pub async fn release_of_orders(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    orders: &[OrderId],
) -> Result<Vec<OrderId>> {
    let ended = advance(
        conn,
        Whose::Orders(orders),
        &[ReservationState::Held, ReservationState::Posted],
        ReservationState::Released,
    )
    .await?;
    take_out_of_stock(conn, actor, &ended, Reason::Released).await?;
    Ok(orders_of(&ended))
}

/// One line of a reservation that has just moved.
#[derive(Debug)]
pub(super) struct MovedLine {
    pub id: ReservationId,
    pub order_id: Option<OrderId>,
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub quantity: i32,
}

enum Whose<'a> {
    /// One that was made by hand.
    Manual(ReservationId),
    Orders(&'a [OrderId]),
}

/// Moves reservations from one state to another, locking them by id. Those in another state stay as they are.
///
/// The arrays come from a CTE for the same reason as in `orders::transition`: else Postgres plans each call again.
async fn advance(
    conn: &mut PgConnection,
    whose: Whose<'_>,
    from: &[ReservationState],
    to: ReservationState,
) -> Result<Vec<MovedLine>> {
    let (manual, orders) = match whose {
        Whose::Orders([]) => return Ok(Vec::new()),
        Whose::Manual(id) => (Some(id), &[][..]),
        Whose::Orders(orders) => (None, orders),
    };
    let from: Vec<String> = from.iter().map(|state| state.as_str().to_owned()).collect();
    let moved = sqlx::query_as!(
        MovedLine,
        r#"with given as materialized (select $1::uuid as manual, $2::uuid[] as orders, $3::text[] as origins),
           locked as materialized (
               select id from reservations
                where ((id = (select manual from given) and order_id is null)
                       or order_id = any((select orders from given)::uuid[]))
                  and state = any((select origins from given)::text[])
                order by id for no key update),
           moved as (
               update reservations r set state = $4, updated_at = statement_timestamp()
                 from locked where r.id = locked.id
               returning r.id, r.order_id)
           select moved.id, moved.order_id as "order_id: OrderId", l.product_id, l.warehouse_id, l.quantity
             from moved join reservation_lines l on l.reservation_id = moved.id"#,
        manual as Option<ReservationId>,
        orders as &[OrderId],
        &from,
        to.as_str(),
    )
    .fetch_all(conn)
    .await?;
    Ok(moved)
}

/// Takes the lines of reservations that have just ended off what is reserved, and off what is on hand if they were
/// shipped. Locks the stock in its one order, then writes.
pub(super) async fn take_out_of_stock(
    conn: &mut PgConnection,
    actor: Option<UserId>,
    ended: &[MovedLine],
    reason: Reason,
) -> Result<()> {
    let leaves = reason == Reason::Shipped;
    let changes: Vec<Change> = ended
        .iter()
        .map(|line| Change {
            on_hand_delta: if leaves { -line.quantity } else { 0 },
            reserved_delta: -line.quantity,
            order_id: line.order_id,
            reservation_id: Some(line.id),
            ..Change::of(line.product_id, line.warehouse_id)
        })
        .collect();
    if changes.is_empty() {
        return Ok(());
    }
    level::lock(conn, &ledger::rows_of(&changes)).await?;
    ledger::write(conn, actor, reason, &changes).await?;
    Ok(())
}

fn orders_of(moved: &[MovedLine]) -> Vec<OrderId> {
    moved.iter().filter_map(|line| line.order_id).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Why a reservation could not be moved by hand.
async fn refusal(conn: &mut PgConnection, id: ReservationId) -> Result<Error> {
    let reservation = find(conn, id).await?;
    Ok(match reservation.order_id {
        Some(order_id) => Error::ReservationBelongsToOrder { order_id: order_id.0 },
        None => Error::ReservationNotHeld { state: reservation.state.as_str().to_owned() },
    })
}

impl ReserveLine {
    fn line(&self) -> SourceLine {
        SourceLine { product_id: self.product_id, quantity: self.quantity.get(), warehouse_id: self.warehouse_id }
    }
}

/// The products' SKUs; refuses lines whose product does not exist.
async fn skus_of(conn: &mut PgConnection, items: &[ReserveLine]) -> Result<BTreeMap<ProductId, String>> {
    let ids: Vec<ProductId> = items.iter().map(|item| item.product_id).collect();
    let rows =
        sqlx::query!(r#"select id as "id: ProductId", sku from products where id = any($1)"#, &ids as &[ProductId])
            .fetch_all(conn)
            .await?;
    let skus: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row.sku)).collect();
    refuse_unknown(items, "product_id", "product_not_found", |item| skus.contains_key(&item.product_id))?;
    Ok(skus)
}

struct Warehouse {
    id: WarehouseId,
    priority: i32,
    active: bool,
}

/// The warehouses that stock may come from; refuses lines that name one which does not exist.
async fn warehouses_for(conn: &mut PgConnection, items: &[ReserveLine]) -> Result<Vec<Warehouse>> {
    let named: Vec<WarehouseId> = items.iter().filter_map(|item| item.warehouse_id).collect();
    let mut warehouses = sqlx::query_as!(
        Warehouse,
        "select id, priority, active from warehouses where active or id = any($1)",
        &named as &[WarehouseId],
    )
    .fetch_all(conn)
    .await?;
    refuse_unknown(items, "warehouse_id", "warehouse_not_found", |item| {
        item.warehouse_id.is_none_or(|named| warehouses.iter().any(|warehouse| warehouse.id == named))
    })?;
    warehouses.retain(|warehouse| warehouse.active); // An inactive warehouse sells nothing, even if it is named.
    Ok(warehouses)
}

fn refuse_unknown(items: &[ReserveLine], field: &str, code: &str, known: impl Fn(&ReserveLine) -> bool) -> Result<()> {
    let unknown = |(index, item): (usize, &ReserveLine)| -> Option<FieldError> {
        (!known(item)).then(|| Invalid::new(code, "there is none with this id").at(format!("items[{index}].{field}")))
    };
    let unknown: Vec<_> = items.iter().enumerate().filter_map(unknown).collect();
    if unknown.is_empty() { Ok(()) } else { Err(Error::InvalidFields(unknown)) }
}

/// The rows that become low when these units are taken.
fn low(levels: &BTreeMap<Pair, Level>, taken: &BTreeMap<Pair, i32>) -> Vec<Pair> {
    let is_low = |(pair, units): &(&Pair, &i32)| {
        let before = levels[*pair].available();
        news::makes_low(before, before - **units, levels[*pair].low_from)
    };
    taken.iter().filter(is_low).map(|(pair, _)| *pair).collect()
}

/// Locks all stock that the lines could come from.
async fn locked_levels(
    conn: &mut PgConnection,
    items: &[ReserveLine],
    warehouses: &[Warehouse],
) -> Result<BTreeMap<Pair, Level>> {
    let of = |item: &ReserveLine| {
        let (product_id, named) = (item.product_id, item.warehouse_id);
        let may = warehouses.iter().filter(move |warehouse| named.is_none_or(|named| named == warehouse.id));
        may.map(move |warehouse| (product_id, warehouse.id)).collect::<Vec<_>>()
    };
    level::lock(conn, &items.iter().flat_map(of).collect()).await
}

fn shelves_of(levels: &BTreeMap<Pair, Level>, warehouses: &[Warehouse]) -> Shelves {
    let priorities: BTreeMap<_, _> = warehouses.iter().map(|warehouse| (warehouse.id, warehouse.priority)).collect();
    let shelf = |(&(product_id, warehouse_id), level): (&Pair, &Level)| {
        (product_id, Shelf { warehouse_id, priority: priorities[&warehouse_id], available: level.available() })
    };
    Shelves::new(levels.iter().map(shelf))
}

fn named(short: Vec<Shortage>, skus: &BTreeMap<ProductId, String>) -> Vec<Shortage> {
    let named = |short: Shortage| Shortage { sku: skus.get(&ProductId(short.product_id)).cloned(), ..short };
    short.into_iter().map(named).collect()
}

async fn insert(
    conn: &mut PgConnection,
    actor: UserId,
    taken: &BTreeMap<Pair, i32>,
    ttl: Duration,
) -> Result<ReservationId> {
    let id = ReservationId::new();
    let (products, warehouses): (Vec<_>, Vec<_>) = taken.keys().copied().unzip();
    sqlx::query!(
        "with made as (
             insert into reservations (id, created_by, expires_at)
             values ($1, $2, clock_timestamp() + make_interval(secs => $3)))
         insert into reservation_lines (reservation_id, product_id, warehouse_id, quantity)
         select $1, * from unnest($4::uuid[], $5::uuid[], $6::int[])",
        id as ReservationId,
        actor as UserId,
        ttl.as_secs_f64(),
        products as Vec<ProductId>,
        warehouses as Vec<WarehouseId>,
        &taken.values().copied().collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(id)
}
