//! The shop with the demo catalog.

use chrono::TimeDelta;
use maud::Markup;
use serde_json::json;
use shared::catalog::products::ProductView;
use shared::orders::status::Status;
use shared::orders::{NextAction, OrderShipment, OrderView, ShipmentStatus, Who};
use shared::values::WarehouseId;
use web::page::shop::{ShopCategory, ShopFrame};
use web::reader::Reader;
use web::shop::home::HomePage;
use web::shop::product::ProductPage;
use web::shop::track::TrackingPage;
use web::shop::{home, product, track};

use crate::sample::{self, ago, categories, id};

type Shelf = Vec<(ProductView, String)>;

pub fn pages(reader: &Reader) -> Vec<(&'static str, Markup)> {
    let shelf = shelf();
    let frame = frame(reader, &shelf);
    vec![
        ("shop-home", home::render(&frame, &first_page(&shelf, None, 3))),
        ("shop-all", home::render(&frame, &first_page(&shelf, None, 1))),
        (
            "shop-category",
            home::render(
                &ShopFrame { here: Some("Mugs & Cups".to_owned()), ..frame.clone() },
                &first_page(&shelf, Some("Mugs & Cups"), 1),
            ),
        ),
        ("shop-product", product::render(&frame, &product_page(&shelf, "MUG-STONE-350", 41))),
        ("shop-product-few", product::render(&frame, &product_page(&shelf, "BREW-KETTLE-GOOSE", 3))),
        ("shop-product-sold-out", product::render(&frame, &product_page(&shelf, "BEAN-SUMATRA-250", 0))),
        ("shop-order", track::render(&frame, &tracking(true))),
        ("shop-order-retry", track::render(&frame, &tracking(false))),
    ]
}

fn frame(reader: &Reader, shelf: &Shelf) -> ShopFrame {
    let mut names: Vec<&String> = shelf.iter().map(|(_, category)| category).collect();
    names.dedup();
    ShopFrame {
        reader: *reader,
        user: Some("Alice Archer".to_owned()),
        staff: true,
        in_cart: 3,
        categories: names
            .into_iter()
            .map(|name| ShopCategory { name: name.clone(), href: format!("/c/{name}"), products: 9 })
            .collect(),
        here: None,
        search: String::new(),
        flash: None,
    }
}

/// The demo catalog, in its own order.
fn shelf() -> Shelf {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../seed/products.csv");
    let mut reader = csv::Reader::from_path(path).expect("the demo catalog is in the repository");
    let rows: Vec<Vec<String>> =
        reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect();
    rows.iter().enumerate().map(|(place, row)| (product(row, place), row[5].clone())).collect()
}

fn product(row: &[String], place: usize) -> ProductView {
    let number = |column: usize| row[column].parse::<i64>().ok();
    let available = [41, 3, 120, 0, 77][place % 5];
    let view = json!({
        "id": id(10_000 + place as u128), "sku": row[0], "name": row[1], "description": row[2],
        "price": { "amount": number(3), "currency": row[4] }, "category_id": null, "weight_grams": number(6),
        "dimensions_mm": number(7).zip(number(8)).zip(number(9)).map(|((length, width), height)| json!({ "length": length, "width": width, "height": height })),
        "active": true, "available": available, "version": 1, "created_at": sample::now(), "updated_at": sample::now()
    });
    serde_json::from_value::<ProductView>(view).expect("the demo catalog is valid")
}

fn first_page(shelf: &Shelf, category: Option<&str>, step: usize) -> HomePage {
    let products = shelf.iter().filter(|(_, of)| category.is_none_or(|category| category == of)).step_by(step).cloned();
    HomePage {
        category: category.map(str::to_owned),
        search: None,
        products: products.collect(),
        before: None,
        after: Some("/?cursor=x".to_owned()),
    }
}

fn product_page(shelf: &Shelf, sku: &str, available: i64) -> ProductPage {
    let (mut product, category) =
        shelf.iter().find(|(product, _)| product.sku.as_str() == sku).cloned().expect("a product of the catalog");
    product.available = available;
    let related =
        shelf.iter().filter(|(other, of)| *of == category && other.sku.as_str() != sku).take(4).cloned().collect();
    ProductPage { product, category_href: format!("/c/{category}"), category, related, key: id(6) }
}

fn tracking(shipped: bool) -> TrackingPage {
    let status = if shipped { Status::Shipped } else { Status::Processing };
    let mut order: OrderView = sample::order(4711, status, "Alice Archer", 52);
    order.customer = None;
    if shipped {
        order.shipments.push(OrderShipment {
            id: id(501),
            warehouse_id: WarehouseId(id(1)),
            status: ShipmentStatus::Shipped,
            tracking_number: Some("MR4XK29QC7ZD".to_owned()),
            shipped_at: Some(ago(48)),
            delivered_at: None,
        });
    } else {
        order.next_action = Some(NextAction {
            what: "payment".to_owned(),
            by: Who::Worker,
            due_at: sample::now() + TimeDelta::seconds(4),
        });
    }
    TrackingPage {
        order,
        paid_at: shipped.then(|| ago(51)),
        attempts: 3,
        categories: categories(),
        may_cancel: !shipped,
        key: id(6),
    }
}
