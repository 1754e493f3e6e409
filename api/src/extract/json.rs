//! Request bodies, query strings and path parameters, parsed strictly. An error names the field and says what is wrong.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use shared::error::Error;
use shared::invalid::{FieldError, Invalid};
use shared::page::Page;

use crate::error::{ApiError, ApiResult};

/// A JSON body. An absent body counts as `{}`, so it can be left out if every field is optional.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        require_json(request.headers(), request.body())?;
        parse(&read(request, state).await?).map(Self)
    }
}

/// Reads a body up to the limit of its route.
pub async fn read<S: Send + Sync>(request: Request, state: &S) -> ApiResult<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::of_status(StatusCode::PAYLOAD_TOO_LARGE)
        }
        _ => incomplete(),
    })
}

/// As `read`, into one buffer. axum's reader keeps all chunks until it has copied them, so it needs the memory twice.
pub async fn read_large(request: Request, limit: usize) -> ApiResult<Bytes> {
    let too_large = || ApiError::of_status(StatusCode::PAYLOAD_TOO_LARGE);
    let announced = usize::try_from(request.body().size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(announced);
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| incomplete())?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

fn incomplete() -> ApiError {
    let detail = "the connection ended before the whole body arrived";
    ApiError::new(StatusCode::BAD_REQUEST, "incomplete_body", detail)
}

pub fn require_json(headers: &HeaderMap, body: &Body) -> ApiResult<()> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") || (kind.is_empty() && body.is_end_stream()) {
        return Ok(());
    }
    Err(ApiError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}

pub fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    refuse_nul(body)?;
    parse_large(body)
}

/// As `parse`, for a body whose rows `parse_row` reads one by one. It never holds the whole body as a tree, which would
/// take a hundred times the memory of the text.
pub fn parse_large<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    require_object(body)?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        complaint(&path, error.into_inner())
    })?;
    reader.end().map_err(|error| complaint("", error))?;
    Ok(parsed)
}

/// A row has a few fields. Longer ones are refused before they are parsed, so that a row cannot take much memory.
pub const MAX_ROW_BYTES: usize = 16 * 1024;

/// Parses one row of a list by itself, so that each wrong row can be named. `place` is the row's, such as `items[7]`.
pub fn parse_row<T: DeserializeOwned>(place: &str, row: &str) -> Result<T, FieldError> {
    if row.len() > MAX_ROW_BYTES {
        return Err(Invalid::new("invalid_value", format!("a row has at most {MAX_ROW_BYTES} bytes")).at(place));
    }
    if !row.starts_with('{') {
        return Err(Invalid::new("invalid_value", "it must be a JSON object").at(place));
    }
    if row.contains(r"\u0000")
        && let Ok(value) = serde_json::from_str::<Value>(row)
        && let Some(path) = path_of_nul(&value)
    {
        return Err(Invalid::new("invalid_text", "it contains a NUL character").at(format!("{place}{path}")));
    }
    let mut reader = serde_json::Deserializer::from_str(row);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let below = field_error(&error.path().to_string(), without_position(&error.inner().to_string()));
        let field = if below.field.is_empty() { place.to_owned() } else { format!("{place}.{}", below.field) };
        FieldError { field, ..below }
    })
}

/// Serde would also accept an array with the fields in order, which no client sends on purpose.
fn require_object(body: &[u8]) -> ApiResult<()> {
    if body.trim_ascii_start().first() == Some(&b'{') {
        return Ok(());
    }
    serde_json::from_slice::<IgnoredAny>(body).map_err(|error| complaint("", error))?;
    Err(Error::invalid("invalid_body", "the body must be a JSON object").into())
}

/// Postgres cannot store NUL in text. We search for its JSON escape first, because parsing the body twice is only
/// needed if it is there.
fn refuse_nul(body: &[u8]) -> ApiResult<()> {
    const ESCAPED: &[u8] = br"\u0000";
    if !body.windows(ESCAPED.len()).any(|window| window == ESCAPED) {
        return Ok(());
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => match path_of_nul(&value) {
            Some(path) => {
                Err(Error::field(path.trim_start_matches('.'), "invalid_text", "it contains a NUL character").into())
            }
            None => Ok(()), // The backslash was itself escaped.
        },
        Err(error) => Err(complaint("", error)),
    }
}

fn path_of_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(index, value)| Some(format!("[{index}]{}", path_of_nul(value)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                return Some(String::new());
            }
            Some(format!(".{name}{}", path_of_nul(value)?))
        }),
        _ => None,
    }
}

/// Turns serde's error into ours: a field error if a field is at fault, else a syntax error.
fn complaint(path: &str, error: serde_json::Error) -> ApiError {
    if !error.is_data() {
        let detail = format!("the body is not JSON: {error}");
        return ApiError::new(StatusCode::BAD_REQUEST, "invalid_json", detail);
    }
    Error::InvalidFields(vec![field_error(path, without_position(&error.to_string()))]).into()
}

/// The message of an error of `serde_json`. The line and the column help nobody who has a field's path.
fn without_position(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |end| &message[..end])
}

