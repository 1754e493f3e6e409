//! Numbers and names in words.

use std::fmt::Write as _;

use serde_json::Value;
use shared::queue::{JobState, Queue};
use shared::values::Address;

/// `1 order`, `2 orders`, `1,204 orders`.
pub fn count(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

/// With a comma at every thousand.
pub fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('−');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that was bounded when it was taken: `more than 10,000` instead of a wrong number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounded {
    Exactly(i64),
    MoreThan(i64),
}

impl Bounded {
    pub fn short(self) -> String {
        match self {
            Self::Exactly(number) => grouped(number),
            Self::MoreThan(number) => format!("{}+", grouped(number)),
        }
    }

    pub fn long(self, one: &str, many: &str) -> String {
        match self {
            Self::Exactly(number) => count(number, one, many),
            Self::MoreThan(number) => format!("more than {} {many}", grouped(number)),
        }
    }
}

/// What a job does, for a person: `Charge the customer`.
pub fn job_kind(kind: &str) -> String {
    match kind {
        "process_payment" => "Charge the customer".to_owned(),
        "ship_order" => "Book the shipment".to_owned(),
        "deliver_order" => "Confirm the delivery".to_owned(),
        "cancel_order" => "Cancel and pay back".to_owned(),
        other => first_upper(&other.replace('_', " ")),
    }
}

pub fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Ready => "Due",
        JobState::Running => "Running",
        JobState::Done => "Done",
        JobState::Dead => "Given up",
        JobState::Discarded => "Discarded",
    }
}

pub fn queue(queue: Queue) -> &'static str {
    match queue {
        Queue::High => "High",
        Queue::Default => "Default",
        Queue::Low => "Low",
    }
}

pub fn first_upper(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A text as one segment of an address: a SKU may hold blanks, slashes and quotes.
pub fn segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => segment.push(char::from(byte)),
            other => write!(segment, "%{other:02X}").expect("writing to a string does not fail"),
        }
    }
    segment
}

/// The fields of an address in the order of an envelope; fields of the shop's own come last.
pub fn address_lines(address: &Address) -> Vec<String> {
    const FIRST: [&str; 4] = ["name", "company", "line1", "line2"];
    const TOWN: [&str; 3] = ["postal_code", "city", "state"];
    let fields = serde_json::to_value(address).unwrap_or_default();
    let text = |name: &str| fields.get(name).and_then(plain);
    let mut lines: Vec<String> = FIRST.iter().filter_map(|name| text(name)).collect();
    let town: Vec<String> = TOWN.iter().filter_map(|name| text(name)).collect();
    lines.extend((!town.is_empty()).then(|| town.join(" ")));
    lines.extend(text("country"));
    let known = |name: &str| FIRST.contains(&name) || TOWN.contains(&name) || name == "country";
    let others = fields.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
    lines.extend(others.filter_map(|(_, value)| plain(value)));
    lines
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-41_220, "−41,220"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(count(1, "order", "orders"), "1 order");
        assert_eq!(segment("A/B c\""), "A%2FB%20c%22");
        assert_eq!(Bounded::MoreThan(10_000).short(), "10,000+");
    }
}
