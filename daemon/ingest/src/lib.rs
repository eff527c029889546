//! Wire formats into records: the JSON forms, Prometheus remote write.
//!
//! Everything here works on bytes that are already in memory and returns [`argus_schema::Record`]s; it knows neither
//! HTTP nor the store. A body that cannot be read is refused whole with a [`BodyError`]; in a body that can, each
//! record stands for itself.

mod compression;
mod errors;
mod json;
pub mod remote_write;

pub use compression::decompress;
pub use errors::BodyError;
pub use json::{Decoded, decode_json};
