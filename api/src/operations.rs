//! Completes the OpenAPI description of a route from its policy: security, common answers, the idempotency key.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, ResponseBuilder};

use crate::error::PROBLEM_JSON;
use crate::policy::{Access, KeyAccess, Policy};

/// The name of the security scheme.
pub const TOKEN: &str = "token";

/// Adds to an operation what follows from its policy and what all operations share: a unique name, who may call it,
/// `Idempotency-Key`, the common errors, and their content type.
pub fn complete(operation: &mut Operation, policy: &Policy) {
    name(operation);
    refuse_null(operation);
    if policy.access != Access::Anyone {
        operation.security = Some(vec![SecurityRequirement::new(TOKEN, Vec::<String>::new())]);
        add(operation, "401", "`unauthenticated`: the access token or API key is missing, expired or not valid");
        add(operation, "403", &refusals(policy.keys));
    }
    if policy.access == Access::Anyone && policy.keys == KeyAccess::Never {
        add(operation, "403", "`forbidden`: it came with an API key");
    }
    if policy.takes_key {
        add_key(operation);
    }
    add_common_answers(operation, policy);
    add_headers(operation, policy);
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && let Some(problem) = response.content.shift_remove("application/json")
        {
            response.content.insert(PROBLEM_JSON.to_owned(), problem);
        }
    }
}

/// A body can be left out if all of its fields can: an absent one counts as `{}`.
pub fn relax_body(operation: &mut Operation, schemas: &[(String, RefOr<Schema>)]) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    let is_optional = body.content.values().any(|content| {
        let RefOr::T(content) = content else { return false };
        let Some(RefOr::Ref(schema)) = &content.schema else { return false };
        let named = schemas.iter().find(|(name, _)| schema.ref_location.ends_with(&format!("/{name}")));
        matches!(named, Some((_, RefOr::T(Schema::Object(object)))) if object.required.is_empty())
    });
    if is_optional {
        body.required = Some(Required::False);
    }
}

/// Whom a route refuses, and which scope a key needs.
fn refusals(keys: KeyAccess) -> String {
    let role = "`forbidden`: the caller's role does not allow it";
    let address = "`address_not_allowed`: the API key is for other addresses";
    match keys {
        KeyAccess::Any => format!("{role}; {address}"),
        KeyAccess::With(scope) => format!("{role}; `insufficient_scope`: an API key needs `{scope}`; {address}"),
        KeyAccess::WithOrInPart(scope, in_part) => {
            format!(
                "{role}; `insufficient_scope`: an API key needs `{scope}`, or for a part of it `{in_part}`; {address}"
            )
        }
        KeyAccess::Never | KeyAccess::Unsaid => format!("{role}, or it is an API key; {address}"),
    }
}

fn add_key(operation: &mut Operation) {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Same key and same body within a day: the first answer again, and no second effect"))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(255))
                .pattern(Some("^[!-~]([ -~]*[!-~])?$")),
        ))
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

/// A parameter can be left out, but there is no null in an address or a header.
fn refuse_null(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema
            && let SchemaType::Array(types) = &mut schema.schema_type
        {
            types.retain(|kind| *kind != Type::Null);
            if let [only] = types.as_slice() {
                schema.schema_type = SchemaType::Type(only.clone());
            }
        }
    }
}

const RETRY_AFTER: &str = "Retry-After";

/// The headers of answers that many operations share, for the components of the document.
pub fn headers() -> impl Iterator<Item = (String, Header)> {
    let header = |(name, meaning): (&str, &str), schema: ObjectBuilder| {
        (name.to_owned(), HeaderBuilder::new().description(Some(meaning)).schema(Some(schema)).build())
    };
    let number = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let text = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(128));
    let numbers = RATE_LIMIT.into_iter().chain([(RETRY_AFTER, "Ask again after this many seconds")]);
    numbers
        .map(move |named| header(named, number()))
        .chain([header((REQUEST_ID, "The id of this request, as in our log: yours if you sent one"), text)])
}

const REQUEST_ID: &str = "X-Request-Id";

const RATE_LIMIT: [(&str, &str); 3] = [
    ("RateLimit-Limit", "Requests that the caller may send in a period; absent while rate limits are off"),
    ("RateLimit-Remaining", "Requests that are left of them"),
    ("RateLimit-Reset", "Seconds until all of them are back"),
];

fn add_headers(operation: &mut Operation, policy: &Policy) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let mut add = |name: &str| {
            let shared = Ref::new(format!("#/components/headers/{name}"));
            response.headers.entry(name.to_owned()).or_insert(RefOr::Ref(shared));
        };
        add(REQUEST_ID);
        if policy.class.is_some() {
            for (name, _) in RATE_LIMIT {
                add(name);
            }
        }
        if status == "429" || status == "503" {
            add(RETRY_AFTER);
        }
    }
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
