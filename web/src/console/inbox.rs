//! What waits for a person: every open order whose next step is yours, and webhooks that are disabled.

use axum::extract::{RawQuery, State};
use maud::{Markup, html};
use shared::ops::inbox::{self, Inbox, InboxOrder, WaitingOrder};
use shared::principal::Permission;
use shared::webhooks::endpoints::{self, DisabledReason, DisabledWebhook};

use super::order_view::taken;
use super::shell;
use crate::WebState;
use crate::form::Fields;
use crate::refusal::PageResult;
use crate::rule::{PageRoutes, reads};
use crate::ui::action::{self, Emphasis};
use crate::ui::list::{Row, column, numbers, query, table, tabs};
use crate::ui::money::money;
use crate::ui::{self, notice, status, time};
use crate::visit::Visit;

pub fn routes() -> PageRoutes {
    PageRoutes::default().page("/console/inbox", list, reads(Permission::OrdersRead))
}

async fn list(State(web): State<WebState>, visit: Visit, RawQuery(raw): RawQuery) -> PageResult {
    let asked = Fields::parse(raw.unwrap_or_default().as_bytes())?;
    let by_age = asked.text("by") == "age";
    let order = if by_age { InboxOrder::Age } else { InboxOrder::Money };
    let mut conn = web.db.acquire().await?;
    let Inbox { orders, more } = inbox::list(&mut conn, order).await?;
    let webhooks = endpoints::disabled(&mut conn).await?;
    drop(conn);
    let content = html! {
        (ui::head("Inbox", action::link("/console/failures", "By error", Emphasis::Plain)))
        (tabs("Sorted by", &[
            ("Most money first".to_owned(), query(&visit, &[("by", None)]), !by_age),
            ("Oldest first".to_owned(), query(&visit, &[("by", Some("age"))]), by_age),
        ]))
        (ui::live("inbox", html! {
            @for webhook in &webhooks { (disabled(webhook)) }
            @if more { (notice::hint("More orders wait than fit here. By error, one press serves many.")) }
            @if orders.is_empty() { (ui::empty("Nobody waits for you", html! { p { "Orders that no worker can carry on appear here." } })) }
            @else { (rows(&visit, &orders)) }
        }))
    };
    Ok(shell::live_page(&web, &visit, "Inbox", content).await?)
}

fn disabled(webhook: &DisabledWebhook) -> Markup {
    let why = match webhook.reason {
        DisabledReason::Gone => "its receiver says that it is gone",
        DisabledReason::Failing => "nothing arrived for three days",
    };
    notice::hint_with(html! {
        "The webhook " a href=(format!("/console/webhooks/{}", webhook.id)) { (webhook.url) } " is disabled: " (why)
        ". Events gather until you enable it."
    })
}

fn rows(visit: &Visit, waiting: &[WaitingOrder]) -> Markup {
    let columns = [
        column("Order"),
        column("Customer"),
        numbers("Total"),
        column("Waits for"),
        column("Why"),
        column("Since"),
        column("Who"),
        column(""),
    ];
    let rows: Vec<Row> = waiting
        .iter()
        .map(|order| Row {
            link: Some(format!("/console/orders/{}", order.number)),
            cells: vec![
                html! { (order.number) },
                html! { (order.customer) },
                html! { (money(order.total)) },
                html! { (status::job_name(&order.kind)) },
                html! { @if order.is_dead { (order.error.as_deref().unwrap_or("")) } @else { "somebody gave the job up" } },
                order.since.map_or_else(|| html! {}, |at| time::ago(visit, at)),
                taken(visit, &order.number, order.taken.as_ref(), true),
                button(visit, order),
            ],
        })
        .collect();
    table("Orders that wait for you", &columns, &rows)
}

fn button(visit: &Visit, order: &WaitingOrder) -> Markup {
    if !order.is_dead || !visit.may(Permission::OpsWrite) {
        return html! {};
    }
    let path = format!("/console/orders/{}/retry", order.number);
    action::button_with(&path, "Retry", Emphasis::Plain, &[("job", &order.job.to_string())])
}
