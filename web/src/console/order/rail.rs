//! Beside the order: who it is for, where it goes, what else they bought, and ids to copy.

use maud::{Markup, html};
use shared::orders::OrderView;

use super::shown::{OrderPage, address};
use crate::page::console::{ConsoleFrame, Screen};
use crate::reader::Reader;
use crate::ui::{copy, facts, layout, money, rows, status, table, time, words};

pub fn rail(frame: &ConsoleFrame, shown: &OrderPage) -> Markup {
    let reader = &frame.reader;
    html! {
        (customer(frame, shown))
        (layout::section("ship-to", "Ship to", html! {}, layout::lines(&words::address_lines(&shown.order.shipping_address))))
        (other_orders(reader, shown))
        (ids(shown))
    }
}

fn customer(frame: &ConsoleFrame, shown: &OrderPage) -> Markup {
    let Some(customer) = &shown.order.customer else { return html! {} };
    let content = html! {
        (layout::strong_line(frame.link(Screen::Customers, &format!("/console/customers/{}", customer.id), &customer.name)))
        (copy::plain("e-mail address", &customer.email))
    };
    layout::section("customer", "Customer", html! {}, content)
}

fn other_orders(reader: &Reader, shown: &OrderPage) -> Markup {
    let orders: Vec<Markup> = shown.other_orders.iter().map(|order| other(reader, order)).collect();
    let beside = layout::more(&format!("/console/orders?customer_id={}", shown.order.customer_id), "All");
    let content = if orders.is_empty() { layout::remark("This is their only order.") } else { rows::rows(&orders) };
    layout::section(
        "others",
        "Their other orders",
        if orders.is_empty() {
            html! {}
        } else {
            beside
        },
        content,
    )
}

fn other(reader: &Reader, order: &OrderView) -> Markup {
    let left = html! {
        (layout::number_link(&address(order), &order.number))
        (layout::quiet(time::at(reader, order.created_at)))
    };
    let state = status::of(status::order(order.status));
    rows::spread(left, table::two_lines(money::money(order.total), state))
}

fn ids(shown: &OrderPage) -> Markup {
    let mut pairs = vec![("Order", copy::copy("order id", &shown.order.id.to_string()))];
    if let Some(request) = shown.jobs.iter().find_map(|job| job.job.request_id.as_deref()) {
        pairs.push(("Request", copy::copy("request id", request)));
    }
    pairs.push(("Version", html! { (shown.order.version) }));
    if let Some(trace) = &shown.trace {
        pairs.push(("Trace", layout::link(trace, "Open the trace")));
    }
    layout::section("ids", "For the logs", html! {}, facts::tall(&pairs))
}
