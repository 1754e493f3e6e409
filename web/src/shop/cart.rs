//! The cart: what is in it, at the prices and the stock of this moment.

use std::collections::BTreeMap;

use axum::http::header;
use maud::{Markup, html};
use shared::catalog::products::{self, ProductView};
use shared::error::Result;
use shared::values::{Money, Quantity, Sku};
use uuid::Uuid;

use super::basket::{self, Basket};
use super::frame::{frame, with_categories};
use crate::answer::{DoneNotice, PageResult};
use crate::form::Form;
use crate::page::shop::{ShopFrame, page};
use crate::ui::button::{self, Weight};
use crate::ui::form::{self, Field};
use crate::ui::icon::Icon;
use crate::ui::{Tone, goods, layout, money, picture, rows, state, status, table, words};
use crate::visit::Visit;

/// A line of the cart, with the product as it is now.
#[derive(Clone)]
pub struct CartLine {
    pub sku: Sku,
    pub quantity: Quantity,
    /// None: it is not sold any more.
    pub product: Option<ProductView>,
    pub category: String,
}

impl CartLine {
    /// Why this line cannot be ordered as it is.
    pub fn problem(&self) -> Option<String> {
        let wanted = i64::from(self.quantity.get());
        match &self.product {
            None => Some("We do not sell this any more. Remove it, please.".to_owned()),
            Some(product) if product.available <= 0 => Some("It is sold out. Remove it, please.".to_owned()),
            Some(product) if product.available < wanted => {
                Some(format!("Only {} left. Choose fewer, please.", words::grouped(product.available)))
            }
            Some(_) => None,
        }
    }

    pub fn total(&self) -> Option<Money> {
        let price = self.product.as_ref()?.price;
        Some(Money { amount: price.amount.saturating_mul(i64::from(self.quantity.get())), currency: price.currency })
    }
}

/// The sum for each currency.
pub fn totals(lines: &[CartLine]) -> Vec<Money> {
    let mut sums = BTreeMap::new();
    for total in lines.iter().filter_map(CartLine::total) {
        let sum: &mut Money =
            sums.entry(total.currency.to_string()).or_insert(Money { amount: 0, currency: total.currency });
        sum.amount = sum.amount.saturating_add(total.amount);
    }
    sums.into_values().collect()
}

/// Lines with the products as they are now.
pub async fn priced(visit: &Visit, lines: &[(Sku, Quantity)]) -> Result<Vec<CartLine>> {
    let skus: Vec<&str> = lines.iter().map(|(sku, _)| sku.as_str()).collect();
    let mut conn = visit.connection().await?;
    let found = products::by_skus(&mut conn, &skus).await?;
    drop(conn);
    let found = with_categories(visit, found.into_iter().filter(|product| product.active).collect()).await?;
    let mut by_sku: BTreeMap<Sku, (ProductView, String)> =
        found.into_iter().map(|(product, category)| (product.sku.clone(), (product, category))).collect();
    let line = |(sku, quantity): &(Sku, Quantity)| {
        let (product, category) = by_sku.remove(sku).map_or((None, String::new()), |(it, name)| (Some(it), name));
        CartLine { sku: sku.clone(), quantity: *quantity, product, category }
    };
    Ok(lines.iter().map(line).collect())
}

pub async fn cart(visit: Visit) -> PageResult {
    let lines = priced(&visit, &Basket::of(&visit).lines).await?;
    Ok(visit.page(render(&frame(&visit).await?, &lines)))
}

pub async fn add(visit: Visit, form: Form) -> PageResult {
    let mut basket = Basket::of(&visit);
    let fields = (form.read::<Sku>("sku"), basket::quantity(form.get("quantity")));
    let (Ok(sku), Some(quantity)) = fields else { return Ok(visit.see("/cart")) };
    let fits = basket.add(sku, quantity, form.get("key"));
    let mut response = visit.see_done("/cart", if fits { DoneNotice::AddedToCart } else { DoneNotice::CartIsFull });
    response.headers_mut().append(header::SET_COOKIE, basket.kept(&visit));
    Ok(response)
}

