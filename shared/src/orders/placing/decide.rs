//! Decides which orders of a batch are accepted, and from which warehouses. Pure: no database.

use std::collections::{BTreeMap, HashMap};

use super::request::{MAX_LINES, OrderLine, PlaceOrder, PlacingTerms, ProductRef};
use super::unpaid::{Unpaid, Wish};
use crate::error::Error;
use crate::invalid::{FieldError, Invalid};
use crate::inventory::source::{self, NotTaken, Shelf, Shelves, Sourced};
use crate::values::{CustomerId, Money, ProductId, Quantity, Sku, WarehouseId};

/// What the batch needs to know, read while its stock is locked.
#[derive(Debug, Default)]
pub struct Present {
    pub products: Vec<PricedProduct>,
    /// The active ones, with their priorities.
    pub warehouses: HashMap<WarehouseId, i32>,
    /// What each customer holds unpaid.
    pub unpaid: HashMap<CustomerId, Unpaid>,
}

#[derive(Debug, Clone, serde::Deserialize)]
pub struct PricedProduct {
    pub id: ProductId,
    pub sku: Sku,
    pub name: String,
    pub price_minor: i64,
    pub currency: String,
    pub active: bool,
}

/// What one warehouse has of one product, locked.
#[derive(Debug, Clone, Copy)]
pub struct StockRow {
    pub product_id: ProductId,
    pub warehouse_id: WarehouseId,
    pub on_hand: i32,
    pub reserved: i32,
    pub reorder_level: i32,
}

/// Decides about the orders of a batch one after the other. Each finds what the ones before it have left.
pub struct Decider<'a> {
    by_id: HashMap<ProductId, PricedProduct>,
    by_sku: HashMap<Sku, ProductId>,
    shelves: Shelves,
    /// Units of each product in the active warehouses, reserved or not.
    on_hand: HashMap<ProductId, i64>,
    unpaid: HashMap<CustomerId, Unpaid>,
    terms: &'a PlacingTerms,
}

#[derive(Debug)]
pub struct Accepted {
    pub items: Vec<Item>,
    pub total: Money,
    pub sourced: Sourced,
}

#[derive(Debug)]
pub struct Item {
    pub product_id: ProductId,
    pub sku: Sku,
    pub name: String,
    pub quantity: i32,
    pub unit_price_minor: i64,
    pub total_minor: i64,
}

impl<'a> Decider<'a> {
    pub fn new(present: Present, stock: &[StockRow], terms: &'a PlacingTerms) -> Self {
        let shelves = shelves(stock, &present.warehouses);
        let mut on_hand: HashMap<ProductId, i64> = HashMap::new();
        for row in stock.iter().filter(|row| present.warehouses.contains_key(&row.warehouse_id)) {
            *on_hand.entry(row.product_id).or_default() += i64::from(row.on_hand);
        }
        let by_sku = present.products.iter().map(|product| (product.sku.clone(), product.id)).collect();
        let by_id = present.products.into_iter().map(|product| (product.id, product)).collect();
        Self { by_id, by_sku, shelves, on_hand, unpaid: present.unpaid, terms }
    }

    /// Accepts an order and takes its stock; or says why not, and takes nothing.
    pub fn decide(&mut self, order: &PlaceOrder) -> Result<Accepted, Error> {
        let unpaid = self.unpaid.entry(order.customer_id).or_default();
        unpaid.check_orders(self.terms)?;
        let wanted = find_products(&self.by_id, &self.by_sku, &order.lines)?;
        let (items, total) = price(&wanted)?;
        let lines = source_lines(&wanted);
        let wishes: Vec<Wish<'_>> = wanted.iter().map(|one| one.wish(&self.on_hand)).collect();
        // Short stock is said first: more than there is cannot be had by paying.
        let sourced = self.shelves.take_if(&lines, || unpaid.check(&wishes, total, self.terms));
        let sourced = sourced.map_err(|refused| refusal(refused, &wanted))?;
        unpaid.add(&wishes, total);
        Ok(Accepted { items, total, sourced })
    }
}

