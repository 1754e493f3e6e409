//! Checking out: address, card, order. The order is placed through the same lanes as by the API.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use shared::error::{Error, Result, Shortage};
use shared::idempotency::Key;
use shared::orders::placing::request::{OrderLine, PlaceOrder, ProductRef};
use shared::orders::read::{self, OrderFilter};
use shared::page::Page;
use shared::principal::{By, Permission};
use shared::values::whole_number::WholeNumber;
use shared::values::{OrderId, Quantity};
use uuid::Uuid;

use super::cart::{Cart, Priced, price, totals};
use super::shell::{show, with_cart};
use crate::WebState;
use crate::form::Fields;
use crate::once::{KEY, and_say, see_other};
use crate::order_form;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui;
use crate::ui::money::{money, sums};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/checkout", checkout, Rule::read(Site::Shop, Visitors::SignedIn)).form(
        "/checkout",
        place,
        Rule::write(Site::Shop, Visitors::SignedIn),
    )
}

async fn checkout(State(web): State<WebState>, visit: Visit, headers: HeaderMap) -> PageResult<Response> {
    let mut conn = web.db.acquire().await?;
    let lines = price(&mut conn, &Cart::of(&headers)).await?;
    if lines.is_empty() || lines.iter().any(|line| line.problem().is_some()) {
        return Ok(see_other("/cart"));
    }
    let last =
        read::list(&mut conn, visit.principal()?, OrderFilter::default(), Page::parse(Some(1), None, "")?).await?;
    let address = last.data.first().map(|order| order.shipping_address.clone());
    drop(conn);
    let own = visit.person().map(|person| person.name.as_str());
    let known = order_form::prefilled(own, address.as_ref());
    let page = form(&visit, &headers, &lines, &known, &Uuid::now_v7().to_string(), None);
    Ok(axum::response::IntoResponse::into_response(page))
}

fn form(
    visit: &Visit,
    headers: &HeaderMap,
    lines: &[Priced],
    sent: &Fields,
    key: &str,
    problem: Option<&Problem>,
) -> Markup {
    let content = html! {
        h1 { "Check out" }
        @if let Some(problem) = problem { (problem.show()) }
        form.checkout method="post" action="/checkout" {
            input type="hidden" name=(KEY) value=(key);
            (order_form::address_fields(sent))
            (order_form::cards(sent))
            section.summary aria-label="Your order" {
                h2 { "Your order" }
                ul { @for line in lines { li {
                    span { (line.quantity) " × " (line.product.name.as_str()) } span.num { (money(line.total())) }
                } } }
                p.total { span { "Total" } b { (sums(&totals(lines))) } }
                button.button.primary { "Place the order" }
                p.quiet { "A demonstration: no money moves." }
            }
        }
    };
    show(visit, headers, "Check out", &content)
}

/// Why an order was not placed.
struct Problem {
    words: String,
    lines: Vec<String>,
}

impl Problem {
    fn of(error: &Error, lines: &[Priced]) -> Self {
        match error {
            Error::InsufficientStock(short) => Self {
                words: "Somebody was faster. There is not enough left of:".to_owned(),
                lines: short.iter().map(|shortage| short_line(shortage, lines)).collect(),
            },
            Error::TooManyOpenOrders { open, .. } => Self {
                words: format!("{open} of your orders are not paid yet. Wait until one is, or cancel one."),
                lines: Vec::new(),
            },
            Error::Overloaded => Self {
                words: "Many people are ordering right now. Press the button again: the order is placed once."
                    .to_owned(),
                lines: Vec::new(),
            },
            error => Self { words: words(error), lines: Vec::new() },
        }
    }

    fn show(&self) -> Markup {
        html! {
            div.notice.bad role="alert" {
                p { (self.words) }
                @if !self.lines.is_empty() {
                    ul { @for line in &self.lines { li { (line) } } }
                    p { a href="/cart" { "Change the cart" } }
                }
            }
        }
    }
}

fn short_line(shortage: &Shortage, lines: &[Priced]) -> String {
    let name = lines.iter().find(|line| line.product.id.0 == shortage.product_id);
    let name = name.map_or("a product", |line| line.product.name.as_str());
    match shortage.available {
        ..=0 => format!("{name}: sold out"),
        left => format!("{name}: you want {}, and {left} are left", ui::number(shortage.requested)),
    }
}

async fn place(State(web): State<WebState>, visit: Visit, headers: HeaderMap, sent: Fields) -> PageResult<Response> {
    let cart = Cart::of(&headers);
    match try_to_place(&web, &visit, &cart, &sent).await {
        Ok(number) => {
            let to = and_say(&format!("/orders/{number}"), "placed");
            Ok(with_cart(see_other(&to), &Cart::default(), web.settings.secure))
        }
        Err(error) => {
            let lines = price(&mut *web.db.acquire().await?, &cart).await?;
            // The same key: whatever became of this attempt, the next one is the same order.
            let key = sent.given(KEY).map_or_else(|| Uuid::now_v7().to_string(), ToOwned::to_owned);
            let page = form(&visit, &headers, &lines, &sent, &key, Some(&Problem::of(&error, &lines)));
            Ok(refused_in_place(error, page))
        }
    }
}

async fn try_to_place(web: &WebState, visit: &Visit, cart: &Cart, sent: &Fields) -> Result<String> {
    let principal = visit.principal()?;
    let person = principal.require_person()?;
    let key = sent.given(KEY).map(Key::parse).transpose()?;
    let hash = order_form::hash("/checkout", sent);
    let order = PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: person.user_id.0, name: person.name.as_str().to_owned() },
        customer_id: person.customer_id,
        lines: lines_of(cart)?,
        payment_token: order_form::token(sent)?,
        shipping_address: order_form::address(sent)?,
        key: key.map(|key| (key, hash)),
        origin: visit.origin.clone(),
    };
    let share_of = (!principal.may(Permission::OrdersWrite)).then_some(person.user_id.0);
    Ok(web.placing.place(order, share_of).await?.order.number)
}

fn lines_of(cart: &Cart) -> Result<Vec<OrderLine>> {
    let line = |line: &super::cart::CartLine| {
        let quantity = Quantity::try_from(WholeNumber(line.quantity.into()))
            .map_err(|invalid| Error::InvalidFields(vec![invalid.at("quantity")]))?;
        Ok(OrderLine { product: ProductRef::Sku(line.sku.clone()), quantity })
    };
    cart.lines().iter().map(line).collect()
}
