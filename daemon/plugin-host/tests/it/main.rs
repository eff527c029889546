//! The host against real components: the shipped sinks, and one that misbehaves as told.
//!
//! They come from `plugins/`; `cargo xtask plugins` builds them.

mod capture;
mod cost;
mod hostile;
mod http;
mod lifecycle;
mod real;
mod shipped;
mod support;
mod targets;
