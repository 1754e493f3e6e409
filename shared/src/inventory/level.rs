//! The quantities of rows of stock, read under their lock. Writes no table.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use crate::error::Result;
use crate::values::{ProductId, WarehouseId};

/// The quantities of a locked row: they do not change before this transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    pub on_hand: i32,
    pub reserved: i32,
    /// It is low when so many or fewer are available.
    pub low_from: i32,
}

impl Level {
    pub(crate) fn available(self) -> i32 {
        self.on_hand - self.reserved
    }
}

/// A row of stock: a product in a warehouse.
pub(crate) type Pair = (ProductId, WarehouseId);

/// Locks rows of stock, always in the order (product, warehouse), and reads them. A pair without a row is left out.
pub(crate) async fn lock(conn: &mut PgConnection, pairs: &BTreeSet<Pair>) -> Result<BTreeMap<Pair, Level>> {
    let (products, warehouses): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    let rows = sqlx::query!(
        r#"select product_id as "product_id: ProductId", warehouse_id as "warehouse_id: WarehouseId", on_hand, reserved,
                  reorder_level
             from inventory
            where (product_id, warehouse_id) in (select * from unnest((select $1::uuid[]), $2::uuid[]))
            order by product_id, warehouse_id for no key update of inventory"#,
        products as Vec<ProductId>,
        warehouses as Vec<WarehouseId>,
    )
    .fetch_all(conn)
    .await?;
    let levels = rows.into_iter().map(|row| {
        let level = Level { on_hand: row.on_hand, reserved: row.reserved, low_from: row.reorder_level };
        ((row.product_id, row.warehouse_id), level)
    });
    Ok(levels.collect())
}
