//! Stock counts, thousands in one request: all of them or none. Writes through `inventory::open_untold` and `ledger`.
//!
//! The number of statements does not grow with the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ledger::{self, Change, Reason};
use super::level::{self, Pair};
use super::{NewStock, news};
use crate::actions::{self, Action};
use crate::error::{Error, Result};
use crate::invalid::{FieldError, Invalid};
use crate::principal::Principal;
use crate::values::whole_number::WholeNumber;
use crate::values::{ProductId, Sku, Units, WarehouseCode, WarehouseId};

/// More than a shop counts in a night. So many rows are locked for about a second.
pub const MAX_ROWS: usize = 10_000;

/// Errors in one answer. A request with more of them is probably the wrong file.
pub const MAX_COMPLAINTS: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountOptions {
    /// Only tell what would change, and which rows are not right
    pub dry_run: Option<bool>,
}

/// One row of a stock count.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRow {
    /// The product by its SKU, or else by `product_id`
    pub sku: Option<Sku>,
    pub product_id: Option<ProductId>,
    /// By its code or its id
    #[schema(example = "EAST")]
    pub warehouse: WarehouseRef,
    pub quantity: Units,
    /// When it was counted, if earlier than now; kept in the movement's note
    pub at: Option<DateTime<Utc>>,
}

/// A warehouse, by its id or its code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub enum WarehouseRef {
    Id(WarehouseId),
    Code(WarehouseCode),
}

impl fmt::Display for WarehouseRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Code(code) => code.as_str().fmt(f),
        }
    }
}

impl ToSchema for WarehouseRef {}

impl utoipa::PartialSchema for WarehouseRef {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        let (id, code) =
            (<WarehouseId as utoipa::PartialSchema>::schema(), <WarehouseCode as utoipa::PartialSchema>::schema());
        utoipa::openapi::OneOfBuilder::new().item(id).item(code).into()
    }
}

impl TryFrom<String> for WarehouseRef {
    type Error = Invalid;

    /// A code is too short to look like an id.
    fn try_from(text: String) -> Result<Self, Invalid> {
        match text.trim().parse::<Uuid>() {
            Ok(id) if text.trim().len() == 36 => Ok(Self::Id(id.into())),
            _ => text.try_into().map(Self::Code),
        }
    }
}

/// The rows that could be read, each with its position in the request, and the errors of the others.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    pub asked: usize,
    pub rows: Vec<(usize, CountRow)>,
    pub complaints: Vec<FieldError>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"counted": 250, "changed": 12, "created": 3}))]
pub struct Counted {
    /// Rows in the request
    pub counted: usize,
    /// Of these: stock that differed
    pub changed: usize,
    /// Of these: products that their warehouse did not stock yet
    pub created: usize,
    /// Each row of stock that differed
    #[serde(skip)]
    pub differences: Vec<Difference>,
}

/// A row of stock that was not as it was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub sku: String,
    pub warehouse: String,
    pub was: i32,
    pub counted: i32,
}

/// Sets what is on hand to what was counted. If any row is invalid, nothing is changed and each invalid row is named.
pub async fn count(conn: &mut PgConnection, principal: &Principal, counts: Counts) -> Result<Counted> {
    let Counts { asked, rows, mut complaints } = counts;
    if !(1..=MAX_ROWS).contains(&asked) {
        return Err(Error::field("items", "invalid_items", format!("there are from 1 to {MAX_ROWS} of them")));
    }
    let counted = resolve(conn, &rows, &mut complaints).await?;
    refuse(&mut complaints)?;

    // Before the locks: here an insert waits only for transactions that insert the same rows, in the same order.
    let zero = Units::try_from(WholeNumber(0)).expect("none is a number of units");
    let rows = |&(product_id, warehouse_id): &Pair| NewStock {
        product_id,
        warehouse_id,
        on_hand: zero,
        reorder_level: None,
        reorder_quantity: None,
    };
    let created = super::open_untold(conn, principal.user_id(), &counted.keys().map(rows).collect::<Vec<_>>()).await?;
    let levels = level::lock(conn, &counted.keys().copied().collect()).await?;

    let (mut changes, mut differences) = (Vec::new(), Vec::new());
    for (pair, count) in &counted {
        let level = levels[pair];
        if count.quantity < level.reserved {
            let message = format!("{} of it are reserved, so fewer cannot be on hand", level.reserved);
            complaints.push(Invalid::new("below_reserved", message).at(format!("items[{}].quantity", count.index)));
        } else if count.quantity != level.on_hand {
            let note =
                count.at.map(|at| format!("counted at {}", at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)));
            differences.push(Difference {
                sku: count.sku.clone(),
                warehouse: count.warehouse.clone(),
                was: level.on_hand,
                counted: count.quantity,
            });
            changes.push(Change { on_hand_delta: count.quantity - level.on_hand, note, ..Change::of(pair.0, pair.1) });
        }
    }
    refuse(&mut complaints)?;
    ledger::write(conn, principal.user_id(), Reason::Counted, &changes).await?;
    news::adjusted(conn, Reason::Counted, &changes).await?;
    let changed = ledger::rows_of(&changes);
    let empty: Vec<Pair> = created.iter().map(|(_, pair)| *pair).filter(|pair| !changed.contains(pair)).collect();
    news::opened(conn, &empty, Reason::Counted).await?;
    let created = created.len();
    let (counted, changed) = (counted.len(), changes.len());
    if changed + created > 0 {
        let data = json!({ "rows": counted, "changed": changed, "created": created });
        actions::record(conn, principal, Action::new("stock.counted", "stock", "bulk").data(data)).await?;
    }
    Ok(Counted { counted, changed, created, differences })
}

