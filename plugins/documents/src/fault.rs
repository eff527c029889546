//! Why a document is no record, and how that is told.

use argus_plugin::Host;

/// What is wrong with one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The document, as its database names it.
    pub document: String,
    /// A fragment that follows the document's name, e.g. "has `cpu.user`, which is \"high\"; a number is needed".
    pub what: String,
}

/// Documents of one batch that each get a line; the others are told as a number.
const TOLD: usize = 5;

/// Tells the operator about the faults of a batch.
pub(crate) fn tell(host: &Host, of: &str, faults: &[Fault]) {
    for Fault { document, what } in faults.iter().take(TOLD) {
        host.warn(&format!(
            "{of}: document `{document}` {what}; it is left out"
        ));
    }
    if faults.len() > TOLD {
        let others = faults.len() - TOLD;
        host.warn(&format!(
            "{of}: {others} more documents of this batch are left out"
        ));
    }
}
