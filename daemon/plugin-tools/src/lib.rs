//! What plugin authors work with: the verbs of `argus plugin`.
//!
//! A tour, in the order of an author's day: [`scaffold`] unpacks a template and the SDK that this program was built
//! with, [`build`] makes a component of a [`project`] with the language's own tools, [`inspect`] says what a component
//! is and may ask for, [`case`] and [`conformance`] run a component in the real host against a [`receiver`] that plays
//! the far side, and [`bench`] measures what a call costs.
//!
//! Nothing here prints: callers get plain data, and progress through a function they pass.

pub mod bench;
pub mod build;
pub mod case;
pub mod conformance;
mod diff;
mod embedded;
mod errors;
pub mod inspect;
mod language;
pub mod manifest;
pub mod project;
pub mod receiver;
pub mod scaffold;

pub use errors::ToolError;
pub use language::Language;
