//! Writing a connector, without `unsafe`.
//!
//! ```
//! use argus_connector_abi::author::{Answer, Connector, Cursor, Flow, Log, Page, Request};
//! use argus_connector_abi::{Error, Settings};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     last: u64,
//! }
//!
//! struct Counting {
//!     last: u64,
//! }
//!
//! impl Connector for Counting {
//!     type Config = Config;
//!
//!     async fn open(settings: Settings<Config>, log: Log) -> Result<Self, Error> {
//!         log.info("counting");
//!         Ok(Self { last: settings.config.last })
//!     }
//!
//!     async fn query(&self, request: Request) -> Result<Answer, Error> {
//!         match request.operation.as_str() {
//!             "check" => Ok(Answer::empty()),
//!             "count" => Ok(Answer::cursor(Numbers { next: 1, last: self.last })),
//!             _ => Err(request.unknown_operation(&["check", "count"])),
//!         }
//!     }
//! }
//!
//! struct Numbers {
//!     next: u64,
//!     last: u64,
//! }
//!
//! impl Cursor for Numbers {
//!     async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
//!         while self.next <= self.last && page.has_room() {
//!             page.push_line(self.next.to_string().as_bytes());
//!             self.next += 1;
//!         }
//!         Ok(if self.next > self.last { Flow::Last } else { Flow::More })
//!     }
//! }
//!
//! argus_connector_abi::export_connector!(Counting, name = "counting");
//! ```
//!
//! The crate is a `cdylib`. Each instance has a tokio runtime of its own, on which everything of the connector runs. A
//! panic, wherever it happens, costs its request an error with the panic's message.

mod answer;
mod completion;
mod cursors;
mod entries;
mod instance;
mod lines;
mod log;
mod page;
pub mod testing;
mod unwind;

use std::fmt;
use std::future::Future;
use std::time::Instant;

use serde::de::DeserializeOwned;

pub use answer::{Answer, Cursor, Flow};
pub use entries::table;
pub use lines::Lines;
pub use log::Log;
pub use page::Page;

use crate::{Error, Settings};

/// What a connector does. Its code runs on its own runtime and may use tokio freely.
pub trait Connector: Send + Sync + Sized + 'static {
    /// `[connectors.NAME.config]`; use `deny_unknown_fields` so that a misspelt key is an error that names it.
    type Config: DeserializeOwned + Send;

    /// Threads of the runtime.
    const WORKER_THREADS: usize = 2;

    /// Makes an instance out of the operator's settings. Called once, when the daemon starts; it should judge the
    /// settings and not wait for a server that may come up later.
    ///
    /// # Errors
    /// When the settings cannot be used; the daemon shows the error and runs on without this connector.
    fn open(
        settings: Settings<Self::Config>,
        log: Log,
    ) -> impl Future<Output = Result<Self, Error>> + Send;

    /// Begins an operation of a plugin. Many run at the same time. The future is dropped when its deadline passes or
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// Whatever the plugin should be told. Well-known codes are listed in the WIT interface `connector`.
    fn query(&self, request: Request) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// What a plugin asks for.
#[derive(Clone)]
pub struct Request {
    /// The operation, e.g. `find`.
    pub operation: String,
    /// Names and values beside the body.
    pub options: Vec<(String, String)>,
    /// The operation's arguments in the connector's own format.
    pub body: Vec<u8>,
    /// When the answer is no longer waited for.
    pub deadline: Instant,
}

impl Request {
    /// The body read as JSON.
    ///
    /// # Errors
    /// `invalid_body`, naming the field at fault.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let body = if self.body.is_empty() {
            b"{}"
        } else {
            self.body.as_slice()
        };
        let reader = &mut serde_json::Deserializer::from_slice(body);
        serde_path_to_error::deserialize(reader).map_err(|error| {
            Error::new(
                "invalid_body",
                format_args!(
                    "the body of `{}` at `{}`: {}",
                    self.operation,
                    error.path(),
                    error.inner()
                ),
            )
        })
    }

    /// The value of an option.
    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The error for an operation that the connector does not have.
    pub fn unknown_operation(&self, known: &[&str]) -> Error {
        let message = format_args!(
            "there is no operation `{}`; there are: {}",
            self.operation,
            known.join(", ")
        );
        Error::new("unknown_operation", message)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("operation", &self.operation)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(not(panic = "unwind"))]
compile_error!(
    "a connector is built with panic = \"unwind\": with \"abort\" a panic in it ends the daemon"
);

/// Exports a type that implements [`Connector`](crate::author::Connector) as this library's connector. The version is
/// the package's.
#[macro_export]
macro_rules! export_connector {
    ($connector:ty, name = $name:expr) => {
        /// The connector's table, for the daemon that loads this library.
        #[expect(
            unsafe_code,
            reason = "the one exported symbol; the crate documents why its use is sound"
        )]
        // SAFETY: no other function of a connector library has this name, and it is what the daemon looks up.
        #[unsafe(no_mangle)]
        pub extern "C" fn argus_connector_v1() -> *const $crate::Table {
            static TABLE: $crate::Table =
                $crate::author::table::<$connector>($name, ::core::env!("CARGO_PKG_VERSION"));
            &raw const TABLE
        }
    };
}
