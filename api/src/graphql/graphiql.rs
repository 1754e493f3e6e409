//! GraphiQL: a page of the console where staff try out queries. It is there in development only, that is, if no other
//! machine can reach the API.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json as Answer};
use serde_json::json;
use shared::principal::Permission;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;
use web::rule::Site;

use super::{BODY_LIMIT, Sent, run_query};
use crate::error::{ApiError, ApiResult};
use crate::extract::json::Json;
use crate::extract::principal::Caller;
use crate::pages;
use crate::policy::{Access, Face, Policy};
use crate::router::Routes;
use crate::state::AppState;
use crate::surface::assets::Asset;
use crate::surface::request_id::RequestId;

pub const PATH: &str = "/console/graphiql";
const FILES: &str = "/console/graphiql/{file}";

/// GraphiQL writes inline styles, and text as markup that it has made harmless itself.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

macro_rules! file {
    ($name:literal, $kind:literal) => {
        ($name, Asset::new($kind, include_bytes!(concat!("graphiql/", $name)).as_slice()))
    };
}

static ASSETS: LazyLock<HashMap<&str, Arc<Asset>>> = LazyLock::new(|| {
    HashMap::from([
        file!("graphiql.min.css", "text/css; charset=utf-8"),
        file!("start.css", "text/css; charset=utf-8"),
        file!("react.min.js", "text/javascript; charset=utf-8"),
        file!("react-dom.min.js", "text/javascript; charset=utf-8"),
        file!("graphiql.min.js", "text/javascript; charset=utf-8"),
        file!("start.js", "text/javascript; charset=utf-8"),
    ])
});

pub fn routes(public_url: Option<&str>) -> Routes {
    let staff = Policy::read(Access::Needs(Permission::OrdersRead)).face(Face::Html(Site::Console));
    Routes::default()
        .page(Method::GET, PATH, get(page), staff)
        .page(Method::POST, PATH, post(query).layer(pages::own_forms_only(public_url)), staff.body_limit(BODY_LIMIT))
        .undocumented(FILES, get(file), Policy::read(Access::Anyone).face(Face::Asset))
}

async fn page() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, CSP)];
    (headers, include_str!("graphiql/page.html")).into_response()
}

/// Like `POST /v1/graphql`, but by the cookie of the console. GraphiQL shows `errors`, so a refusal has that form.
async fn query(
    state: State<AppState>,
    caller: Caller,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Json(sent): Json<Sent>,
) -> Response {
    run_query(state.0, caller, request_id, sent).await.unwrap_or_else(|refused| {
        let error = json!({ "message": refused.detail, "extensions": { "code": refused.code } });
        Answer(json!({ "errors": [error] })).into_response()
    })
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> ApiResult<Response> {
    let asset = ASSETS.get(name.as_str()).ok_or_else(|| ApiError::of_status(StatusCode::NOT_FOUND))?;
    Ok(asset.answer(&headers).await)
}
