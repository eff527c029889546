//! The C interface between Argus and native connectors, for both of its sides.
//!
//! A *connector* is a dynamic library that gives plugins access to something a sandbox cannot reach, such as a database
//! with its driver, TLS and connection pools. It is trusted: the operator names its file, the daemon loads it and never
//! unloads it. Plugins use it by name, without seeing addresses or credentials.
//!
//! # The interface
//! A library exports one symbol, [`SYMBOL`], a function that returns a static [`Table`]: identity, size, version, name
//! and four functions. Everything that crosses the border is bytes, numbers and function pointers of [`table`]; nothing
//! of Rust does, so both sides may be built by different compilers, with different allocators and different copies of
//! the standard library.
//!
//! ```text
//!  daemon                                        connector
//!  open(settings, host) ───────────────────────► reads settings, starts its own runtime
//!  submit("find", body, deadline, ctx, done) ──► accepted
//!                             done(ctx, cursor) ◄── later, on a thread of the connector
//!  submit("@next", cursor, …, ctx, done) ──────► accepted
//!                     done(ctx, page, cursor) ◄──
//!  cancel(ctx)                                   nobody waits any more; done is still called
//!  close() ────────────────────────────────────► ends what runs; done is called for each
//! ```
//!
//! Pages are fetched when asked for, and only then: that is the back-pressure. Nothing in the protocol needs shared
//! memory, so a connector could also be another process behind a pipe.
//!
//! # Versions
//! Tables and structures only ever grow at their end. [`Header::size`] says how much of a table exists; a daemon reads
//! no field beyond it, and a connector reads no field of [`Host`] beyond [`Host::size`]. A change that an old side could
//! not live with gets a new [`MAJOR`] and a new symbol.
//!
//! # Why this is sound
//! *Given that both sides keep the contracts written at the function types*, and a connector written with `author` does:
//!
//! - **No unwinding across the border.** An `extern "C"` function that would unwind aborts the process, so every entry of
//!   `author` runs in `catch_unwind`, and every `done` of the daemon does. Payloads of panics are turned into text and
//!   never dropped by code that could panic again.
//! - **Every buffer is freed exactly once, by its allocator.** A [`Buffer`] carries its own `free`. Whoever receives one
//!   wraps it at once into an [`OwnedBuffer`], whose `Drop` takes the function out before it calls it. Borrowed
//!   [`Slice`]s are copied before the call returns.
//! - **Exactly one completion.** `author`'s completion is a value that is consumed by completing; dropping it completes
//!   with an error. A panic in a connector's code, a dropped task and a runtime that shuts down therefore all end in the
//!   same single call of `done`, and there is nothing that a panic could free a second time.
//! - **Never inside `submit`.** `submit` only copies its arguments into a queue. No code of a connector's author runs in
//!   it; where the queue is closed the completion is disarmed and the request refused.
//! - **`ctx` is a number, not a pointer.** The daemon looks it up in a table under a lock. A second, a late or an invented
//!   completion finds nothing there; no memory can be reached through it.
//! - **No pointer outlives its memory.** Libraries are never unloaded, tables and host tables are static, an instance is
//!   used by one thread of the daemon, which closes it last.
//!
//! What cannot be guarded against from within one process is native code that breaks the contract: writing through wild
//! pointers, unwinding out of an entry, freeing twice, ending the process. A connector that crashes takes the daemon with
//! it; the log survives, and a supervisor starts the daemon again.
//!
//! # Writing a connector
//! Enable the feature `author` and see the module of that name: a trait, a runtime, cursors, and
//! `export_connector!`. No `unsafe` is needed.

#[cfg(feature = "author")]
pub mod author;
mod bytes;
mod error;
mod next;
pub mod settings;
pub mod table;

pub use bytes::{Buffer, OwnedBuffer, Slice};
pub use error::Error;
pub use next::{CLOSE_CURSOR, NEXT, Next};
pub use settings::{Secrets, Settings};
pub use table::{
    ACCEPTED, FAILED, Header, Host, MAGIC, MAJOR, MINOR, Opened, PAGE, REFUSED, Reply, SYMBOL,
    Table,
};