struct Count {
    index: usize,
    sku: String,
    warehouse: String,
    quantity: i32,
    at: Option<DateTime<Utc>>,
}

/// Finds the product and the warehouse of each row, and adds an error for each row that has none.
async fn resolve(
    conn: &mut PgConnection,
    rows: &[(usize, CountRow)],
    complaints: &mut Vec<FieldError>,
) -> Result<BTreeMap<Pair, Count>> {
    let (by_sku, by_id) = products(conn, rows).await?;
    let warehouses = warehouses(conn, rows).await?;
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(conn).await?;

    let mut counted = BTreeMap::new();
    for (index, row) in rows {
        let mut complain = |field: &str, code: &str, message: &str| {
            complaints.push(Invalid::new(code, message).at(format!("items[{index}]{field}")));
        };
        let product_id =
            product_of(row, &by_sku, &by_id).inspect_err(|(field, code, message)| complain(field, code, message)).ok();
        let warehouse_id = warehouses.get(&row.warehouse).copied();
        if warehouse_id.is_none() {
            complain(".warehouse", "warehouse_not_found", "there is no warehouse with this code or id");
        }
        if row.at.is_some_and(|at| at > now) {
            complain(".at", "invalid_time", "it is in the future");
        }
        let (Some(product_id), Some(warehouse_id)) = (product_id, warehouse_id) else { continue };
        let count = Count {
            index: *index,
            sku: row.sku.as_ref().map_or_else(|| product_id.to_string(), |sku| sku.as_str().to_owned()),
            warehouse: row.warehouse.to_string(),
            quantity: row.quantity.get(),
            at: row.at,
        };
        if let Some(earlier) = counted.insert((product_id, warehouse_id), count) {
            complain(
                "",
                "duplicate_row",
                &format!("items[{}] counts the same product in the same warehouse", earlier.index),
            );
        }
    }
    Ok(counted)
}

/// The product of a row, or the field, the code and the message of what is wrong.
fn product_of(
    row: &CountRow,
    by_sku: &BTreeMap<String, ProductId>,
    by_id: &BTreeMap<ProductId, ProductId>,
) -> Result<ProductId, (&'static str, &'static str, &'static str)> {
    const NOT_FOUND: &str = "product_not_found";
    match (&row.sku, row.product_id) {
        (Some(sku), None) => {
            let found = by_sku.get(sku.as_str()).copied();
            found.ok_or((".sku", NOT_FOUND, "there is no product with this SKU"))
        }
        (None, Some(id)) => {
            by_id.get(&id).copied().ok_or((".product_id", NOT_FOUND, "there is no product with this id"))
        }
        (None, None) => Err((".sku", "missing_field", "give the product's SKU or its id")),
        (Some(_), Some(_)) => Err((".product_id", "invalid_value", "give the SKU or the id, not both")),
    }
}

async fn products(
    conn: &mut PgConnection,
    rows: &[(usize, CountRow)],
) -> Result<(BTreeMap<String, ProductId>, BTreeMap<ProductId, ProductId>)> {
    let skus: BTreeSet<&str> = rows.iter().filter_map(|(_, row)| row.sku.as_ref()).map(Sku::as_str).collect();
    let ids: BTreeSet<ProductId> = rows.iter().filter_map(|(_, row)| row.product_id).collect();
    let found = sqlx::query!(
        r#"select id as "id: ProductId", sku from products where sku = any($1) or id = any($2)"#,
        &skus.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>(),
        ids.into_iter().collect::<Vec<_>>() as Vec<ProductId>,
    )
    .fetch_all(conn)
    .await?;
    let by_id = found.iter().map(|product| (product.id, product.id)).collect();
    Ok((found.into_iter().map(|product| (product.sku, product.id)).collect(), by_id))
}

async fn warehouses(
    conn: &mut PgConnection,
    rows: &[(usize, CountRow)],
) -> Result<BTreeMap<WarehouseRef, WarehouseId>> {
    let named: BTreeSet<&WarehouseRef> = rows.iter().map(|(_, row)| &row.warehouse).collect();
    let (mut ids, mut codes) = (Vec::new(), Vec::new());
    for warehouse in &named {
        match warehouse {
            WarehouseRef::Id(id) => ids.push(*id),
            WarehouseRef::Code(code) => codes.push(code.as_str().to_owned()),
        }
    }
    let found = sqlx::query!(
        r#"select id as "id: WarehouseId", code as "code: WarehouseCode" from warehouses where id = any($1) or code = any($2)"#,
        ids as Vec<WarehouseId>,
        &codes,
    )
    .fetch_all(conn)
    .await?;
    Ok(found
        .into_iter()
        .flat_map(|row| [(WarehouseRef::Id(row.id), row.id), (WarehouseRef::Code(row.code), row.id)])
        .collect())
}

/// Returns the errors, if there are any, in the order of the rows.
fn refuse(complaints: &mut Vec<FieldError>) -> Result<()> {
    if complaints.is_empty() {
        return Ok(());
    }
    complaints.sort_by_key(|complaint| index_of(&complaint.field));
    complaints.truncate(MAX_COMPLAINTS);
    Err(Error::InvalidFields(std::mem::take(complaints)))
}

/// The row of a field such as `items[7].sku`.
fn index_of(field: &str) -> Option<usize> {
    field.split(['[', ']']).nth(1)?.parse().ok()
}
