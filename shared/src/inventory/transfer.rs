//! Moving units of a product from one warehouse to another: they leave and arrive in one transaction, with one note. Writes
//! through `inventory::open_untold` and `ledger`.

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::ledger::{self, Change, MovementView, Reason};
use super::{NewStock, adjust, level, news};
use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::principal::Principal;
use crate::values::whole_number::WholeNumber;
use crate::values::{InventoryId, Note, Quantity, Units, WarehouseId};

/// Where the units go.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "to_warehouse_id": "019a4f6e-5b20-7c44-8f3d-2a6b9c1e7d06", "quantity": 5, "note": "the east is nearly out"
}))]
pub struct Transfer {
    pub to_warehouse_id: WarehouseId,
    pub quantity: Quantity,
    pub note: Option<Note>,
}

/// The two movements that a transfer became: the units left, and they arrived.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Transferred {
    pub movements: Vec<MovementView>,
}

/// Moves units that are not reserved. A warehouse that has not stocked the product yet begins to.
pub async fn transfer(
    conn: &mut PgConnection,
    principal: &Principal,
    id: InventoryId,
    asked: &Transfer,
) -> Result<Transferred> {
    let from = adjust::pair_of(conn, id).await?;
    let to = (from.0, asked.to_warehouse_id);
    if from == to {
        return Err(Error::field("to_warehouse_id", "same_warehouse", "the units are in this warehouse already"));
    }
    let none = Units::try_from(WholeNumber(0)).expect("none is a number of units");
    let row =
        NewStock { product_id: to.0, warehouse_id: to.1, on_hand: none, reorder_level: None, reorder_quantity: None };
    super::open_untold(conn, principal.user_id(), &[row]).await?;
    let levels = level::lock(conn, &[from, to].into()).await?;
    let level = levels.get(&from).ok_or(Error::NotFound(Resource::Inventory))?;
    let quantity = asked.quantity.get();
    if level.available() < quantity {
        let would_be = i64::from(level.on_hand) - i64::from(quantity);
        return Err(Error::WouldGoNegative { would_be, reserved: i64::from(level.reserved) });
    }
    if i64::from(levels[&to].on_hand) + i64::from(quantity) > Units::MAX {
        return Err(Error::field(
            "quantity",
            "invalid_quantity",
            format!("at most {} units can be on hand", Units::MAX),
        ));
    }
    let note = asked.note.clone().map(Note::into_string);
    let change = |(product_id, warehouse_id), on_hand_delta| Change {
        on_hand_delta,
        note: note.clone(),
        ..Change::of(product_id, warehouse_id)
    };
    let changes = [change(from, -quantity), change(to, quantity)];
    let movements = ledger::write(conn, principal.user_id(), Reason::Other, &changes).await?;
    news::adjusted(conn, Reason::Other, &changes).await?;
    let data = json!({ "quantity": quantity, "to_warehouse_id": to.1 });
    let action = Action::new("stock.transferred", "stock", id).reason(note.as_deref()).data(data);
    actions::record(conn, principal, action).await?;
    Ok(Transferred { movements })
}
