//! A span of time in windows.
//!
//! What a page costs a server depends, for many, less on the page than on the range that it is asked from: Elasticsearch
//! goes through the whole range again for every page, and others sort it first. So a span is read window by window, each
//! about as long as what is still wanted needs.

use argus_plugin::{Error, Host};

use crate::collection::Span;

/// How long the first window is: what a thousand servers say in it is about a poll's documents.
const FIRST_MS: i64 = 60_000;
/// How much longer than the one before a window may be: behind a gap, it would hold too much. So much more for each
/// window that held nothing.
const GROWTH: u32 = 4;

impl Span<'_> {
    /// Gives the windows to `read` one after the other, which says whether it gave all of a window's documents to `take`
    /// (see [`Collection::read`](crate::Collection::read)) and how many it gave. Whether there are no more in the span.
    ///
    /// # Errors
    /// What `read` says.
    pub fn in_windows(
        &self,
        host: &Host,
        mut read: impl FnMut(&Span<'_>) -> Result<(bool, u32), Error>,
    ) -> Result<bool, Error> {
        let mut window = *self;
        let (mut width_ms, mut growth) = (FIRST_MS, GROWTH);
        while window.from_ms < self.until_ms {
            // What is known already is no progress: without any, it is the error that helps.
            let came = self.limit - window.limit > self.known;
            // Where nothing came yet, it is the connector who says that it takes too long.
            if window.limit == 0 || (came && self.left_ms(host) == 0) {
                return Ok(false);
            }
            window.until_ms = window.from_ms.saturating_add(width_ms).min(self.until_ms);
            let (is_all, count) = match read(&window) {
                // A slow server gets on with what it gave before.
                Err(error) if came && error.code == "timed_out" => return Ok(false),
                outcome => outcome?,
            };
            if !is_all || count >= window.limit {
                return Ok(false);
            }
            window.limit -= count;
            window.from_ms = window.until_ms;
            window.after = None;
            let times = match window.limit.checked_div(count) {
                Some(wanted) => wanted.clamp(1, GROWTH),
                // Years without a document are crossed in a handful of queries.
                None => {
                    let times = growth;
                    growth = growth.saturating_mul(GROWTH);
                    times
                }
            };
            width_ms = width_ms.saturating_mul(times.into());
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argus_plugin::testing;

    const SPAN: Span<'_> = Span {
        from_ms: 1_000_000,
        until_ms: 2_000_000,
        after: Some("tie"),
        limit: 1000,
        known: 0,
        began_ns: 0,
        poll_secs: 20,
    };

    /// The windows of a collection with so many documents a minute: `(from_ms, until_ms, limit)`; and whether they were all.
    fn windows(span: Span<'_>, a_minute: i64) -> (Vec<(i64, i64, u32)>, bool) {
        let mut windows = Vec::new();
        let host = testing::Host::new();
        let began_ns = host.monotonic_ns();
        let is_all = Span { began_ns, ..span }.in_windows(&host, |window| {
            assert_eq!(window.after, windows.is_empty().then_some("tie"));
            windows.push((window.from_ms, window.until_ms, window.limit));
            let there = (window.until_ms - window.from_ms) * a_minute / 60_000;
            let count = u32::try_from(there).expect("few").min(window.limit);
            Ok((i64::from(count) == there, count))
        });
        (windows, is_all.expect("no errors"))
    }

    #[test]
    fn windows_follow_one_another_and_end_with_the_span() {
        for a_minute in [0, 1, 10, 50] {
            let (windows, is_all) = windows(SPAN, a_minute);
            assert!(is_all);
            assert_eq!((windows[0].0, windows[0].2), (1_000_000, 1000));
            assert_eq!(windows[windows.len() - 1].1, 2_000_000);
            assert!(windows.windows(2).all(|pair| pair[0].1 == pair[1].0));
        }
    }

    #[test]
    fn they_are_as_long_as_what_is_wanted_needs() {
        // Nothing there: four times as long, then sixteen.
        let (crossed, _) = windows(SPAN, 0);
        let widths: Vec<_> = crossed
            .iter()
            .map(|(from, until, _)| until - from)
            .collect();
        assert_eq!(widths, [60_000, 240_000, 700_000]);
        // 400 a minute: one more like the first, then the rest.
        let (found, is_all) = windows(SPAN, 400);
        let limits: Vec<_> = found.iter().map(|(_, _, limit)| *limit).collect();
        assert_eq!((limits, is_all), (vec![1000, 600, 200], false));
    }

    #[test]
    fn it_ends_where_enough_came_or_time_is_up() {
        let (found, is_all) = windows(SPAN, 1000);
        assert_eq!((found.len(), is_all), (1, false));
        let late = Span {
            poll_secs: 0,
            ..SPAN
        };
        assert!(windows(late, 0).1, "nothing came: not for this to decide");
        let (found, is_all) = windows(late, 10);
        assert_eq!((found.len(), is_all), (1, false));
    }

    #[test]
    fn what_came_in_time_is_kept() {
        let host = testing::Host::new();
        let began_ns = host.monotonic_ns();
        let mut answers = vec![Err(Error::retryable("timed_out", "slow")), Ok((true, 5))];
        let span = Span { began_ns, ..SPAN };
        let outcome = span.in_windows(&host, |_| answers.pop().expect("two"));
        assert!(answers.is_empty());
        assert_eq!(outcome, Ok(false));
        let nothing = span.in_windows(&host, |_| Err(Error::retryable("timed_out", "slow")));
        assert_eq!(nothing.expect_err("nothing came").code, "timed_out");
        let mut answers = vec![Err(Error::retryable("timed_out", "slow")), Ok((true, 5))];
        let again = Span { known: 5, ..span };
        let nothing = again.in_windows(&host, |_| answers.pop().expect("two"));
        assert_eq!(nothing.expect_err("nothing new came").code, "timed_out");
    }

    #[test]
    fn decades_are_crossed_in_a_handful_of_windows() {
        let span = Span {
            from_ms: 0,
            until_ms: 1_800_000_000_000,
            ..SPAN
        };
        assert!(windows(span, 0).0.len() <= 7);
    }
}
