//! Outgoing HTTP with a pool, limits and address vetting.
//!
//! A tour: a [`Client`] sends a [`Request`] and reads its [`Response`] within stated sizes and one deadline, never
//! follows a redirect, and connects only to addresses that its [`AddressPolicy`] admits, judged *after* the name
//! was resolved; with a [`Proxy`] too. A [`RateLimiter`] spaces requests out. A [`Binding`] turns what untrusted code asks for (a method, a path) into a URL below a base that
//! the operator chose, or refuses. Neither knows who asks: plugins come through `argus-plugin-host`, the command
//! line through [`Client::trusted`].
//!
//! Errors name host and port, never a path, query, header or body, because those may carry secrets.

mod binding;
mod client;
mod connect;
mod errors;
mod policy;
mod rate;
mod resolver;
mod tls;

pub use binding::Binding;
pub use client::{Client, ClientConfig, Request, Response};
pub use connect::Proxy;
pub use errors::{BindingError, BuildError, SendError};
pub use policy::AddressPolicy;
pub use rate::{RateLimit, RateLimiter};
pub use resolver::{Resolve, Resolving, SystemResolver};

pub use bytes::Bytes;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
