//! Write Argus plugins in Rust.
//!
//! A plugin is a WebAssembly component that can do what the operator granted it and nothing else. A sink, whole:
//!
//! ```
//! use argus_plugin::{Error, Host, Notification, Receipt, Request, Sink};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     channel: String,
//! }
//!
//! struct Chat {
//!     config: Config,
//! }
//!
//! impl Sink for Chat {
//!     type Config = Config;
//!
//!     fn new(config: Config) -> Result<Self, Error> {
//!         Ok(Self { config })
//!     }
//!
//!     fn deliver(&self, host: &Host, notification: &Notification, key: &str) -> Result<Receipt, Error> {
//!         let message = serde_json::json!({ "channel": self.config.channel, "text": notification.summary });
//!         Request::post("chat", "messages").header("idempotency-key", key).json(&message).send(host)?.require_success()?;
//!         Ok(Receipt::default())
//!     }
//! }
//!
//! argus_plugin::sink!(Chat);
//! # use argus_plugin::testing;
//! # let host = testing::Host::new().respond("chat", 200, "{}");
//! # let chat: Chat = testing::sink(serde_json::json!({ "channel": "#ops" })).unwrap();
//! # chat.deliver(&host, &testing::notification(), "key").unwrap();
//! # assert_eq!(host.requests()[0].path, "messages");
//! ```
//!
//! - [`Sink`](trait@Sink) is the trait to implement, [`sink!`](macro@sink) makes a component of it; likewise for the
//!   other kinds: [`source`](mod@source), [`explainer`](mod@explainer), [`remediation`](mod@remediation),
//!   [`investigator`](mod@investigator). Neither WIT nor `unsafe` is needed.
//! - [`Host`] is everything that a plugin can ask for. A component imports only what its code calls.
//! - [`Request`] sends HTTP to a *target*, a name that the operator's configuration binds to a URL and its secrets.
//!   Write `{{secret:NAME}}` where a secret belongs; the host fills it in, the plugin never sees it.
//! - Every call gets a fresh instance: nothing survives in memory from one call to the next.
//! - A panic ends its own call with an error that holds the message.
//! - [`testing::Host`] stands in for Argus in plain `cargo test`.

#[doc(hidden)]
pub mod bindings;
#[cfg(target_arch = "wasm32")]
mod component;
pub mod connector;
mod error;
pub mod explainer;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
mod http;
pub mod incidents;
pub mod investigator;
mod macros;
#[doc(hidden)]
pub mod manifest;
pub mod metrics;
pub mod model;
mod notification;
mod pair;
pub mod remediation;
mod settings;
mod sink;
pub mod source;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod time;

pub use error::Error;
pub use explainer::Explainer;
pub use host::{Host, Level, State};
pub use http::{Request, Response};
pub use investigator::Investigator;
pub use notification::Notification;
pub use pair::{Pair, value_of};
pub use remediation::Remediation;
pub use sink::{Receipt, Sink};
pub use source::Source;
