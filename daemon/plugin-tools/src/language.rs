//! Languages that plugins are written in.

use std::fmt;
use std::str::FromStr;

/// A language with an SDK, templates and a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the crate `argus-plugin`.
    Rust,
    /// JavaScript, with the module `argus.js`.
    JavaScript,
    /// Python, with the module `argus.py`.
    Python,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rust, Self::JavaScript, Self::Python];

    /// Its short name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|language| language.as_str() == text);
        found.ok_or_else(|| {
            format!("there is no SDK for `{text}`; there is one for rust, js, python")
        })
    }
}