/// Turns the message of a deserialization error into a field error.
///
/// Errors of our own value types read `code: sentence`. Errors of serde are plain English without a code, so this
/// recognises them by the beginning of their message (`unknown field`, `missing field`, `duplicate field`). That
/// depends on serde's wording; the test below has each phrase and fails if an update changes one.
fn field_error(path: &str, message: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    let quoted = || message.split('`').nth(1).unwrap_or_default();
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
        path => format!("{path}.{name}"),
    };
    let (field, code, message) = if message.starts_with("unknown field") {
        (below(quoted()), "unknown_field", message.to_owned())
    } else if message.starts_with("missing field") {
        (below(quoted()), "missing_field", "it is missing".to_owned())
    } else if message.starts_with("duplicate field") {
        (below(quoted()), "duplicate_field", "it is given twice".to_owned())
    } else {
        match message.split_once(": ") {
            Some((code, sentence)) if !code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                (path.to_owned(), code, sentence.to_owned())
            }
            _ => (path.to_owned(), "invalid_value", message.to_owned()),
        }
    };
    FieldError { field, code: code.to_owned(), message }
}

/// A query string. Unknown parameters are refused: a misspelt filter would otherwise return everything.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// The filters of a list, and the page.
pub struct Listed<T> {
    pub filter: T,
    pub page: Page,
}

/// For a list without filters: any parameter besides `limit` and `cursor` is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoFilter {}

/// For a request whose address says everything: its body may be absent or `{}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoBody {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Listed<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let pairs: Vec<(String, String)> = parse_query(parts.uri.query().unwrap_or_default())?;
        let (paging, mut filters): (Vec<_>, Vec<_>) =
            pairs.into_iter().partition(|(name, _)| name == "limit" || name == "cursor");
        filters.sort();
        let last = |wanted: &str| paging.iter().rfind(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let limit = last("limit").map(|limit| {
            limit.parse().map_err(|_| Error::field("limit", "invalid_limit", "it is a whole number from 1 to 500"))
        });
        let filters = serde_urlencoded::to_string(&filters).expect("pairs of text can be serialized");
        let list = format!("{}?{filters}", parts.uri.path());
        let page = Page::parse(limit.transpose()?, last("cursor"), &list)?;
        Ok(Self { filter: parse_query(&filters)?, page })
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> ApiResult<T> {
    if query.contains("%00") {
        return Err(Error::invalid("invalid_text", "the query contains a NUL character").into());
    }
    let pairs = form_pairs(query);
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().to_string();
        Error::InvalidFields(vec![field_error(&path, &error.into_inner().to_string())]).into()
    })
}

fn form_pairs(query: &str) -> serde_urlencoded::Deserializer<'_> {
    serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()))
}

/// The parameters of a path. An id that cannot be parsed does not exist, so the answer is 404.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(path)) => Ok(Self(path)),
            Err(_) => Err(ApiError::of_status(StatusCode::NOT_FOUND)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::values::Quantity;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how it is refused is looked at")]
    struct Basket {
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only how it is refused is looked at")]
    struct Item {
        sku: String,
        quantity: Quantity,
    }

    #[test]
    fn complaints_name_the_field_and_the_reason() {
        let deep = "[".repeat(10_000);
        for (body, status, code, field) in [
            ("", 422, "missing_field", "items"),
            ("{", 400, "invalid_json", ""),
            ("nonsense", 400, "invalid_json", ""),
            (deep.as_str(), 400, "invalid_json", ""),
            (r#"{"items": []} x"#, 400, "invalid_json", ""),
            ("[]", 422, "invalid_body", ""),
            ("null", 422, "invalid_body", ""),
            (r#"{"items": 3}"#, 422, "invalid_value", "items"),
            (r#"{"items": [{"sku": "a"}]}"#, 422, "missing_field", "items[0].quantity"),
            (
                r#"{"items": [{"sku": "a", "quantity": 1}, {"sku": "a", "quantity": 0}]}"#,
                422,
                "invalid_quantity",
                "items[1].quantity",
            ),
            (r#"{"items": [{"sku": "a", "quantity": 1e400}]}"#, 400, "invalid_json", ""),
            (
                r#"{"items": [{"sku": "a", "quantity": 99999999999999999999}]}"#,
                422,
                "invalid_value",
                "items[0].quantity",
            ),
            (r#"{"items": [{"sku": "a", "quantity": 1.5}]}"#, 422, "invalid_value", "items[0].quantity"),
            (r#"{"items": [{"sku": "a", "quantity": "1"}]}"#, 422, "invalid_value", "items[0].quantity"),
            (r#"{"items": [{"sku": "a\u0000b", "quantity": 1}]}"#, 422, "invalid_text", "items[0].sku"),
            (r#"{"items": [{"sku": "a", "quantity": 1, "colour": 1}]}"#, 422, "unknown_field", "items[0].colour"),
            (r#"{"items": [], "coupon": 1}"#, 422, "unknown_field", "coupon"),
            (r#"{"items": [], "items": []}"#, 422, "duplicate_field", "items"),
            (r#"{"items": [{"sku": "a", "sku": "b", "quantity": 1}]}"#, 422, "duplicate_field", "items[0].sku"),
        ] {
            let error = parse::<Basket>(body.as_bytes()).unwrap_err();
            let named = error.errors.first().map_or("", |error| error["field"].as_str().unwrap());
            assert_eq!((error.status.as_u16(), error.code.as_str(), named), (status, code, field), "{body:.80}");
        }
    }
}
