//! The state machine of one alert: pure, no clock, no storage.
//!
//! ```text
//!            hot                    hot × for_strikes
//!  (nothing) ────► pending ──────────────────────────► firing(severity) ──┐ severity changes after as many strikes
//!                     │ not hot: dropped                  │      ▲         │ up (hot) or down (cold) of the critical
//!                     ▼                                   │      └─────────┘ condition
//!                 (nothing)                               │ cold × clear_strikes × 2^flaps
//!                                                         ▼
//!                                                     resolved
//! ```
//!
//! A forecast is *hot* for a severity if its threshold is passed now or its probability is at least
//! `fire_probability`; *cold* if it is not passed and the probability is at most `clear_probability`; else *between*,
//! which breaks a run of strikes in either direction. Warning and critical are one condition with two severities, so
//! a warning that gets worse is the same alert.
//!
//! Only scheduled forecasts with a later origin than the last one get here, see `evaluate`.

use argus_fleet::Level;
use serde::{Deserialize, Serialize};

/// Doublings of the strikes needed to resolve a flapping alert: at most eight times as many.
const MAX_FLAP_DOUBLINGS: u32 = 3;

/// What one forecast says about one severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heat {
    Hot,
    Between,
    Cold,
}

/// What one forecast says about a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub critical: Heat,
    /// `None` where warnings do not alert.
    pub warning: Option<Heat>,
}

impl Seen {
    fn is_hot(self) -> bool {
        self.critical == Heat::Hot || self.warning == Some(Heat::Hot)
    }

    fn is_cold(self) -> bool {
        self.critical == Heat::Cold && self.warning.is_none_or(|w| w == Heat::Cold)
    }
}

/// Consecutive forecasts that agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strikes {
    /// That the critical condition is on.
    pub critical: u32,
    /// That any severity is on.
    pub any: u32,
    /// That the critical condition is off.
    pub critical_clear: u32,
    /// That every severity is off.
    pub clear: u32,
}

impl Strikes {
    fn after(self, seen: Seen) -> Self {
        let run = |length: u32, goes_on: bool| if goes_on { length.saturating_add(1) } else { 0 };
        Self {
            critical: run(self.critical, seen.critical == Heat::Hot),
            any: run(self.any, seen.is_hot()),
            critical_clear: run(self.critical_clear, seen.critical == Heat::Cold),
            clear: run(self.clear, seen.is_cold()),
        }
    }
}

/// Strikes needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needed {
    pub fire: u32,
    pub clear: u32,
}

impl Needed {
    pub fn new(fire: u32, clear: u32, flaps: u32) -> Self {
        Self {
            fire: fire.max(1),
            clear: clear
                .max(1)
                .saturating_mul(1 << flaps.min(MAX_FLAP_DOUBLINGS)),
        }
    }
}

/// Where a condition is; resolved and never seen are both `Idle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Pending,
    Firing(Level),
}

