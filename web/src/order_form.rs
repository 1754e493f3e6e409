//! What every form for an order asks: where it goes, and with which test card it is paid.

use maud::{Markup, html};
use serde_json::{Map, Value};
use shared::error::{Error, Result};
use shared::idempotency::BodyHash;
use shared::values::{Address, PaymentToken};

use crate::form::Fields;
use crate::ui::field::{self, Field};

/// Cards of the simulated provider, so that everything that can happen to a payment can be tried.
const CARDS: [(&str, &str, &str); 7] = [
    ("tok_ok", "Pays", "The card is charged at once."),
    ("tok_declined", "Declined", "The bank says no. The order is cancelled and the stock is free again."),
    ("tok_slow_5000", "Slow", "The bank takes five seconds."),
    ("tok_flaky_2", "Fails twice, then pays", "We try again by ourselves."),
    ("tok_timeout_charged", "Charged, but the answer is lost", "We ask the bank before we charge again."),
    ("tok_flaky_8", "Bank away until a person retries", "After eight attempts a person has to look at it."),
    ("tok_unavailable", "Bank never answers", "However often it is retried."),
];

const COUNTRIES: [(&str, &str); 12] = [
    ("GB", "United Kingdom"),
    ("US", "United States"),
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("CA", "Canada"),
    ("CH", "Switzerland"),
    ("DE", "Germany"),
    ("ES", "Spain"),
    ("FR", "France"),
    ("IE", "Ireland"),
    ("IT", "Italy"),
    ("NL", "Netherlands"),
];

/// The last address, or the name at least.
pub fn prefilled(name: Option<&str>, last: Option<&Address>) -> Fields {
    let of = |field: &str| last.and_then(|address| address.field(field)).unwrap_or_default();
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.append_pair("name", Some(of("name")).filter(|found| !found.is_empty()).or(name).unwrap_or_default());
    written.extend_pairs(["line1", "line2", "postal_code", "city", "country"].map(|field| (field, of(field))));
    Fields::parse(written.finish().as_bytes()).unwrap_or_default()
}

pub fn address_fields(sent: &Fields) -> Markup {
    let countries = COUNTRIES.map(|(code, name)| (code.to_owned(), name.to_owned()));
    html! {
        fieldset {
            legend { "Where it goes" }
            (Field::text("name", "Name").autocomplete("shipping name").sent(sent).show())
            (Field::text("line1", "Address").autocomplete("shipping address-line1").sent(sent).show())
            (Field::text("line2", "Further line").autocomplete("shipping address-line2").optional().sent(sent).show())
            (Field::text("postal_code", "Postcode").autocomplete("shipping postal-code").max(20).sent(sent).show())
            (Field::text("city", "City").autocomplete("shipping address-level2").sent(sent).show())
            (field::select("country", "Country", &countries, sent.given("country").unwrap_or("GB")))
        }
    }
}

pub fn cards(sent: &Fields) -> Markup {
    let chosen = sent.given("payment_token").unwrap_or(CARDS[0].0);
    html! {
        fieldset.tokens {
            legend { "Pay with a test card" }
            @for (token, name, effect) in CARDS {
                label { input type="radio" name="payment_token" value=(token) checked[token == chosen] required;
                    span { b { (name) } span.quiet { (effect) } } }
            }
        }
    }
}

/// By this a repeat is recognised. The cart is not part of it: the first answer has emptied it, and a reload of the form
/// must find the same order.
pub fn hash(path: &str, sent: &Fields) -> BodyHash {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(sent.iter()).finish();
    BodyHash::of_bytes("POST", path, text.as_bytes())
}

pub fn token(sent: &Fields) -> Result<PaymentToken> {
    let chosen = CARDS.iter().find(|(token, ..)| *token == sent.text("payment_token"));
    let (token, ..) = chosen.ok_or_else(|| Error::field("payment_token", "invalid_value", "choose a card"))?;
    PaymentToken::try_from((*token).to_owned())
        .map_err(|invalid| Error::InvalidFields(vec![invalid.at("payment_token")]))
}

pub fn address(sent: &Fields) -> Result<Address> {
    for (name, missing) in [
        ("name", "who gets it"),
        ("line1", "the street and the number"),
        ("postal_code", "the postcode"),
        ("city", "the city"),
    ] {
        if sent.given(name).is_none() {
            return Err(Error::field(name, "missing_field", format!("{missing} is missing")));
        }
    }
    let names = ["name", "line1", "line2", "postal_code", "city", "country"];
    let fields: Map<String, Value> = names
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), Value::String(sent.given(name)?.to_owned()))))
        .collect();
    Address::try_from(fields).map_err(|invalid| Error::InvalidFields(vec![invalid.at("address")]))
}
