//! The pages of `web` as routes of the API: each rule becomes a policy, and each file an asset that is compressed once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use shared::platform::limits::Class;
use tower_http::csrf::{CsrfLayer, ProtectionError};
use web::console::common::CommonParts;
use web::rule::{PageRoute, Rule, Sites, Visitors, Weight};
use web::{WebSettings, WebState, assets};

use crate::error::{ApiError, ApiResult};
use crate::policy::{Access, Face, Policy};
use crate::router::Routes;
use crate::state::AppState;
use crate::surface::assets::Asset;

/// Where `surface::headers` tells browsers to send reports.
const CSP_REPORTS: &str = "/csp";
const CSP_REPORT_LIMIT: usize = 4 * 1024;

/// All pages, with the state that they share.
pub fn routes(sites: Sites, web: &WebState) -> Routes {
    let own_forms_only = own_forms_only(web.settings.public_url.as_deref());
    let pages = listed(sites).into_iter().fold(Routes::default(), |routes, page| {
        let PageRoute { method, path, handler, rule } = page;
        let handler = handler.with_state(web.clone()).layer((Extension(sites), own_forms_only.clone()));
        routes.page(method, path, handler, policy(rule))
    });
    if sites.shop || sites.console { pages.merge(files()).merge(csp_reports()) } else { pages }
}

/// Refuses a form that another site made a browser send. Behind a proxy that changes `Host`, `PUBLIC_URL` names us.
pub fn own_forms_only(public_url: Option<&str>) -> CsrfLayer<fn(ProtectionError) -> Response> {
    let layer = public_url.map_or_else(CsrfLayer::new, |url| {
        CsrfLayer::new().add_trusted_origin(url).expect("PUBLIC_URL was checked when it was read")
    });
    layer.with_rejection_response(foreign_form)
}

fn foreign_form(_: ProtectionError) -> Response {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden_origin", "this form came from another site; nothing was done")
        .into_response()
}

/// The routes of the pages with their policies, for `docs/routes.md`.
pub fn policies(sites: Sites) -> Vec<(Method, &'static str, Policy)> {
    listed(sites).into_iter().map(|page| (page.method, page.path, policy(page.rule))).collect()
}

fn listed(sites: Sites) -> Vec<PageRoute> {
    let mut pages = web::rule::PageRoutes::default();
    if sites.shop {
        pages = pages.merge(web::routes::shop());
    }
    if sites.console {
        pages = pages.merge(web::routes::console());
    }
    if sites.shop || sites.console {
        pages = pages.merge(web::routes::entrance(sites));
    }
    pages.into_vec()
}

fn policy(rule: Rule) -> Policy {
    let access = match rule.visitors {
        Visitors::Anyone => Access::Anyone,
        Visitors::SignedIn => Access::SignedIn,
        Visitors::With(permission) => Access::Needs(permission),
    };
    let class = match rule.weight {
        Weight::Read => Class::Read,
        Weight::Write => Class::Write,
        Weight::Password => Class::Login,
        Weight::Bulk => Class::Bulk,
    };
    let policy = Policy::read(access).class(class).body_limit(rule.form_limit).face(Face::Html(rule.site));
    let policy = if rule.changes_products { policy.stales_products() } else { policy };
    if rule.before_totp { policy.before_totp() } else { policy }
}

/// The stylesheet, the scripts and the font. A debug build reads them from the disk each time.
fn files() -> Routes {
    let known: Arc<Mutex<HashMap<String, Arc<Asset>>>> = Arc::default();
    let file = async move |Path((version, name)): Path<(String, String)>, headers: HeaderMap| -> ApiResult<Response> {
        let asset = asset(&known, &version, &name).ok_or_else(|| ApiError::of_status(StatusCode::NOT_FOUND))?;
        Ok(asset.answer(&headers).await)
    };
    Routes::default().undocumented(assets::ROUTE, get(file), Policy::read(Access::Anyone).face(Face::Asset))
}

/// Browsers tell here what the Content-Security-Policy of a page has stopped. Anybody can send such a report, so it is only
/// counted, and the log has the name of the directive at most.
fn csp_reports() -> Routes {
    let report = async |State(state): State<AppState>, body: Bytes| {
        let report: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let directive = report["csp-report"]["effective-directive"].as_str().unwrap_or("?");
        let directive: String = directive.chars().take(40).collect();
        tracing::warn!(directive, "a browser reports that the Content-Security-Policy of a page stopped something");
        state.metrics.csp_reports.inc();
        StatusCode::NO_CONTENT
    };
    let policy = Policy::write(Access::Anyone).body_limit(CSP_REPORT_LIMIT).face(Face::Asset);
    Routes::default().page(Method::POST, CSP_REPORTS, post(report), policy)
}

/// Keeps only files that exist, so that nobody can fill the map with made-up names.
fn asset(known: &Mutex<HashMap<String, Arc<Asset>>>, version: &str, name: &str) -> Option<Arc<Asset>> {
    let mut known = known.lock().expect("no code panics while it holds the files");
    if let Some(asset) = known.get(name).filter(|_| !cfg!(debug_assertions)) {
        return Some(asset.clone());
    }
    let file = assets::file(name)?;
    let asset = Asset::new(file.kind, file.bytes);
    let asset = if version == assets::version() && !cfg!(debug_assertions) { asset.for_ever() } else { asset };
    known.insert(name.to_owned(), asset.clone());
    Some(asset)
}

impl AppState {
    fn web_settings(&self) -> WebSettings {
        WebSettings {
            job_max_attempts: self.settings.jobs.job_max_attempts,
            secure: self.serves_tls(),
            public_url: self.settings.public_url.clone(),
            reservation_ttl: self.settings.reservation_ttl,
            delivery_delay: self.settings.jobs.delivery_delay,
            webhooks: self.settings.webhooks.clone(),
        }
    }

    pub fn web(&self) -> WebState {
        let common = Arc::new(CommonParts::new(self.db.clone()));
        WebState {
            db: self.db.clone(),
            identity: self.identity.clone(),
            attempts: self.attempts.clone(),
            cache: self.cache.clone(),
            placing: self.placing.clone(),
            doorbell: self.doorbell.clone(),
            live: web::live::Live::new(self.db.clone(), common.clone(), self.stopping.clone()),
            common,
            overview: self.overview.clone(),
            settings: Arc::new(self.web_settings()),
            stopping: self.stopping.clone(),
        }
    }
}
