//! Who acts, what they may do, and where their request came from. Writes no table.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::scope::{Scope, Scopes};
use crate::values::{ApiKeyId, CustomerId, Name, SessionId, UserId};

/// The one who acts, with their rights. Every function that changes something by hand takes one.
#[derive(Debug, Clone)]
pub struct Principal {
    pub actor: Actor,
    pub permissions: Permissions,
    pub source: Source,
}

/// A person who is signed in, a program with an API key, or Millrace itself: its workers and its schedule.
#[derive(Debug, Clone)]
pub enum Actor {
    Person(Person),
    Service(ServiceAccount),
    /// A worker that carries out what a person has started.
    OnBehalf(By),
    System,
}

/// Somebody with a valid access token, as they were in the database at most 30 s ago.
#[derive(Debug, Clone)]
pub struct Person {
    pub user_id: UserId,
    pub name: Name,
    pub session_id: SessionId,
    pub role: Role,
    /// The customer that they order as unless staff name another one.
    pub customer_id: CustomerId,
    /// Staff without the second factor that is demanded of them: all they may do is set it up.
    pub needs_totp: bool,
}

/// A program with a valid API key, as its account and key were in the database at most 30 s ago.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    /// Service accounts are users without a password.
    pub user_id: UserId,
    pub name: Name,
    pub key_id: ApiKeyId,
    pub scopes: Scopes,
    /// Requests in a minute, in place of the limits of each class.
    pub limit_per_minute: Option<u32>,
}

/// Where a request came from. Empty for what the system does.
#[derive(Debug, Clone, Default)]
pub struct Source {
    pub request_id: Option<String>,
    pub address: Option<IpAddr>,
}

/// What a user may do. Each role may do what the ones before it may.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Role {
    Customer,
    Staff,
    Admin,
}

impl Role {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Staff => "staff",
            Self::Admin => "admin",
        }
    }
}

/// Something that not everybody may do. Each route names the permission that it needs (`Policy` in the API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Read everybody's orders. Customers read their own without it.
    OrdersRead,
    OrdersWrite,
    OrdersCancel,
    InventoryRead,
    InventoryWrite,
    CatalogWrite,
    CustomersRead,
    CustomersWrite,
    EventsRead,
    WebhooksManage,
    OpsRead,
    OpsWrite,
    /// Roles, deactivation, service accounts and their keys.
    UsersWrite,
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions(u16);

impl Permissions {
    pub const NONE: Self = Self(0);

    const fn with(self, permission: Permission) -> Self {
        Self(self.0 | 1 << permission as u16)
    }

    pub fn contains(self, permission: Permission) -> bool {
        self.0 & 1 << permission as u16 != 0
    }

    /// What a role may. Each role may do what the ones before it may.
    pub fn of(role: Role) -> Self {
        use Permission::{
            CatalogWrite, CustomersRead, CustomersWrite, EventsRead, InventoryRead, InventoryWrite, OpsRead, OpsWrite,
            OrdersCancel, OrdersRead, OrdersWrite, UsersWrite, WebhooksManage,
        };
        const STAFF: Permissions = Permissions::NONE
            .with(OrdersRead)
            .with(OrdersWrite)
            .with(OrdersCancel)
            .with(InventoryRead)
            .with(InventoryWrite)
            .with(CatalogWrite)
            .with(CustomersRead)
            .with(CustomersWrite)
            .with(EventsRead)
            .with(WebhooksManage)
            .with(OpsRead)
            .with(OpsWrite);
        match role {
            Role::Customer => Self::NONE,
            Role::Staff => STAFF,
            Role::Admin => STAFF.with(UsersWrite),
        }
    }

    /// What the scopes of a key allow. Never what only administrators may.
    pub fn of_scopes(scopes: Scopes) -> Self {
        let included = scopes.given().filter_map(Scope::includes);
        scopes.given().chain(included).map(Permission::of).fold(Self::NONE, Self::with)
    }
}

impl Permission {
    /// What a scope allows has the scope's name.
    const fn of(scope: Scope) -> Self {
        match scope {
            Scope::OrdersRead => Self::OrdersRead,
            Scope::OrdersWrite => Self::OrdersWrite,
            Scope::OrdersCancel => Self::OrdersCancel,
            Scope::InventoryRead => Self::InventoryRead,
            Scope::InventoryWrite => Self::InventoryWrite,
            Scope::CatalogWrite => Self::CatalogWrite,
            Scope::CustomersRead => Self::CustomersRead,
            Scope::CustomersWrite => Self::CustomersWrite,
            Scope::EventsRead => Self::EventsRead,
            Scope::WebhooksManage => Self::WebhooksManage,
            Scope::OpsRead => Self::OpsRead,
            Scope::OpsWrite => Self::OpsWrite,
        }
    }

    pub fn name(self) -> &'static str {
        if self == Self::UsersWrite {
            return "users:write";
        }
        Scope::ALL.iter().find(|scope| Self::of(**scope) == self).expect("every other permission has a scope").name()
    }

    /// The least role that has it.
    pub fn role(self) -> Role {
        if Permissions::of(Role::Staff).contains(self) { Role::Staff } else { Role::Admin }
    }
}

