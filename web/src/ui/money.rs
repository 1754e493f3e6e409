//! Money, by the exponent of its currency.

use maud::{Markup, html};
use shared::values::Money;

use super::words::grouped;

/// Digits after the point, by ISO 4217.
fn exponent(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

fn symbol(currency: &str) -> Option<&'static str> {
    match currency {
        "USD" => Some("$"),
        "EUR" => Some("€"),
        "GBP" => Some("£"),
        "JPY" => Some("¥"),
        _ => None,
    }
}

/// `$1,250.00`, `¥900`, `CHF 12.50`.
pub fn text(amount: i64, currency: &str) -> String {
    let digits = exponent(currency);
    let unit = 10_u64.pow(digits);
    let size = amount.unsigned_abs();
    let whole = grouped(i64::try_from(size / unit).unwrap_or(i64::MAX));
    let sign = if amount < 0 { "−" } else { "" };
    let number = match digits {
        0 => whole,
        digits => format!("{whole}.{:0width$}", size % unit, width = digits as usize),
    };
    match symbol(currency) {
        Some(symbol) => format!("{sign}{symbol}{number}"),
        None => format!("{sign}{currency} {number}"),
    }
}

/// An amount with tabular figures.
pub fn money(money: Money) -> Markup {
    html! { span class="num" { (text(money.amount, &money.currency.to_string())) } }
}

/// With the currency's code, where currencies stand side by side.
pub fn with_code(money: Money) -> Markup {
    let code = money.currency.to_string();
    html! {
        span class="num" {
            (text(money.amount, &code))
            @if symbol(&code).is_some() { span class="code" { (code) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn amounts() {
        for (amount, currency, expected) in [
            (1999, "USD", "$19.99"),
            (0, "EUR", "€0.00"),
            (4_122_000, "USD", "$41,220.00"),
            (900, "JPY", "¥900"),
            (12_345, "KWD", "KWD 12.345"),
            (-250, "USD", "−$2.50"),
            (i64::MAX, "USD", "$92,233,720,368,547,758.07"),
        ] {
            assert_eq!(text(amount, currency), expected);
        }
    }
}
