//! The host against real components: the shipped sinks, and one that misbehaves as told.
//!
//! They come from `plugins/`; `cargo xtask plugins` builds them.

mod capture;
mod connectors;
mod cost;
mod crafted;
mod hostile;
mod http;
mod lifecycle;
mod payloads;
mod real;
mod reload;
mod shipped;
mod support;
mod targets;
