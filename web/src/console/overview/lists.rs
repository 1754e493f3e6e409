//! The five that matter most: errors by money, oldest open orders, low stock, what people did.

use maud::{Markup, html};
use shared::orders::Who;

use super::shown::{ErrorGroup, OverviewPage};
use crate::reader::Reader;
use crate::ui::chart::series::Hue;
use crate::ui::chart::sparkline;
use crate::ui::icon::Icon;
use crate::ui::{Tone, table};
use crate::ui::{layout, meter, money, picture, rows, state, status, time, words};

const MOST: usize = 5;

pub fn errors(shown: &OverviewPage) -> Markup {
    let lines: Vec<Markup> = shown.errors.iter().take(MOST).map(error).collect();
    let content = if lines.is_empty() {
        state::empty(Icon::Check, "No job was given up.", "", html! {})
    } else {
        rows::rows(&lines)
    };
    layout::section("errors", "Errors by money at risk", layout::more("/console/failures", "All failures"), content)
}

fn error(group: &ErrorGroup) -> Markup {
    let left = table::two_lines(
        layout::link(
            &format!("/console/failures/{}", words::segment(&group.fingerprint)),
            &words::first_upper(&group.error),
        ),
        html! { (words::job_kind(&group.kind)) ", " (group.dead.long("job", "jobs")) " given up" },
    );
    let sums = html! { @for sum in &group.money { (money::money(*sum)) " " } };
    rows::spread(left, html! { (sparkline(Hue::Bad, &group.trend)) (sums) })
}

pub fn oldest(reader: &Reader, shown: &OverviewPage) -> Markup {
    let lines: Vec<Markup> = shown
        .oldest
        .iter()
        .take(MOST)
        .map(|order| {
            let next = order.next_action.as_ref();
            let waits = next.is_some_and(|next| next.by == Who::Staff);
            let what = next.map_or(String::new(), |next| words::first_upper(&next.what));
            let line = if waits {
                status::status(Tone::Warn, Icon::Alert, &format!("{what} waits for you"))
            } else {
                layout::quiet(html! { (what) " by a worker" })
            };
            let left = table::two_lines(
                layout::number_link(&format!("/console/orders/{}", order.number), &order.number),
                line,
            );
            rows::spread(left, table::two_lines(money::money(order.total), time::with_ago(reader, order.created_at)))
        })
        .collect();
    let content = if lines.is_empty() {
        state::empty(Icon::Check, "Every order is delivered or cancelled.", "", html! {})
    } else {
        rows::rows(&lines)
    };
    layout::section("oldest", "Oldest open orders", layout::more("/console/orders?order=oldest", "All open"), content)
}

pub fn low_stock(shown: &OverviewPage) -> Markup {
    let lines: Vec<Markup> = shown
        .low_stock
        .iter()
        .take(MOST)
        .map(|low| {
            let tone = if low.available <= 0 { Tone::Bad } else { Tone::Warn };
            let left = table::two_lines(
                layout::link(&format!("/console/stock/{}", words::segment(&low.sku)), &low.name),
                layout::quiet(html! { (low.warehouse) }),
            );
            let numbers = if low.available <= 0 {
                "none left".to_owned()
            } else {
                format!("{} left", words::grouped(low.available))
            };
            let right = html! {
                (meter::bar(tone, low.available, low.reorder_level))
                (table::two_lines(html! { (numbers) }, html! { "reorder at " (words::grouped(low.reorder_level)) }))
            };
            rows::pictured(picture::thumbnail(&low.sku, &low.category), left, right)
        })
        .collect();
    let content = if lines.is_empty() {
        state::empty(Icon::Check, "Every product is above its reorder level.", "", html! {})
    } else {
        rows::rows(&lines)
    };
    layout::section("low", "Low stock", layout::more("/console/stock?low_stock=true", "All low"), content)
}

pub fn actions(reader: &Reader, shown: &OverviewPage) -> Markup {
    let lines: Vec<Markup> = shown
        .actions
        .iter()
        .take(MOST)
        .map(|done| {
            let left = html! { span { (layout::strong(&done.who)) " " (layout::link(&done.href, &done.what)) } };
            rows::spread(left, time::with_ago(reader, done.at))
        })
        .collect();
    let content = if lines.is_empty() {
        state::empty(Icon::Activity, "Nobody has done anything by hand today.", "", html! {})
    } else {
        rows::rows(&lines)
    };
    layout::section("actions", "PersonDid by people", layout::more("/console/activity", "All activity"), content)
}
