//! The demo data from CSV files.

use std::path::{Path, PathBuf};

use serde_json::json;
use sqlx::PgPool;

use testkit::app::TestApp;
use testkit::database::new_database;

const CATEGORIES: &str = "name,parent\nTable,\nMugs,Table\n";
const PRODUCTS: &str = "sku,name,description,price_minor,currency,category,weight_grams,length_mm,width_mm,height_mm\n\
    MUG,\"Mug, red\",Holds 300 ml.,1200,USD,Mugs,350,120,90,100\nCARD,Gift card,,2500,USD,,,,,\n";
const WAREHOUSES: &str = "code,name,priority\nEAST,Harrisburg,1\nWEST,Reno,2\n";
const STOCK: &str =
    "sku,warehouse,on_hand,reorder_level,reorder_quantity\nMUG,EAST,40,5,20\nMUG,WEST,2,5,20\nCARD,EAST,0,0,0\n";
const USERS: &str = "email,name,role,password\nsam@example.com,Sam,staff,correct horse battery\n";

/// A folder with a small set of CSV files. Single files can be replaced.
struct SeedFolder(PathBuf);

impl SeedFolder {
    fn with(others: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("millrace-seed-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&dir).unwrap();
        let files = [
            ("categories.csv", CATEGORIES),
            ("products.csv", PRODUCTS),
            ("warehouses.csv", WAREHOUSES),
            ("stock.csv", STOCK),
            ("users.csv", USERS),
        ];
        for (name, text) in files.iter().chain(others) {
            std::fs::write(dir.join(name), text).unwrap();
        }
        Self(dir)
    }
}

impl Drop for SeedFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All seeded rows as text.
async fn everything(db: &PgPool) -> String {
    sqlx::query_scalar(
        "select concat_ws(E'\n', (select json_agg(t order by id) from categories t), (select json_agg(t order by id) from products t),
                (select json_agg(t order by id) from warehouses t), (select json_agg(t order by id) from inventory t),
                (select json_agg(t order by id) from stock_movements t), (select json_agg(t order by id) from users t),
                (select json_agg(t order by id) from customers t))",
    )
    .fetch_one(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_shop_is_loaded_and_sells() {
    let app = TestApp::new().await;
    let folder = SeedFolder::with(&[]);
    let summary = shared::seed::load(&app.db, &folder.0).await.unwrap();
    shared::seed::load_users(&app.db, &folder.0).await.unwrap();
    assert_eq!(
        summary,
        "categories: 2 new, 0 there\nproducts: 2 new, 0 there\nwarehouses: 2 new, 0 there\n\
         stock: 3 new, 0 there"
    );

    let list = app.anyone().get("/v1/products").await.done(200);
    let [mug, card] = &list.body["data"].as_array().unwrap()[..] else { panic!("{list:?}") };
    assert_eq!((&mug["name"], &mug["available"]), (&json!("Mug, red"), &json!(42)));
    assert_eq!(mug["price"], json!({ "amount": 1200, "currency": "USD" }));
    assert_eq!(mug["dimensions_mm"], json!({ "length": 120, "width": 90, "height": 100 }));
    assert_eq!(
        (&card["category_id"], &card["dimensions_mm"], &card["available"]),
        (&json!(null), &json!(null), &json!(0))
    );
    let categories = app.anyone().get("/v1/categories").await.done(200).body["data"].clone();
    assert_eq!((&categories[0]["name"], &categories[1]["parent_id"]), (&json!("Table"), &categories[0]["id"]));
    assert_eq!(mug["category_id"], categories[1]["id"]);
    let login = json!({ "email": "sam@example.com", "password": "correct horse battery" });
    app.anyone().post("/v1/auth/login", login).await.done(200);

    let off: i64 = sqlx::query_scalar(
        "select count(*) from inventory i where on_hand <> coalesce((select sum(on_hand_delta) from stock_movements m
          where (m.product_id, m.warehouse_id) = (i.product_id, i.warehouse_id)), 0)",
    )
    .fetch_one(&app.db)
    .await
    .unwrap();
    assert_eq!(off, 0, "the ledger adds up");
}

