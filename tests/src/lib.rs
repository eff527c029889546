//! End-to-end tests against a running daemon and real servers.
