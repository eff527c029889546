//! The loader against a connector that keeps its contract and one that does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod cost;
mod files;
mod misbehaviour;
mod support;
