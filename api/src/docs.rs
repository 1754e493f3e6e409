//! The OpenAPI document, generated from the handlers and their policies, and the page at /docs that shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};
use shared::feed::catalogue::{EventType, catalogue};
use shared::orders::filter::ListOrder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

use crate::error::{ApiError, ApiResult, Problem};
use crate::operations::{self, API_KEY, TOKEN};
use crate::policy::{Access, Face, Policy};
use crate::router::Routes;
use crate::surface::assets::Asset;

#[derive(OpenApi)]
#[openapi(
    info(title = "Millrace", description = "Takes orders, reserves their stock, charges and ships them. \
        Stock is never oversold, and no order is lost or charged twice.\n\nEvery error is an `application/problem+json` \
        whose `code` is stable. Every POST that creates or moves something takes an `Idempotency-Key`."),
    components(schemas(Problem, ListOrder)),
    modifiers(&Schemes),
    tags(
        (name = "identity", description = "Accounts, sessions, roles"),
        (name = "keys", description = "Service accounts and their API keys"),
        (name = "catalog", description = "Products and categories"),
        (name = "customers", description = "The people who order"),
        (name = "inventory", description = "Stock, reservations, the ledger"),
        (name = "orders", description = "Placing, reading and moving orders"),
        (name = "events", description = "The feed of everything that happens"),
        (name = "graphql", description = "Reads that join orders, products, stock and customers"),
        (name = "webhooks", description = "Endpoints that get events, and what was delivered to them"),
        (name = "operations", description = "Queues, jobs, workers, the audit, the record of actions"),
        (name = "health", description = "For probes"),
    )
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |format: &str, description: &str| {
            let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(scheme.description(Some(description)).build())
        };
        let components = document.components.get_or_insert_default();
        let token = "The access token of a person: POST /v1/auth/login";
        components.add_security_scheme(TOKEN, bearer("JWT", token));
        let key = "The key of a service account, `mr_live_…` or `mr_test_…`. Each operation names the scope that the key needs; \
            `x:write` includes `x:read`";
        components.add_security_scheme(API_KEY, bearer("Millrace API key", key));
        components.headers.extend(operations::headers().map(|(name, header)| (name, header.into())));
    }
}

/// The document without any operation.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// What endpoints of webhooks get: each type of event as the body of a POST. `utoipa` has no place for this section.
fn webhooks() -> Value {
    let webhook = |event: EventType| {
        let body = json!({
            "type": "object",
            "required": ["id", "type", "timestamp", "subject", "sequence", "data"],
            "properties": {
                "id": { "type": "string", "description": "The same at each attempt, and in the feed" },
                "type": { "type": "string", "const": event.name },
                "timestamp": { "type": "string", "format": "date-time" },
                "subject": {
                    "type": "object", "required": ["type", "id"],
                    "properties": {
                        "type": { "type": "string", "const": event.subject },
                        "id": { "type": "string", "format": "uuid" },
                    },
                },
                "sequence": { "type": "integer", "description": "From 1 for each subject, without gaps" },
                "data": event.schema,
            },
        });
        let post = json!({
            "tags": ["events"], "summary": event.description,
            "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
            "responses": { "2XX": { "description": "The event was taken" } },
        });
        (event.name.to_owned(), json!({ "post": post }))
    };
    Value::Object(catalogue().into_iter().map(webhook).collect())
}

/// The document, written and compressed once, and the files of the page that shows it.
pub fn routes(document: &utoipa::openapi::OpenApi) -> Routes {
    let mut document = json!(document);
    document["webhooks"] = webhooks();
    let document = Asset::new("application/json", document.to_string());
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
