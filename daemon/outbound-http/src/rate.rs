//! A rate limit that tells how long to wait.
//!
//! The generic cell rate algorithm: one moment says when the next request would be due if all came evenly spaced;
//! requests may run ahead of it by the burst. A request that is admitted has its place, so that waiting ones go out in
//! the order they asked.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often requests may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per minute in the long run, at least 1.
    pub per_minute: u32,
    /// Requests that may go out at once after a pause, at least 1.
    pub burst: u32,
}

/// Keeps a [`RateLimit`].
#[derive(Debug)]
pub struct RateLimiter {
    interval: Duration,
    ahead: Duration,
    /// When the next request is due; in the past after a pause.
    due: Mutex<Option<Instant>>,
}

impl RateLimiter {
    /// A limiter that has seen nothing: the whole burst is free.
    pub fn new(limit: RateLimit) -> Self {
        let interval = Duration::from_secs(60) / limit.per_minute.max(1);
        Self {
            interval,
            ahead: interval * (limit.burst.max(1) - 1),
            due: Mutex::new(None),
        }
    }

    /// Takes a place and says how long to wait for it. Where that is longer than `at_most` no place is taken, and the
    /// error says how long it would be.
    pub fn reserve(&self, now: Instant, at_most: Duration) -> Result<Duration, Duration> {
        let mut due = self.due.lock();
        let own = due.map_or(now, |due| due.max(now));
        let wait = (own - now).saturating_sub(self.ahead);
        if wait > at_most {
            return Err(wait);
        }
        *due = Some(own + self.interval);
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: RateLimit = RateLimit {
        per_minute: 60,
        burst: 3,
    };

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_evenly() {
        let (limiter, now) = (RateLimiter::new(LIMIT), Instant::now());
        let waits: Vec<u64> = (0..6)
            .map(|_| {
                let wait = limiter.reserve(now, Duration::MAX);
                wait.expect("no bound").as_secs()
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 3]);
        let later = now + Duration::from_secs(60);
        assert_eq!(limiter.reserve(later, Duration::ZERO), Ok(Duration::ZERO));
    }

    #[test]
    fn who_would_wait_too_long_takes_no_place() {
        let (limiter, now) = (RateLimiter::new(LIMIT), Instant::now());
        for _ in 0..3 {
            limiter.reserve(now, Duration::ZERO).expect("the burst");
        }
        let second = Duration::from_secs(1);
        for _ in 0..10 {
            assert_eq!(
                limiter.reserve(now, Duration::from_millis(999)),
                Err(second)
            );
        }
        assert_eq!(limiter.reserve(now, second), Ok(second));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_burst_and_rate(
            per_minute in 1_u32..600,
            burst in 1_u32..20,
            gaps_ms in proptest::collection::vec(0_u64..5000, 1..200),
        ) {
            let limiter = RateLimiter::new(RateLimit { per_minute, burst });
            let start = Instant::now();
            let mut now = start;
            let mut sent = Vec::new();
            for gap in gaps_ms {
                now += Duration::from_millis(gap);
                if let Ok(wait) = limiter.reserve(now, Duration::from_secs(10)) {
                    sent.push(now + wait - start);
                }
            }
            for (i, from) in sent.iter().enumerate() {
                for (count, to) in (1_u32..).zip(&sent[i..]) {
                    let allowed = f64::from(burst) + (*to - *from).as_secs_f64() * f64::from(per_minute) / 60.0;
                    prop_assert!(f64::from(count) <= allowed + 1e-6, "{count} within {:?}", *to - *from);
                }
            }
        }
    }
}
