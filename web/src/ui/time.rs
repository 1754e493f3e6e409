//! Times in the reader's zone, with the universal time behind them.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use crate::visit::Visit;

/// `21 Nov, 09:30:07`, with the year if it is another one.
pub fn time(visit: &Visit, at: DateTime<Utc>) -> Markup {
    let here = at.with_timezone(&visit.zone);
    let this_year = here.year() == visit.now.with_timezone(&visit.zone).year();
    let text = here.format(if this_year { "%-d %b, %H:%M:%S" } else { "%-d %b %Y, %H:%M:%S" }).to_string();
    mark(at, &text)
}

/// `3 min ago`. The script keeps it true.
pub fn ago(visit: &Visit, at: DateTime<Utc>) -> Markup {
    let text = relative(at - visit.now);
    html! { time datetime=(machine(at)) title=(utc(at)) data-ago { (text) } }
}

/// `21 Nov, 09:30:07 (3 min ago)`.
pub fn both(visit: &Visit, at: DateTime<Utc>) -> Markup {
    html! { (time(visit, at)) " " span.quiet { "(" (ago(visit, at)) ")" } }
}

fn mark(at: DateTime<Utc>, text: &str) -> Markup {
    html! { time datetime=(machine(at)) title=(utc(at)) { (text) } }
}

fn machine(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn utc(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `in 5 s`, `now`, `3 min ago`.
pub fn relative(distance: TimeDelta) -> String {
    let span = span(distance.abs());
    if distance.abs() < TimeDelta::seconds(1) {
        "now".to_owned()
    } else if distance > TimeDelta::zero() {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

/// `40 s`, `3 min`, `2 h`, `5 days`.
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds();
    match seconds {
        ..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min", seconds / 60),
        3600..=86_399 if seconds % 3600 < 60 => format!("{} h", seconds / 3600),
        3600..=86_399 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        86_400..=172_799 => "1 day".to_owned(),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// `850 ms`, `1.2 s`.
pub fn millis(millis: i64) -> String {
    match millis {
        ..=999 => format!("{millis} ms"),
        1000..=9999 => format!("{}.{} s", millis / 1000, millis % 1000 / 100),
        _ => span(TimeDelta::milliseconds(millis)),
    }
}

/// Reads what a date or a date-and-time field sent, in the reader's zone.
pub fn parse(text: &str, zone: Tz) -> Option<DateTime<Utc>> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    let naive = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    zone.from_local_datetime(&naive).earliest().map(|at| at.to_utc())
}

/// As a date-and-time field takes it, in the reader's zone.
pub fn field_value(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%dT%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_rounded_to_what_people_say() {
        for (seconds, text) in [
            (0, "now"),
            (5, "in 5 s"),
            (-59, "59 s ago"),
            (-60, "1 min ago"),
            (-7260, "2 h 1 min ago"),
            (-200_000, "2 days ago"),
        ] {
            assert_eq!(relative(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn a_day_begins_in_the_readers_zone() {
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        assert_eq!(parse("2026-11-21", berlin).unwrap().to_rfc3339(), "2026-11-20T23:00:00+00:00");
        assert_eq!(parse("2026-11-21T09:30", berlin).unwrap().to_rfc3339(), "2026-11-21T08:30:00+00:00");
        assert_eq!(parse("nonsense", berlin), None);
    }
}
