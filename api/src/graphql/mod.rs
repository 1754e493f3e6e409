//! GraphQL for reads: one query may join orders, products, stock and customers. What changes something stays in REST.
//!
//! A query passes, in this order, and nothing of it runs before the last: the size of its body, its nesting (`nesting`), the
//! parser, its depth and its cost (`shape`), validation, the caller's bucket of points (`gate`). Then each field asks its rule
//! (`rules`), and edges load what belongs to many parents together (`batch`, `loads`).

mod batch;
mod complete;
mod connection;
mod edges;
mod filters;
mod gate;
pub mod graphiql;
mod loads;
mod nesting;
mod nodes;
mod query;
pub mod rules;
mod run;
mod scalars;
mod shape;
mod table;

use std::sync::{Arc, LazyLock};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{EmptyMutation, EmptySubscription, Request, Response as Answered, Schema, Variables};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json as Answer};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::principal::Principal;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::json::Json;
use crate::extract::principal::Caller;
use crate::graphql::complete::Answering;
use crate::graphql::gate::Gate;
use crate::graphql::nesting::TooNested;
use crate::graphql::query::QueryRoot;
use crate::graphql::run::{QueryRun, RunOutcome};
use crate::graphql::shape::{AskedQuery, Refusal};
use crate::graphql::table::Table;
use crate::policy::{Access, KeyAccess, Policy};
use crate::router::Routes;
use crate::state::AppState;
use crate::surface::limits;
use crate::surface::request_id::RequestId;

/// A query of a few hundred fields. Larger ones only cost us the reading.
const BODY_LIMIT: usize = 16 * 1024;
/// The most that one query of a person may cost. An order with its lines and events is some 25 points.
const MOST_OF_A_PERSON: u64 = 2_000;
/// Keys read in bulk.
const MOST_OF_A_KEY: u64 = 10_000;

/// Each field asks a key for its scope.
pub fn routes() -> Routes {
    Routes::default().on(routes!(query), Policy::read(Access::SignedIn).keys(KeyAccess::Any).body_limit(BODY_LIMIT))
}

type Served = Schema<QueryRoot, EmptyMutation, EmptySubscription>;

static SCHEMA: LazyLock<Served> =
    LazyLock::new(|| Schema::build(QueryRoot, EmptyMutation, EmptySubscription).extension(Gate).finish());

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::of_schema(&sdl()));

/// The schema as text, for `docs/schema.graphql`.
pub fn sdl() -> String {
    SCHEMA.sdl()
}

/// Every field of the schema: the name of its object, and its own.
pub fn fields() -> Vec<(String, String)> {
    TABLE.fields().map(|(object, field)| (object.to_owned(), field.to_owned())).collect()
}

/// A query, as every GraphQL client sends it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = GraphqlQuery, example = json!({
    "query": "query ($first: Int) { orders(first: $first) { edges { node { number status total { amount } } } } }",
    "variables": { "first": 10 }
}))]
struct Sent {
    /// The document; only queries are answered
    #[schema(max_length = 16384)]
    query: String,
    /// Which operation of the document, if it has several
    operation_name: Option<String>,
    /// The values of the query's variables
    variables: Option<Map<String, Value>>,
}

/// What a query found. A field that is not there or not for the caller is null, and `errors` says why.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "data": { "order": null },
    "errors": [{
        "message": "there is no order with this id", "path": ["order"],
        "extensions": { "code": "order_not_found", "request_id": "019a4f70-1b00-7e52-8c11-3d9a6f2b4c01" }
    }],
    "extensions": { "cost": { "requested": 1, "limit": 2000, "remaining": 19999, "resets_in_ms": 3 } }
}))]
struct GraphqlAnswer {
    #[schema(value_type = Option<Object>)]
    data: async_graphql::Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<GraphqlError>,
    extensions: GraphqlExtensions,
}

/// Why a field is null.
#[derive(Debug, Serialize, ToSchema)]
struct GraphqlError {
    message: String,
    /// The field: names of fields, and places in lists
    #[schema(value_type = Vec<Value>)]
    path: Vec<async_graphql::PathSegment>,
    extensions: GraphqlErrorExtensions,
}

#[derive(Debug, Serialize, ToSchema)]
struct GraphqlErrorExtensions {
    /// As in REST
    #[schema(example = "order_not_found")]
    code: String,
    request_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct GraphqlExtensions {
    cost: QueryCost,
}

/// What the query cost, in points.
#[derive(Debug, Serialize, ToSchema)]
struct QueryCost {
    requested: u64,
    /// The most that one query of this caller may cost
    limit: u64,
    /// Points that the caller has left; null while rate limits are off
    remaining: Option<u32>,
    /// Until all of them are back; null while rate limits are off
    resets_in_ms: Option<u64>,
}

/// Query orders, products, stock and customers
///
/// GraphQL, for reads only: `docs/graphql.md` has the schema and what a query costs. Each field is seen by those who see it by
/// REST. A field that is not there or not for the caller is null, with an entry in `errors`; a query that is refused as a whole
/// is refused before anything of it runs.
#[utoipa::path(post, path = "/v1/graphql", tag = "graphql", request_body = Sent, responses(
    (status = 200, description = "What was found, also if some fields are null because of an error", body = GraphqlAnswer),
    (status = 400, description = "`invalid_query`: it does not parse or is not valid; `query_too_deep`: it has more than 10 levels; \
        `query_too_expensive`: it costs `requested` points, and `limit` are allowed; `answer_too_large`; `invalid_json`", body = Problem),
))]
async fn query(
    State(state): State<AppState>,
    caller: Caller,
    Extension(RequestId(request_id)): Extension<RequestId>,
    Json(sent): Json<Sent>,
) -> ApiResult<Response> {
    run_query(state, caller, request_id, sent).await
}

