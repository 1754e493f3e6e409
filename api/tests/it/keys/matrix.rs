//! Every route with every kind of credential: only whom the policy names is let in.

use api::policy::{Access, Face, KeyAccess, Policy};
use reqwest::Method;
use serde_json::json;
use shared::principal::{Permission, Role};
use shared::scope::Scope;
use testkit::app::TestApp;
use testkit::person::Person;
use testkit::workers::webhook_options;

use super::{holder, make, program};

/// What a route answers to a caller, as far as access is concerned.
#[derive(Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Unauthenticated,
    Refused(String),
}

/// Nothing of this exists, and the body is wrong: what is let in fails later, and changes nothing.
async fn knock(person: &Person<'_>, method: &Method, path: &str) -> Gate {
    let path = path
        .replace("{id}", "019a4f6e-2c10-7d21-9a40-5e1f7b3c8d01")
        .replace("{name}", "none")
        .replace("{fingerprint}", "none");
    let body = (*method != Method::GET).then(|| json!({ "nonsense": true }));
    let reply = person.send(method.clone(), &path, body, &[]).await;
    match (reply.status.as_u16(), reply.code()) {
        (401, "unauthenticated") => Gate::Unauthenticated,
        (403, code) => Gate::Refused(code.to_owned()),
        (status, _) => {
            assert!(status < 500, "{method} {path}: {reply:?}");
            Gate::Open
        }
    }
}

fn refused(code: &str) -> Gate {
    Gate::Refused(code.to_owned())
}

fn for_role(policy: &Policy, role: Option<Role>) -> Gate {
    match (policy.access, role) {
        (Access::Anyone, _) | (Access::SignedIn, Some(_)) => Gate::Open,
        (_, None) => Gate::Unauthenticated,
        (Access::Needs(permission), Some(role)) if permission.role() <= role => Gate::Open,
        (Access::Needs(_), Some(_)) => refused("forbidden"),
    }
}

fn for_key(policy: &Policy, scope: Option<Scope>) -> Gate {
    let has = |wanted: Scope| scope.is_some_and(|it| it == wanted || it.includes() == Some(wanted));
    match policy.keys {
        KeyAccess::Any => Gate::Open,
        KeyAccess::With(needed) if has(needed) => Gate::Open,
        // The part that it opens is tested in `scopes.rs`; this body asks for the other one.
        KeyAccess::WithOrInPart(needed, _) if has(needed) => Gate::Open,
        KeyAccess::With(_) | KeyAccess::WithOrInPart(..) => refused("insufficient_scope"),
        KeyAccess::Never | KeyAccess::Unsaid => refused("forbidden"),
    }
}

/// Every JSON route. Logging out ends what the test needs, so it has tests of its own.
fn routes() -> Vec<(Method, String, Policy)> {
    let (_, policies) = api::routes::all().into_parts();
    let json = policies.iter().filter(|(_, path, policy)| policy.face == Face::Json && *path != "/v1/auth/logout");
    let mut routes: Vec<_> = json.map(|(method, path, policy)| (method.clone(), path.to_owned(), *policy)).collect();
    routes.sort_by_key(|(method, path, _)| (path.clone(), method.to_string()));
    assert!(routes.len() > 90, "{}", routes.len());
    routes
}

/// With everything on, so that no route answers that it is off.
async fn app() -> TestApp {
    let [key, allow] = webhook_options();
    TestApp::with(&["--rate-limits=off", &key, &allow]).await
}

#[tokio::test]
async fn people_get_where_their_role_leads() {
    let app = app().await;
    let callers = [
        (None, app.anyone()),
        (Some(Role::Customer), app.customer().await),
        (Some(Role::Staff), app.staff().await),
        (Some(Role::Admin), app.admin().await),
    ];
    for (method, path, policy) in routes() {
        for (role, caller) in &callers {
            let gate = knock(caller, &method, &path).await;
            assert_eq!(gate, for_role(&policy, *role), "{method} {path} for {role:?}");
        }
    }
}

#[tokio::test]
async fn keys_get_where_their_scope_leads() {
    let app = app().await;
    let admin = app.admin().await;
    let mut programs = Vec::new();
    for scope in Scope::ALL {
        programs.push((*scope, program(&app, &admin, &[scope.name()]).await));
    }
    for (method, path, policy) in routes() {
        for (scope, program) in &programs {
            let gate = knock(program, &method, &path).await;
            assert_eq!(gate, for_key(&policy, Some(*scope)), "{method} {path} with {scope}");
        }
    }
}

#[tokio::test]
async fn no_route_opens_to_a_key_that_is_not_good() {
    let app = TestApp::with(&["--rate-limits=off"]).await;
    let admin = app.admin().await;
    let asked = json!({ "name": "k", "scopes": super::ALL });
    let (revoked, expired) = (make(&admin, asked.clone()).await, make(&admin, asked.clone()).await);
    admin.delete(revoked.header("location")).await.done(204);
    sqlx::query("update api_keys set expires_at = clock_timestamp() where prefix = $1")
        .bind(expired.body["prefix"].as_str())
        .execute(&app.db)
        .await
        .unwrap();
    let mut elsewhere = asked;
    elsewhere["allowed_ips"] = json!(["203.0.113.7"]);
    let elsewhere = make(&admin, elsewhere).await;
    for (method, path, policy) in routes() {
        let is_open = policy.access == Access::Anyone;
        for (made, otherwise) in [
            (&revoked, Gate::Unauthenticated),
            (&expired, Gate::Unauthenticated),
            (&elsewhere, refused("address_not_allowed")),
        ] {
            let gate = knock(&holder(&app, made), &method, &path).await;
            let expected = if is_open { Gate::Open } else { otherwise };
            assert_eq!(gate, expected, "{method} {path} with {}", made.body["prefix"]);
        }
    }
}

#[tokio::test]
async fn what_administrators_do_is_open_to_no_scope() {
    for (method, path, policy) in routes() {
        if policy.access == Access::Needs(Permission::UsersWrite) {
            assert_eq!(for_key(&policy, Some(Scope::OpsWrite)), refused("forbidden"), "{method} {path}");
        }
    }
}
