//! The checkout: address, test card, and the one button that places the order.

use axum::http::header;
use maud::{Markup, html};
use serde_json::{Map, Value};
use shared::error::{Error, Result};
use shared::invalid::FieldError;
use shared::orders::OrderView;
use shared::orders::placing::request::{OrderLine, PlaceOrder, ProductRef};
use shared::orders::read::{self, OrderFilter};
use shared::page::Page;
use shared::principal::By;
use shared::values::{Address, OrderId, PaymentToken, Quantity, Sku};
use uuid::Uuid;

use super::basket::{self, Basket};
use super::cart::{self, CartLine};
use super::frame::frame;
use crate::answer::{DoneNotice, PageResult};
use crate::form::Form;
use crate::page::shop::{ShopFrame, page};
use crate::ui::banner::Flash;
use crate::ui::button::{self, Weight};
use crate::ui::form::{self, Field};
use crate::ui::{Tone, layout, money, picture, rows, table};
use crate::visit::Visit;

/// What the form shows.
pub struct CheckoutPage {
    pub lines: Vec<CartLine>,
    /// What is wrong with a line, beside that line.
    pub problems: Vec<Option<String>>,
    pub address: Vec<(&'static str, String)>,
    pub card: String,
    pub errors: Vec<FieldError>,
    pub key: String,
}

/// The fields of an address: name, label, what browsers fill in, whether it is needed.
const ADDRESS: [(&str, &str, &str, bool); 6] = [
    ("name", "Name", "name", true),
    ("line1", "Street and number", "address-line1", true),
    ("line2", "Flat, floor (if any)", "address-line2", false),
    ("postal_code", "Postal code", "postal-code", true),
    ("city", "City", "address-level2", true),
    ("country", "Country", "country-name", true),
];

/// The cards of the simulated bank: token, name, what it does.
const CARDS: [(&str, &str, &str); 7] = [
    ("tok_ok", "A card that pays", "The bank answers at once."),
    ("tok_declined", "A declined card", "The bank refuses. The order ends and the stock goes back."),
    ("tok_slow_5000", "A slow bank", "The answer takes 5 seconds."),
    ("tok_flaky_2", "A bank that fails twice", "The third attempt pays."),
    ("tok_timeout_charged", "A lost answer", "The bank charges, and its answer is lost. You pay once."),
    ("tok_flaky_8", "Bank away until a person retries", "All attempts fail. Staff must retry it in the console."),
    ("tok_unavailable", "A bank that never answers", "Retrying does not help. Staff must decide."),
];

pub async fn checkout(visit: Visit) -> PageResult {
    let basket = Basket::of(&visit);
    if basket.lines.is_empty() {
        return Ok(visit.see("/cart"));
    }
    let lines = cart::priced(&visit, &basket.lines).await?;
    if lines.iter().any(|line| line.problem().is_some()) {
        return Ok(visit.see("/cart"));
    }
    let shown = CheckoutPage {
        problems: vec![None; lines.len()],
        lines,
        address: last_address(&visit).await?,
        card: "tok_ok".to_owned(),
        errors: Vec::new(),
        key: Uuid::now_v7().to_string(),
    };
    Ok(visit.page(render(&frame(&visit).await?, &shown)))
}

/// Where the last order went, or the name alone.
async fn last_address(visit: &Visit) -> Result<Vec<(&'static str, String)>> {
    let filter = OrderFilter { customer_id: Some(visit.person()?.customer_id), ..OrderFilter::default() };
    let mut conn = visit.connection().await?;
    let last = read::list(&mut conn, visit.caller()?, filter, Page::parse(Some(1), None, "")?).await?.data.pop();
    let fields = last.map(|order| serde_json::to_value(order.shipping_address).unwrap_or_default());
    let name = visit.person()?.name.as_str();
    let value = |field: &str| match &fields {
        Some(fields) => fields.get(field).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None if field == "name" => name.to_owned(),
        None => String::new(),
    };
    Ok(ADDRESS.iter().map(|(field, ..)| (*field, value(field))).collect())
}

/// Places the order with the lines that the form showed. The form's key makes it one order, however often it is sent.
pub async fn place(visit: Visit, form: Form) -> PageResult {
    let lines = lines_of(&form);
    if lines.is_empty() {
        return Ok(visit.see("/cart"));
    }
    let (address, errors) = address_of(&form);
    let placed = match address {
        Some(address) if errors.is_empty() => try_place(&visit, &form, &lines, address).await,
        _ => Err(Error::InvalidFields(errors)),
    };
    match placed {
        Ok(order) => {
            let mut response = visit.see_done(&format!("/orders/{}", order.number), DoneNotice::OrderPlaced);
            response.headers_mut().append(header::SET_COOKIE, Basket::emptied(&visit));
            Ok(response)
        }
        Err(error) => refused(&visit, &form, &lines, error).await,
    }
}

async fn try_place(visit: &Visit, form: &Form, lines: &[(Sku, Quantity)], address: Address) -> Result<Box<OrderView>> {
    let person = visit.person()?;
    let token: PaymentToken = form.read("card").map_err(|error| Error::InvalidFields(vec![error]))?;
    if !CARDS.iter().any(|(known, ..)| *known == token.as_str()) {
        return Err(Error::field("card", "invalid_payment_token", "choose one of these cards"));
    }
    if let Some(now) = changed_total(visit, form, lines).await? {
        return Err(Error::field("total", "price_changed", format!("the prices have changed: it is {now} now")));
    }
    let order = PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: person.user_id.0, name: person.name.as_str().to_owned() },
        customer_id: person.customer_id,
        lines: lines
            .iter()
            .map(|(sku, quantity)| OrderLine { product: ProductRef::Sku(sku.clone()), quantity: *quantity })
            .collect(),
        payment_token: token,
        shipping_address: address,
        key: Some(form.key()?),
        origin: visit.origin.clone(),
    };
    Ok(visit.state.placing.place(order).await?.order)
}

