//! Who may do what: keys with scopes, and the rules for a listener without any.

mod keys;
mod middleware;

pub use keys::{KeyError, KeyInfo, KeyStore, NewKey, Scope};
pub(crate) use middleware::{Caller, require_admin, require_ingest, require_read};

use std::net::SocketAddr;

/// Why the daemon must not listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "listen on {listen}: other machines could reach it and there is no API key; create one with `argus key create`, or listen on 127.0.0.1"
)]
pub struct BindError {
    /// The address asked for.
    pub listen: SocketAddr,
}

/// Refuses an address that others can reach while there is no key. Called before listening.
///
/// # Errors
/// When `listen` is no loopback address and `keys` is empty.
pub fn check_bind(listen: SocketAddr, keys: &KeyStore) -> Result<(), BindError> {
    if crate::context::is_loopback(listen) || !keys.is_empty() {
        Ok(())
    } else {
        Err(BindError { listen })
    }
}