/// Finds the products of the lines. Two lines of one product become one line with the sum.
fn find_products<'a>(
    by_id: &'a HashMap<ProductId, PricedProduct>,
    by_sku: &HashMap<Sku, ProductId>,
    lines: &[OrderLine],
) -> Result<Vec<Wanted<'a>>, Error> {
    let mut bad = Vec::new();
    let mut wanted: BTreeMap<ProductId, Wanted> = BTreeMap::new();
    for (position, line) in lines.iter().enumerate() {
        match find(by_id, by_sku, position, line) {
            Ok(product) => {
                let one = wanted.entry(product.id).or_insert(Wanted { product, position, quantity: 0 });
                one.quantity += i64::from(line.quantity.get());
            }
            Err(error) => bad.push(error),
        }
    }
    for one in wanted.values().filter(|one| one.quantity > Quantity::MAX) {
        let message = format!("the lines of this product add up to {}; {} may be ordered", one.quantity, Quantity::MAX);
        bad.push(Invalid::new("invalid_quantity", message).at(format!("items[{}].quantity", one.position)));
    }
    if !bad.is_empty() {
        return Err(Error::InvalidFields(bad));
    }
    let mut wanted: Vec<Wanted> = wanted.into_values().collect();
    wanted.sort_by_key(|one| one.position);
    Ok(wanted)
}

fn find<'a>(
    by_id: &'a HashMap<ProductId, PricedProduct>,
    by_sku: &HashMap<Sku, ProductId>,
    position: usize,
    line: &OrderLine,
) -> Result<&'a PricedProduct, FieldError> {
    let (field, id) = match &line.product {
        ProductRef::Id(id) => ("product_id", Some(id)),
        ProductRef::Sku(sku) => ("sku", by_sku.get(sku)),
    };
    let at = format!("items[{position}].{field}");
    match id.and_then(|id| by_id.get(id)) {
        None => Err(Invalid::new("product_not_found", "there is no such product").at(at)),
        Some(product) if !product.active => {
            Err(Invalid::new("product_inactive", format!("`{}` is not sold any more", product.sku.as_str())).at(at))
        }
        Some(product) => Ok(product),
    }
}

fn source_lines(wanted: &[Wanted<'_>]) -> Vec<source::SourceLine> {
    wanted
        .iter()
        .map(|one| source::SourceLine {
            product_id: one.product.id,
            quantity: i32::try_from(one.quantity).expect("a line's sum was checked"),
            warehouse_id: None,
        })
        .collect()
}

/// The shelves know only ids, and positions among the sums; the buyer knows SKUs and the lines of the request.
fn refusal(refused: NotTaken<Error>, wanted: &[Wanted<'_>]) -> Error {
    match refused {
        NotTaken::Refused(error) => error,
        NotTaken::Short(mut shortages) => {
            for shortage in &mut shortages {
                let one = &wanted[shortage.line];
                shortage.line = one.position;
                shortage.sku = Some(one.product.sku.as_str().to_owned());
            }
            Error::InsufficientStock(shortages)
        }
    }
}

/// The stock of the active warehouses.
fn shelves(stock: &[StockRow], warehouses: &HashMap<WarehouseId, i32>) -> Shelves {
    Shelves::new(stock.iter().filter_map(|row| {
        let priority = *warehouses.get(&row.warehouse_id)?;
        Some((
            row.product_id,
            Shelf { warehouse_id: row.warehouse_id, priority, available: row.on_hand - row.reserved },
        ))
    }))
}

/// A product, the quantity of it, and the first line that named it.
struct Wanted<'a> {
    product: &'a PricedProduct,
    position: usize,
    quantity: i64,
}

impl Wanted<'_> {
    fn wish(&self, on_hand: &HashMap<ProductId, i64>) -> Wish<'_> {
        let (product_id, sku) = (self.product.id, self.product.sku.as_str());
        Wish {
            product_id,
            sku,
            quantity: self.quantity,
            on_hand: on_hand.get(&product_id).copied().unwrap_or_default(),
        }
    }
}

fn price(wanted: &[Wanted<'_>]) -> Result<(Vec<Item>, Money), Error> {
    debug_assert!((1..=MAX_LINES).contains(&wanted.len()), "the edge checks the number of lines");
    let currency = &wanted[0].product.currency;
    let mut total = Money::stored(0, currency);
    let mut items = Vec::with_capacity(wanted.len());
    for one in wanted {
        if one.product.currency != *currency {
            let message = format!("it is priced in {}, and the lines before it in {currency}", one.product.currency);
            return Err(Error::field(format!("items[{}]", one.position), "mixed_currencies", message));
        }
        let line_total = one.product.price_minor.checked_mul(one.quantity);
        let sum = line_total.and_then(|line_total| total.amount.checked_add(line_total));
        let (Some(line_total), Some(sum)) = (line_total, sum) else {
            return Err(Error::field(
                "items",
                "total_too_large",
                "the total is larger than any amount of money we can hold",
            ));
        };
        total.amount = sum;
        items.push(Item {
            product_id: one.product.id,
            sku: one.product.sku.clone(),
            name: one.product.name.clone(),
            quantity: i32::try_from(one.quantity).expect("a line's sum was checked"),
            unit_price_minor: one.product.price_minor,
            total_minor: line_total,
        });
    }
    Ok((items, total))
}
