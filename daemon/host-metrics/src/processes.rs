//! `/proc/[pid]/stat`: processor time of Java virtual machines.

use std::collections::HashMap;
use std::path::Path;

/// A process: its id and, because ids are used again, the tick it started at.
type Process = (u32, u64);

/// Clock ticks that each running Java virtual machine has used since its start.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JavaTicks(HashMap<Process, u64>);

impl JavaTicks {
    /// Reads all processes below a `/proc`; processes that end meanwhile are left out.
    pub(crate) fn read(proc: &Path) -> Self {
        let Ok(entries) = std::fs::read_dir(proc) else {
            return Self::default();
        };
        let java = entries.filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            // A process may name itself in bytes that are no UTF-8.
            let stat = std::fs::read(entry.path().join("stat")).ok()?;
            let (start, ticks) = java_ticks(&String::from_utf8_lossy(&stat))?;
            Some(((pid, start), ticks))
        });
        Self(java.collect())
    }

    /// Whether none runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ticks used since an earlier reading; a process that is new since then counts from its start.
    pub(crate) fn since(&self, earlier: &Self) -> f64 {
        let used = |(process, ticks): (&Process, &u64)| {
            ticks.saturating_sub(*earlier.0.get(process).unwrap_or(&0))
        };
        #[expect(clippy::cast_precision_loss, reason = "ticks between two readings")]
        let ticks = self.0.iter().map(used).sum::<u64>() as f64;
        ticks
    }
}

/// Start time and used ticks (user and system) of a process named `java`, from its `stat`.
fn java_ticks(stat: &str) -> Option<(u64, u64)> {
    // The name stands in parentheses and may hold any character, closing parentheses too.
    let (head, fields) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    if name != "java" {
        return None;
    }
    // Fields are counted from 1, and the first one after the name is the third.
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some((field(22)?, field(14)?.saturating_add(field(15)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_java_counts() {
        let tail = "S 1 1 1 0 -1 0 0 0 0 0 700 300 0 0 20 0 9 0 4242 1 1";
        assert_eq!(java_ticks(&format!("7 (java) {tail}")), Some((4242, 1000)));
        for name in ["javac", "not java", "java)", ") (java", ""] {
            assert_eq!(java_ticks(&format!("7 ({name}) {tail}")), None, "{name:?}");
        }
        assert_eq!(java_ticks("7 (java) S 1"), None);
        assert_eq!(java_ticks(""), None);
    }

    #[test]
    fn a_process_id_used_again_is_another_process() {
        let earlier = JavaTicks(HashMap::from([((7, 1), 1000), ((8, 1), 50)]));
        let now = JavaTicks(HashMap::from([((7, 9), 30), ((8, 1), 80)]));
        assert!((now.since(&earlier) - 60.0).abs() < 1e-9);
    }
}