/// Takes one forecast into account; the new phase and strikes. Comparing the phases tells what happened.
pub(crate) fn step(phase: Phase, strikes: Strikes, seen: Seen, needed: Needed) -> (Phase, Strikes) {
    let strikes = strikes.after(seen);
    let next = match phase {
        Phase::Idle | Phase::Pending if !seen.is_hot() => Phase::Idle,
        Phase::Idle | Phase::Pending => match strikes {
            s if s.critical >= needed.fire => Phase::Firing(Level::Critical),
            s if s.any >= needed.fire => Phase::Firing(if seen.warning.is_some() {
                Level::Warning
            } else {
                Level::Critical
            }),
            _ => Phase::Pending,
        },
        Phase::Firing(_) if strikes.clear >= needed.clear => Phase::Idle,
        Phase::Firing(Level::Critical)
            if seen.warning.is_some() && strikes.critical_clear >= needed.clear =>
        {
            Phase::Firing(Level::Warning)
        }
        Phase::Firing(Level::Critical) => phase,
        Phase::Firing(_) if strikes.critical >= needed.fire => Phase::Firing(Level::Critical),
        Phase::Firing(_) => phase,
    };
    (
        next,
        if next == Phase::Idle {
            Strikes::default()
        } else {
            strikes
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heat(letter: char) -> Heat {
        match letter {
            'h' => Heat::Hot,
            'c' => Heat::Cold,
            _ => Heat::Between,
        }
    }

    /// Runs one letter per forecast (`h`ot, `-` between, `c`old) and compares the phases: `.` idle, `p`ending,
    /// `W`arning, `C`ritical.
    #[track_caller]
    fn check(critical: &str, warning: Option<&str>, flaps: u32, expected: &str) {
        let (mut phase, mut strikes) = (Phase::Idle, Strikes::default());
        let needed = Needed::new(3, 3, flaps);
        let mut warnings = warning.map(str::chars);
        let got: String = critical
            .chars()
            .map(|letter| {
                let seen = Seen {
                    critical: heat(letter),
                    warning: warnings.as_mut().map(|w| heat(w.next().unwrap_or('-'))),
                };
                (phase, strikes) = step(phase, strikes, seen, needed);
                match phase {
                    Phase::Idle => '.',
                    Phase::Pending => 'p',
                    Phase::Firing(Level::Warning) => 'W',
                    Phase::Firing(_) => 'C',
                }
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn critical_only() {
        check("hhh", None, 0, "ppC");
        check("hh-hhh", None, 0, "pp.ppC");
        check("hhchhh", None, 0, "pp.ppC");
        check("hhhccc", None, 0, "ppCCC.");
        check("hhhcc-ccc", None, 0, "ppCCCCCC.");
        check("hhhcchccc", None, 0, "ppCCCCCC.");
        check("hhh------", None, 0, "ppCCCCCCC");
        check("ccc---", None, 0, "......");
        check("hhhccchhh", None, 0, "ppCCC.ppC");
    }

    #[test]
    fn a_flapping_alert_needs_more_to_resolve() {
        check("hhhccccc", None, 1, "ppCCCCCC");
        check("hhhcccccc", None, 1, "ppCCCCCC.");
        check(
            "hhhccccccccccccccccccccccc",
            None,
            9,
            "ppCCCCCCCCCCCCCCCCCCCCCCCC",
        );
        check(
            "hhhcccccccccccccccccccccccc",
            None,
            9,
            "ppCCCCCCCCCCCCCCCCCCCCCCCC.",
        );
    }

    #[test]
    fn warning_and_critical_are_one_alert() {
        // Escalation needs strikes of its own, and so does the way back.
        check("ccchhhhcccccc", Some("hhhhhhhhhhccc"), 0, "ppWWWCCCCWWW.");
        // A mixture fires with what all forecasts agree on.
        check("hhc", Some("hhh"), 0, "ppW");
        check("chh", Some("hhh"), 0, "ppW");
        check("hhh", Some("hhh"), 0, "ppC");
        // Both clear at once: resolved without a stop at warning.
        check("hhhccc", Some("hhhccc"), 0, "ppCCC.");
        // Critical is gone, warning neither on nor off: stays, with the lower severity.
        check("hhhccccc", Some("hhh-----"), 0, "ppCCCWWW");
    }

    fn any_heat() -> impl Strategy<Value = Heat> {
        prop_oneof![Just(Heat::Hot), Just(Heat::Between), Just(Heat::Cold)]
    }

    proptest! {
        /// Whatever is seen: firing begins only after enough hot forecasts in a row, ends only after enough cold ones.
        #[test]
        fn strikes_rule(seen in proptest::collection::vec((any_heat(), any_heat()), 0..200), warn: bool, fire in 1_u32..5, clear in 1_u32..5, flaps in 0_u32..5) {
            let needed = Needed::new(fire, clear, flaps);
            let (mut phase, mut strikes) = (Phase::Idle, Strikes::default());
            let mut past: Vec<Seen> = Vec::new();
            for (critical, warning) in seen {
                let seen = Seen { critical, warning: warn.then_some(warning) };
                past.push(seen);
                let before = phase;
                (phase, strikes) = step(phase, strikes, seen, needed);
                let last = |n: u32, f: fn(&Seen) -> bool| past.len() >= n as usize && past.iter().rev().take(n as usize).all(f);
                match (before, phase) {
                    (Phase::Idle | Phase::Pending, Phase::Firing(level)) => {
                        prop_assert!(last(needed.fire, |s| s.is_hot()));
                        prop_assert_eq!(level == Level::Critical, last(needed.fire, |s| s.critical == Heat::Hot));
                    }
                    (Phase::Firing(_), Phase::Idle) => prop_assert!(last(needed.clear, |s| s.is_cold())),
                    (Phase::Firing(Level::Warning), Phase::Firing(Level::Critical)) => prop_assert!(last(needed.fire, |s| s.critical == Heat::Hot)),
                    (Phase::Firing(Level::Critical), Phase::Firing(Level::Warning)) => prop_assert!(warn && last(needed.clear, |s| s.critical == Heat::Cold)),
                    (Phase::Firing(_), Phase::Pending) => prop_assert!(false, "firing never goes back to pending"),
                    _ => {}
                }
                prop_assert!(warn || phase != Phase::Firing(Level::Warning));
            }
        }
    }
}