/// Who did something, as timelines and the record of actions show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct By {
    pub id: Uuid,
    #[schema(example = "Sam Staff")]
    pub name: String,
}

impl Principal {
    pub fn person(person: Person, source: Source) -> Self {
        let permissions = if person.needs_totp { Permissions::NONE } else { Permissions::of(person.role) };
        Self { permissions, actor: Actor::Person(person), source }
    }

    pub fn service(account: ServiceAccount, source: Source) -> Self {
        Self { permissions: Permissions::of_scopes(account.scopes), actor: Actor::Service(account), source }
    }

    /// For what workers and the schedule do by themselves.
    pub fn system() -> Self {
        Self { actor: Actor::System, permissions: Permissions::NONE, source: Source::default() }
    }

    /// For what a worker does because a person has started it. The person may read and change all orders: otherwise they
    /// could not have started it.
    pub fn on_behalf_of(by: By, request_id: Option<String>) -> Self {
        let source = Source { request_id, address: None };
        Self { actor: Actor::OnBehalf(by), permissions: Permissions::of(Role::Staff), source }
    }

    /// Staff and keys act on what they read, so they are never shown a cached value.
    pub fn is_customer(&self) -> bool {
        matches!(&self.actor, Actor::Person(person) if person.role == Role::Customer)
    }

    /// The account whose key the request came with.
    pub fn service_account(&self) -> Option<&ServiceAccount> {
        match &self.actor {
            Actor::Service(account) => Some(account),
            Actor::Person(_) | Actor::OnBehalf(_) | Actor::System => None,
        }
    }

    /// Does the caller see everybody's orders? A key does on each route that its scopes open, also with `orders:cancel`
    /// alone: it has no orders of its own.
    pub fn sees_all_orders(&self) -> bool {
        self.may(Permission::OrdersRead) || self.service_account().is_some()
    }

    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    pub fn require(&self, permission: Permission) -> Result<()> {
        if self.may(permission) { Ok(()) } else { Err(self.refusal(permission)) }
    }

    fn refusal(&self, permission: Permission) -> Error {
        match self.actor {
            Actor::Service(_) if permission.role() == Role::Admin => Error::NotForKeys,
            Actor::Service(_) => Error::InsufficientScope { needed: vec![permission.name()] },
            Actor::Person(_) | Actor::OnBehalf(_) | Actor::System => {
                Error::Forbidden { needed: permission.role().name() }
            }
        }
    }

    /// The person, for what only people have: a session, a customer, a password.
    pub fn require_person(&self) -> Result<&Person> {
        match &self.actor {
            Actor::Person(person) => Ok(person),
            Actor::Service(_) => Err(Error::NotForKeys),
            Actor::OnBehalf(_) | Actor::System => Err(Error::Forbidden { needed: Role::Customer.name() }),
        }
    }

    /// Must this caller set up a second factor before anything else?
    pub fn needs_totp(&self) -> bool {
        matches!(&self.actor, Actor::Person(person) if person.needs_totp)
    }

    /// The user who acts, for what people and programs have alike: idempotency keys, reservations.
    pub fn require_user_id(&self) -> Result<UserId> {
        self.user_id().ok_or(Error::Unauthenticated)
    }

    /// For columns that name the user who did it. `None` for the system.
    pub fn user_id(&self) -> Option<UserId> {
        match &self.actor {
            Actor::Person(person) => Some(person.user_id),
            Actor::Service(account) => Some(account.user_id),
            Actor::OnBehalf(by) => Some(UserId(by.id)),
            Actor::System => None,
        }
    }

    /// For timelines and the record of actions. `None` for the system.
    pub fn by(&self) -> Option<By> {
        match &self.actor {
            Actor::Person(person) => Some(By { id: person.user_id.0, name: person.name.as_str().to_owned() }),
            Actor::Service(account) => Some(By { id: account.user_id.0, name: account.name.as_str().to_owned() }),
            Actor::OnBehalf(by) => Some(by.clone()),
            Actor::System => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_the_ones_below() {
        for (role, permission, may) in [
            (Role::Customer, Permission::OrdersRead, false),
            (Role::Customer, Permission::UsersWrite, false),
            (Role::Staff, Permission::OrdersRead, true),
            (Role::Staff, Permission::OpsWrite, true),
            (Role::Staff, Permission::UsersWrite, false),
            (Role::Admin, Permission::OpsWrite, true),
            (Role::Admin, Permission::UsersWrite, true),
        ] {
            assert_eq!(Permissions::of(role).contains(permission), may, "{role:?} for {permission:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_least_role_that_would_do() {
        assert_eq!(Permission::OpsRead.role(), Role::Staff);
        assert_eq!(Permission::UsersWrite.role(), Role::Admin);
        let refused = Principal::system().require(Permission::UsersWrite);
        assert!(matches!(refused, Err(Error::Forbidden { needed: "admin" })));
    }
}