/// Sets the quantity of a line. Sent twice, it has the same effect.
pub async fn change(visit: Visit, form: Form) -> PageResult {
    let mut basket = Basket::of(&visit);
    if let Ok(sku) = form.read::<Sku>("sku") {
        let quantity = if form.get("remove").is_empty() { basket::quantity(form.get("quantity")) } else { None };
        basket.set(&sku, quantity);
    }
    let mut response = visit.see("/cart");
    response.headers_mut().append(header::SET_COOKIE, basket.kept(&visit));
    Ok(response)
}

pub fn render(frame: &ShopFrame, lines: &[CartLine]) -> Markup {
    let content = html! {
        (layout::title("Your cart", html! {}, html! {}))
        @if lines.is_empty() {
            (state::empty(Icon::Cart, "Your cart is empty.", "", button::link(Weight::Main, "/", "See what there is")))
        } @else {
            (layout::with_rail(html! { (rows::rows(&lines.iter().map(line).collect::<Vec<_>>())) }, summary(lines)))
        }
    };
    page(frame, "Your cart", content)
}

fn line(line: &CartLine) -> Markup {
    let name = line.product.as_ref().map_or(line.sku.as_str(), |product| product.name.as_str());
    let href = format!("/p/{}", words::segment(line.sku.as_str()));
    let below = html! {
        @if let Some(product) = &line.product { (money::money(product.price)) " each" }
        @if let Some(problem) = line.problem() { " " (status::status(Tone::Warn, Icon::Alert, &problem)) }
    };
    let left = html! {
        (table::two_lines(layout::link(&href, name), below))
        (quantity_form(line))
    };
    let right = html! { @if let Some(total) = line.total() { (money::money(total)) } };
    rows::pictured(picture::thumbnail(line.sku.as_str(), &line.category), left, right)
}

/// The quantities that are offered, and the one that is in the cart.
fn quantity_form(line: &CartLine) -> Markup {
    let now = i64::from(line.quantity.get());
    let most = line.product.as_ref().map_or(now, |product| product.available.clamp(1, 20)).max(now.min(20));
    let mut numbers: Vec<String> = (1..=most).map(|number| number.to_string()).collect();
    if now > most {
        numbers.push(now.to_string());
    }
    let options: Vec<(&str, &str)> = numbers.iter().map(|number| (number.as_str(), number.as_str())).collect();
    let id = format!("quantity-{}", line.sku.as_str());
    let value = now.to_string();
    let label = format!("Quantity of {}", line.sku.as_str());
    let quantity =
        Field { name: "quantity", id: Some(&id), label: &label, value: &value, quiet_label: true, ..Field::default() };
    let hidden = html! { input type="hidden" name="sku" value=(line.sku.as_str()); };
    let buttons = html! {
        (button::submit(Weight::Plain, "Change"))
        (button::submit_as(Weight::Light, "remove", "yes", "Remove"))
    };
    form::one_line("/cart/change", Uuid::now_v7(), html! { (form::select(&quantity, &options)) (hidden) }, buttons)
}

fn summary(lines: &[CartLine]) -> Markup {
    let ready = lines.iter().all(|line| line.problem().is_none());
    let content = html! {
        (rows::rows(&totals(lines).into_iter().map(|total| {
            rows::spread(layout::strong("Total"), html! { strong { (money::with_code(total)) } })
        }).collect::<Vec<_>>()))
        @if ready {
            (button::row(&[button::link(Weight::Main, "/checkout", "Go to the checkout")]))
        } @else {
            (layout::remark("Something in your cart cannot be ordered as it is. Change those lines first."))
        }
    };
    layout::section("summary", "In all", goods::note(&words::count(lines.len() as i64, "product", "products")), content)
}
