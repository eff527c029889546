//! The databases that the tests of connectors run against, fetched before the tests begin.

use anyhow::{Result, bail};
use argus_test_servers::{Product, prepare};

use crate::step;

/// What becomes of a database that this machine cannot run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Missing {
    /// The tests leave it out, and it is named.
    LeftOut,
    /// Nothing is tested: what CI wants.
    Fails,
}

impl Missing {
    /// For the tests, by the environment variable `ARGUS_TEST_SERVERS`.
    pub fn value(self) -> &'static str {
        match self {
            Missing::LeftOut => "available",
            Missing::Fails => "all",
        }
    }
}

/// Fetches all databases into the user's cache.
pub fn set_up(missing: Missing) -> Result<()> {
    let mut left_out = Vec::new();
    for product in Product::ALL {
        match prepare(product) {
            Ok(_) => step::note(format!("{product} is in place")),
            Err(error) => {
                step::note(format!("{product} is left out: {error:#}"));
                left_out.push(product.name());
            }
        }
    }
    if missing == Missing::Fails && !left_out.is_empty() {
        bail!(
            "everything is to be tested, and this machine cannot run {}; `cargo xtask test` leaves it out",
            left_out.join(", ")
        );
    }
    Ok(())
}
