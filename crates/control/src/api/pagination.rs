//! Lists: opaque cursors, and a limit that is always there.

use std::str::FromStr;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use poem_openapi::{
    Object,
    types::{Example, ParseFromJSON, ToJSON},
};

use super::problem::{Problem, ProblemKind};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// One page of a list.
#[derive(Debug, Object)]
#[oai(example)]
pub(crate) struct Page<T: ParseFromJSON + ToJSON + Example> {
    /// The entries, at most `limit`.
    data: Vec<T>,
    /// What to send as `cursor` for the next page; null on the last.
    next_cursor: Option<String>,
}

impl<T: ParseFromJSON + ToJSON + Example> Example for Page<T> {
    fn example() -> Self {
        Self { data: vec![T::example()], next_cursor: Some("ZXBfMDFqZDJ4OXZxM203azhuNXA0cjZzMHQxdzI".to_owned()) }
    }
}

/// Which page was asked for. `C` is the last entry of the page before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageRequest<C> {
    /// Where the page before ended.
    pub after: Option<C>,
    limit: u32,
}

impl<C: FromStr> PageRequest<C> {
    /// Reads the parameters `cursor` and `limit`.
    pub fn parse(cursor: Option<&str>, limit: Option<u32>) -> Result<Self, Problem> {
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Problem::new(ProblemKind::BadRequest, format!("limit must be 1 to {MAX_LIMIT}")).at("limit"));
        }
        let after = cursor.map(decode).transpose()?;
        Ok(Self { after, limit })
    }

    /// How many rows to read: one more than the page holds, to know whether there is a next one.
    pub fn rows_to_read(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Makes the page of the rows read. `cursor` gives an entry's place as text.
    pub fn page<R, T: ParseFromJSON + ToJSON + Example>(
        &self,
        rows: Vec<R>,
        cursor: impl Fn(&R) -> String,
        into: impl Fn(R) -> Result<T, Problem>,
    ) -> Result<Page<T>, Problem> {
        let (rows, next_cursor) = self.cut(rows, cursor);
        Ok(Page { data: rows.into_iter().map(into).collect::<Result<_, _>>()?, next_cursor })
    }

    /// The rows of the page of those read, and what leads to the next one.
    pub fn cut<R>(&self, mut rows: Vec<R>, cursor: impl Fn(&R) -> String) -> (Vec<R>, Option<String>) {
        let limit = self.limit as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| BASE64_URL_SAFE_NO_PAD.encode(cursor(row)));
        (rows, next_cursor)
    }
}

fn decode<C: FromStr>(cursor: &str) -> Result<C, Problem> {
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            Problem::new(ProblemKind::BadRequest, "the cursor is not one that this list gave as next_cursor")
                .at("cursor")
        })
}
