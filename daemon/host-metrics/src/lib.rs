//! The self source: this host's /proc as records.
