//! The OpenAPI document, generated from the handlers, and the page that shows it.

use axum::Router;
use utoipa::Modify;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoParams, OpenApi, ToSchema};
use utoipa_swagger_ui::SwaggerUi;

use crate::AppState;
use crate::error::Problem;

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
    add_common_answers(&mut document);
    routes.merge(SwaggerUi::new("/docs").url("/openapi.json", document))
}

/// What every operation may answer, said once here and not at each handler.
fn add_common_answers(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            if operation.security.is_some() {
                add(operation, "401", "`unauthenticated`: the access token is missing, expired or not valid");
                add(operation, "403", "`forbidden`: the caller's role does not allow it");
                add(operation, "429", "`rate_limited`: see `Retry-After`");
            }
            if operation.request_body.is_some() {
                add(operation, "400", "`invalid_json`: the body is not JSON");
                add(operation, "413", "`body_too_large`");
                add(operation, "415", "`unsupported_media_type`");
                add(operation, "422", "a field is not right: see `code` and `errors`");
            }
            add(operation, "503", "`unavailable`: the database did not answer in time; see `Retry-After`");
            add(operation, "500", "`internal`: our fault; the log has it under the request id");
        }
    }
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content("application/problem+json", content).build();
    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}

/// A page of a list.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `shared::page::List` is written as")]
pub struct ListOf<T> {
    pub data: Vec<T>,
    /// Give it as `cursor` for the next page; null on the last one
    pub next_cursor: Option<String>,
}

/// Which page of a list, and how long.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `json::Listed` reads")]
pub struct PageParams {
    /// Rows on a page, 50 if not given
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<i64>,
    /// `next_cursor` of the page before, with the same filters
    pub cursor: Option<String>,
}
