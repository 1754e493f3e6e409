//! The OpenAPI document, generated from the handlers, and the page that shows it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Redirect, Response};
use axum::routing::get;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa_swagger_ui::Config;

use crate::AppState;
use crate::error::{ApiError, ApiResult, PROBLEM_JSON, Problem};
use crate::surface::assets::Asset;

#[derive(OpenApi)]
#[openapi(
    info(title = "Millrace", description = "Takes orders, holds their stock, and carries them out: \
        never oversold, never lost, never twice.\n\nEvery error is an `application/problem+json` whose `code` is stable. \
        Every POST that creates or moves something takes an `Idempotency-Key`."),
    components(schemas(Problem)),
    modifiers(&Token),
    tags(
        (name = "identity", description = "Accounts, sessions, roles"),
        (name = "catalog", description = "Products and categories"),
        (name = "customers", description = "Who orders"),
        (name = "inventory", description = "Stock, reservations, the ledger"),
        (name = "orders", description = "Placing, reading, moving orders"),
        (name = "operations", description = "Queues, jobs, workers, the audit"),
        (name = "health", description = "For probes"),
    )
)]
struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// Adds the page and the document to the routes.
pub fn serve(routes: Router<AppState>, mut document: utoipa::openapi::OpenApi) -> Router<AppState> {
    complete(&mut document);
    let document = serde_json::to_vec(&document).expect("the document is JSON");
    let document = Asset::new("application/json", document);
    let page = Arc::new(Page::default());
    let start = page.clone();
    routes
        .route("/openapi.json", get(async move |headers: HeaderMap| document.answer(&headers).await))
        .route("/docs", get(|| async { Redirect::to("/docs/") }))
        .route("/docs/", get(async move |headers: HeaderMap| start.answer("index.html", &headers).await))
        .route(
            "/docs/{*file}",
            get(async move |Path(file): Path<String>, headers: HeaderMap| page.answer(&file, &headers).await),
        )
}

/// The files of Swagger UI, each read when it is first asked for.
#[derive(Default)]
struct Page(Mutex<HashMap<String, Arc<Asset>>>);

impl Page {
    async fn answer(&self, file: &str, headers: &HeaderMap) -> ApiResult<Response> {
        let asset = self.asset(file).ok_or_else(|| ApiError::of_status(StatusCode::NOT_FOUND))?;
        Ok(asset.answer(headers).await)
    }

    /// Only files that there are are kept, so nobody can fill the map with names of their own.
    fn asset(&self, file: &str) -> Option<Arc<Asset>> {
        let mut assets = self.0.lock().expect("no code panics while it holds the files");
        if let Some(asset) = assets.get(file) {
            return Some(asset.clone());
        }
        let found = utoipa_swagger_ui::serve(file, Arc::new(Config::new(["/openapi.json"]))).ok()??;
        let asset = Asset::new(&found.content_type, found.bytes.into_owned());
        assets.insert(file.to_owned(), asset.clone());
        Some(asset)
    }
}

/// What every operation has in common, said once here and not at each handler: a name of its own, what it may
/// answer, and that each refusal is a problem document.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        if let Some(operation) = item.post.as_mut().filter(|_| takes_a_key(path)) {
            add_key(operation);
        }
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            name(operation);
            if path.starts_with("/v1/") {
                add_common_answers(operation);
            }
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && status.starts_with(['4', '5'])
                    && let Some(problem) = response.content.shift_remove("application/json")
                {
                    response.content.insert(PROBLEM_JSON.to_owned(), problem);
                }
            }
        }
    }
}

/// Every POST creates or moves something, but for those that are about who is asking.
fn takes_a_key(path: &str) -> bool {
    path.starts_with("/v1/") && !path.starts_with("/v1/auth/") && !path.starts_with("/v1/me/")
}

fn add_key(operation: &mut Operation) {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Same key and same body within a day: the first answer again, and no second effect"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(255))))
        .example(Some("cart-7f3a-attempt-1".into()))
        .build();
    operation.parameters.get_or_insert_default().push(key.into());
    let replayed = HeaderBuilder::new()
        .description(Some("`true` when this is the first answer again"))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build();
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with('2')
        {
            response.headers.insert("Idempotent-Replayed".to_owned(), replayed.clone().into());
        }
    }
    add(operation, "409", "`request_in_progress`: another request with this key is still running");
    add(operation, "422", "`idempotency_key_reused`: the key came with another body before");
}

/// Handlers are named to be read with their module: two modules may each have a `list`.
fn name(operation: &mut Operation) {
    let module = operation.tags.iter().flatten().next().map_or("", String::as_str);
    let handler = operation.operation_id.as_deref().unwrap_or_default();
    operation.operation_id = Some(format!("{module}_{handler}"));
}

fn add_common_answers(operation: &mut Operation) {
    if operation.security.is_some() {
        add(operation, "401", "`unauthenticated`: the access token is missing, expired or not valid");
        add(operation, "403", "`forbidden`: the caller's role does not allow it");
    }
    if operation.request_body.is_some() {
        add(operation, "400", "`invalid_json`: the body is not JSON");
        add(operation, "408", "`request_timeout`: the body did not arrive in time");
        add(operation, "413", "`body_too_large`");
        add(operation, "415", "`unsupported_media_type`");
        add(operation, "422", "a field is not right: see `code` and `errors`");
    }
    let queried =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query);
    if operation.parameters.iter().flatten().any(queried) {
        add(operation, "422", "a parameter is not right, or not known: see `code` and `errors`");
    }
    add(operation, "429", "`rate_limited`: see `Retry-After`");
    add(operation, "500", "`internal`: our fault; the log has it under the request id");
    add(operation, "503", "`unavailable`: the database did not answer in time; see `Retry-After`");
    add(operation, "504", "`timeout`: the answer took too long");
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}
