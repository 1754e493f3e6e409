//! Loads the demo shop from CSV files. Rows that exist already are not changed, so loading twice is harmless. Writes no table
//! itself: for each file it calls the module that owns the table.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};

use crate::catalog::categories::{self, NewCategory};
use crate::catalog::products::{self, Dimensions, Measure, NewProduct};
use crate::error::{Error, Result};
use crate::identity::users;
use crate::inventory::{self, NewStock};
use crate::principal::Role;
use crate::values::{
    CategoryId, Currency, Description, Email, Money, Name, NewPassword, ProductId, Sku, Units, WarehouseCode,
    WarehouseId,
};
use crate::warehouses::{self, NewWarehouse};

/// The content of all files, checked as far as possible without the database.
struct Shop {
    categories: Vec<Category>,
    products: Vec<Product>,
    warehouses: Vec<NewWarehouse>,
    stock: Vec<SeedStock>,
    users: Vec<User>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Category {
    name: Name,
    parent: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    sku: Sku,
    name: Name,
    description: Option<Description>,
    price_minor: i64,
    currency: Currency,
    category: Option<Name>,
    weight_grams: Option<Measure>,
    length_mm: Option<Measure>,
    width_mm: Option<Measure>,
    height_mm: Option<Measure>,
}

impl Product {
    /// None unless all three are given.
    fn dimensions_mm(&self) -> Option<Dimensions> {
        Some(Dimensions { length: self.length_mm?, width: self.width_mm?, height: self.height_mm? })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeedStock {
    sku: Sku,
    warehouse: WarehouseCode,
    on_hand: Units,
    reorder_level: Units,
    reorder_quantity: Units,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    email: Email,
    name: Name,
    role: Role,
    password: NewPassword,
}

/// The result of one file.
struct Loaded {
    what: &'static str,
    new: usize,
    all: usize,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} new, {} there", self.what, self.new, self.all - self.new)
    }
}

/// Loads all files of a directory in one transaction, except for the users, who follow one by one. Returns a summary.
pub async fn load(db: &PgPool, dir: &Path) -> Result<String> {
    let shop = Shop::read(dir).await?;

    let mut tx = db.begin().await?;
    lock_seed(&mut tx).await?;
    let (categories, category_ids) = load_categories(&mut tx, &shop.categories).await?;
    let products = load_products(&mut tx, shop.products, &category_ids).await?;
    let warehouses = load_warehouses(&mut tx, &shop.warehouses).await?;
    let stock = load_stock(&mut tx, &shop.stock).await?;
    analyze(&mut tx).await?;
    tx.commit().await?;

    let users = load_users(db, shop.users).await?;
    let loaded = [categories, products, warehouses, stock, users];
    Ok(loaded.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

impl Shop {
    async fn read(dir: &Path) -> Result<Self> {
        let categories: File<Category> = File::read(dir, "categories.csv").await?;
        let products: File<Product> = File::read(dir, "products.csv").await?;
        let warehouses: File<NewWarehouse> = File::read(dir, "warehouses.csv").await?;
        let stock: File<SeedStock> = File::read(dir, "stock.csv").await?;
        let users: File<User> = File::read(dir, "users.csv").await?;

        let names = categories.unique(|category| category.name.clone())?;
        let skus = products.unique(|product| product.sku.clone())?;
        let codes = warehouses.unique(|warehouse| warehouse.code.clone())?;
        stock.unique(|stock| (stock.sku.clone(), stock.warehouse.clone()))?;
        users.unique(|user| user.email.as_str().to_lowercase())?;
        categories.check(|line, category| match &category.parent {
            // A parent must come first, so the categories are a tree without circles.
            Some(parent) if names.get(parent).is_none_or(|above| *above >= line) => {
                Some(format!("the parent `{}` is not on a line above", parent.as_str()))
            }
            _ => None,
        })?;
        products.check(|_, product| match &product.category {
            _ if !(0..=Money::MAX_PRICE).contains(&product.price_minor) => {
                Some(format!("price_minor is from 0 to {}", Money::MAX_PRICE))
            }
            Some(category) if !names.contains_key(category) => {
                Some(format!("the category `{}` is not in categories.csv", category.as_str()))
            }
            _ => None,
        })?;
        stock.check(|_, stock| {
            if !skus.contains_key(&stock.sku) {
                Some(format!("the SKU `{}` is not in products.csv", stock.sku.as_str()))
            } else if !codes.contains_key(&stock.warehouse) {
                Some(format!("the warehouse `{}` is not in warehouses.csv", stock.warehouse.as_str()))
            } else {
                None
            }
        })?;
        Ok(Self {
            categories: categories.into_rows(),
            products: products.into_rows(),
            warehouses: warehouses.into_rows(),
            stock: stock.into_rows(),
            users: users.into_rows(),
        })
    }
}

/// The rows of a file, each with the number of its line for error messages.
struct File<T> {
    name: &'static str,
    rows: Vec<(u64, T)>,
}

impl<T: DeserializeOwned> File<T> {
    async fn read(dir: &Path, name: &'static str) -> Result<Self> {
        let text = tokio::fs::read(dir.join(name))
            .await
            .map_err(|error| wrong(format!("{} cannot be read: {error}", dir.join(name).display())))?;
        let mut file = Self { name, rows: Vec::new() };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_slice());
        let headers = reader.headers().map_err(|error| file.problem(1, &error))?.clone();
        for record in reader.records() {
            let line = |error: &csv::Error| error.position().map_or(0, csv::Position::line);
            let record = record.map_err(|error| file.problem(line(&error), &error))?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = record.deserialize(Some(&headers)).map_err(|error| match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => {
                    let column = err.field().and_then(|field| headers.get(usize::try_from(field).ok()?));
                    let what = err.kind().to_string();
                    file.problem(line, &column.map_or(what.clone(), |column| format!("{column}: {what}")))
                }
                _ => file.problem(line, &error),
            })?;
            file.rows.push((line, row));
        }
        Ok(file)
    }
}

impl<T> File<T> {
    /// The line of each key. Fails if two rows have the same key.
    fn unique<K: Ord>(&self, key: impl Fn(&T) -> K) -> Result<BTreeMap<K, u64>> {
        let mut lines = BTreeMap::new();
        for (line, row) in &self.rows {
            if let Some(earlier) = lines.insert(key(row), *line) {
                return Err(self.problem(*line, &format!("the same as line {earlier}")));
            }
        }
        Ok(lines)
    }

