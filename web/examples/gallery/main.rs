//! Writes every page and every component with sample data to a folder, for looking at and for screenshots:
//! `cargo run -p millrace-web --example gallery -- FOLDER`, then serve the folder.

mod components;
mod sample;
mod shop;

use std::fs;
use std::path::Path;

use chrono_tz::Europe::Berlin;
use web::page::console::{ConsoleFrame, Live, Screen};
use web::page::error::{self, ErrorShown};
use web::reader::{Reader, Theme};
use web::ui::Tone;
use web::ui::banner::Banner;
use web::ui::words::Bounded;
use web::{assets, console};

const ASSETS: [&str; 12] = [
    "millrace.css",
    "inter-latin.woff2",
    "icon.svg",
    "down.svg",
    "time.js",
    "form.js",
    "html.js",
    "dialog.js",
    "keys.js",
    "chart.js",
    "idiomorph.js",
    "licences/inter.txt",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "target/gallery".to_owned());
    for name in ASSETS {
        let path = Path::new(&folder).join("assets").join(name);
        fs::create_dir_all(path.parent().ok_or("a file without a folder")?)?;
        fs::write(path, assets::file(name).ok_or(name)?.0)?;
    }
    for theme in [Theme::Light, Theme::Dark] {
        let reader = Reader { now: sample::now(), zone: Berlin, theme };
        let mut pages = console_pages(&reader);
        pages.extend(shop::pages(&reader));
        for (name, page) in pages {
            fs::write(Path::new(&folder).join(format!("{name}-{}.html", theme.name())), page.into_string())?;
        }
    }
    Ok(())
}

fn console_pages(reader: &Reader) -> Vec<(&'static str, maud::Markup)> {
    let frame = frame(reader);
    let quiet = ConsoleFrame { banners: Vec::new(), flash: None, ..frame.clone() };
    vec![
        ("overview", console::overview::render(&frame, &sample::overview(reader))),
        ("overview-first", console::overview::render(&quiet, &sample::first_day(reader))),
        ("orders", console::orders::render(&quiet, &sample::orders(reader))),
        ("orders-none", console::orders::render(&quiet, &sample::no_orders())),
        ("order", console::order::view::render(&quiet, &sample::stuck_order(reader))),
        ("order-delivered", console::order::view::render(&quiet, &sample::delivered_order(reader))),
        ("order-past", console::order::view::render(&quiet, &sample::past_order(reader))),
        ("components", web::page::console::page(&quiet, Screen::Me, "Components", components::all(reader))),
        (
            "error",
            error::page(
                reader,
                &ErrorShown {
                    status: 404,
                    sentence: "There is no order with this number. Check the letters, or search for the customer.",
                    request_id: "0197a2c4-5d10-7cc3",
                    on: ("/console/orders", "See all orders"),
                },
            ),
        ),
    ]
}

fn frame(reader: &Reader) -> ConsoleFrame {
    ConsoleFrame {
        reader: *reader,
        user: "Sam Staff".to_owned(),
        admin: true,
        screens: Screen::ALL,
        environment: "staging".to_owned(),
        live: Some(Live::On),
        searches: true,
        waiting: Some(Bounded::Exactly(312)),
        banners: vec![Banner {
            tone: Tone::Warn,
            text: "Ada Admin paused the queue High 12 min ago: “The bank is down.” 41 orders wait.".to_owned(),
            link: Some(("/console/queues".to_owned(), "Resume it".to_owned())),
        }],
        flash: None,
        search: String::new(),
        version: "0.1.0".to_owned(),
    }
}
