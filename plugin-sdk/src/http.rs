//! HTTP to named targets.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;

/// A request to a target that the operator named. Placeholders `{{secret:NAME}}` in path, header values and body are
/// filled in by the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Name of the target, as in `[plugins.NAME.targets.TARGET]`.
    pub target: String,
    /// The method, e.g. `POST`.
    pub method: String,
    /// Appended to the target's base URL; may hold a query.
    pub path: String,
    /// Names and values. What the operator set for the target wins.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Longest wait for the answer; never more than the target allows.
    pub timeout: Option<Duration>,
    unusable: Option<Error>,
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, target: &str, path: &str) -> Self {
        Self {
            target: target.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
            unusable: None,
        }
    }

    /// A POST.
    pub fn post(target: &str, path: &str) -> Self {
        Self::new("POST", target, path)
    }

    /// A GET.
    pub fn get(target: &str, path: &str) -> Self {
        Self::new("GET", target, path)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to `value` as JSON, and the content type with it.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(error) => {
                // Told by `send`, so that building a request stays one expression.
                self.unusable = Some(error.into());
                self
            }
        }
    }

    /// Waits at most this long for the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends the request and waits for the whole answer, whatever its status.
    pub fn send(self, host: &Host) -> Result<Response, Error> {
        match self.unusable {
            Some(error) => Err(error),
            None => host.send(&self),
        }
    }

    /// A header's value, by name in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// A complete answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The answer if its status is 2xx, else an error with the beginning of the body. Statuses that ask for patience
    /// (408, 425, 429, 5xx) become retryable errors.
    pub fn require_success(self) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body);
        let beginning: String = text.trim().chars().take(300).collect();
        let message = match beginning.as_str() {
            "" => format!("the target answered {}", self.status),
            beginning => format!("the target answered {}: {beginning}", self.status),
        };
        let retryable = matches!(self.status, 408 | 425 | 429 | 500..=599);
        Err(Error {
            code: format!("http_{}", self.status),
            message,
            retryable,
        })
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A header's value, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}
