//! `argus:plugin/state`: what a plugin remembers from call to call.

use std::time::Duration;

use crate::bindings::argus::plugin::state::Host;
use crate::bindings::argus::plugin::types::Error;
use crate::call::CallState;
use crate::kinds::reported;
use crate::state::{Change, MAX_KEY_BYTES, StateError};

impl Host for CallState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let value = self.state.get(&key, self.clock.now_ms());
        self.hand_over(value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        keep_secs: Option<u32>,
    ) -> wasmtime::Result<Result<(), Error>> {
        Ok(self
            .change(key, None, Some(value), keep_secs)
            .await
            .map(drop))
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        keep_secs: Option<u32>,
    ) -> wasmtime::Result<Result<bool, Error>> {
        Ok(self
            .change(key, Some(expected), Some(value), keep_secs)
            .await)
    }

    async fn remove(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        Ok(self.change(key, None, None, None).await.map(drop))
    }
}

impl CallState {
    /// Sets or, without a value, removes a key; says whether the key was as expected.
    async fn change(
        &mut self,
        key: String,
        expected: Option<Option<Vec<u8>>>,
        value: Option<Vec<u8>>,
        keep_secs: Option<u32>,
    ) -> Result<bool, Error> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let message = format!("a key has 1 to {MAX_KEY_BYTES} bytes");
            return Err(reported("invalid_key", message));
        }
        self.received(key.len() + value.as_ref().map_or(0, Vec::len));
        let now_ms = self.clock.now_ms();
        let change = Change {
            key,
            expected,
            value,
            expires_ms: keep_secs.map(|secs| {
                let keep = Duration::from_secs(secs.into()).as_millis();
                now_ms.saturating_add(i64::try_from(keep).unwrap_or(i64::MAX))
            }),
            limit_bytes: self.loaded.limits.state_bytes,
        };
        let state = self.state.clone();
        // The disk is waited for on a thread of its own: other plugins run on this one.
        let changed = tokio::task::spawn_blocking(move || state.change(change, now_ms)).await;
        match changed {
            Ok(Ok(as_expected)) => Ok(as_expected),
            Ok(Err(full @ StateError::Full { .. })) => {
                Err(reported("state_full", full.to_string()))
            }
            Ok(Err(StateError::Disk(reason))) => {
                let (plugin, version) = (&*self.loaded.name, self.loaded.version_text());
                tracing::error!(target: "argus::plugin", plugin, version, "cannot keep state: {reason}");
                Err(unavailable())
            }
            Err(_) => Err(unavailable()),
        }
    }
}

fn unavailable() -> Error {
    Error {
        retryable: true,
        ..reported(
            "state_unavailable",
            "the state cannot be written; the daemon's log says why".to_owned(),
        )
    }
}
