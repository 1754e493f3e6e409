//! What holds for every page: the content security policy can be strict, hostile text stays text, ids are unique,
//! and class names live in `ui` and `page` only.

#[path = "../../examples/gallery/shop.rs"]
mod shop;

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use chrono_tz::Europe::Berlin;
use serde_json::json;
use web::console;
use web::page::console::{ConsoleFrame, Live, Screen};
use web::page::error::{self, ErrorShown};
use web::reader::{Reader, Theme};
use web::ui::Tone;
use web::ui::banner::{Banner, Flash};
use web::ui::words::Bounded;

use crate::sample;

const HOSTILE: &str = "<script>alert(1)</script>\" onload=\"alert(2)";

fn reader() -> Reader {
    Reader { now: sample::now(), zone: Berlin, theme: Theme::Dark }
}

fn frame(text: &str) -> ConsoleFrame {
    ConsoleFrame {
        reader: reader(),
        user: text.to_owned(),
        admin: true,
        screens: Screen::ALL,
        environment: text.to_owned(),
        live: Some(Live::LostSince(sample::ago(1))),
        searches: true,
        waiting: Some(Bounded::MoreThan(10_000)),
        banners: vec![Banner {
            tone: Tone::Bad,
            text: text.to_owned(),
            link: Some(("/console/audit".to_owned(), text.to_owned())),
        }],
        flash: Some(Flash { tone: Tone::Good, text: text.to_owned() }),
        search: text.to_owned(),
        version: text.to_owned(),
    }
}

fn pages() -> Vec<(&'static str, String)> {
    let (reader, frame) = (reader(), frame("Sam Staff"));
    let mut pages = vec![
        ("overview", console::overview::render(&frame, &sample::overview(&reader))),
        ("first day", console::overview::render(&frame, &sample::first_day(&reader))),
        ("orders", console::orders::render(&frame, &sample::orders(&reader))),
        ("no orders", console::orders::render(&frame, &sample::no_orders())),
        ("stuck order", console::order::view::render(&frame, &sample::stuck_order(&reader))),
        ("delivered order", console::order::view::render(&frame, &sample::delivered_order(&reader))),
        ("past order", console::order::view::render(&frame, &sample::past_order(&reader))),
        (
            "error",
            error::page(&reader, &ErrorShown { status: 500, sentence: "No.", request_id: "r-1", on: ("/", "Go home") }),
        ),
    ];
    pages.extend(shop::pages(&reader));
    pages.into_iter().map(|(name, page)| (name, page.into_string())).collect()
}

#[test]
fn no_page_has_inline_styles_or_scripts() {
    for (name, page) in pages() {
        for tag in tags(&page) {
            let inline = tag.contains(" style=") || tag.contains("javascript:") || tag.starts_with("style");
            let handler = tag.split(' ').any(|word| word.starts_with("on") && word.contains('='));
            let script = tag.starts_with("script") && !tag.contains(" src=");
            assert!(!inline && !handler && !script, "{name}: {tag}");
        }
    }
}

#[test]
fn ids_are_unique_and_those_that_are_named_exist() {
    for (name, page) in pages() {
        let ids: Vec<&str> = values(&page, "id").collect();
        let unique: HashSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{name}: {ids:?}");
        for attribute in ["aria-labelledby", "aria-describedby", "for"] {
            assert!(values(&page, attribute).all(|id| unique.contains(id)), "{name}: {attribute}");
        }
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        assert_eq!(page.matches("<main").count(), 1, "{name}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let mut order = sample::stuck_order(&reader());
    order.order.items[0].name = HOSTILE.to_owned();
    order.order.items[0].sku = HOSTILE.parse().expect("a SKU may be any text");
    order.order.shipping_address =
        serde_json::from_value(json!({ "name": HOSTILE, "line1": HOSTILE, HOSTILE: HOSTILE })).expect("an address");
    order.events[2].data = json!({ "by": { "name": HOSTILE }, "text": HOSTILE, HOSTILE: HOSTILE });
    order.events[0].r#type = HOSTILE.to_owned();
    order.jobs[0].job.error = Some(HOSTILE.to_owned());
    order.jobs[0].job.kind = HOSTILE.to_owned();
    order.jobs[0].job.request_id = Some(HOSTILE.to_owned());
    order.jobs[0].attempts[0].error = HOSTILE.to_owned();
    order.jobs[0].attempts[0].host = Some(HOSTILE.to_owned());
    order.warehouses.values_mut().for_each(|name| HOSTILE.clone_into(name));
    order.trace = Some(HOSTILE.to_owned());
    let customer = order.order.customer.as_mut().expect("staff see the customer");
    HOSTILE.clone_into(&mut customer.name);
    HOSTILE.clone_into(&mut customer.email);
    let page = console::order::view::render(&frame(HOSTILE), &order).into_string();
    assert!(!page.contains("<script>") && !page.contains("\" onload=\""), "{page}");
    assert!(page.matches("&lt;script&gt;").count() > 20);

    let mut overview = sample::overview(&reader());
    overview.promises.broken = vec![HOSTILE.to_owned()];
    HOSTILE.clone_into(&mut overview.errors[0].error);
    HOSTILE.clone_into(&mut overview.errors[0].fingerprint);
    HOSTILE.clone_into(&mut overview.low_stock[0].name);
    HOSTILE.clone_into(&mut overview.actions[0].what);
    let page = console::overview::render(&frame(HOSTILE), &overview).into_string();
    assert!(!page.contains("<script>") && !page.contains("\" onload=\""), "{page}");
}

#[test]
fn class_names_live_in_ui_and_page_only() {
    for folder in ["src/console", "src/shop"] {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of sources") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let source = fs::read_to_string(&path).expect("a source file");
                    assert!(!source.contains("class="), "{}", path.display());
                }
            }
        }
    }
}

/// The tags of a page, without their brackets.
fn tags(page: &str) -> impl Iterator<Item = &str> {
    page.split('<').skip(1).filter_map(|rest| rest.split('>').next())
}

fn values<'a>(page: &'a str, attribute: &str) -> impl Iterator<Item = &'a str> {
    let before = format!(" {attribute}=\"");
    let starts: Vec<usize> = page.match_indices(&before).map(|(at, found)| at + found.len()).collect();
    starts.into_iter().filter_map(|start| page[start..].split('"').next())
}
