//! Who may see which field of the GraphQL schema. Each field is named here: one without a rule is answered to nobody.

use std::collections::HashMap;
use std::sync::LazyLock;

use shared::error::{Error, Result};
use shared::principal::{Permission, Principal};

/// Who may see a field of an object that they may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldRule {
    /// Everybody who may see the object.
    Everybody,
    /// Customers see what is their own, and `shared` decides what that is. Others need the permission.
    Own(Permission),
    Needs(Permission),
}

use FieldRule::{Everybody, Needs, Own};

/// The fields of each object, by their rule. The parts of connections are not here: who may see the connection may see them.
const RULES: &[(&str, FieldRule, &[&str])] = &[
    ("Query", Everybody, &["me", "product", "products"]),
    ("Query", Own(Permission::OrdersRead), &["order", "orders"]),
    ("Query", Needs(Permission::InventoryRead), &["inventory"]),
    ("Query", Needs(Permission::CustomersRead), &["customer", "customers"]),
    ("Me", Everybody, &["id", "name", "email", "role", "scopes"]),
    (
        "Order",
        Everybody,
        &["id", "number", "status", "customerId", "items", "archive", "total", "shippingAddress", "payment"],
    ),
    ("Order", Everybody, &["shipments", "events", "cancelReason", "nextAction", "version", "createdAt", "updatedAt"]),
    ("Order", Own(Permission::CustomersRead), &["customer"]),
    ("OrderItem", Everybody, &["productId", "product", "sku", "name", "quantity", "unitPrice", "total"]),
    ("Payment", Everybody, &["status", "amount", "manual", "at"]),
    ("Shipment", Everybody, &["id", "status", "trackingNumber", "shippedAt", "deliveredAt"]),
    ("Shipment", Needs(Permission::OrdersRead), &["warehouseId"]),
    ("OrderEvent", Everybody, &["sequence", "type", "at", "data"]),
    ("NextAction", Everybody, &["what", "by", "dueAt", "delayed"]),
    ("Money", Everybody, &["amount", "currency"]),
    ("Product", Everybody, &["id", "sku", "name", "description", "price", "categoryId", "active", "available"]),
    ("Product", Needs(Permission::InventoryRead), &["stock"]),
    ("Stock", Needs(Permission::InventoryRead), &["id", "productId", "product", "sku", "warehouseId"]),
    (
        "Stock",
        Needs(Permission::InventoryRead),
        &["onHand", "reserved", "available", "reorderLevel", "reorderQuantity"],
    ),
    ("Customer", Everybody, &["id", "name", "email"]),
    ("Customer", Own(Permission::OrdersRead), &["orders"]),
];

/// Types that are parts of a connection.
const PARTS: &[&str] = &["Connection", "Edge", "PageInfo"];

static BY_NAME: LazyLock<HashMap<(&str, &str), FieldRule>> = LazyLock::new(|| {
    let each = |(object, rule, fields): &(&'static str, FieldRule, &[&'static str])| {
        fields.iter().map(|field| ((*object, *field), *rule)).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(each).collect()
});

/// The rule of a field of an object.
pub fn of(object: &str, field: &str) -> Option<FieldRule> {
    if PARTS.iter().any(|part| object.ends_with(part)) {
        Some(Everybody)
    } else {
        BY_NAME.get(&(object, field)).copied()
    }
}

/// May this caller see this field?
pub(super) fn check(caller: &Principal, object: &str, field: &str) -> Result<()> {
    match of(object, field) {
        Some(Everybody) => Ok(()),
        Some(Own(_)) if caller.is_customer() => Ok(()),
        Some(Own(permission) | Needs(permission)) => caller.require(permission),
        None => Err(Error::internal(format!("the field {object}.{field} has no rule"))),
    }
}

/// Every field that has a rule here: its object, and its name.
pub fn named() -> impl Iterator<Item = (&'static str, &'static str)> {
    RULES.iter().flat_map(|(object, _, fields)| fields.iter().map(move |field| (*object, *field)))
}

#[cfg(test)]
mod tests {
    use shared::principal::{Permissions, ServiceAccount, Source};
    use shared::scope::{Scope, Scopes};
    use shared::values::{ApiKeyId, UserId};

    use super::*;

    fn key(scopes: &[Scope]) -> Principal {
        let scopes: Scopes = scopes.iter().copied().collect();
        let name = "A program".parse().unwrap();
        let (user_id, key_id) = (UserId::new(), ApiKeyId::new());
        Principal::service(ServiceAccount { user_id, name, key_id, scopes, limit_per_minute: None }, Source::default())
    }

    #[test]
    fn a_key_needs_the_scope_of_each_field() {
        for (object, field, scope) in [
            ("Query", "order", Scope::OrdersRead),
            ("Query", "orders", Scope::OrdersRead),
            ("Customer", "orders", Scope::OrdersRead),
            ("Query", "inventory", Scope::InventoryRead),
            ("Product", "stock", Scope::InventoryRead),
            ("Stock", "onHand", Scope::InventoryRead),
            ("Query", "customer", Scope::CustomersRead),
            ("Query", "customers", Scope::CustomersRead),
            ("Order", "customer", Scope::CustomersRead),
        ] {
            assert!(check(&key(&[scope]), object, field).is_ok(), "{object}.{field}");
            let refused = check(&key(&[Scope::EventsRead]), object, field).unwrap_err();
            assert_eq!(refused.code(), "insufficient_scope", "{object}.{field}");
        }
        for (object, field) in [("Query", "me"), ("Query", "product"), ("Query", "products"), ("Order", "events")] {
            assert!(check(&key(&[Scope::OpsRead]), object, field).is_ok(), "{object}.{field}");
        }
    }

    #[test]
    fn a_field_without_a_rule_is_for_nobody() {
        let all = Principal { permissions: Permissions::of(shared::principal::Role::Admin), ..Principal::system() };
        assert_eq!(check(&all, "Order", "paymentToken").unwrap_err().code(), "internal");
    }
}
