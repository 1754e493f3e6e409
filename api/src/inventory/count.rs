//! Stock counts in bulk, as JSON or as CSV.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::error::Error;
use shared::invalid::Invalid;
use shared::inventory::bulk::{self, CountRow, Counted, Counts, MAX_ROWS};
use utoipa::ToSchema;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::Once;
use crate::extract::json;
use crate::extract::principal::Caller;
use crate::state::AppState;

/// Room for 10,000 rows with the longest SKUs, in JSON with every field.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Set stock to what was counted, all rows or none
///
/// As JSON or as CSV with a header: `sku` or `product_id`, `warehouse`, `quantity`, `at`. The answer names every row
/// that is not right; `items[0]` is the first.
#[utoipa::path(
    post, path = "/v1/inventory/bulk", tag = "inventory",
    request_body(content(
        (CountsBody = "application/json"),
        (String = "text/csv", example = "sku,warehouse,quantity\nMUG-STONE-350,EAST,40\n")
    )), responses(
    (status = 200, description = "How many rows were counted, and of those changed and created", body = Counted),
    (status = 422, description = "`product_not_found`, `warehouse_not_found`, `below_reserved`, `duplicate_row`, \
        `invalid_time`, `invalid_quantity`, … for each row, or `invalid_items`: not 1 to 10,000 rows", body = Problem),
))]
pub(super) async fn count(caller: Caller, OnceCounted(mut once): OnceCounted) -> ApiResult<Response> {
    let counted = bulk::count(&mut once.tx, &caller, std::mem::take(&mut once.body)).await?;
    once.answer(StatusCode::OK, &counted).await
}

/// Stock counts as JSON. The rows are read one by one, so that each that is wrong can be named.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"sku": "MUG-01", "warehouse": "EAST", "quantity": 40, "at": "2026-11-21T07:00:00Z"}]}))]
struct CountsBody {
    #[schema(value_type = Vec<CountRow>, min_items = 1, max_items = 10_000)]
    items: Vec<Value>,
}

/// Stock counts, in JSON or in CSV.
pub(super) struct OnceCounted(Once<Counts>);

impl FromRequest<AppState> for OnceCounted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let once = if is_csv(request.headers()) {
            Once::read(request, state, |_, _| Ok(()), csv).await
        } else {
            let parse = |bytes: &Bytes| Ok(counts(json::parse::<CountsBody>(bytes)?.items));
            Once::read(request, state, json::require_json, parse).await
        };
        once.map(Self)
    }
}

fn is_csv(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")
}

fn counts(rows: Vec<Value>) -> Counts {
    let asked = rows.len();
    if asked > MAX_ROWS {
        return Counts { asked, ..Counts::default() }; // Refused because there are too many; the rows do not matter.
    }
    let (rows, complaints) = json::each("items", rows);
    Counts { asked, rows, complaints }
}

const COLUMNS: [&str; 5] = ["sku", "product_id", "warehouse", "quantity", "at"];

/// Turns each record into the JSON object that would say the same, so that one set of rules reads both.
fn csv(bytes: &Bytes) -> ApiResult<Counts> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // As spreadsheets write it.
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let columns: Vec<String> = match reader.headers() {
        Ok(columns) => columns.iter().map(str::to_lowercase).collect(),
        Err(error) => return Err(Error::invalid("invalid_csv", format!("the header cannot be read: {error}")).into()),
    };
    require_columns(&columns)?;

    let mut broken = Vec::new();
    let mut rows = Vec::new();
    for (index, record) in reader.into_records().take(MAX_ROWS + 1).enumerate() {
        let record = record.unwrap_or_else(|error| {
            broken.push(Invalid::new("invalid_csv", error.to_string()).at(format!("items[{index}]")));
            csv::StringRecord::new()
        });
        rows.push(
            columns.iter().zip(&record).filter(|(_, text)| !text.is_empty()).map(cell).collect::<Map<_, _>>().into(),
        );
    }
    let mut counts = counts(rows);
    // A broken record was read as an empty one. Keep only the complaint that it is broken, not those about its emptiness.
    counts.complaints.retain(|complaint| !broken.iter().any(|broken| complaint.field.starts_with(&broken.field)));
    counts.complaints.extend(broken);
    Ok(counts)
}

fn require_columns(columns: &[String]) -> ApiResult<()> {
    let has = |column: &str| columns.iter().any(|given| given == column);
    let unknown = columns
        .iter()
        .enumerate()
        .find(|(index, column)| !COLUMNS.contains(&column.as_str()) || columns[..*index].contains(column));
    if let Some((_, column)) = unknown {
        let message = format!("the columns are {}, each once", COLUMNS.join(", "));
        return Err(Error::field(column, "unknown_field", message).into());
    }
    let missing = ["warehouse", "quantity"].into_iter().find(|column| !has(column));
    let missing = missing.or_else(|| (!has("sku") && !has("product_id")).then_some("sku"));
    match missing {
        Some(column) => Err(Error::field(column, "missing_field", "the header does not have this column").into()),
        None => Ok(()),
    }
}

fn cell((column, text): (&String, &str)) -> (String, Value) {
    let number = (column == "quantity").then(|| text.parse::<i64>().ok()).flatten();
    (column.clone(), number.map_or_else(|| text.into(), Value::from))
}
