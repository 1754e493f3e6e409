//! Products: create, change, search. Alone writes `products`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::{IntoParams, ToSchema};

use crate::actions::{self, Action};
use crate::error::{Error, Resource, Result};
use crate::feed::data::ProductFacts;
use crate::feed::record::{self, EntityEvent};
use crate::invalid::Invalid;
use crate::page::{List, Page, Position};
use crate::platform::db::{self, CustomPlan};
use crate::principal::{Permission, Principal};
use crate::values::search::Search;
use crate::values::whole_number::WholeNumber;
use crate::values::{CategoryId, Description, Money, Name, ProductId, Sku, given};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "019a4f6e-7a3c-7d10-8c2b-3f5a1e9d0b77", "sku": "MUG-RED", "name": "Red mug", "description": "Holds 300 ml.",
    "price": {"amount": 1200, "currency": "USD"}, "category_id": "019a4f6e-6f00-7a51-9b1e-0c7d2f4a8e11",
    "weight_grams": 350, "dimensions_mm": {"length": 120, "width": 90, "height": 100}, "active": true, "available": 41,
    "version": 1, "created_at": "2026-11-21T07:00:00Z", "updated_at": "2026-11-21T07:00:00Z"
}))]
pub struct ProductView {
    pub id: ProductId,
    pub sku: Sku,
    pub name: Name,
    pub description: Description,
    pub price: Money,
    pub category_id: Option<CategoryId>,
    pub weight_grams: Option<Measure>,
    pub dimensions_mm: Option<Dimensions>,
    /// Only active products are listed and can be ordered
    pub active: bool,
    /// Units that can be bought now, in all active warehouses
    pub available: i64,
    pub version: i32,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A length or a weight in whole units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(try_from = "WholeNumber")]
#[sqlx(transparent)]
#[schema(value_type = i32, minimum = 0, maximum = 1_000_000_000, example = 350)]
pub struct Measure(i32);

impl Measure {
    const MAX: i64 = 1_000_000_000;

    pub fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<WholeNumber> for Measure {
    type Error = Invalid;

    fn try_from(WholeNumber(number): WholeNumber) -> Result<Self, Invalid> {
        match i32::try_from(number) {
            Ok(number) if (0..=Self::MAX).contains(&i64::from(number)) => Ok(Self(number)),
            _ => Err(Invalid::new("invalid_measure", format!("a weight or a length is from 0 to {}", Self::MAX))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dimensions {
    pub length: Measure,
    pub width: Measure,
    pub height: Measure,
}

/// The body of POST and PUT.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "sku": "MUG-RED", "name": "Red mug", "description": "Holds 300 ml.", "price": {"amount": 1200, "currency": "USD"},
    "weight_grams": 350, "dimensions_mm": {"length": 120, "width": 90, "height": 100}
}))]
pub struct NewProduct {
    pub sku: Sku,
    pub name: Name,
    pub description: Option<Description>,
    pub price: Money,
    pub category_id: Option<CategoryId>,
    pub weight_grams: Option<Measure>,
    pub dimensions_mm: Option<Dimensions>,
    /// By default true for a new product, and unchanged for a replaced one
    pub active: Option<bool>,
}

/// The body of PATCH. Fields that are not given keep their value.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"price": {"amount": 1100, "currency": "USD"}}))]
pub struct ChangeProduct {
    pub sku: Option<Sku>,
    pub name: Option<Name>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Description>)]
    pub description: Option<Option<Description>>,
    pub price: Option<Money>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<CategoryId>)]
    pub category_id: Option<Option<CategoryId>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Measure>)]
    pub weight_grams: Option<Option<Measure>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Dimensions>)]
    pub dimensions_mm: Option<Option<Dimensions>>,
    pub active: Option<bool>,
}

