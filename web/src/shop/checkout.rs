//! Checking out: address, card, order. The order is placed through the same lanes as by the API.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use maud::{Markup, html};
use serde_json::{Map, Value};
use shared::error::{Error, Result, Shortage};
use shared::idempotency::{BodyHash, Key};
use shared::orders::placing::request::{OrderLine, PlaceOrder, ProductRef};
use shared::orders::read::{self, OrderFilter};
use shared::page::Page;
use shared::principal::{By, Permission};
use shared::values::whole_number::WholeNumber;
use shared::values::{Address, OrderId, PaymentToken, Quantity};
use uuid::Uuid;

use super::cart::{Cart, Priced, price, totals};
use super::shell::{show, with_cart};
use crate::WebState;
use crate::form::Fields;
use crate::once::{KEY, and_say, see_other};
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, Rule, Site, Visitors};
use crate::ui;
use crate::ui::field::{self, Field};
use crate::ui::money::{money, sums};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/checkout", checkout, Rule::read(Site::Shop, Visitors::SignedIn)).form(
        "/checkout",
        place,
        Rule::write(Site::Shop, Visitors::SignedIn),
    )
}

/// Cards of the simulated provider, so that everything that can happen to a payment can be tried.
const CARDS: [(&str, &str, &str); 7] = [
    ("tok_ok", "Pays", "The card is charged at once."),
    ("tok_declined", "Declined", "The bank says no. The order is cancelled and the stock is free again."),
    ("tok_slow_5000", "Slow", "The bank takes five seconds."),
    ("tok_flaky_2", "Fails twice, then pays", "We try again by ourselves."),
    ("tok_timeout_charged", "Charged, but the answer is lost", "We ask the bank before we charge again."),
    ("tok_flaky_8", "Bank away until a person retries", "After eight attempts a person has to look at it."),
    ("tok_unavailable", "Bank never answers", "However often it is retried."),
];

const COUNTRIES: [(&str, &str); 12] = [
    ("GB", "United Kingdom"),
    ("US", "United States"),
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("DE", "Germany"),
    ("ES", "Spain"),
    ("FR", "France"),
    ("IE", "Ireland"),
    ("IT", "Italy"),
    ("NL", "Netherlands"),
];

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
    let known = prefilled(&visit, address.as_ref());
    let page = form(&visit, &headers, &lines, &known, &Uuid::now_v7().to_string(), None);
    Ok(axum::response::IntoResponse::into_response(page))
}

/// The last address, or the name at least.
fn prefilled(visit: &Visit, last: Option<&Address>) -> Fields {
    let of = |name: &str| last.and_then(|address| address.field(name)).unwrap_or_default().to_owned();
    let names = ["line1", "line2", "postal_code", "city", "country"];
    let mut written = form_urlencoded::Serializer::new(String::new());
    let name = Some(of("name")).filter(|name| !name.is_empty());
    let own = visit.person().map(|person| person.name.as_str().to_owned());
    written.append_pair("name", &name.or(own).unwrap_or_default());
    written.extend_pairs(names.iter().map(|name| (*name, of(name))));
    Fields::parse(written.finish().as_bytes()).unwrap_or_default()
}

fn form(
    visit: &Visit,
    headers: &HeaderMap,
    lines: &[Priced],
    sent: &Fields,
    key: &str,
    problem: Option<&Problem>,
) -> Markup {
    let countries: Vec<(String, String)> =
        COUNTRIES.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect();
    let content = html! {
        h1 { "Check out" }
        @if let Some(problem) = problem { (problem.show()) }
        form.checkout method="post" action="/checkout" {
            input type="hidden" name=(KEY) value=(key);
            fieldset {
                legend { "Where it goes" }
                (Field::text("name", "Name").autocomplete("shipping name").sent(sent).show())
                (Field::text("line1", "Address").autocomplete("shipping address-line1").sent(sent).show())
                (Field::text("line2", "Further line").autocomplete("shipping address-line2").optional().sent(sent).show())
                (Field::text("postal_code", "Postcode").autocomplete("shipping postal-code").max(20).sent(sent).show())
                (Field::text("city", "City").autocomplete("shipping address-level2").sent(sent).show())
                (field::select("country", "Country", &countries, sent.given("country").unwrap_or("GB")))
            }
            fieldset.tokens {
                legend { "Pay with a test card" }
                @let chosen = sent.given("payment_token").unwrap_or(CARDS[0].0);
                @for (token, name, effect) in CARDS {
                    label { input type="radio" name="payment_token" value=(token) checked[token == chosen] required;
                        span { b { (name) } span.quiet { (effect) } } }
                }
            }
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
    let hash = BodyHash::of_bytes("POST", "/checkout", canonical(sent).as_bytes());
    let order = PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: person.user_id.0, name: person.name.as_str().to_owned() },
        customer_id: person.customer_id,
        lines: lines_of(cart)?,
        payment_token: token(sent)?,
        shipping_address: address(sent)?,
        key: key.map(|key| (key, hash)),
        origin: visit.origin.clone(),
    };
    let share_of = (!principal.may(Permission::OrdersWrite)).then_some(person.user_id.0);
    Ok(web.placing.place(order, share_of).await?.order.number)
}

/// By this a repeat is recognised. The cart is not part of it: the first answer has emptied it, and a reload of the form
/// must find the same order.
fn canonical(sent: &Fields) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(sent.iter()).finish()
}

fn lines_of(cart: &Cart) -> Result<Vec<OrderLine>> {
    let line = |line: &super::cart::CartLine| {
        let quantity = Quantity::try_from(WholeNumber(line.quantity.into()))
            .map_err(|invalid| Error::InvalidFields(vec![invalid.at("quantity")]))?;
        Ok(OrderLine { product: ProductRef::Sku(line.sku.clone()), quantity })
    };
    cart.lines().iter().map(line).collect()
}

fn token(sent: &Fields) -> Result<PaymentToken> {
    let chosen = CARDS.iter().find(|(token, ..)| *token == sent.text("payment_token"));
    let (token, ..) = chosen.ok_or_else(|| Error::field("payment_token", "invalid_value", "choose a card"))?;
    PaymentToken::try_from((*token).to_owned())
        .map_err(|invalid| Error::InvalidFields(vec![invalid.at("payment_token")]))
}

fn address(sent: &Fields) -> Result<Address> {
    for (name, missing) in [
        ("name", "who gets it"),
        ("line1", "the street and the number"),
        ("postal_code", "the postcode"),
        ("city", "the city"),
    ] {
        if sent.given(name).is_none() {
            return Err(Error::field(name, "missing_field", format!("{missing} is missing")));
        }
    }
    let names = ["name", "line1", "line2", "postal_code", "city", "country"];
    let fields: Map<String, Value> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), Value::String(sent.given(name)?.to_owned()))))
        .collect();
    Address::try_from(fields).map_err(|invalid| Error::InvalidFields(vec![invalid.at("address")]))
}
