//! The self source: this host's `/proc` as records of the server schema.
//!
//! [`SelfSource::sample`] reads the files of `/proc` and asks each local file system for its size. Rates need two
//! readings, so the first call only takes the starting point. In a container parts of `/proc` may be missing or empty;
//! what cannot be read is missing in the record. Calls block for milliseconds: run them off the async threads.

mod cpu;
mod disk;
mod errors;
mod memory;
mod network;
mod processes;
mod sockets;
mod source;

pub use disk::{DiskSpace, StatvfsDiskSpace};
pub use errors::HostError;
pub use source::SelfSource;
