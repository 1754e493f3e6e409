//! Times in the reader's zone, with UTC in the title; relative times stand beside absolute ones, never alone.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use maud::{Markup, html};

use super::words;
use crate::reader::Reader;

/// `14:02` today, `24 Nov, 14:02` before, with the year where it is another one.
pub fn text(reader: &Reader, at: DateTime<Utc>) -> String {
    let (now, at) = (reader.now.with_timezone(&reader.zone), at.with_timezone(&reader.zone));
    let form = if now.date_naive() == at.date_naive() {
        "%H:%M"
    } else if now.year() == at.year() {
        "%-d %b, %H:%M"
    } else {
        "%-d %b %Y, %H:%M"
    };
    at.format(form).to_string()
}

/// The time of something.
pub fn at(reader: &Reader, at: DateTime<Utc>) -> Markup {
    element(at, &text(reader, at))
}

/// With seconds, for things that follow each other closely.
pub fn exact(reader: &Reader, at: DateTime<Utc>) -> Markup {
    let seconds = at.with_timezone(&reader.zone).format(":%S").to_string();
    element(at, &(text(reader, at) + &seconds))
}

/// The day alone: `24 November 2026`.
pub fn day(reader: &Reader, at: DateTime<Utc>) -> Markup {
    element(at, &at.with_timezone(&reader.zone).format("%-d %B %Y").to_string())
}

/// The time and how long ago it was: `14:02 · 3 min ago`.
pub fn with_ago(reader: &Reader, when: DateTime<Utc>) -> Markup {
    html! { span class="when" { (at(reader, when)) " " (ago(reader, when)) } }
}

/// How long ago or in how long, kept current by `time.js`. Use it beside an absolute time.
pub fn ago(reader: &Reader, at: DateTime<Utc>) -> Markup {
    html! { span class="ago" data-ago=(stamp(at)) { (relative(reader.now, at)) } }
}

pub fn relative(now: DateTime<Utc>, at: DateTime<Utc>) -> String {
    let span = now - at;
    if span < TimeDelta::zero() { format!("in {}", rough(-span)) } else { format!("{} ago", rough(span)) }
}

/// One unit, in the words of `Intl.RelativeTimeFormat`, because `time.js` goes on with those.
fn rough(span: TimeDelta) -> String {
    match span.num_seconds() {
        seconds @ ..60 => format!("{seconds} sec"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} hr", seconds / 3_600),
        seconds => words::count(seconds / 86_400, "day", "days"),
    }
}

/// `4 s`, `37 min`, `2 h 5 min`, `3 d`: two units at most.
pub fn duration(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 if seconds % 3_600 >= 60 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Milliseconds as a person reads them: `48 ms`, `1.2 s`.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
pub fn milliseconds(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{:.1} s", ms as f64 / 1_000.0),
        _ => duration(TimeDelta::milliseconds(ms)),
    }
}

fn element(at: DateTime<Utc>, text: &str) -> Markup {
    html! { time datetime=(stamp(at)) title=(at.format("%Y-%m-%d %H:%M:%S UTC")) { (text) } }
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Theme;

    #[test]
    fn times_are_in_the_readers_zone() {
        let now = "2026-11-26T23:30:00Z".parse().unwrap();
        let reader = Reader { now, zone: chrono_tz::Europe::Berlin, theme: Theme::System };
        for (when, expected) in [
            ("2026-11-26T23:02:00Z", "00:02"),
            ("2026-11-26T22:59:00Z", "26 Nov, 23:59"),
            ("2025-07-01T10:00:00Z", "1 Jul 2025, 12:00"),
        ] {
            assert_eq!(text(&reader, when.parse().unwrap()), expected);
        }
        assert!(at(&reader, now).into_string().contains("23:30:00 UTC"));
    }

    #[test]
    fn durations() {
        for (seconds, expected) in [(4, "4 s"), (61, "1 min"), (3_600, "1 h"), (7_500, "2 h 5 min"), (300_000, "3 d")] {
            assert_eq!(duration(TimeDelta::seconds(seconds)), expected);
        }
    }
}