/// PUT replaces all fields: those that are not given become empty.
impl From<NewProduct> for ChangeProduct {
    fn from(new: NewProduct) -> Self {
        Self {
            sku: Some(new.sku),
            name: Some(new.name),
            description: Some(new.description),
            price: Some(new.price),
            category_id: Some(new.category_id),
            weight_grams: Some(new.weight_grams),
            dimensions_mm: Some(new.dimensions_mm),
            active: new.active,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProductFilter {
    /// Part of the name or the SKU; one or two characters match only at the start of a word
    #[param(value_type = Option<String>, max_length = 100, pattern = r"^[^\u0000]*$")]
    pub q: Option<Search>,
    #[param(value_type = Option<uuid::Uuid>)]
    pub category_id: Option<CategoryId>,
    /// In minor units; with a price the list is sorted by price
    pub min_price: Option<i64>,
    /// In minor units; sorted in the same way
    pub max_price: Option<i64>,
    /// False lists the products that are no longer sold; for staff only
    #[param(default = true)]
    pub active: Option<bool>,
}

impl ProductFilter {
    /// With a limit on the price the list is sorted by price, otherwise the oldest product comes first.
    fn by_price(&self) -> bool {
        self.min_price.is_some() || self.max_price.is_some()
    }

    /// The place of a product in a list with this filter.
    pub fn position(&self, product: &ProductView) -> Position {
        Position { rank: if self.by_price() { product.price.amount } else { 0 }, id: product.id.0 }
    }
}

/// The products that match. Only staff may list those that are no longer sold.
pub async fn list(
    conn: &mut PgConnection,
    caller: Option<&Principal>,
    filter: &ProductFilter,
    page: &Page,
) -> Result<List<ProductView>> {
    let active = filter.active.unwrap_or(true);
    if !active {
        caller.ok_or(Error::Forbidden { needed: "staff" })?.require(Permission::CatalogWrite)?;
    }
    let ids = match (&filter.q, filter.by_price()) {
        (None, false) => oldest_first(conn, active, filter, page).await?,
        (None, true) => cheapest_first(conn, active, filter, page).await?,
        (Some(q), by_price) => found(conn, active, filter, q, by_price, page).await?,
    };
    let mut products = read(conn, &ids).await?;
    if filter.by_price() {
        products.sort_by_key(|product| (product.price.amount, product.id));
    }
    Ok(page.list(products, |product| filter.position(product)))
}

async fn oldest_first(
    conn: &mut PgConnection,
    active: bool,
    filter: &ProductFilter,
    page: &Page,
) -> Result<Vec<uuid::Uuid>> {
    let ids = sqlx::query_scalar!(
        "select id from products
          where ($1::uuid is null or id > $1) and active = $2 and ($3::uuid is null or category_id = $3)
          order by id limit $4",
        page.after_id(),
        active,
        filter.category_id.map(|id| id.0),
        page.fetch(),
    );
    Ok(ids.fetch_all(CustomPlan(conn)).await?)
}

/// Sorted by price, so that a page reads only its part of the price index and not all products that are cheaper or more
/// expensive.
async fn cheapest_first(
    conn: &mut PgConnection,
    active: bool,
    filter: &ProductFilter,
    page: &Page,
) -> Result<Vec<uuid::Uuid>> {
    let ids = sqlx::query_scalar!(
        "select id from products
          where ($1::bigint is null or (price_minor, id) > ($1, $2))
            and price_minor between coalesce($3::bigint, 0) and coalesce($4::bigint, 9223372036854775807)
            and active = $5 and ($6::uuid is null or category_id = $6)
          order by price_minor, id limit $7",
        page.after.map(|position| position.rank),
        page.after_id(),
        filter.min_price,
        filter.max_price,
        active,
        filter.category_id.map(|id| id.0),
        page.fetch(),
    );
    Ok(ids.fetch_all(CustomPlan(conn)).await?)
}

/// How many products the first search reads one by one, before we use the search index.
const SCAN_FIRST: i64 = 5000;

/// Searches in two steps. A word that many products have fills a page from the first few thousand products. A rare word is
/// found by the search index. Each step alone would read all products for the other kind of word.
async fn found(
    conn: &mut PgConnection,
    active: bool,
    filter: &ProductFilter,
    q: &Search,
    by_price: bool,
    page: &Page,
) -> Result<Vec<uuid::Uuid>> {
    if !by_price {
        let near = sqlx::query_scalar!(
            "select id from (select * from products where $1::uuid is null or id > $1 order by id limit $2) near
              where active = $3 and search like lower($4) and ($5::uuid is null or category_id = $5)
              order by id limit $6",
            page.after_id(),
            SCAN_FIRST,
            active,
            q.pattern(),
            filter.category_id.map(|id| id.0),
            page.fetch(),
        );
        let near = near.fetch_all(CustomPlan(&mut *conn)).await?;
        if i64::try_from(near.len()).is_ok_and(|found| found == page.fetch()) {
            return Ok(near);
        }
    }
    let all = sqlx::query_scalar!(
        "with found as materialized (
             select id, case when $1 then price_minor else 0 end as rank from products
              where search like lower($2) and active = $3 and ($4::uuid is null or category_id = $4)
                and price_minor between coalesce($5::bigint, 0) and coalesce($6::bigint, 9223372036854775807))
         select id from found where $7::bigint is null or (rank, id) > ($7, $8) order by rank, id limit $9",
        by_price,
        q.pattern(),
        active,
        filter.category_id.map(|id| id.0),
        filter.min_price,
        filter.max_price,
        page.after.map(|position| position.rank),
        page.after_id(),
        page.fetch(),
    );
    Ok(all.fetch_all(CustomPlan(conn)).await?)
}

/// A product, also one that is no longer sold: old orders show it.
pub async fn get(conn: &mut PgConnection, id: ProductId) -> Result<ProductView> {
    read(conn, &[id.0]).await?.pop().ok_or(Error::NotFound(Resource::Product))
}

/// The id of the product with this SKU.
pub async fn id_of_sku(conn: &mut PgConnection, sku: &Sku) -> Result<ProductId> {
    sqlx::query_scalar!("select id as \"id: ProductId\" from products where sku = $1", sku.as_str())
        .fetch_optional(conn)
        .await?
        .ok_or(Error::NotFound(Resource::Product))
}

/// The products with these SKUs; those that do not exist are left out.
pub async fn by_skus(conn: &mut PgConnection, skus: &[Sku]) -> Result<Vec<ProductView>> {
    let skus: Vec<String> = skus.iter().map(|sku| sku.as_str().to_owned()).collect();
    let ids = sqlx::query_scalar!("select id from products where sku = any($1)", &skus).fetch_all(&mut *conn).await?;
    read(conn, &ids).await
}

/// The products with these ids; those that do not exist are left out.
pub async fn by_ids(conn: &mut PgConnection, ids: &[ProductId]) -> Result<Vec<ProductView>> {
    let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    read(conn, &ids).await
}

/// Products by their ids, sorted by id.
async fn read(conn: &mut PgConnection, ids: &[uuid::Uuid]) -> Result<Vec<ProductView>> {
    let rows = sqlx::query!(
        "select p.id as \"id: ProductId\", p.sku as \"sku: Sku\", p.name as \"name: Name\",
                p.description as \"description: Description\", p.price_minor, p.currency,
                p.category_id as \"category_id: CategoryId\", p.weight_grams as \"weight_grams: Measure\",
                p.dimensions_mm as \"dimensions_mm: Json<Dimensions>\", p.active,
                (select coalesce(sum(i.on_hand - i.reserved), 0)
                   from inventory i join warehouses w on w.id = i.warehouse_id
                  where i.product_id = p.id and w.active) as \"available!\",
                p.version, p.created_at, p.updated_at
           from products p where p.id = any((select $1::uuid[])::uuid[]) order by p.id",
        ids,
    )
    .fetch_all(conn)
    .await?;
    let products = rows.into_iter().map(|row| ProductView {
        id: row.id,
        sku: row.sku,
        name: row.name,
        description: row.description,
        price: Money::stored(row.price_minor, &row.currency),
        category_id: row.category_id,
        weight_grams: row.weight_grams,
        dimensions_mm: row.dimensions_mm.map(|Json(dimensions)| dimensions),
        active: row.active,
        available: row.available,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    });
    Ok(products.collect())
}

pub async fn create(conn: &mut PgConnection, principal: &Principal, new: &NewProduct) -> Result<ProductView> {
    match add(conn, std::slice::from_ref(new)).await?[..] {
        [id] => {
            actions::record(conn, principal, Action::new("product.created", "product", id)).await?;
            get(conn, id).await
        }
        _ => Err(Error::SkuTaken { sku: new.sku.as_str().to_owned() }),
    }
}

/// Adds products in one statement, skips those whose SKU exists, and returns the ids of the new ones.
pub async fn add(conn: &mut PgConnection, new: &[NewProduct]) -> Result<Vec<ProductId>> {
    let ids: Vec<ProductId> = sqlx::query_scalar!(
        "insert into products
            (id, sku, name, description, price_minor, currency, category_id, weight_grams, dimensions_mm, active)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::uuid[],
                              $8::int[], $9::jsonb[], $10::boolean[])
         on conflict (sku) do nothing
         returning id as \"id: ProductId\"",
        new.iter().map(|_| ProductId::new()).collect::<Vec<_>>() as Vec<ProductId>,
        new.iter().map(|new| new.sku.as_str()).collect::<Vec<_>>() as Vec<&str>,
        new.iter().map(|new| new.name.as_str()).collect::<Vec<_>>() as Vec<&str>,
        new.iter().map(|new| new.description.as_ref().map_or("", Description::as_str)).collect::<Vec<_>>() as Vec<&str>,
        &new.iter().map(|new| new.price.amount).collect::<Vec<_>>(),
        &new.iter().map(|new| new.price.currency.to_string()).collect::<Vec<_>>(),
        new.iter().map(|new| new.category_id).collect::<Vec<_>>() as Vec<Option<CategoryId>>,
        new.iter().map(|new| new.weight_grams).collect::<Vec<_>>() as Vec<Option<Measure>>,
        new.iter().map(|new| new.dimensions_mm.map(Json)).collect::<Vec<_>>() as Vec<Option<Json<Dimensions>>>,
        &new.iter().map(|new| new.active.unwrap_or(true)).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(|error| refused_product(error, None))?;
    tell(conn, &ids, EntityEvent::ProductCreated, &[]).await?;
    Ok(ids)
}

/// Tells the feed how these products are now. The caller has just written them.
async fn tell(
    conn: &mut PgConnection,
    ids: &[ProductId],
    event: fn(ProductFacts) -> EntityEvent,
    changed: &[String],
) -> Result<()> {
    let rows = sqlx::query!(
        "select id, sku, name, price_minor, currency, active from products where id = any($1) order by id",
        ids as &[ProductId],
    )
    .fetch_all(&mut *conn)
    .await?;
    let facts = rows.into_iter().map(|row| {
        let price = Money::stored(row.price_minor, &row.currency);
        let changed = changed.to_vec();
        (row.id, event(ProductFacts { sku: row.sku, name: row.name, price, active: row.active, changed }))
    });
    record::record(conn, &facts.collect::<Vec<_>>()).await?;
    Ok(())
}

/// Changes the given fields. With `seen`, only if the product still has that version.
pub async fn change(
    conn: &mut PgConnection,
    principal: &Principal,
    id: ProductId,
    seen: Option<i32>,
    change: &ChangeProduct,
) -> Result<ProductView> {
    // `pg_current_xact_id()` gives the transaction its id before it waits for the row. The product cache finds running
    // writers by their id: without it, a change whose time is from before the wait could be missed.
    let changed = sqlx::query_scalar!(
        "update products p
            set sku = coalesce($3, p.sku),
                name = coalesce($4, p.name),
                description = case when $5 then coalesce($6, '') else p.description end,
                price_minor = coalesce($7, p.price_minor),
                currency = coalesce($8, p.currency),
                category_id = case when $9 then $10 else p.category_id end,
                weight_grams = case when $11 then $12 else p.weight_grams end,
                dimensions_mm = case when $13 then $14 else p.dimensions_mm end,
                active = coalesce($15, p.active),
                version = p.version + 1,
                updated_at = statement_timestamp()
           from (select * from products where id = $1 for no key update) old
          where p.id = old.id and pg_current_xact_id() is not null and ($2::int is null or p.version = $2)
         returning array_remove(array[
                case when p.sku <> old.sku then 'sku' end,
                case when p.name <> old.name then 'name' end,
                case when p.description <> old.description then 'description' end,
                case when (p.price_minor, p.currency) <> (old.price_minor, old.currency) then 'price' end,
                case when p.category_id is distinct from old.category_id then 'category_id' end,
                case when p.weight_grams is distinct from old.weight_grams then 'weight_grams' end,
                case when p.dimensions_mm is distinct from old.dimensions_mm then 'dimensions_mm' end,
                case when p.active <> old.active then 'active' end], null) as \"changed!: Vec<String>\"",
        id.0,
        seen,
        change.sku.as_ref().map(Sku::as_str),
        change.name.as_ref().map(Name::as_str),
        change.description.is_some(),
        change.description.as_ref().and_then(Option::as_ref).map(Description::as_str),
        change.price.map(|price| price.amount),
        change.price.map(|price| price.currency.to_string()),
        change.category_id.is_some(),
        change.category_id.flatten().map(|id| id.0),
        change.weight_grams.is_some(),
        change.weight_grams.flatten().map(Measure::get),
        change.dimensions_mm.is_some(),
        change.dimensions_mm.flatten().map(Json) as _,
        change.active,
    )
    .fetch_optional(&mut *conn)
    .await
    .map_err(|error| refused_product(error, change.sku.as_ref()))?;
    let product = get(conn, id).await?;
    let changed = changed.ok_or(Error::VersionMismatch)?;
    if !changed.is_empty() {
        tell(conn, &[id], EntityEvent::ProductChanged, &changed).await?;
        actions::record(conn, principal, Action::changed("product.changed", "product", id, &changed)).await?;
    }
    Ok(product)
}

/// Stops selling a product. The row stays, because old orders show it. Repeating it changes nothing.
pub async fn retire(conn: &mut PgConnection, principal: &Principal, id: ProductId, seen: Option<i32>) -> Result<()> {
    let retired = sqlx::query!(
        "update products set active = false, version = version + 1, updated_at = statement_timestamp()
          where id = $1 and ($2::int is null or version = $2) and active",
        id.0,
        seen,
    )
    .execute(&mut *conn)
    .await?;
    if retired.rows_affected() == 0 {
        let product = get(conn, id).await?;
        if product.active || seen.is_some_and(|seen| seen != product.version) {
            return Err(Error::VersionMismatch);
        }
        return Ok(());
    }
    tell(conn, &[id], EntityEvent::ProductChanged, &["active".to_owned()]).await?;
    actions::record(conn, principal, Action::new("product.ended", "product", id)).await
}

fn refused_product(error: sqlx::Error, sku: Option<&Sku>) -> Error {
    match (db::broken_constraint(&error), sku) {
        (Some("products_sku_key"), Some(sku)) => Error::SkuTaken { sku: sku.as_str().to_owned() },
        (Some("products_category_id_fkey"), _) => super::unknown_category("category_id"),
        _ => error.into(),
    }
}
