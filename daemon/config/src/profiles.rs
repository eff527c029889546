//! `[profiles]`: which names belong to which profile.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::self_source::check_profile;

/// Which server names belong to which profile, where the record does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profiles {
    /// Whether the built-in name rules (`ppdb` is a database, …) apply after those of [`Profiles::prefixes`].
    pub defaults: bool,
    /// Beginning of a name, in any case → profile id. The longest that fits wins.
    pub prefixes: BTreeMap<String, String>,
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            defaults: true,
            prefixes: BTreeMap::new(),
        }
    }
}

impl Profiles {
    pub(crate) fn check(&self, found: &mut Checker) {
        for (prefix, profile) in &self.prefixes {
            let path = ["profiles", "prefixes", prefix];
            if prefix.is_empty() {
                found.report(
                    &path,
                    "an empty prefix fits every name",
                    "leave it out: `generic` is the default",
                );
            }
            check_profile(&path, profile, found);
        }
    }
}
