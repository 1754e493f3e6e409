//! Everything that anyone may see of a product and its stock, read in one statement so that the parts agree. Writes no
//! table.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;

use crate::catalog::products::ProductView;
use crate::error::{Error, Resource, Result};
use crate::inventory::{OnHand, OnShelf};
use crate::principal::{Permission, Principal};
use crate::values::{Name, ProductId, Sku};

/// Holds what the public may see and what only staff may see. `on_hand` selects by the caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub product: ProductView,
    /// One for each warehouse, in the order in which orders take from them.
    pub shelves: Vec<OnShelf>,
    /// The stock is at or below its reorder level in some warehouse.
    pub low: bool,
    /// All transactions with a smaller id had ended when this was read, so their changes are in here.
    #[serde(skip)]
    pub horizon: i64,
}

/// A product as its reader may see it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum VisibleProduct {
    Whole(Box<ProductView>),
    Inactive(InactiveProduct),
}

/// What the public sees of a product that is not sold: enough to show an old order. It may be a draft, so its price and
/// its description stay hidden.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(deny_unknown_fields)] // Tells it apart from a whole product in the OpenAPI document.
#[schema(example = json!({
    "id": "019a4f6e-7a3c-7d10-8c2b-3f5a1e9d0b77", "sku": "MUG-RED", "name": "Red mug", "active": false
}))]
pub struct InactiveProduct {
    pub id: ProductId,
    pub sku: Sku,
    pub name: Name,
    /// Always false
    #[schema(example = false)]
    pub active: bool,
}

impl Facts {
    pub fn visible_to(&self, reader: Option<&Principal>) -> VisibleProduct {
        let product = &self.product;
        if product.active || reader.is_some_and(|reader| reader.may(Permission::CatalogWrite)) {
            return VisibleProduct::Whole(Box::new(product.clone()));
        }
        let (sku, name) = (product.sku.clone(), product.name.clone());
        VisibleProduct::Inactive(InactiveProduct { id: product.id, sku, name, active: false })
    }

    pub fn on_hand(&self, is_staff: bool) -> OnHand {
        let sum = |of: fn(&OnShelf) -> i32| self.shelves.iter().map(|shelf| i64::from(of(shelf))).sum();
        OnHand {
            product_id: self.product.id,
            available: self.product.available,
            on_hand: is_staff.then(|| sum(|shelf| shelf.on_hand)),
            reserved: is_staff.then(|| sum(|shelf| shelf.reserved)),
            warehouses: is_staff.then(|| self.shelves.clone()),
        }
    }
}

pub async fn load(conn: &mut PgConnection, id: ProductId) -> Result<Facts> {
    let row = sqlx::query!(
        r#"select jsonb_build_object(
                      'id', p.id, 'sku', p.sku, 'name', p.name, 'description', p.description,
                      'price', jsonb_build_object('amount', p.price_minor, 'currency', p.currency),
                      'category_id', p.category_id, 'weight_grams', p.weight_grams, 'dimensions_mm', p.dimensions_mm,
                      'active', p.active, 'available', s.available, 'version', p.version,
                      'created_at', p.created_at, 'updated_at', p.updated_at) as "product!: Json<ProductView>",
                  s.shelves as "shelves!: Json<Vec<OnShelf>>", s.low as "low!",
                  pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!"
             from products p
            cross join lateral (
                select coalesce(jsonb_agg(jsonb_build_object(
                           'warehouse_id', w.id, 'code', w.code, 'active', w.active, 'on_hand', i.on_hand,
                           'reserved', i.reserved, 'available', i.on_hand - i.reserved) order by w.priority, w.id), '[]')
                           as shelves,
                       coalesce(sum(i.on_hand - i.reserved) filter (where w.active), 0) as available,
                       coalesce(bool_or(i.shortfall is not null), false) as low
                  from inventory i join warehouses w on w.id = i.warehouse_id
                 where i.product_id = p.id) s
            where p.id = $1"#,
        id as ProductId,
    )
    .fetch_optional(conn)
    .await?
    .ok_or(Error::NotFound(Resource::Product))?;
    Ok(Facts { product: row.product.0, shelves: row.shelves.0, low: row.low, horizon: row.horizon })
}
