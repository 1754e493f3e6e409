//! Everything that a page does, a JSON route does too. This is the list; a form that is not in it fails the test.

use std::collections::BTreeSet;
use web::rule::Sites;

/// Forms that only concern the browser: its cookie, its cart, its look, and asking for the password again.
const OF_THE_BROWSER: [&str; 5] = ["/cart", "/cart/add", "/console/me/theme", "/signout", "/console/signout"];

/// Each form with the route that does the same.
const SAME: &[(&str, &str)] = &[
    ("/signin", "POST /v1/auth/login"),
    ("/console/signin", "POST /v1/auth/login"),
    ("/register", "POST /v1/auth/register"),
    ("/invite/{token}", "POST /v1/auth/invite"),
    ("/console/confirm", "POST /v1/me/password/confirm"),
    ("/checkout", "POST /v1/orders"),
    ("/orders/{number}/cancel", "POST /v1/orders/{id}/cancel"),
    ("/account/password", "POST /v1/me/password"),
    ("/account/sessions/{id}/end", "DELETE /v1/me/sessions/{id}"),
    ("/console/orders/{number}/cancel", "POST /v1/orders/{id}/cancel"),
    ("/console/orders/{number}/move", "PATCH /v1/orders/{id}/status"),
    ("/console/orders/{number}/note", "POST /v1/orders/{id}/notes"),
    ("/console/orders/{number}/slip", "POST /v1/orders/{id}/slip-printed"),
    ("/console/slips", "POST /v1/orders/{id}/slip-printed"),
    ("/console/orders/{number}/take", "POST /v1/orders/{id}/take"),
    ("/console/orders/{number}/put-back", "DELETE /v1/orders/{id}/take"),
    ("/console/orders/{number}/retry", "POST /v1/ops/jobs/{id}/retry"),
    ("/console/orders/{number}/discard", "POST /v1/ops/jobs/{id}/discard"),
    ("/console/categories", "POST /v1/categories"),
    ("/console/categories/{id}", "PATCH /v1/categories/{id}"),
    ("/console/categories/{id}/delete", "DELETE /v1/categories/{id}"),
    ("/console/warehouses", "POST /v1/warehouses"),
    ("/console/warehouses/{code}", "PATCH /v1/warehouses/{id}"),
    ("/console/stock/count", "POST /v1/inventory/bulk"),
    ("/console/customers/{id}/account", "PATCH /v1/customers/{id}"),
    ("/console/customers/{id}/order", "POST /v1/orders"),
    ("/console/customers/{id}", "PATCH /v1/customers/{id}"),
    ("/console/products/new", "POST /v1/products"),
    ("/console/products/{sku}", "PATCH /v1/products/{id}"),
    ("/console/stock/{sku}/adjust", "POST /v1/inventory/{id}/adjustments"),
    ("/console/stock/{sku}/transfer", "POST /v1/inventory/{id}/transfers"),
    ("/console/stock/{sku}/reorder", "PATCH /v1/inventory/{id}"),
    ("/console/bulk/new", "POST /v1/ops/bulk"),
    ("/console/bulk/{id}/continue", "POST /v1/ops/bulk/{id}/continue"),
    ("/console/bulk/{id}/stop", "POST /v1/ops/bulk/{id}/stop"),
    ("/console/jobs/{id}/retry", "POST /v1/ops/jobs/{id}/retry"),
    ("/console/jobs/{id}/discard", "POST /v1/ops/jobs/{id}/discard"),
    ("/console/queues/{name}/pause", "POST /v1/ops/queues/{name}/pause"),
    ("/console/queues/{name}/resume", "POST /v1/ops/queues/{name}/resume"),
    ("/console/clock/reaper", "POST /v1/inventory/reaper"),
    ("/console/audit/runs", "POST /v1/ops/audit/runs"),
    ("/console/users/invite", "POST /v1/users"),
    ("/console/users/{id}", "PATCH /v1/users/{id}"),
    ("/console/users/{id}/sessions", "DELETE /v1/users/{id}/sessions"),
    ("/console/users/{id}/totp", "DELETE /v1/users/{id}/totp"),
    ("/console/service-accounts", "POST /v1/service-accounts"),
    ("/console/service-accounts/{id}", "PATCH /v1/service-accounts/{id}"),
    ("/console/service-accounts/{id}/keys", "POST /v1/service-accounts/{id}/keys"),
    ("/console/api-keys/{id}/rotate", "POST /v1/api-keys/{id}/rotate"),
    ("/console/api-keys/{id}/revoke", "DELETE /v1/api-keys/{id}"),
    ("/console/webhooks", "POST /v1/webhooks"),
    ("/console/webhooks/{id}", "PATCH /v1/webhooks/{id}"),
    ("/console/webhooks/{id}/delete", "DELETE /v1/webhooks/{id}"),
    ("/console/webhooks/{id}/pause", "POST /v1/webhooks/{id}/pause"),
    ("/console/webhooks/{id}/enable", "POST /v1/webhooks/{id}/enable"),
    ("/console/webhooks/{id}/test", "POST /v1/webhooks/{id}/test"),
    ("/console/webhooks/{id}/rotate", "POST /v1/webhooks/{id}/rotate-secret"),
    ("/console/webhooks/{id}/replay", "POST /v1/webhooks/{id}/replay"),
    (
        "/console/webhooks/{id}/deliveries/{event_id}/redeliver",
        "POST /v1/webhooks/{id}/deliveries/{event_id}/redeliver",
    ),
    ("/console/me/password", "POST /v1/me/password"),
    ("/console/me/sessions/{id}/end", "DELETE /v1/me/sessions/{id}"),
    ("/console/me/totp", "POST /v1/me/totp"),
    ("/console/me/totp/confirm", "POST /v1/me/totp/confirm"),
    ("/console/views", "POST /v1/ops/views"),
    ("/console/views/{id}/delete", "DELETE /v1/ops/views/{id}"),
    ("/console/me/totp/off", "DELETE /v1/me/totp"),
];

#[test]
fn every_form_has_a_route_that_does_the_same() {
    let (_, policies) = api::routes::all().into_parts();
    let routes: BTreeSet<String> = policies.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    for (form, route) in SAME {
        assert!(routes.contains(*route), "{form}: there is no route {route}");
    }
    let pages = web::routes::shop()
        .merge(web::routes::console())
        .merge(web::routes::entrance(Sites { shop: true, console: true }))
        .into_vec();
    let forms: BTreeSet<&str> =
        pages.iter().filter(|page| page.method == axum::http::Method::POST).map(|page| page.path).collect();
    let listed: BTreeSet<&str> = SAME.iter().map(|(form, _)| *form).chain(OF_THE_BROWSER).collect();
    assert_eq!(forms, listed);
}
