//! The table of all routes with their policies: its rules, and that `docs/routes.md` shows it.

use std::path::Path;

use api::policy::{Access, Face, KeyAccess, Policy, Stale};
use axum::http::Method;
use shared::platform::limits::Class;
use shared::principal::Permission;

/// `UPDATE=1 ./dev test routes` rewrites the file.
#[test]
fn docs_routes_md_shows_the_routes_as_they_are() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/routes.md");
    let table = api::routes::markdown();
    println!("{table}");
    if is_update() {
        std::fs::write(&file, &table).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == table, "docs/routes.md is out of date: UPDATE=1 ./dev test routes rewrites it");
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// One row for each kind of route.
#[test]
fn routes_have_the_policies_that_the_contract_promises() {
    let (_, policies) = api::routes::all().into_parts();
    let policy = |method: &str, path: &str| -> Policy {
        let found = policies.iter().find(|(known, at, _)| known.as_str() == method && *at == path);
        *found.unwrap_or_else(|| panic!("{method} {path} is not served")).2
    };
    let needs = Access::Needs;
    for (method, path, access, class, key, stale) in [
        ("POST", "/v1/auth/login", Access::Anyone, Class::Login, false, Stale::Nothing),
        ("POST", "/v1/auth/refresh", Access::Anyone, Class::Login, false, Stale::Nothing),
        ("POST", "/v1/auth/logout", Access::SignedIn, Class::Login, false, Stale::Nothing),
        ("POST", "/v1/me/password", Access::SignedIn, Class::Login, false, Stale::Nothing),
        ("GET", "/v1/me/sessions", Access::SignedIn, Class::Read, false, Stale::Nothing),
        ("POST", "/v1/me/totp/confirm", Access::SignedIn, Class::Login, false, Stale::Nothing),
        ("DELETE", "/v1/users/{id}/sessions", needs(Permission::UsersWrite), Class::Write, false, Stale::Nothing),
        ("PATCH", "/v1/users/{id}", needs(Permission::UsersWrite), Class::Write, false, Stale::Nothing),
        ("GET", "/v1/products", Access::Anyone, Class::Read, false, Stale::Nothing),
        ("POST", "/v1/products", needs(Permission::CatalogWrite), Class::Write, true, Stale::Products),
        ("DELETE", "/v1/categories/{id}", needs(Permission::CatalogWrite), Class::Write, false, Stale::Nothing),
        ("GET", "/v1/customers", needs(Permission::CustomersRead), Class::Read, false, Stale::Nothing),
        ("PATCH", "/v1/customers/{id}", needs(Permission::CustomersWrite), Class::Write, false, Stale::Nothing),
        ("PATCH", "/v1/warehouses/{id}", needs(Permission::InventoryWrite), Class::Write, false, Stale::Products),
        ("GET", "/v1/inventory/movements", needs(Permission::InventoryRead), Class::Query, false, Stale::Nothing),
        ("POST", "/v1/inventory/bulk", needs(Permission::InventoryWrite), Class::Bulk, true, Stale::Products),
        ("POST", "/v1/inventory/reaper", needs(Permission::InventoryWrite), Class::Write, true, Stale::Products),
        ("POST", "/v1/orders", Access::SignedIn, Class::Write, true, Stale::Nothing),
        ("GET", "/v1/orders/{id}", Access::SignedIn, Class::Read, false, Stale::Nothing),
        ("POST", "/v1/orders/{id}/cancel", Access::SignedIn, Class::Write, true, Stale::Products),
        ("PATCH", "/v1/orders/{id}/status", needs(Permission::OrdersWrite), Class::Write, false, Stale::Products),
        ("GET", "/v1/ops/actions", needs(Permission::OpsRead), Class::Read, false, Stale::Nothing),
        ("POST", "/v1/ops/jobs/retry", needs(Permission::OpsWrite), Class::Write, true, Stale::Nothing),
        ("GET", "/health", Access::Anyone, Class::Read, false, Stale::Nothing),
        ("GET", "/docs/{*file}", Access::Anyone, Class::Read, false, Stale::Nothing),
    ] {
        let found = policy(method, path);
        let found = (found.access, found.class, found.takes_key, found.stale);
        assert_eq!(found, (access, Some(class), key, stale), "{method} {path}");
    }
}

#[test]
fn each_route_says_which_keys_open_it() {
    let (_, policies) = api::routes::all().into_parts();
    for (method, path, policy) in policies.iter().filter(|(_, _, policy)| policy.face == Face::Json) {
        assert_ne!(
            policy.keys,
            KeyAccess::Unsaid,
            "{method} {path}: say `.scope(…)` or `.no_key()` where it is declared"
        );
        let is_admins = policy.access == Access::Needs(Permission::UsersWrite);
        assert!(
            !is_admins || policy.keys == KeyAccess::Never,
            "{method} {path}: keys must not open what administrators do"
        );
    }
}

#[test]
fn what_reads_changes_nothing_and_what_changes_does_not_count_as_a_read() {
    let (_, policies) = api::routes::all().into_parts();
    for (method, path, policy) in policies.iter() {
        let reads = *method == Method::GET;
        match policy.class {
            Some(class) => assert_eq!(reads, matches!(class, Class::Read | Class::Query), "{method} {path}"),
            None => assert!(["/health/live", "/health/ready"].contains(&path), "{method} {path} has no rate limit"),
        }
        assert!(!reads || (!policy.takes_key && policy.stale == Stale::Nothing), "{method} {path}");
        assert!(!policy.takes_key || *method == Method::POST, "{method} {path}");
    }
}

/// Staff who must set up a second factor need these for it, and nothing else.
#[test]
fn before_the_second_factor_only_the_own_account_is_open() {
    let (_, policies) = api::routes::all().into_parts();
    for (method, path, policy) in policies.iter() {
        let own = path == "/v1/me" || path.starts_with("/v1/me/") || path == "/v1/auth/logout";
        assert_eq!(policy.before_totp, own, "{method} {path}");
    }
}
