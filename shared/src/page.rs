//! Keyset pages: a cursor names the last row of a page instead of a number of rows to skip. So page 10,000 costs as much as
//! page 1, and new rows do not shift the pages. Writes no table.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::{Error, Result};

pub const DEFAULT_LIMIT: i64 = 50;
/// A larger page is slow for the client and expensive for us.
pub const MAX_LIMIT: i64 = 500;

/// The start and the length of a page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    pub limit: i64,
    pub after: Option<Position>,
    filter: [u8; 8],
}

/// The last row of the previous page: its id, and the value that the list is sorted by if that is not the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub rank: i64,
    pub id: Uuid,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    pub data: Vec<T>,
    /// Send it as `cursor`, with the same filters, to get the next page; null on the last page
    #[schema(example = "AZpPblsgfESPPSprnB59EG1pbGxyYWNl")]
    pub next_cursor: Option<String>,
}

/// The query parameters of every list, for the documentation; `Page::parse` reads them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The most rows in a page
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<i64>,
    /// The `next_cursor` of the previous page, with the same filters
    #[param(pattern = "^[A-Za-z0-9_-]{43}$")]
    pub cursor: Option<String>,
}

impl Page {
    /// `filter` is the text of all other parameters: a cursor is valid only with the filters of the page it came from.
    pub fn parse(limit: Option<i64>, cursor: Option<&str>, filter: &str) -> Result<Self> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::field("limit", "invalid_limit", format!("it must be from 1 to {MAX_LIMIT}")));
        }
        let digest = Sha256::digest(filter.as_bytes());
        let filter = digest[..8].try_into().expect("a digest has more than 8 bytes");
        let after = cursor.map(|cursor| decode(cursor, filter)).transpose()?;
        Ok(Self { limit, after, filter })
    }

    pub fn after_id(&self) -> Option<Uuid> {
        self.after.map(|position| position.id)
    }

    /// The number of rows to fetch: one more than the page holds, which shows whether there is a next page.
    pub fn fetch(&self) -> i64 {
        self.limit + 1
    }

    /// Makes a page from up to `fetch()` rows.
    pub fn list<T>(&self, mut rows: Vec<T>, position: impl Fn(&T) -> Position) -> List<T> {
        let limit = usize::try_from(self.limit).expect("a limit is from 1 to 500");
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|last| encode(position(last), self.filter));
        List { data: rows, next_cursor }
    }
}

impl Page {
    /// The cursor of one row: the next page begins after it.
    pub fn cursor(&self, position: Position) -> String {
        encode(position, self.filter)
    }

    /// A page that ends before its limit, where so many rows were looked at that the rest is left for the next page.
    pub fn ending_at<T>(&self, rows: Vec<T>, position: Position) -> List<T> {
        List { data: rows, next_cursor: Some(encode(position, self.filter)) }
    }
}

impl<T> List<T> {
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> List<U> {
        List { data: self.data.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

impl From<Uuid> for Position {
    fn from(id: Uuid) -> Self {
        Self { rank: 0, id }
    }
}

fn encode(position: Position, filter: [u8; 8]) -> String {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(position.rank.to_be_bytes());
    bytes.extend(position.id.as_bytes());
    bytes.extend(filter);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(cursor: &str, filter: [u8; 8]) -> Result<Position> {
    let wrong = || {
        let message = "this is not a cursor of this list with these filters; start again without a cursor";
        Error::field("cursor", "invalid_cursor", message)
    };
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|b| b.try_into().ok()).ok_or_else(wrong)?;
    if bytes[24..] != filter {
        return Err(wrong());
    }
    let rank = i64::from_be_bytes(bytes[..8].try_into().expect("8 bytes"));
    let id = Uuid::from_slice(&bytes[8..24]).expect("16 bytes");
    Ok(Position { rank, id })
}

/// The ids of rows that were created in a range of time, a minute wider on both sides.
///
/// An id begins with a time, so a list that is sorted by id finds a range of time by its index. The statement must also
/// compare the time of the row, which may differ from that of the id by the length of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct IdRange {
    pub low: Option<Uuid>,
    pub high: Option<Uuid>,
}

impl IdRange {
    pub fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Self {
        let slack = Duration::minutes(1);
        Self {
            low: from.and_then(|from| from.checked_sub_signed(slack)).map(first_id_at),
            high: to.and_then(|to| to.checked_add_signed(slack)).map(first_id_at),
        }
    }
}

/// The smallest id that can be made at this time.
pub(crate) fn first_id_at(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        let page = Page::parse(Some(2), None, "status=paid").unwrap();
        let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let list = page.list(ids.to_vec(), |id| Position { rank: -7, id: *id });
        assert_eq!(list.data, ids[..2]);
        let next = Page::parse(Some(2), list.next_cursor.as_deref(), "status=paid").unwrap();
        assert_eq!(next.after, Some(Position { rank: -7, id: ids[1] }));
        assert!(page.list(ids[..2].to_vec(), |id| (*id).into()).next_cursor.is_none());
    }

    #[test]
    fn a_cursor_is_bound_to_its_filter() {
        let page = Page::parse(Some(1), None, "a").unwrap();
        let cursor = page.list(vec![Uuid::now_v7(), Uuid::now_v7()], |id| (*id).into()).next_cursor;
        assert_eq!(Page::parse(Some(1), cursor.as_deref(), "b").unwrap_err().code(), "invalid_cursor");
        for wrong in ["", "x", "AAAA", "%%%"] {
            assert_eq!(Page::parse(None, Some(wrong), "a").unwrap_err().code(), "invalid_cursor");
        }
    }

    #[test]
    fn limits_have_bounds() {
        for (limit, fine) in [(1, true), (500, true), (501, false), (0, false), (-1, false)] {
            assert_eq!(Page::parse(Some(limit), None, "").is_ok(), fine, "{limit}");
        }
    }
}