async fn run_query(state: AppState, caller: Caller, request_id: String, sent: Sent) -> ApiResult<Response> {
    let variables = Variables::from_json(Value::Object(sent.variables.unwrap_or_default()));
    let document = parse(&sent.query)?;
    let asked = AskedQuery {
        document: &document,
        operation_name: sent.operation_name.as_deref(),
        variables: &variables,
        may_introspect: !caller.is_customer() || !state.settings.is_public(),
    };
    let operation = shape::selected(&asked).map_err(refusal)?;
    let cost = shape::cost(&TABLE, &asked, operation).map_err(refusal)?;
    let limit = most_of(&caller);
    let affordable = u32::try_from(cost).ok().filter(|_| cost <= limit).ok_or_else(|| too_expensive(cost, limit))?;

    let run = Arc::new(QueryRun::new(state, caller.0, request_id, affordable));
    let mut request = Request::new(sent.query).variables(variables.clone()).data(run.clone());
    request.operation_name.clone_from(&sent.operation_name);
    request.set_parsed_query(document.clone());
    let mut answered = batch::drive(SCHEMA.execute(request), || run.start_batches()).await;
    let answering = Answering { table: &TABLE, document: &document, operation: &operation.node, variables: &variables };
    answered.data = answering.complete(answered.data);
    answer(&run, answered, limit)
}

fn parse(query: &str) -> ApiResult<ExecutableDocument> {
    nesting::check(query).map_err(|nested| match nested {
        TooNested::Braces => refusal(Refusal::TooDeep),
        TooNested::Lists => invalid("its brackets are nested too deeply"),
    })?;
    parse_query(query).map_err(|error| invalid(&error.to_string()))
}

fn most_of(caller: &Principal) -> u64 {
    if caller.service_account().is_some() { MOST_OF_A_KEY } else { MOST_OF_A_PERSON }
}

fn refusal(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Invalid(message) => invalid(&message),
        Refusal::TooDeep => {
            let detail = "the query has more than 10 levels; ask for what lies deeper in a query of its own";
            ApiError::new(StatusCode::BAD_REQUEST, "query_too_deep", detail)
        }
    }
}

fn invalid(message: &str) -> ApiError {
    /// Messages of the parser quote the query.
    const LONGEST: usize = 500;
    let message: String = message.chars().take(LONGEST).collect();
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", format!("the query is not valid: {message}"))
}

fn too_expensive(requested: u64, limit: u64) -> ApiError {
    let detail = format!("the query costs {requested} points, and one query may cost {limit}; ask for smaller pages");
    let mut error = ApiError::new(StatusCode::BAD_REQUEST, "query_too_expensive", detail);
    error.members.extend([("requested".to_owned(), requested.into()), ("limit".to_owned(), limit.into())]);
    error
}

fn answer(run: &QueryRun, answered: Answered, limit: u64) -> ApiResult<Response> {
    let outcome = run.take_outcome();
    if !outcome.was_valid {
        let messages: Vec<&str> = answered.errors.iter().take(5).map(|error| error.message.as_str()).collect();
        return Err(invalid(&messages.join("; ")));
    }
    let refused = outcome.standing.as_ref().and_then(limits::refusal);
    let mut response = match refused {
        Some(refused) => refused.into_response(),
        None if run.is_too_large() => ApiError::from(run::too_large()).into_response(),
        None => Answer(body(run, answered, &outcome, limit)).into_response(),
    };
    if let Some(standing) = &outcome.standing {
        limits::add_headers(&mut response, standing);
    }
    Ok(response)
}

fn body(run: &QueryRun, answered: Answered, outcome: &RunOutcome, limit: u64) -> GraphqlAnswer {
    let errors = outcome.errors.iter().chain(&answered.errors);
    let errors = errors.map(|error| GraphqlError {
        message: error.message.clone(),
        path: error.path.clone(),
        extensions: GraphqlErrorExtensions { code: code(error), request_id: run.request_id().to_owned() },
    });
    let resets_in = outcome.standing.map(|standing| standing.reset.as_millis());
    let cost = QueryCost {
        requested: run.cost().into(),
        limit,
        remaining: outcome.standing.map(|standing| standing.remaining),
        resets_in_ms: resets_in.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)),
    };
    GraphqlAnswer { data: answered.data, errors: errors.collect(), extensions: GraphqlExtensions { cost } }
}

/// Ours have a code. The others are about an argument that cannot be read.
fn code(error: &async_graphql::ServerError) -> String {
    match error.extensions.as_ref().and_then(|extensions| extensions.get("code")) {
        Some(async_graphql::Value::String(code)) => code.clone(),
        _ => "invalid_value".to_owned(),
    }
}
