//! Completes the OpenAPI description of a route from its policy: security, common answers, the idempotency key.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};

use crate::error::PROBLEM_JSON;
use crate::policy::{Access, Policy};

/// The name of the security scheme.
pub const TOKEN: &str = "token";

/// Adds to an operation what follows from its policy and what all operations share: a unique name, who may call it,
/// `Idempotency-Key`, the common errors, and their content type.
pub fn complete(operation: &mut Operation, policy: &Policy) {
    name(operation);
    if policy.access != Access::Anyone {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
        add(operation, "401", "`unauthenticated`: the access token is missing, expired or not valid");
        add(operation, "403", "`forbidden`: the caller's role does not allow it");
    }
    if policy.takes_key {
        add_key(operation);
    }
    add_common_answers(operation, policy);
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && let Some(problem) = response.content.shift_remove("application/json")
        {
            response.content.insert(PROBLEM_JSON.to_owned(), problem);
        }
    }
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

/// Two modules may have handlers of the same name, so the tag is put before it.
fn name(operation: &mut Operation) {
    let module = operation.tags.iter().flatten().next().map_or("", String::as_str);
    let handler = operation.operation_id.as_deref().unwrap_or_default();
    operation.operation_id = Some(format!("{module}_{handler}"));
}

fn add_common_answers(operation: &mut Operation, policy: &Policy) {
    if operation.request_body.is_some() {
        add(operation, "400", "`invalid_json`: the body is not JSON");
        add(operation, "408", "`request_timeout`: the body did not arrive in time");
        add(operation, "413", &format!("`body_too_large`: it has more than {} KiB", policy.body_limit / 1024));
        add(operation, "415", "`unsupported_media_type`");
        add(operation, "422", "a field is not right: see `code` and `errors`");
    }
    let queried =
        |parameter: &RefOr<Parameter>| matches!(parameter, RefOr::T(it) if it.parameter_in == ParameterIn::Query);
    if operation.parameters.iter().flatten().any(queried) {
        add(operation, "422", "a parameter is not right, or not known: see `code` and `errors`");
    }
    if policy.class.is_some() {
        add(operation, "429", "`rate_limited`: see `Retry-After`");
    }
    add(operation, "500", "`internal`: our fault; the log has it under the request id");
    add(operation, "503", "`unavailable`: the database did not answer in time; see `Retry-After`");
    add(operation, "504", "`timeout`: the answer took too long");
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
    operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}
