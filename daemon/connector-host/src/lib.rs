//! Loads native connectors and asks them, come what may.
//!
//! A connector is a dynamic library with the C interface of `argus-connector-abi`. It is trusted: the operator names its
//! file, and native code that crashes takes the daemon with it. Anything short of that — panics, completing twice, late
//! or never, hanging, nonsense — costs the request at hand an error that names the connector, and is counted.
//!
//! ```text
//!  Connector::query ─► Waiting (a number in `pending`) ─► the connector's own thread ─► submit
//!                          ▲                                                              │
//!                          └──────────── done(number, reply), on any thread ◄─────────────┘
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | `library` | from a file to a checked table; the very bytes that were hashed are what is loaded |
//! | `worker` | the one thread that calls into an instance, so that a call that hangs delays nobody else |
//! | `pending` | requests under way by number, and what a completion finds there |
//! | `connector`, `cursor` | what the daemon uses |
//!
//! Which plugins may ask which connector is not known here.

mod connector;
mod cursor;
mod elf;
mod errors;
mod library;
mod pending;
mod spec;
mod status;
mod worker;

pub use argus_connector_abi::{Error as ReportedError, OwnedBuffer, Secrets};
pub use connector::Connector;
pub use cursor::{Cursor, Page};
pub use errors::{ConnectorError, Failure};
pub use spec::{ConnectorSpec, Limits};
pub use status::{ConnectorStatus, Misbehaviour};
