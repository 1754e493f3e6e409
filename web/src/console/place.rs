//! Placing an order for a customer, who is at the counter or on the phone.

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use shared::customers::{self, CustomerView};
use shared::error::{Error, Result, Shortage};
use shared::idempotency::Key;
use shared::orders::placing::lanes::Placed;
use shared::orders::placing::request::{MAX_LINES, OrderLine, PlaceOrder, ProductRef};
use shared::orders::read::{self, OrderFilter};
use shared::orders::{OrderView, manual};
use shared::page::Page;
use shared::principal::{By, Permission};
use shared::values::whole_number::WholeNumber;
use shared::values::{CustomerId, OrderId, Quantity};

use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::once::{KEY, and_say, see_other};
use crate::order_form;
use crate::path::InPath;
use crate::refusal::{PageResult, refused_in_place, words};
use crate::rule::{PageRoutes, changes, reads};
use crate::ui::{self, action, field, notice};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/customers/{id}/order", show, reads(Permission::OrdersWrite)).form(
        "/console/customers/{id}/order",
        place,
        changes(Permission::OrdersWrite).changes_products(),
    )
}

async fn show(State(web): State<WebState>, visit: Visit, InPath(id): InPath<CustomerId>) -> PageResult {
    let mut conn = web.db.acquire().await?;
    let customer = customers::get(&mut conn, id).await?;
    let filter = OrderFilter { customer_id: Some(id), ..OrderFilter::default() };
    let last = read::list(&mut conn, visit.principal()?, filter, Page::parse(Some(1), None, "")?).await?;
    drop(conn);
    let address = last.data.first().map(|order| &order.shipping_address);
    let known = order_form::prefilled(Some(customer.name.as_str()), address);
    Ok(page(&web, &visit, &customer, &known, None).await?)
}

async fn page(
    web: &WebState,
    visit: &Visit,
    customer: &CustomerView,
    sent: &Fields,
    problem: Option<&str>,
) -> Result<Markup> {
    let title = format!("Order for {}", customer.name.as_str());
    let content = html! {
        (ui::head(&title, html! { a.button href={ "/console/customers/" (customer.id) } { "Back to the customer" } }))
        @if let Some(problem) = problem { (notice::bad(problem)) }
        form.checkout method="post" action={ "/console/customers/" (customer.id) "/order" } {
            // The same key when the form is shown again: whatever became of the first attempt, it is one order.
            @if let Some(key) = sent.given(KEY) { (action::hidden(&[(KEY, key)])) } @else { (action::key()) }
            (order_form::address_fields(sent))
            (order_form::cards(sent))
            section.summary aria-label="What they order" {
                (field::area("lines", "A SKU and a number on each line", sent.text("lines"), 8_000))
                button.button.primary { "Place the order" }
            }
        }
    };
    shell::still_page(web, visit, &title, content).await
}

async fn place(
    State(web): State<WebState>,
    visit: Visit,
    InPath(id): InPath<CustomerId>,
    sent: Fields,
) -> PageResult<Response> {
    match try_to_place(&web, &visit, id, &sent).await {
        Ok(order) => Ok(see_other(&and_say(&format!("/console/orders/{}", order.number), "placed_for"))),
        Err(error) => {
            let customer = customers::get(&mut *web.db.acquire().await?, id).await?;
            let page = page(&web, &visit, &customer, &sent, Some(&problem(&error))).await?;
            Ok(refused_in_place(error, page))
        }
    }
}

async fn try_to_place(web: &WebState, visit: &Visit, id: CustomerId, sent: &Fields) -> Result<OrderView> {
    let principal = visit.principal()?;
    let person = principal.require_person()?;
    customers::get(&mut *web.db.acquire().await?, id).await?;
    let hash = order_form::hash(&format!("/console/customers/{id}/order"), sent);
    let order = PlaceOrder {
        id: OrderId::new(),
        placed_by: By { id: person.user_id.0, name: person.name.as_str().to_owned() },
        customer_id: id,
        lines: lines(sent.text("lines"))?,
        payment_token: order_form::token(sent)?,
        shipping_address: order_form::address(sent)?,
        key: sent.given(KEY).map(Key::parse).transpose()?.map(|key| (key, hash)),
        origin: visit.origin.clone(),
    };
    let Placed { order, replayed } = web.placing.place(order, None).await?;
    if !replayed {
        manual::record_placed_for(&web.db, principal, &order).await;
    }
    Ok(*order)
}

/// A SKU and a number on each line, with spaces or a comma between them. A SKU alone is one unit.
fn lines(text: &str) -> Result<Vec<OrderLine>> {
    let bad = |message: String| Error::field("lines", "invalid_items", message);
    let line = |line: &str| {
        let mut words = line.split([' ', '\t', ',', ';']).filter(|word| !word.is_empty());
        let (sku, units) = (words.next().unwrap_or_default(), words.next().unwrap_or("1"));
        if words.next().is_some() {
            return Err(bad(format!("\u{201c}{line}\u{201d} is not a SKU and a number")));
        }
        let sku = sku.parse().map_err(|_| bad(format!("\u{201c}{sku}\u{201d} is not a SKU")))?;
        let number: i64 =
            units.parse().map_err(|_| bad(format!("\u{201c}{units}\u{201d} is not a number of units")))?;
        let quantity = Quantity::try_from(WholeNumber(number))
            .map_err(|_| bad(format!("{number} is not a number of units that can be ordered")))?;
        Ok(OrderLine { product: ProductRef::Sku(sku), quantity })
    };
    let lines: Vec<OrderLine> =
        text.lines().map(str::trim).filter(|text| !text.is_empty()).map(line).collect::<Result<_>>()?;
    if !(1..=MAX_LINES).contains(&lines.len()) {
        return Err(bad(format!("an order has 1 to {MAX_LINES} lines, not {}", lines.len())));
    }
    Ok(lines)
}

fn problem(error: &Error) -> String {
    match error {
        Error::InsufficientStock(short) => {
            let short: Vec<String> = short.iter().map(missing).collect();
            format!("There is not enough left: {}.", short.join("; "))
        }
        error => words(error),
    }
}

fn missing(short: &Shortage) -> String {
    let sku = short.sku.as_deref().unwrap_or("a product");
    format!("{sku} has {} and {} are asked for", short.available.max(0), short.requested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_a_sku_and_a_number() {
        let read =
            |text: &str| lines(text).map(|lines| lines.iter().map(|line| line.quantity.get()).collect::<Vec<_>>());
        assert_eq!(read("MUG-1 2\n\n CUP-2,3\nTEA").unwrap(), [2, 3, 1]);
        for bad in ["", "MUG-1 two", "MUG-1 0", "MUG-1 2 3"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