/// The total as it is now, if it is not the one that the form showed.
async fn changed_total(visit: &Visit, form: &Form, lines: &[(Sku, Quantity)]) -> Result<Option<String>> {
    let now = total_text(&cart::priced(visit, lines).await?);
    Ok((now != form.get("total")).then_some(now))
}

fn total_text(lines: &[CartLine]) -> String {
    let sums: Vec<String> =
        cart::totals(lines).iter().map(|sum| money::text(sum.amount, &sum.currency.to_string())).collect();
    sums.join(" and ")
}

/// The lines that the form showed: the cart may have changed in another tab since.
fn lines_of(form: &Form) -> Vec<(Sku, Quantity)> {
    let pairs = form.all("sku").zip(form.all("quantity"));
    pairs.filter_map(|(sku, quantity)| Some((sku.parse().ok()?, basket::quantity(quantity)?))).collect()
}

fn address_of(form: &Form) -> (Option<Address>, Vec<FieldError>) {
    let mut errors = Vec::new();
    let mut fields = Map::new();
    for (name, label, _, needed) in ADDRESS {
        let value = form.get(name);
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        } else if needed {
            let message = format!("{label}: this is needed to send your parcel");
            errors.push(FieldError { field: name.to_owned(), code: "missing".to_owned(), message });
        }
    }
    match Address::try_from(fields) {
        Ok(address) => (Some(address), errors),
        Err(invalid) => {
            errors.push(invalid.at("line1"));
            (None, errors)
        }
    }
}

/// The form again, with what is wrong beside it and everything that was typed.
async fn refused(visit: &Visit, form: &Form, lines: &[(Sku, Quantity)], error: Error) -> PageResult {
    let lines = cart::priced(visit, lines).await?;
    let mut frame = frame(visit).await?;
    frame.flash = Some(Flash { tone: Tone::Bad, text: sentence(&error) });
    let key = match &error {
        Error::IdempotencyKeyReused => Uuid::now_v7().to_string(),
        _ => form.get("key").to_owned(),
    };
    let shown = CheckoutPage {
        problems: lines.iter().enumerate().map(|(place, line)| problem(&error, place, line)).collect(),
        lines,
        address: ADDRESS.iter().map(|(name, ..)| (*name, form.get(name).to_owned())).collect(),
        card: form.get("card").to_owned(),
        errors: match &error {
            Error::InvalidFields(fields) => fields.clone(),
            _ => Vec::new(),
        },
        key,
    };
    Ok(visit.refused(error, render(&frame, &shown)))
}

