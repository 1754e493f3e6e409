//! The form of a page as it was sent: its fields, its hidden key, and the transaction in which it has its one effect.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use form_urlencoded::parse;
use shared::error::{Error, Result};
use shared::idempotency::{self, Answer, BodyHash, Claimed, Key};
use shared::invalid::{FieldError, Invalid};
use shared::values::Note;
use sqlx::{Postgres, Transaction};

use crate::answer::Refused;
use crate::visit::Visit;

pub struct Form {
    fields: Vec<(String, String)>,
    path: String,
    bytes: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let path = request.uri().path().to_owned();
        let unreadable = |_| Error::invalid("invalid_form", "the form could not be read; go back and send it again");
        let bytes = Bytes::from_request(request, state).await.map_err(unreadable)?;
        Ok(Self { fields: parse(&bytes).into_owned().collect(), path, bytes })
    }
}

impl Form {
    /// The first field of this name, without blanks around it; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.exact(name).trim()
    }

    /// As it was typed, for passwords.
    pub fn exact(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// Reads a field into its type. The error goes beside the field.
    pub fn read<T: TryFrom<String, Error = Invalid>>(&self, name: &str) -> Result<T, FieldError> {
        T::try_from(self.exact(name).to_owned()).map_err(|invalid| invalid.at(name))
    }

    /// The hidden key, and the hash of what came with it.
    pub fn key(&self) -> Result<(Key, BodyHash)> {
        Ok((Key::parse(self.get("key"))?, BodyHash::of("POST", &self.path, &self.bytes)))
    }

    /// Begins the one effect of this form. `None`: it had its effect before.
    pub async fn begin(&self, visit: &Visit) -> Result<Option<Effect>> {
        let (key, hash) = self.key()?;
        match idempotency::begin(&visit.state.db, visit.person()?.user_id, &key, &hash).await? {
            Claimed::Fresh(tx) => Ok(Some(Effect { tx, key })),
            Claimed::Replay(_) => Ok(None),
        }
    }
}

/// The transaction of a form. Dropping it changes nothing.
pub struct Effect {
    pub tx: Transaction<'static, Postgres>,
    key: Key,
}

impl Effect {
    /// Remembers that the form had its effect, and commits.
    pub async fn commit(mut self, visit: &Visit) -> Result<()> {
        let answer = Answer { status: 303, headers: BTreeMap::new(), body: Vec::new() };
        idempotency::remember(&mut self.tx, visit.person()?.user_id, &self.key, &answer).await?;
        self.tx.commit().await.map_err(idempotency::in_doubt)
    }
}

/// Why somebody does something, where they said it.
pub fn reason(form: &Form) -> Result<Option<Note>> {
    if form.get("reason").is_empty() {
        return Ok(None);
    }
    form.read("reason").map(Some).map_err(|error| Error::InvalidFields(vec![error]))
}
