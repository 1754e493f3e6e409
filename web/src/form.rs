//! Reading what a form sent: text fields, parsed strictly. An error names the field and says what is wrong.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use secrecy::SecretString;
use shared::error::{Error, Result};
use shared::invalid::Invalid;
use shared::values::whole_number::WholeNumber;

use crate::refusal::PageError;

/// More fields than any form of ours has. A selection of rows is the largest.
const MAX_FIELDS: usize = 2_000;

/// The fields of a form or of a query, in their order.
#[derive(Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let fields: Vec<_> = form_urlencoded::parse(bytes).into_owned().take(MAX_FIELDS + 1).collect();
        if fields.len() > MAX_FIELDS {
            return Err(Error::invalid("too_many_fields", format!("a form has at most {MAX_FIELDS} fields")));
        }
        match fields.iter().find(|(_, value)| value.contains('\0')) {
            Some((name, _)) => Err(Error::field(name.clone(), "invalid_text", "it contains a NUL character")),
            None => Ok(Self(fields)),
        }
    }

    /// The text of a field without white space around it; empty if it is missing.
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.trim())
    }

    /// As it was typed, for passwords.
    pub fn secret(&self, name: &str) -> SecretString {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str()).to_owned().into()
    }

    /// `None` if the field is missing or empty.
    pub fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Every value of a field that may occur many times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.trim())
    }

    pub fn is_on(&self, name: &str) -> bool {
        self.given(name).is_some()
    }

    /// A field that must be there.
    pub fn value<T: FromStr<Err: Into<Complaint>>>(&self, name: &str) -> Result<T> {
        self.text(name).parse().map_err(|error: T::Err| at(name, error.into()))
    }

    /// A field that may be empty.
    pub fn optional<T: FromStr<Err: Into<Complaint>>>(&self, name: &str) -> Result<Option<T>> {
        let parse = |text: &str| text.parse().map_err(|error: T::Err| at(name, error.into()));
        self.given(name).map(parse).transpose()
    }

    /// A whole number that must be there, such as a quantity.
    pub fn whole<T: TryFrom<WholeNumber, Error = Invalid>>(&self, name: &str) -> Result<T> {
        let number: i64 = self.value(name)?;
        T::try_from(WholeNumber(number)).map_err(|invalid| at(name, Complaint(invalid)))
    }

    /// The text of all filters of a list, to which its cursors are bound.
    pub fn filter_text(&self) -> String {
        let filters =
            self.iter().filter(|(name, value)| !["cursor", "done", "limit"].contains(name) && !value.is_empty());
        form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish()
    }

    /// All fields, for a form that is shown again.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Why a text is not a value.
pub struct Complaint(Invalid);

fn at(name: &str, Complaint(invalid): Complaint) -> Error {
    Error::InvalidFields(vec![invalid.at(name)])
}

impl From<Invalid> for Complaint {
    fn from(invalid: Invalid) -> Self {
        Self(invalid)
    }
}

impl From<String> for Complaint {
    fn from(words: String) -> Self {
        Self(Invalid::new("invalid_value", words))
    }
}

impl From<std::num::ParseIntError> for Complaint {
    fn from(_: std::num::ParseIntError) -> Self {
        Self(Invalid::new("invalid_number", "this must be a whole number"))
    }
}

impl From<uuid::Error> for Complaint {
    fn from(_: uuid::Error) -> Self {
        Self(Invalid::new("invalid_id", "this is not an id"))
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
            return Err(Error::invalid("not_a_form", "this address takes a form").into());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Error::invalid("form_too_large", "the form is too large, or it did not arrive whole"))?;
        Ok(Self::parse(&bytes)?)
    }
}
