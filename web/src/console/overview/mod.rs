//! The first screen: four sentences about how things stand, four charts, and four short lists.

mod lists;
pub mod shown;
mod verdicts;

use maud::{Markup, html};

use self::shown::OverviewPage;
use crate::page::console::{ConsoleFrame, Screen, page};
use crate::ui::button::{self, Weight};
use crate::ui::chart;
use crate::ui::icon::Icon;
use crate::ui::tabs::{Tab, tabs};
use crate::ui::{layout, state};

const RANGES: &[&str] = &["15 min", "1 h", "6 h", "24 h", "7 d", "90 d"];

pub fn render(frame: &ConsoleFrame, shown: &OverviewPage) -> Markup {
    let reader = &frame.reader;
    let content = html! {
        (layout::title("Overview", html! {}, html! { (ranges(shown)) }))
        (layout::verdicts(&[
            verdicts::promises(reader, &shown.promises),
            verdicts::people(reader, &shown.people),
            verdicts::flow(reader, &shown.queues),
            verdicts::fleet(reader, &shown.fleet),
        ]))
        @if shown.any_order {
            (layout::halves(&shown.charts.iter().map(|one| chart::chart(reader, one)).collect::<Vec<_>>()))
            (layout::halves(&[
                lists::errors(shown),
                lists::oldest(reader, shown),
                lists::low_stock(shown),
                lists::actions(reader, shown),
            ]))
        } @else { (first_steps()) }
    };
    page(frame, Screen::Overview, "Overview", content)
}

fn ranges(shown: &OverviewPage) -> Markup {
    let hrefs: Vec<String> = RANGES.iter().map(|range| format!("/console?range={}", range.replace(' ', ""))).collect();
    let all: Vec<Tab<'_>> = RANGES
        .iter()
        .zip(&hrefs)
        .map(|(words, href)| Tab { href, words, count: None, here: *words == shown.range })
        .collect();
    tabs("Time range of the charts", &all)
}

fn first_steps() -> Markup {
    state::empty(
        Icon::Product,
        "The shop is open and nobody has bought anything yet.",
        "Place the first order: choose a test card, such as one that pays or one whose bank is away, and see it arrive here.",
        button::row(&[
            button::link(Weight::Main, "/", "Open the shop"),
            button::link(Weight::Plain, "/console/stock", "Look at the stock"),
        ]),
    )
}
