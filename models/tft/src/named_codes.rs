//! Categories by name, as imported models code them.

use std::collections::BTreeMap;

use crate::calendar::Clock;
use crate::entity_table::short_id;
use crate::source::Naming;
use crate::window::Window;

/// A category with its table of codes, ready for windows.
#[derive(Debug, Clone)]
pub(crate) struct NamedCodes {
    of: Naming,
    codes: BTreeMap<String, i64>,
    other: i64,
    /// Code of each status of the schema; 0 is missing.
    statuses: Vec<i64>,
}

impl NamedCodes {
    pub(crate) fn new(
        of: Naming,
        codes: &BTreeMap<String, i64>,
        other: i64,
        statuses: &[String],
    ) -> Self {
        let code = |status: &String| codes.get(status).copied().unwrap_or(other);
        Self {
            of,
            codes: codes.clone(),
            other,
            statuses: std::iter::once(other)
                .chain(statuses.iter().map(code))
                .collect(),
        }
    }

    /// Codes of a window's steps, given each step's status (`None` where it lies ahead) and start.
    pub(crate) fn codes(
        &self,
        window: &Window<'_>,
        steps: impl Iterator<Item = (Option<u8>, i64)>,
        mut put: impl FnMut(usize, i64),
    ) {
        let constant = match self.of {
            Naming::Profile => Some(self.named(window.profile)),
            Naming::Entity => {
                let own = self.codes.get(window.entity).copied();
                Some(own.unwrap_or_else(|| self.named(&short_id(window.entity))))
            }
            Naming::Status | Naming::Clock { .. } => None,
        };
        for (place, (status, bin_ms)) in steps.enumerate() {
            let code = match (constant, self.of) {
                (Some(code), _) => code,
                (None, Naming::Clock { field }) => self.shown(field, bin_ms),
                (None, _) => status
                    .and_then(|status| self.statuses.get(usize::from(status)).copied())
                    .unwrap_or(self.other),
            };
            put(place, code);
        }
    }

    fn named(&self, name: &str) -> i64 {
        self.codes.get(name).copied().unwrap_or(self.other)
    }

    /// Numbers may have been turned into names as `7` or as `7.0`.
    fn shown(&self, field: Clock, bin_ms: i64) -> i64 {
        let shown = field.at(bin_ms).to_string();
        let code = self
            .codes
            .get(&shown)
            .or_else(|| self.codes.get(&format!("{shown}.0")));
        code.copied().unwrap_or(self.other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_codes_of_the_table() {
        let names = ["nan", "database", "a", "healthy", "3", "4.0"];
        let codes: BTreeMap<String, i64> = (0..)
            .zip(names)
            .map(|(code, name)| (name.to_owned(), code))
            .collect();
        let statuses = ["critical".to_owned(), "healthy".to_owned()];
        let window = Window {
            entity: "a",
            end_bin_ms: 0,
            step_secs: 3600,
            values: Vec::new(),
            status: &[],
            profile: "database",
            usual: None,
        };
        let check = |of: Naming, expected: [i64; 4]| {
            let steps = [(Some(2), 3), (Some(1), 4), (Some(0), 5), (None, 3)];
            let steps = steps
                .into_iter()
                .map(|(status, hour)| (status, hour * 3_600_000));
            let mut found = [-1; 4];
            let named = NamedCodes::new(of, &codes, 0, &statuses);
            named.codes(&window, steps, |place, code| found[place] = code);
            assert_eq!(found, expected, "{of:?}");
        };
        check(Naming::Profile, [1; 4]);
        check(Naming::Entity, [2; 4]);
        // Healthy has a code, critical has none, the rest is missing.
        check(Naming::Status, [3, 0, 0, 0]);
        check(Naming::Clock { field: Clock::Hour }, [4, 5, 0, 4]);
    }
}
