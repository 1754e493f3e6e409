//! Stock counts in bulk, as JSON or as CSV.

use std::fmt;
use std::time::Duration;

use axum::Json as Answer;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use shared::error::Error;
use shared::idempotency::BodyHash;
use shared::invalid::Invalid;
use shared::inventory::bulk::{self, CountOptions, CountRow, Counted, Counts, MAX_ROWS};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::error::{ApiResult, Problem};
use crate::extract::idempotent::{self, Once, Reading, ReceivedBody};
use crate::extract::json::{self, Query};
use crate::extract::principal::Caller;
use crate::state::AppState;

/// Room for 10,000 rows with the longest SKUs, in JSON with every field.
pub const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Set stock to what was counted, all rows or none
///
/// As JSON or as CSV with a header: `sku` or `product_id`, `warehouse`, `quantity`, `at`. The answer names every row
/// that is not right; `items[0]` is the first.
#[utoipa::path(
    post, path = "/v1/inventory/bulk", tag = "inventory", params(CountOptions),
    request_body(content(
        (CountsBody = "application/json"),
        (String = "text/csv", example = "sku,warehouse,quantity\nMUG-STONE-350,EAST,40\n")
    )), responses(
    (status = 200, description = "How many rows were counted, and of those changed and created", body = Counted),
    (status = 422, description = "`product_not_found`, `warehouse_not_found`, `below_reserved`, `duplicate_row`, \
        `invalid_time`, `invalid_quantity`, … for each row, or `invalid_items`: not 1 to 10,000 rows", body = Problem),
    (status = 503, description = "`overloaded`: another bulk count takes long; see `Retry-After`", body = Problem),
))]
pub(super) async fn count(
    caller: Caller,
    Query(options): Query<CountOptions>,
    OnceCounted(mut once): OnceCounted,
) -> ApiResult<Response> {
    let counted = bulk::count(&mut once.tx, &caller, std::mem::take(&mut once.body)).await?;
    if options.dry_run.unwrap_or(false) {
        // The transaction is rolled back, and the key is free again.
        return Ok(Answer(counted).into_response());
    }
    once.answer(StatusCode::OK, &counted).await
}

/// Stock counts as JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"items": [{"sku": "MUG-01", "warehouse": "EAST", "quantity": 40, "at": "2026-11-21T07:00:00Z"}]}))]
struct CountsBody {
    #[schema(value_type = Vec<CountRow>, min_items = 1, max_items = 10_000)]
    items: Rows,
}

/// The rows of a body. They are read one by one, so that each that is wrong can be named, and no further than one row too
/// many: the body may have millions.
#[derive(Debug)]
struct Rows(Counts);

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ReadRows).map(Self)
    }
}

struct ReadRows;

impl<'de> Visitor<'de> for ReadRows {
    type Value = Counts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Counts, A::Error> {
        let mut counts = Counts::default();
        while let Some(row) = rows.next_element::<&RawValue>()? {
            add(&mut counts, row.get()).map_err(serde::de::Error::custom)?;
        }
        Ok(counts)
    }
}

/// Adds a row to the counts, or what is wrong with it.
fn add(counts: &mut Counts, row: &str) -> Result<(), Invalid> {
    let place = next_place(counts)?;
    match json::parse_row(&place, row) {
        Ok(row) => counts.rows.push((counts.asked - 1, row)),
        Err(complaint) => counts.complaints.push(complaint),
    }
    Ok(())
}

/// Counts one more row, and names it. Fails if that is one too many.
fn next_place(counts: &mut Counts) -> Result<String, Invalid> {
    if counts.asked == MAX_ROWS {
        return Err(Invalid::new("invalid_items", format!("there are from 1 to {MAX_ROWS} of them")));
    }
    counts.asked += 1;
    Ok(format!("items[{}]", counts.asked - 1))
}

/// How long a bulk count waits until others have been read.
const WAIT_FOR_TURN: Duration = Duration::from_secs(5);

/// Stock counts, in JSON or in CSV. A process reads one at a time, since a body may have 16 MiB.
pub(super) struct OnceCounted(Once<Counts>);

impl FromRequest<AppState> for OnceCounted {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = tokio::time::timeout(WAIT_FOR_TURN, TURN.lock()).await;
        let turn = turn.map_err(|_elapsed| idempotent::failed(Error::Overloaded))?;
        let hash = BodyHash::of_bytes;
        let reading = if is_csv(request.headers()) {
            Reading { check: |_, _| Ok(()), large: true, parse: |bytes| csv(bytes), hash }
        } else {
            let parse = |bytes: &Bytes| Ok(json::parse_large::<CountsBody>(bytes)?.items.0);
            Reading { check: json::require_json, large: true, parse, hash }
        };
        let received = ReceivedBody::read(request, state, reading).await?;
        drop(turn);
        received.begin(&state.db).await.map(Self)
    }
}

fn is_csv(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/csv")
}

const COLUMNS: [&str; 5] = ["sku", "product_id", "warehouse", "quantity", "at"];

/// Turns each record into the JSON object that would say the same, so that one set of rules reads both.
fn csv(bytes: &Bytes) -> ApiResult<Counts> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes); // As spreadsheets write it.
    // A line of a million fields would take much memory before it is refused.
    if bytes.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| line.len() > json::MAX_ROW_BYTES) {
        let message = format!("a line has at most {} bytes", json::MAX_ROW_BYTES);
        return Err(Error::invalid("invalid_csv", message).into());
    }
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let columns: Vec<String> = match reader.headers() {
        Ok(columns) => columns.iter().map(str::to_lowercase).collect(),
        Err(error) => return Err(Error::invalid("invalid_csv", format!("the header cannot be read: {error}")).into()),
    };
    require_columns(&columns)?;

    let mut counts = Counts::default();
    for record in reader.into_records() {
        let added = match record {
            Ok(record) => {
                let cells = columns.iter().zip(&record).filter(|(_, text)| !text.is_empty()).map(cell);
                add(&mut counts, &Value::from(cells.collect::<Map<_, _>>()).to_string())
            }
            Err(error) => next_place(&mut counts).map(|place| {
                counts.complaints.push(Invalid::new("invalid_csv", error.to_string()).at(place));
            }),
        };
        added.map_err(|too_many| Error::InvalidFields(vec![too_many.at("items")]))?;
    }
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