#[tokio::test]
async fn loading_again_changes_nothing_and_adds_what_is_new() {
    let app = TestApp::new().await;
    shared::seed::load(&app.db, &SeedFolder::with(&[]).0).await.unwrap();
    sqlx::query("update products set price_minor = 1 where sku = 'MUG'").execute(&app.db).await.unwrap();
    let before = everything(&app.db).await;
    let again = shared::seed::load(&app.db, &SeedFolder::with(&[]).0).await.unwrap();
    assert!(!again.lines().any(|line| !line.contains(": 0 new, ")), "{again}");
    assert_eq!(everything(&app.db).await, before);

    let categories = format!("{CATEGORIES}Cups,Mugs\nTeacups,Cups\n");
    let more = shared::seed::load(&app.db, &SeedFolder::with(&[("categories.csv", &categories)]).0).await.unwrap();
    assert!(more.starts_with("categories: 2 new, 2 there\nproducts: 0 new, 2 there\n"), "{more}");
    let list = app.anyone().get("/v1/categories").await.done(200).body["data"].clone();
    assert_eq!((&list[2]["parent_id"], &list[3]["parent_id"]), (&list[1]["id"], &list[2]["id"]));
}

#[tokio::test]
async fn a_mistake_is_named_by_file_and_line_and_nothing_is_loaded() {
    let app = TestApp::new().await;
    let before = everything(&app.db).await;
    let product = |row: &str| format!("{PRODUCTS}{row}\n");
    for (file, text, complaint) in [
        (
            "categories.csv",
            "name,parent\nMugs,Table\nTable,\n".to_owned(),
            "line 2: the parent `Table` is not on a line above",
        ),
        ("categories.csv", "name,parent\nMugs,Mugs\n".to_owned(), "line 2: the parent `Mugs` is not on a line above"),
        ("categories.csv", "name,parent\nMugs,\nMugs,\n".to_owned(), "line 3: the same as line 2"),
        ("warehouses.csv", "code,priority\nEAST,1\n".to_owned(), "line 2: missing field `name`"),
        ("categories.csv", "name,parent,colour\nMugs,,red\n".to_owned(), "unknown field `colour`"),
        ("products.csv", product("CUP,Cup,,9.99,USD,Mugs,,,,"), "line 4: price_minor: invalid digit"),
        ("products.csv", product("CUP,Cup,,-1,USD,Mugs,,,,"), "line 4: price_minor is from 0 to"),
        ("products.csv", product("CUP,Cup,,1,usd,Mugs,,,,"), "line 4: invalid_currency"),
        ("products.csv", product("CUP,Cup,,1,USD,Cups,,,,"), "line 4: the category `Cups` is not in categories.csv"),
        ("products.csv", product("CUP,Cup,1,USD"), "line 4: "),
        ("stock.csv", STOCK.replace("CARD,EAST", "CUP,EAST"), "line 4: the SKU `CUP` is not in products.csv"),
        ("stock.csv", STOCK.replace("MUG,WEST", "MUG,EAST"), "line 3: the same as line 2"),
        ("stock.csv", STOCK.replace("MUG,WEST,2", "MUG,WEST,-2"), "line 3: invalid_quantity"),
        ("users.csv", USERS.replace("staff", "king"), "line 2: unknown variant `king`"),
        ("users.csv", USERS.replace("correct horse battery", "secret"), "line 2: weak_password"),
    ] {
        let shop = SeedFolder::with(&[(file, &text)]);
        let loaded = match file {
            "users.csv" => shared::seed::load_users(&app.db, &shop.0).await,
            _ => shared::seed::load(&app.db, &shop.0).await,
        };
        let error = loaded.unwrap_err().to_string();
        assert!(error.starts_with(file) && error.contains(complaint), "{error}");
        assert_eq!(everything(&app.db).await, before, "{error}");
    }
    let error = shared::seed::load(&app.db, Path::new("/nowhere")).await.unwrap_err().to_string();
    assert!(error.starts_with("/nowhere/categories.csv cannot be read"), "{error}");
}

#[tokio::test]
async fn users_are_made_only_on_request_and_once() {
    let app = TestApp::new().await;
    let shop = SeedFolder::with(&[]);
    let before: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&app.db).await.unwrap();
    shared::seed::load(&app.db, &shop.0).await.unwrap();
    let users: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(&app.db).await.unwrap();
    assert_eq!(users, before);
    assert_eq!(shared::seed::load_users(&app.db, &shop.0).await.unwrap(), "users: 1 new, 0 there");
    assert_eq!(shared::seed::load_users(&app.db, &shop.0).await.unwrap(), "users: 0 new, 1 there");
}

#[tokio::test]
async fn two_who_load_at_once_load_one_shop() {
    let database = new_database().await;
    let db = PgPool::connect(&database).await.unwrap();
    let shop = SeedFolder::with(&[]);
    let (one, other) = tokio::join!(shared::seed::load(&db, &shop.0), shared::seed::load(&db, &shop.0));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.contains("products: 2 new"), other.contains("products: 2 new"), "{one}\n{other}");
    let stock: i64 = sqlx::query_scalar("select sum(on_hand) from inventory").fetch_one(&db).await.unwrap();
    assert_eq!(stock, 42);
}
