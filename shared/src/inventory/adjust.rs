//! Corrections of one row of stock by a person: received, damaged, counted, returned. Writes through `ledger`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::ledger::{self, Change, MovementView, Reason};
use super::{level, news};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::invalid::Invalid;
use crate::principal::Principal;
use crate::values::whole_number::WholeNumber;
use crate::values::{InventoryId, Note, ProductId, Units, WarehouseId};

/// How many units come or go, and why.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"delta": -3, "reason": "damaged", "note": "dropped"}))]
pub struct Adjust {
    pub delta: Delta,
    pub reason: AdjustReason,
    pub note: Option<Note>,
}

/// Units that are added, or removed if negative; never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "WholeNumber")]
#[schema(value_type = i32, minimum = -1_000_000_000, maximum = 1_000_000_000, example = -3)]
pub struct Delta(i32);

impl TryFrom<WholeNumber> for Delta {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(delta) if delta != 0 && (-Units::MAX..=Units::MAX).contains(&number) => Ok(Self(delta)),
            _ => Err(invalid_delta()),
        }
    }
}

/// The reasons that a person may give; Millrace itself has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AdjustReason {
    Received,
    Damaged,
    Counted,
    Returned,
    Other,
}

impl From<AdjustReason> for Reason {
    fn from(reason: AdjustReason) -> Self {
        match reason {
            AdjustReason::Received => Self::Received,
            AdjustReason::Damaged => Self::Damaged,
            AdjustReason::Counted => Self::Counted,
            AdjustReason::Returned => Self::Returned,
            AdjustReason::Other => Self::Other,
        }
    }
}

/// The movement that an adjustment became.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d50", "product_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d10",
    "warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d05", "on_hand_delta": -3, "reserved_delta": 0, "reason": "damaged",
    "note": "dropped", "actor_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d40", "order_id": null, "reservation_id": null,
    "created_at": "2026-11-21T07:05:00Z", "delta": -3
}))]
pub struct Adjustment {
    #[serde(flatten)]
    pub movement: MovementView,
    /// As in the request; the same as `on_hand_delta`
    pub delta: i32,
}

/// Changes what is on hand, but never to less than what is reserved.
pub async fn adjust(
    conn: &mut PgConnection,
    principal: &Principal,
    id: InventoryId,
    asked: &Adjust,
) -> Result<Adjustment> {
    let pair = pair_of(conn, id).await?;
    let levels = level::lock(conn, &[pair].into()).await?;
    let level = levels.get(&pair).ok_or(Error::NotFound(Resource::Inventory))?;

    let Delta(delta) = asked.delta;
    let would_be = i64::from(level.on_hand) + i64::from(delta);
    if would_be < i64::from(level.reserved) {
        return Err(Error::WouldGoNegative { would_be, reserved: i64::from(level.reserved) });
    }
    if would_be > Units::MAX {
        return Err(Error::InvalidFields(vec![invalid_delta().at("delta")]));
    }

    let note = asked.note.clone().map(Note::into_string);
    let change = Change { on_hand_delta: delta, note, ..Change::of(pair.0, pair.1) };
    let (reason, changes) = (Reason::from(asked.reason), [change]);
    let mut written = ledger::write(conn, principal.user_id(), reason, &changes).await?;
    news::adjusted(conn, reason, &changes).await?;
    let movement = written.pop().expect("`write` returns a movement for each change");
    let data = json!({ "delta": delta, "reason": movement.reason, "movement_id": movement.id });
    let action = Action::new("stock.adjusted", "stock", id).reason(movement.note.as_deref()).data(data);
    actions::record(conn, principal, action).await?;
    Ok(Adjustment { movement, delta })
}

fn invalid_delta() -> Invalid {
    let message = format!("a delta is a whole number, not 0, after which at most {} units are on hand", Units::MAX);
    Invalid::new("invalid_delta", message)
}

pub(super) async fn pair_of(conn: &mut PgConnection, id: InventoryId) -> Result<(ProductId, WarehouseId)> {
    let row = sqlx::query!(
        r#"select product_id as "product_id: ProductId", warehouse_id as "warehouse_id: WarehouseId"
             from inventory where id = $1"#,
        id as InventoryId,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| (row.product_id, row.warehouse_id)).ok_or(Error::NotFound(Resource::Inventory))
}
