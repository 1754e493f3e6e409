//! Which values are valid.

use super::*;

#[test]
fn emails() {
    for (text, fine) in [
        ("alice@example.com", true),
        (" alice@example.com ", true),
        ("a+b@sub.example.co.uk", true),
        ("alice", false),
        ("alice@", false),
        ("@example.com", false),
        ("alice@example", false),
        ("alice@@example.com", false),
        ("a b@example.com", false),
        ("alice@-example.com", false),
        ("alice@example..com", false),
        ("", false),
        ("o'neil+shop=1@xn--bcher-kva.example", true),
        ("\"a b\"@example.com", false),
        ("al\u{130}ce@example.com", false),
        ("alice\u{200b}@example.com", false),
        ("\u{430}lice@example.com", false),
        ("alice@b\u{fc}cher.example", false),
        (&format!("alice@{}.com", "x".repeat(64)), false),
    ] {
        assert_eq!(text.parse::<Email>().is_ok(), fine, "{text}");
    }
}

#[test]
fn spellings_of_one_address_have_one_key() {
    for spelling in ["alice@example.com", " Alice@EXAMPLE.com", "ALICE@example.COM "] {
        assert_eq!(spelling.parse::<Email>().unwrap().key(), "alice@example.com");
    }
}

#[test]
fn quantities() {
    for (number, fine) in [(1, true), (10_000, true), (0, false), (-1, false), (10_001, false), (i64::MAX, false)] {
        assert_eq!(Quantity::try_from(WholeNumber(number)).is_ok(), fine, "{number}");
    }
}

#[test]
fn an_address_has_plain_fields() {
    for (fields, fine) in [
        (json!({"city": "Bath", "floor": 2, "lift": true, "note": null, "north": 51.38}), true),
        (json!({}), false),
        (json!({"city": ["Bath"]}), false),
        (json!({"city": "x".repeat(501)}), false),
        (json!({"x".repeat(65): "Bath"}), false),
        (json!({"number": 1e15}), true),
        (json!({"number": 1.797_693_134_862_315_5e308}), false),
        (json!({"number": -1e16}), false),
    ] {
        assert_eq!(serde_json::from_value::<Address>(fields.clone()).is_ok(), fine, "{fields}");
    }
}

#[test]
fn texts_are_trimmed_and_bounded() {
    assert_eq!(" Mug ".parse::<Name>().unwrap().as_str(), "Mug");
    for wrong in ["", "   ", "a\0b", &"x".repeat(201)] {
        assert_eq!(wrong.parse::<Name>().unwrap_err().code, "invalid_name");
    }
}

#[test]
fn order_numbers_are_short_and_differ() {
    let numbers: std::collections::BTreeSet<String> = (1..=10_000).map(|n| OrderNumber(n).to_string()).collect();
    assert_eq!(numbers.len(), 10_000);
    assert!(numbers.iter().all(|number| number.len() == 9));
}

#[test]
fn money_is_whole_and_bounded() {
    for (text, fine) in [
        (r#"{"amount": 1999, "currency": "USD"}"#, true),
        (r#"{"amount": 19.99, "currency": "USD"}"#, false),
        (r#"{"amount": -1, "currency": "USD"}"#, false),
        (r#"{"amount": 9223372036854775807, "currency": "USD"}"#, false),
        (r#"{"amount": 1, "currency": "usd"}"#, false),
    ] {
        assert_eq!(serde_json::from_str::<Money>(text).is_ok(), fine, "{text}");
    }
}

#[test]
fn the_number_of_an_order_is_read_as_it_is_written() {
    for counter in [1, 2, 77, 123_456, 34_359_738_367] {
        let written = OrderNumber(counter).to_string();
        for typed in [written.clone(), written.to_lowercase(), written.replace("M-", ""), format!(" {written} ")] {
            assert_eq!(typed.parse::<OrderNumber>().unwrap().0, counter, "{typed}");
        }
    }
    for wrong in ["", "M-", "M-12345678", "M-12?4567", "nonsense-here"] {
        assert!(wrong.parse::<OrderNumber>().is_err(), "{wrong}");
    }
}
