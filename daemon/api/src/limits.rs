//! How many reads a client may make.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::problem::Problem;
use http::StatusCode;

/// Clients remembered at a time. Beyond it new ones share one allowance, so that the table stays bounded and no flood
/// of addresses gets more than one client's worth.
const MAX_CLIENTS: usize = 10_000;
const WINDOW: Duration = Duration::from_secs(60);

/// Who asks: one key from one address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// Id of the key; empty without one.
    pub key: String,
    pub address: Option<IpAddr>,
}

/// Fixed windows of a minute that begin with a client's first read.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: u32,
    clients: Mutex<HashMap<Client, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    used: u32,
}

impl RateLimiter {
    pub fn per_minute(limit: u32) -> Self {
        Self {
            limit,
            clients: Mutex::default(),
        }
    }

    /// Counts one read, or says how long to wait.
    pub fn take(&self, client: Client, now: Instant) -> Result<(), Problem> {
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, window| now.duration_since(window.began) < WINDOW);
        }
        let shared = Client {
            key: String::new(),
            address: None,
        };
        let client = if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) {
            shared
        } else {
            client
        };
        let window = clients.entry(client).or_insert(Window {
            began: now,
            used: 0,
        });
        let age = now.duration_since(window.began);
        if age >= WINDOW {
            *window = Window {
                began: now,
                used: 0,
            };
        }
        if window.used < self.limit {
            window.used += 1;
            return Ok(());
        }
        let wait = WINDOW.saturating_sub(now.duration_since(window.began));
        Err(self.refusal(wait.as_secs() + 1))
    }

    fn refusal(&self, wait_secs: u64) -> Problem {
        let text = format!("Rate limit exceeded: {} per 1 minute", self.limit);
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!("{text}; try again in {wait_secs} s, or read less often: predictions change once per step"),
        )
        .with("error", text)
        .retry_after_secs(wait_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> Client {
        Client {
            key: String::new(),
            address: Some(IpAddr::from([127, 0, 0, last])),
        }
    }

    #[test]
    fn allows_the_limit_per_client_and_minute() {
        let limiter = RateLimiter::per_minute(3);
        let start = Instant::now();
        for _ in 0..3 {
            assert!(limiter.take(client(1), start).is_ok());
        }
        assert_eq!(
            limiter.take(client(1), start).expect_err("refused").code(),
            "rate_limited"
        );
        assert!(limiter.take(client(2), start).is_ok());
        assert!(limiter.take(client(1), start + WINDOW).is_ok());
    }

    #[test]
    fn a_flood_of_clients_shares_one_allowance() {
        let limiter = RateLimiter::per_minute(1);
        let start = Instant::now();
        let numbered = |n: u32| Client {
            key: n.to_string(),
            address: None,
        };
        for n in 0..10_000 {
            assert!(limiter.take(numbered(n), start).is_ok());
        }
        assert!(limiter.take(numbered(10_000), start).is_ok());
        assert!(limiter.take(numbered(10_001), start).is_err());
        assert!(limiter.clients.lock().len() <= MAX_CLIENTS + 1);
        assert!(limiter.take(numbered(10_002), start + WINDOW).is_ok());
    }
}
