//! The OpenAPI document, generated from the handlers and their policies, and the page at /docs that shows it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::Config;

use crate::error::Problem;
use crate::operations::{self, TOKEN};
use crate::policy::{Access, Face, Policy};
use crate::router::Routes;

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

/// The document, written once, and the files of the page that shows it.
pub fn routes(document: &utoipa::openapi::OpenApi) -> Routes {
    let document = Bytes::from(document.to_json().expect("the document can be written as JSON"));
    let document = move || async move { ([(header::CONTENT_TYPE, "application/json")], document) };
    let config = Arc::new(Config::from("/openapi.json"));
    let index = config.clone();
    let (data, page) = (Policy::read(Access::Anyone), Policy::read(Access::Anyone).face(Face::Docs));
    Routes::default()
        .undocumented("/openapi.json", get(document), data)
        .undocumented("/docs", get(async || Redirect::to("/docs/")), page)
        .undocumented("/docs/", get(async move || file("", index)), page)
        .undocumented("/docs/{*file}", get(async move |Path(name): Path<String>| file(&name, config)), page)
}

/// A file of Swagger UI.
fn file(name: &str, config: Arc<Config<'static>>) -> Response {
    match utoipa_swagger_ui::serve(name, config) {
        Ok(Some(file)) => {
            let mut response = ([(header::CONTENT_TYPE, file.content_type)], file.bytes).into_response();
            if file.gzpipped {
                response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
            }
            response
        }
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "the file {name} of /docs cannot be served: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