fn sentence(error: &Error) -> String {
    match error {
        Error::InsufficientStock(_) => "Somebody was faster: not all of it is left. Nothing was ordered.".to_owned(),
        Error::TooManyOpenOrders { open, .. } => {
            format!("You have {open} orders that are not paid yet. Wait for them, or cancel one.")
        }
        Error::Overloaded => "Many people are ordering now. Press the button again: you will not pay twice.".to_owned(),
        Error::OutcomeUnknown | Error::RequestInProgress => {
            "We do not know yet whether your order was placed. Press the button again: you will not pay twice."
                .to_owned()
        }
        Error::IdempotencyKeyReused => {
            "You have sent this form before, with other words in it. Look at your orders before you send it again."
                .to_owned()
        }
        Error::InvalidFields(fields) if fields.iter().any(|field| field.field == "total") => {
            "The prices have changed since you saw them. Look at the new total and press the button again.".to_owned()
        }
        Error::InvalidFields(_) => "Something is missing. Nothing was ordered.".to_owned(),
        other => other.to_string(),
    }
}

fn problem(error: &Error, place: usize, line: &CartLine) -> Option<String> {
    match error {
        Error::InsufficientStock(short) => {
            let short = short.iter().find(|short| short.line == place)?;
            Some(format!("{} wanted, {} left.", short.requested, short.available))
        }
        Error::InvalidFields(fields) => {
            let here = format!("items[{place}]");
            let found = fields.iter().find(|field| field.field.starts_with(&here));
            found.map(|field| field.message.clone()).or_else(|| line.problem())
        }
        _ => line.problem(),
    }
}

pub fn render(frame: &ShopFrame, shown: &CheckoutPage) -> Markup {
    let content = html! {
        (layout::title("Checkout", html! {}, html! {}))
        (form::columns("/checkout", &shown.key, fields(shown), summary(shown)))
    };
    page(frame, "Checkout", content)
}

fn fields(shown: &CheckoutPage) -> Markup {
    let error_of =
        |name: &str| shown.errors.iter().find(|error| error.field == name).map(|error| error.message.as_str());
    let address: Vec<Markup> = ADDRESS
        .iter()
        .zip(&shown.address)
        .map(|((name, label, autocomplete, required), (_, value))| {
            form::field(&Field {
                name,
                label,
                value,
                autocomplete: Some(autocomplete),
                required: *required,
                error: error_of(name),
                ..Field::default()
            })
        })
        .collect();
    html! {
        (layout::section("where", "Where it goes", html! {}, form::group(&address)))
        (layout::section("card", "How you pay", layout::quiet(html! { "no money moves" }),
            form::radios("card", "Choose a card to try", &shown.card, &CARDS)))
    }
}

fn summary(shown: &CheckoutPage) -> Markup {
    let mut lines: Vec<Markup> =
        shown.lines.iter().zip(&shown.problems).map(|(line, problem)| item(line, problem.as_deref())).collect();
    for total in cart::totals(&shown.lines) {
        lines.push(rows::spread(layout::strong("Total"), html! { strong { (money::with_code(total)) } }));
    }
    let content = html! {
        (rows::rows(&lines))
        input type="hidden" name="total" value=(total_text(&shown.lines));
        @for line in &shown.lines {
            input type="hidden" name="sku" value=(line.sku.as_str());
            input type="hidden" name="quantity" value=(line.quantity.get());
        }
        (button::row(&[button::submit(Weight::Main, "Place the order"), button::link(Weight::Light, "/cart", "Back to the cart")]))
    };
    layout::section("order", "Your order", html! {}, content)
}

fn item(line: &CartLine, problem: Option<&str>) -> Markup {
    let name = line.product.as_ref().map_or(line.sku.as_str(), |product| product.name.as_str());
    let below = html! {
        (line.quantity.get()) @if let Some(product) = &line.product { " × " (money::money(product.price)) }
        @if let Some(problem) = problem { " " (form::wrong(problem)) }
    };
    let total = html! { @if let Some(total) = line.total() { (money::money(total)) } };
    rows::pictured(
        picture::thumbnail(line.sku.as_str(), &line.category),
        table::two_lines(html! { (name) }, below),
        total,
    )
}
