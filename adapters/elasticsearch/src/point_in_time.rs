//! Points in time: what a search sees stays the same from its first page to its last. The two families of servers open
//! and close them differently.

use elasticsearch::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use argus_connector_abi::Error;

use crate::client::Client;

/// How long the server keeps it after each page.
const KEEP_ALIVE: &str = "2m";

/// Whose interface a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Elasticsearch,
    OpenSearch,
}

/// An open point in time; closed when dropped.
pub(crate) struct PointInTime {
    client: Client,
    family: Family,
    id: String,
    /// The connector's own, for closing: a drop cannot wait.
    runtime: tokio::runtime::Handle,
}

#[derive(Deserialize)]
struct Opened {
    #[serde(alias = "pit_id")]
    id: String,
}

impl PointInTime {
    pub(crate) async fn open(client: &Client, index: &str) -> Result<Self, Error> {
        let index = escaped(index);
        let elastic = format!("/{index}/_pit?keep_alive={KEEP_ALIVE}");
        let (family, answer) = match client.send(Method::Post, &elastic, &Value::Null).await {
            // No handler of that path and method: not Elasticsearch.
            Err(failure) if matches!(failure.status, Some(400 | 405)) => {
                let path = format!("/{index}/_search/point_in_time?keep_alive={KEEP_ALIVE}");
                (
                    Family::OpenSearch,
                    client.send(Method::Post, &path, &Value::Null).await,
                )
            }
            answer => (Family::Elasticsearch, answer),
        };
        let answer = answer.map_err(|failure| failure.error)?;
        let Opened { id } = serde_json::from_slice(&answer).map_err(|error| {
            Error::new(
                "query_failed",
                format_args!("an odd answer to opening a point in time: {error}"),
            )
        })?;
        Ok(Self {
            client: client.clone(),
            family,
            id,
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// What a search has to say to see it.
    pub(crate) fn clause(&self) -> Value {
        json!({ "id": self.id, "keep_alive": KEEP_ALIVE })
    }

    /// Each answer may give another id.
    pub(crate) fn renew(&mut self, id: Option<String>) {
        if let Some(id) = id {
            self.id = id;
        }
    }

    /// Whether the server orders documents itself where the search's own order does not.
    pub(crate) fn has_tiebreaker(&self) -> bool {
        self.family == Family::Elasticsearch
    }
}

impl Drop for PointInTime {
    fn drop(&mut self) {
        let id = std::mem::take(&mut self.id);
        let (path, body) = match self.family {
            Family::Elasticsearch => ("/_pit", json!({ "id": id })),
            Family::OpenSearch => ("/_search/point_in_time", json!({ "pit_id": [id] })),
        };
        let client = self.client.clone();
        self.runtime.spawn(async move {
            // If it does not work, the server forgets it in two minutes by itself.
            let _ = client.send(Method::Delete, path, &body).await;
        });
    }
}

/// A name or pattern as part of a path.
pub(crate) fn escaped(index: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.,*:<>".contains(&byte);
    let mut path = String::new();
    for byte in index.bytes() {
        if is_plain(byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_cannot_become_a_path() {
        assert_eq!(escaped("metrics-*,logs.2026_01"), "metrics-*,logs.2026_01");
        assert_eq!(
            escaped("a/_delete_by_query?x#y"),
            "a%2F_delete_by_query%3Fx%23y"
        );
    }
}
