//! What an API key may do: its scopes. Each route names the scopes that open it (`Policy` in the API). Writes no table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::VariantArray;
use utoipa::ToSchema;

use crate::invalid::Invalid;

/// One right of an API key. A scope that ends in `:write` includes the `:read` of the same things.
///
/// No scope opens users, sessions, service accounts or keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, VariantArray, ToSchema)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Scope {
    #[schema(rename = "orders:read")]
    OrdersRead,
    #[schema(rename = "orders:write")]
    OrdersWrite,
    #[schema(rename = "orders:cancel")]
    OrdersCancel,
    #[schema(rename = "inventory:read")]
    InventoryRead,
    #[schema(rename = "inventory:write")]
    InventoryWrite,
    #[schema(rename = "catalog:write")]
    CatalogWrite,
    #[schema(rename = "customers:read")]
    CustomersRead,
    #[schema(rename = "customers:write")]
    CustomersWrite,
    #[schema(rename = "events:read")]
    EventsRead,
    #[schema(rename = "webhooks:manage")]
    WebhooksManage,
    #[schema(rename = "ops:read")]
    OpsRead,
    #[schema(rename = "ops:write")]
    OpsWrite,
}

impl Scope {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn name(self) -> &'static str {
        match self {
            Self::OrdersRead => "orders:read",
            Self::OrdersWrite => "orders:write",
            Self::OrdersCancel => "orders:cancel",
            Self::InventoryRead => "inventory:read",
            Self::InventoryWrite => "inventory:write",
            Self::CatalogWrite => "catalog:write",
            Self::CustomersRead => "customers:read",
            Self::CustomersWrite => "customers:write",
            Self::EventsRead => "events:read",
            Self::WebhooksManage => "webhooks:manage",
            Self::OpsRead => "ops:read",
            Self::OpsWrite => "ops:write",
        }
    }

    /// The scope that this one includes.
    pub const fn includes(self) -> Option<Self> {
        match self {
            Self::OrdersWrite => Some(Self::OrdersRead),
            Self::InventoryWrite => Some(Self::InventoryRead),
            Self::CustomersWrite => Some(Self::CustomersRead),
            Self::OpsWrite => Some(Self::OpsRead),
            _ => None,
        }
    }
}

impl From<Scope> for &'static str {
    fn from(scope: Scope) -> Self {
        scope.name()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let known = Self::ALL.iter().copied().find(|scope| scope.name() == text);
        known.ok_or_else(|| Invalid::new("unknown_scope", "there is no such scope; docs/keys.md lists them"))
    }
}

impl TryFrom<String> for Scope {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

/// The scopes of a key, as they were given to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u16);

impl Scopes {
    pub fn given(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.iter().copied().filter(move |scope| self.0 & 1 << *scope as u16 != 0)
    }

    /// Is this scope there, or one that includes it?
    pub fn contain(self, wanted: Scope) -> bool {
        self.given().any(|scope| scope == wanted || scope.includes() == Some(wanted))
    }

    pub fn names(self) -> Vec<&'static str> {
        self.given().map(Scope::name).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | 1 << scope as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_includes_read_and_nothing_else() {
        for (given, wanted, contained) in [
            (Scope::OrdersWrite, Scope::OrdersRead, true),
            (Scope::OrdersWrite, Scope::OrdersWrite, true),
            (Scope::OrdersWrite, Scope::OrdersCancel, false),
            (Scope::OrdersCancel, Scope::OrdersRead, false),
            (Scope::OrdersRead, Scope::OrdersWrite, false),
            (Scope::OpsWrite, Scope::OpsRead, true),
            (Scope::InventoryWrite, Scope::OrdersRead, false),
        ] {
            let scopes: Scopes = [given].into_iter().collect();
            assert_eq!(scopes.contain(wanted), contained, "{given} for {wanted}");
        }
    }

    #[test]
    fn names_are_read_back() {
        for scope in Scope::ALL {
            assert_eq!(scope.name().parse(), Ok(*scope));
        }
        assert!("orders:*".parse::<Scope>().is_err());
        assert_eq!(Scope::ALL.iter().copied().collect::<Scopes>().names().len(), Scope::ALL.len());
    }
}
