//! Every component in every state.

use maud::{Markup, html};
use shared::orders::status::Status;
use shared::queue::JobState;
use web::reader::Reader;
use web::ui::banner::{self, Banner, Flash};
use web::ui::button::{self, Weight};
use web::ui::form::{self, Field};
use web::ui::icon::Icon;
use web::ui::{Tone, copy, dialog, facts, layout, meter, money, pages, state, status, stepper, time};

use crate::sample::{ago, id, usd};

pub fn all(reader: &Reader) -> Markup {
    html! {
        (layout::title("Components", html! {}, html! {}))
        (layout::stack(&[statuses(), buttons(), banners(), forms(), states(reader), small(reader), question()]))
    }
}

fn statuses() -> Markup {
    let orders = [
        Status::Pending,
        Status::Processing,
        Status::Paid,
        Status::Shipped,
        Status::Delivered,
        Status::Cancelling,
        Status::Cancelled,
    ];
    let jobs = [JobState::Ready, JobState::Running, JobState::Done, JobState::Dead, JobState::Discarded];
    let badges: Vec<Markup> = orders
        .iter()
        .map(|one| {
            let (tone, sign, word) = status::order(*one);
            status::badge(tone, sign, word)
        })
        .collect();
    layout::section(
        "statuses",
        "Status",
        html! {},
        html! {
            (layout::remark("Of an order:")) (button::row(&badges))
            (layout::remark("Of a job:")) (button::row(&jobs.map(|one| status::of(status::job(one)))))
        },
    )
}

fn buttons() -> Markup {
    let all = [
        button::link(Weight::Main, "#main", "Retry payment"),
        button::link(Weight::Plain, "#main", "Mark paid…"),
        button::link(Weight::Light, "#main", "Print slip"),
        button::link(Weight::Danger, "#main", "Cancel order…"),
        button::post(Weight::Plain, "#main", id(1), "Mark delivered"),
        button::icon_link(Some("#main"), Icon::Left, "Newer"),
        button::icon_link(None, Icon::Right, "Older"),
    ];
    layout::section("buttons", "Buttons", html! {}, html! { (layout::remark("A verb on each.")) (button::row(&all)) })
}

fn banners() -> Markup {
    let one = |tone, text: &str| Banner {
        tone,
        text: text.to_owned(),
        link: Some(("#main".to_owned(), "Look at it".to_owned())),
    };
    layout::section(
        "banners",
        "Banners",
        html! {},
        html! {
            (layout::remark("The most urgent comes first."))
            (banner::banners(&[
                one(Tone::Bad, "A promise is broken: 2 orders were charged more than they cost."),
                one(Tone::Warn, "The queue High is paused; 41 orders wait."),
                one(Tone::Info, "Payments are simulated: no money moves."),
            ]))
            (banner::flash(&Flash { tone: Tone::Good, text: "The payment is being tried again.".to_owned() }))
            (banner::flash(&Flash { tone: Tone::Bad, text: "A worker was faster: the order is paid already. Nothing was done twice.".to_owned() }))
        },
    )
}

fn forms() -> Markup {
    let email = Field {
        name: "email",
        label: "E-mail",
        kind: "email",
        value: "alice@example",
        error: Some("This is not an e-mail address such as alice@example.com."),
        ..Field::default()
    };
    let reason =
        Field { name: "reason", label: "Why", hint: Some("It is shown on the order's timeline."), ..Field::default() };
    let queue = Field { name: "queue", label: "Queue", value: "high", ..Field::default() };
    layout::section(
        "forms",
        "Forms",
        html! {},
        layout::halves(&[
            layout::stack(&[
                form::field(&email),
                form::text_area(&reason, 3),
                form::select(&queue, &[("high", "High"), ("low", "Low")]),
            ]),
            layout::stack(&[
                form::radios(
                    "card",
                    "How do you pay?",
                    "ok",
                    &[
                        ("ok", "A card that pays", "The usual case"),
                        ("declined", "A card that is declined", "The order ends and the stock goes back"),
                        ("away", "A card whose bank is away", "A person has to try again"),
                    ],
                ),
                form::checkbox("keys", "on", "Use single keys", true),
            ]),
        ]),
    )
}

fn states(reader: &Reader) -> Markup {
    layout::section(
        "states",
        "Empty, broken, old",
        html! {},
        html! {
            (state::stale(reader, ago(1), "the database is slow"))
            (layout::halves(&[
                state::empty(Icon::Inbox, "Nobody waits for you.", "Workers take care of every open order.", html! {}),
                state::no_match("jobs", "#main"),
                state::failed("The orders could not be read. The database did not answer in time.", "0197a2c4-5d10", "#main"),
            ]))
            (pages::pages("50 of more than 10,000 orders", None, Some("#main")))
        },
    )
}

fn small(reader: &Reader) -> Markup {
    let steps = [
        stepper::Step { name: "Placed", stage: stepper::Stage::Done, note: time::at(reader, ago(9)) },
        stepper::Step { name: "Paid", stage: stepper::Stage::Now, note: html! { "Next" } },
        stepper::Step { name: "Shipped", stage: stepper::Stage::Next, note: html! {} },
    ];
    layout::section(
        "small",
        "Values",
        html! {},
        html! {
            (facts::facts(&[
                ("Money", html! { (money::money(usd(4_122_000))) " or " (money::with_code(usd(1999))) }),
                ("Time", time::with_ago(reader, ago(3))),
                ("An id", copy::copy("id", &id(3).to_string())),
                ("A share", meter::bar(Tone::Warn, 41, 96)),
                ("Attempts", meter::attempts(3, true, 8)),
            ]))
            (stepper::stepper("How far", &steps))
        },
    )
}

fn question() -> Markup {
    layout::section(
        "question",
        "A question",
        html! {},
        dialog::ask(&dialog::Ask {
            title: "Cancel order M-4XK29QC?",
            says: html! { p { "This pays $76.50 back to Alice Archer and puts 4 units back on the shelf. It cannot be undone." } },
            fields: form::field(&Field {
                name: "why",
                label: "Reason",
                hint: Some("Alice sees it."),
                ..Field::default()
            }),
            action: "#main",
            key: id(4),
            weight: Weight::Danger,
            verb: "Cancel the order",
            back: "#main",
        }),
    )
}
