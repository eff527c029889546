//! Collects what is wrong with values that have the right type.
//!
//! Sections stay plain data: a check names the *path* of the offending value (`["server", "max_records"]`), and the
//! loader turns the path into a place in the file. All findings are reported at once.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// One finding.
#[derive(Debug)]
pub(crate) struct Finding {
    /// Keys from the root to the value.
    pub path: Vec<String>,
    /// What is wrong, with the value in it.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Findings so far.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    pub findings: Vec<Finding>,
}

impl Checker {
    /// Records a finding about the value at `path`. The message must not repeat a value that may be a secret.
    pub fn report(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        let path = path.iter().map(|&key| key.to_owned()).collect();
        let help = help.into();
        let help = (!help.is_empty()).then_some(help);
        self.findings.push(Finding {
            path,
            message: message.into(),
            help,
        });
    }

    /// Requires a value to lie in a range, ends included.
    pub fn range<T: PartialOrd + Display>(
        &mut self,
        path: &[&str],
        value: &T,
        allowed: RangeInclusive<T>,
    ) {
        if !allowed.contains(value) {
            let key = path.last().copied().unwrap_or_default();
            self.report(
                path,
                format!("`{key} = {value}` is out of range"),
                format!("allowed: {} to {}", allowed.start(), allowed.end()),
            );
        }
    }
}
