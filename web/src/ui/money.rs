//! Amounts of money as people read them.

use shared::values::{Currency, Money};

use super::number;

/// `$41,220.00`; other currencies by their code: `EUR 12.50`.
pub fn money(money: Money) -> String {
    let sign = if money.amount < 0 { "−" } else { "" };
    let (whole, rest) = parts(money.amount.unsigned_abs(), money.currency);
    let amount = match rest {
        Some(rest) => format!("{}.{rest}", number(i64::try_from(whole).unwrap_or(i64::MAX))),
        None => number(i64::try_from(whole).unwrap_or(i64::MAX)),
    };
    match money.currency.to_string().as_str() {
        "USD" => format!("{sign}${amount}"),
        "EUR" => format!("{sign}€{amount}"),
        "GBP" => format!("{sign}£{amount}"),
        code => format!("{sign}{code} {amount}"),
    }
}

/// Several currencies are never added up: `$10.00 and €5.00`.
pub fn sums(sums: &[Money]) -> String {
    match sums {
        [] => "nothing".to_owned(),
        [one] => money(*one),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|sum| money(*sum)).collect();
            format!("{} and {}", most.join(", "), money(*last))
        }
    }
}

/// As an input field takes it: `12.50`.
pub fn plain(money: Money) -> String {
    match parts(money.amount.unsigned_abs(), money.currency) {
        (whole, Some(rest)) => format!("{whole}.{rest}"),
        (whole, None) => whole.to_string(),
    }
}

/// Reads `12.50` as minor units. `None` if it is not an amount of this currency.
pub fn parse(text: &str, currency: Currency) -> Option<i64> {
    let places = exponent(currency);
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(rest) || rest.len() > places {
        return None;
    }
    format!("{whole}{rest:0<places$}").parse().ok()
}

fn parts(minor: u64, currency: Currency) -> (u64, Option<String>) {
    match exponent(currency) {
        0 => (minor, None),
        places => {
            let unit = 10_u64.pow(u32::try_from(places).expect("at most 3"));
            (minor / unit, Some(format!("{:0places$}", minor % unit)))
        }
    }
}

/// How many decimal places a currency has (ISO 4217).
fn exponent(currency: Currency) -> usize {
    match currency.to_string().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_by_their_currency() {
        for (amount, currency, text) in [
            (4_122_000, "USD", "$41,220.00"),
            (5, "EUR", "€0.05"),
            (1_250, "JPY", "JPY 1,250"),
            (12_345, "KWD", "KWD 12.345"),
        ] {
            assert_eq!(money(Money::stored(amount, currency)), text);
        }
        assert_eq!(sums(&[Money::stored(100, "USD"), Money::stored(50, "EUR")]), "$1.00 and €0.50");
    }

    #[test]
    fn amounts_are_read_as_they_are_written() {
        let usd = "USD".parse().unwrap();
        for (text, minor) in [
            ("12.50", Some(1250)),
            ("12", Some(1200)),
            ("12.5", Some(1250)),
            ("12.505", None),
            ("-1", None),
            ("", None),
        ] {
            assert_eq!(parse(text, usd), minor, "{text}");
        }
        assert_eq!(plain(Money::stored(1250, "USD")), "12.50");
    }
}
