//! What sources of documents share.
//!
//! - [`Fields`] reads of a document's text what lies at paths, and nothing else.
//! - [`Mapping`] turns that into what a record holds: paths, units, constants, built-in layouts. What cannot be
//!   mapped is a [`Fault`] that names the document; what is missing stays missing.
//! - [`Reader`] reads a collection forward by time, a batch a poll, and looks again for documents that came late. All it
//!   knows is in its checkpoint, so that a crash between two batches loses and doubles nothing.
//! - [`Collection`] is what a database has to offer for that: documents of a span of time in order, and how many there
//!   are in each slice of it.
//!
//! A source brings its [`Collection`] and its own settings, with [`MappingConfig`] and [`ReadingConfig`] among them.

mod checkpoint;
mod collection;
mod config;
mod fault;
mod fields;
mod layouts;
mod mapping;
mod reader;
mod records;
mod unit;
pub mod value;
mod windows;

pub use collection::{Collection, Document, Paging, Span, Strays};
pub use config::{ReadingConfig, Start};
pub use fault::Fault;
pub use fields::{Fields, Found};
pub use layouts::LAYOUTS;
pub use mapping::{Condition, Mapped, Mapping, MappingConfig, Merge, Rule};
pub use reader::Reader;
pub use unit::Unit;