    fn check(&self, problem: impl Fn(u64, &T) -> Option<String>) -> Result<()> {
        let found = self.rows.iter().find_map(|(line, row)| Some((*line, problem(*line, row)?)));
        found.map_or(Ok(()), |(line, what)| Err(self.problem(line, &what)))
    }

    fn problem(&self, line: u64, what: &dyn fmt::Display) -> Error {
        wrong(format!("{}, line {line}: {what}", self.name))
    }

    fn into_rows(self) -> Vec<T> {
        self.rows.into_iter().map(|(_, row)| row).collect()
    }
}

fn wrong(message: String) -> Error {
    Error::invalid("invalid_seed", message)
}

/// Only one load runs at a time. It has no statement timeout, because a large shop takes long and no client waits.
async fn lock_seed(conn: &mut PgConnection) -> Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('seed', 0))").execute(&mut *conn).await?;
    sqlx::query!("set local statement_timeout = 0").execute(conn).await?;
    Ok(())
}

async fn load_categories(conn: &mut PgConnection, rows: &[Category]) -> Result<(Loaded, BTreeMap<Name, CategoryId>)> {
    let there = sqlx::query!(
        "select id as \"id: CategoryId\", name as \"name: Name\" from categories where name = any($1)",
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>() as Vec<&str>,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut ids: BTreeMap<Name, CategoryId> = there.into_iter().map(|row| (row.name, row.id)).collect();
    let mut new = Vec::new();
    for row in rows {
        if !ids.contains_key(&row.name) {
            let id = CategoryId::new();
            let parent_id = row.parent.as_ref().and_then(|parent| ids.get(parent).copied());
            new.push((id, NewCategory { name: row.name.clone(), parent_id }));
            ids.insert(row.name.clone(), id);
        }
    }
    categories::add(conn, &new.iter().map(|(id, new)| (*id, new)).collect::<Vec<_>>()).await?;
    Ok((Loaded { what: "categories", new: new.len(), all: rows.len() }, ids))
}

async fn load_products(
    conn: &mut PgConnection,
    rows: Vec<Product>,
    categories: &BTreeMap<Name, CategoryId>,
) -> Result<Loaded> {
    let products = rows.into_iter().map(|row| NewProduct {
        price: Money { amount: row.price_minor, currency: row.currency },
        category_id: row.category.as_ref().and_then(|name| categories.get(name).copied()),
        dimensions_mm: row.dimensions_mm(),
        sku: row.sku,
        name: row.name,
        description: row.description,
        weight_grams: row.weight_grams,
        active: None,
    });
    let products: Vec<_> = products.collect();
    let added = products::add(conn, &products).await?;
    Ok(Loaded { what: "products", new: added.len(), all: products.len() })
}

async fn load_warehouses(conn: &mut PgConnection, rows: &[NewWarehouse]) -> Result<Loaded> {
    let added = warehouses::add(conn, rows).await?;
    Ok(Loaded { what: "warehouses", new: added.len(), all: rows.len() })
}

async fn load_stock(conn: &mut PgConnection, rows: &[SeedStock]) -> Result<Loaded> {
    let ids = sqlx::query!(
        "select p.id as \"product_id: ProductId\", w.id as \"warehouse_id: WarehouseId\"
           from unnest($1::text[], $2::text[]) with ordinality t (sku, warehouse, line)
           join products p on p.sku = t.sku
           join warehouses w on w.code = t.warehouse
          order by t.line",
        rows.iter().map(|row| row.sku.as_str()).collect::<Vec<_>>() as Vec<&str>,
        rows.iter().map(|row| row.warehouse.as_str()).collect::<Vec<_>>() as Vec<&str>,
    )
    .fetch_all(&mut *conn)
    .await?;
    let stock = ids.iter().zip(rows).map(|(id, row)| NewStock {
        product_id: id.product_id,
        warehouse_id: id.warehouse_id,
        on_hand: row.on_hand,
        reorder_level: Some(row.reorder_level),
        reorder_quantity: Some(row.reorder_quantity),
    });
    let opened = inventory::open(conn, None, &stock.collect::<Vec<_>>()).await?;
    Ok(Loaded { what: "stock", new: opened.len(), all: rows.len() })
}

/// Creates users one by one and outside the transaction, because hashing a password is slow.
async fn load_users(db: &PgPool, rows: Vec<User>) -> Result<Loaded> {
    let mut loaded = Loaded { what: "users", new: 0, all: rows.len() };
    for User { email, name, role, password } in rows {
        match users::create_user(db, email, password, name, role).await {
            Ok(_) => loaded.new += 1,
            Err(Error::EmailTaken) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(loaded)
}

/// Updates the planner's statistics. Plans that were made for empty tables are slow on full ones.
///
/// Only the owner of a table may do that. For another role autovacuum does it within a minute.
async fn analyze(conn: &mut PgConnection) -> Result<()> {
    let owns = "select pg_has_role(relowner, 'usage') from pg_class where oid = 'products'::regclass";
    if !sqlx::query_scalar::<_, bool>(owns).fetch_one(&mut *conn).await? {
        return Ok(());
    }
    sqlx::query!("analyze categories, products, warehouses, inventory, stock_movements").execute(conn).await?;
    Ok(())
}
