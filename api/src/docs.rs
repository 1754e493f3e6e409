//! The OpenAPI document, generated from the handlers and their policies, and the page at /docs that shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Redirect, Response};
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

use crate::error::{ApiError, ApiResult, Problem};
use crate::operations::{self, TOKEN};
use crate::policy::{Access, Face, Policy};
use crate::router::Routes;
use crate::surface::assets::Asset;

#[derive(OpenApi)]
#[openapi(
    info(title = "Millrace", description = "Takes orders, reserves their stock, charges and ships them. \
        Stock is never oversold, and no order is lost or charged twice.\n\nEvery error is an `application/problem+json` \
        whose `code` is stable. Every POST that creates or moves something takes an `Idempotency-Key`."),
    components(schemas(Problem)),
    modifiers(&Token),
    tags(
        (name = "identity", description = "Accounts, sessions, roles"),
        (name = "catalog", description = "Products and categories"),
        (name = "customers", description = "The people who order"),
        (name = "inventory", description = "Stock, reservations, the ledger"),
        (name = "orders", description = "Placing, reading and moving orders"),
        (name = "events", description = "The feed of everything that happens"),
        (name = "webhooks", description = "Endpoints that get events, and what was delivered to them"),
        (name = "operations", description = "Queues, jobs, workers, the audit, the record of actions"),
        (name = "health", description = "For probes"),
    )
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        components.headers.extend(operations::headers().map(|(name, header)| (name, header.into())));
    }
}

/// The document without any operation.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document, written and compressed once, and the files of the page that shows it.
pub fn routes(document: &utoipa::openapi::OpenApi) -> Routes {
    let document = Asset::new("application/json", document.to_json().expect("the document can be written as JSON"));
    let document = async move |headers: HeaderMap| document.answer(&headers).await;
    let page = Arc::new(Page::default());
    let index = page.clone();
    let index = async move |headers: HeaderMap| index.answer("index.html", &headers).await;
    let file = async move |Path(name): Path<String>, headers: HeaderMap| page.answer(&name, &headers).await;
    let (data, docs) = (Policy::read(Access::Anyone), Policy::read(Access::Anyone).face(Face::Docs));
    Routes::default()
        .undocumented("/openapi.json", get(document), data)
        .undocumented("/docs", get(async || Redirect::to("/docs/")), docs)
        .undocumented("/docs/", get(index), docs)
        .undocumented("/docs/{*file}", get(file), docs)
}

/// The files of Swagger UI, each taken from the library when it is first asked for.
#[derive(Default)]
struct Page(Mutex<HashMap<String, Arc<Asset>>>);

impl Page {
    async fn answer(&self, name: &str, headers: &HeaderMap) -> ApiResult<Response> {
        let asset = self.asset(name).ok_or_else(|| ApiError::of_status(StatusCode::NOT_FOUND))?;
        Ok(asset.answer(headers).await)
    }

    /// Keeps only files that exist, so that nobody can fill the map with made-up names.
    fn asset(&self, name: &str) -> Option<Arc<Asset>> {
        let mut assets = self.0.lock().expect("no code panics while it holds the files");
        if let Some(asset) = assets.get(name) {
            return Some(asset.clone());
        }
        let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("/openapi.json"))).unwrap_or_else(|error| {
            tracing::error!(%error, "the file {name} of /docs cannot be served: {error}");
            None
        })?;
        let asset = Asset::new(&file.content_type, file.bytes.into_owned());
        assets.insert(name.to_owned(), asset.clone());
        Some(asset)
    }
}
