//! What a database offers a reader.

use argus_plugin::connector::Cursor;
use argus_plugin::{Error, Host};

use crate::fields::{Fields, Found};

/// Documents with a time each, at a connector.
pub trait Collection {
    /// What messages call it, connector included: "connector `logs`, index `metrics-*`".
    fn name(&self) -> String;

    /// Gives `take` the documents of a span, by time; `take` says whether it wants another. True if there are no more in
    /// the span; false if `take` had enough, or time ran out (see [`Paging`]).
    ///
    /// # Errors
    /// The connector's.
    fn read(
        &self,
        host: &Host,
        span: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<bool, Error>;

    /// How many documents there are in each slice of `[from_ms, until_ms)`: `(n, count)` for the slice
    /// `[n * slice_ms, (n + 1) * slice_ms)`. Empty ones may be left out.
    ///
    /// # Errors
    /// The connector's.
    fn counts(
        &self,
        host: &Host,
        from_ms: i64,
        until_ms: i64,
        slice_ms: i64,
    ) -> Result<Vec<(i64, u64)>, Error>;

    /// Documents that no span holds because they have no time, where that can be told at little cost.
    ///
    /// # Errors
    /// The connector's.
    fn strays(&self, host: &Host) -> Result<Option<Strays>, Error> {
        let _ = host;
        Ok(None)
    }
}

/// Which documents are wanted: `from_ms <= time < until_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<'a> {
    /// The first time.
    pub from_ms: i64,
    /// Behind the last time.
    pub until_ms: i64,
    /// Of the documents at `from_ms`, only those behind this one; set only for collections whose documents have a
    /// [`tie`](Document::tie).
    pub after: Option<&'a str>,
    /// `take` will not want more than this.
    pub limit: u32,
    /// How many of these the reader has already, as they share their time with what it read last.
    pub known: u32,
    /// When reading began, on the host's monotonic clock.
    pub began_ns: u64,
    /// How long it may take.
    pub poll_secs: u32,
}

impl Span<'_> {
    /// How much of its time is left.
    pub fn left_ms(&self, host: &Host) -> u64 {
        let spent_ms = host.monotonic_ns().saturating_sub(self.began_ns) / 1_000_000;
        (u64::from(self.poll_secs) * 1000).saturating_sub(spent_ms)
    }
}

/// A document as it comes from a database.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Names it uniquely and for ever; shown to people.
    pub id: &'a str,
    /// Its time, in milliseconds since the epoch.
    pub time_ms: i64,
    /// Where the database orders documents of one time the same way for ever: what it orders them by, for
    /// [`Span::after`]. All documents of a collection have one, or none has.
    pub tie: Option<&'a str>,
    /// What it holds at the mapping's [`paths`](crate::Mapping::paths), by their places there.
    pub body: &'a Found<'a>,
}

/// Documents without a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strays {
    /// How many there are.
    pub count: u64,
    /// Some of them, by id.
    pub examples: Vec<String>,
}

/// Reads a connector's cursor page by page.
#[derive(Debug, Clone, Copy)]
pub struct Paging;

const PAGE_DOCUMENTS: u32 = 1000;
const PAGE_BYTES: u32 = 2 << 20;

impl Paging {
    /// Reads these fields of every line of the answer and gives them to `take`, until that wants no more, the answer ends
    /// (true) or the span's time is up (false).
    ///
    /// # Errors
    /// The connector's; `timed_out` if the time is up before anything came; `bad_json` for a line that is none.
    pub fn documents(
        host: &Host,
        span: &Span<'_>,
        cursor: &Cursor,
        fields: &Fields,
        mut take: impl FnMut(&Found<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut came = false;
        loop {
            let left_ms = span.left_ms(host);
            if left_ms == 0 && came {
                return Ok(false);
            }
            // However late it is, what the connector has at hand is worth taking.
            let wait_ms = u32::try_from(left_ms.max(1)).unwrap_or(u32::MAX);
            let page = cursor.next(PAGE_DOCUMENTS, PAGE_BYTES, wait_ms)?;
            let text = std::str::from_utf8(&page.documents).map_err(|error| {
                Error::new("bad_json", format!("an answer is no text: {error}"))
            })?;
            let mut found = Found::default();
            for line in text.split('\n').filter(|line| !line.is_empty()) {
                came = true;
                fields.read(line, &mut found)?;
                if !take(&found)? {
                    return Ok(false);
                }
            }
            if page.last {
                return Ok(true);
            }
            if page.count == 0 && !came && left_ms <= 1 {
                let message = format!("no document came within {} s", span.poll_secs);
                return Err(Error::retryable("timed_out", message));
            }
        }
    }
}
