//! When a failing plugin is left alone.
//!
//! ```text
//!           faults_before_back_off                faults_before_quarantine
//!   Ready ───────────────────────► BackingOff ───────────────────────────► Quarantined
//!     ▲  ◄── any call without fault ──┘   ▲                                     │
//!     └────────── trial call without fault, reload, or release ◄────────────────┘
//! ```
//!
//! Pauses double with every further fault. A quarantine ends with a single call on trial; if that fails, it begins
//! anew.

use std::time::Duration;

use crate::config::HealthPolicy;
use crate::errors::Failure;
use crate::status::PluginState;

/// Counts faults in a row and says whether calls are let through. Pure: time comes in.
#[derive(Debug)]
pub(crate) struct Health {
    policy: HealthPolicy,
    faults: u32,
    closed_until_ms: i64,
    quarantined_since_ms: Option<i64>,
    trial_running: bool,
}

/// A call that was let through. `trial` calls decide about the end of a quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    trial: bool,
}

impl Health {
    pub(crate) fn new(policy: HealthPolicy) -> Self {
        Self {
            policy,
            faults: 0,
            closed_until_ms: i64::MIN,
            quarantined_since_ms: None,
            trial_running: false,
        }
    }

    /// Lets a call through, or says why not and for how long.
    pub(crate) fn admit(&mut self, now_ms: i64) -> Result<Admission, (Failure, Duration)> {
        let wait = Duration::from_millis(
            u64::try_from(self.closed_until_ms.saturating_sub(now_ms)).unwrap_or(0),
        );
        if self.quarantined_since_ms.is_some() {
            if !wait.is_zero() || self.trial_running {
                return Err((
                    Failure::Quarantined {
                        faults: self.faults,
                    },
                    wait,
                ));
            }
            self.trial_running = true;
            return Ok(Admission { trial: true });
        }
        if wait.is_zero() {
            return Ok(Admission { trial: false });
        }
        Err((
            Failure::BackingOff {
                until_ms: self.closed_until_ms,
                faults: self.faults,
            },
            wait,
        ))
    }

    /// A call ended without a fault; its own errors are no matter of health.
    pub(crate) fn succeeded(&mut self, admission: Admission) {
        // A call from before the quarantine does not end it.
        if self.quarantined_since_ms.is_none() || admission.trial {
            self.release();
        }
    }

    /// A call trapped or exceeded a limit. Returns whether the plugin has just been quarantined.
    pub(crate) fn faulted(&mut self, admission: Admission, now_ms: i64) -> bool {
        self.abandoned(admission);
        self.faults = self.faults.saturating_add(1);
        if self.faults >= self.policy.faults_before_quarantine {
            let begins = self.quarantined_since_ms.is_none();
            self.quarantined_since_ms.get_or_insert(now_ms);
            self.close(now_ms, self.policy.quarantine);
            return begins;
        }
        if let Some(exponent) = self.faults.checked_sub(self.policy.faults_before_back_off) {
            let pause = self
                .policy
                .first_back_off
                .saturating_mul(1 << exponent.min(16));
            self.close(now_ms, pause.min(self.policy.quarantine));
        }
        false
    }

    /// A call was given up before its outcome was known.
    pub(crate) fn abandoned(&mut self, admission: Admission) {
        if admission.trial {
            self.trial_running = false;
        }
    }

    /// Lets calls through again at once.
    pub(crate) fn release(&mut self) {
        *self = Self::new(self.policy);
    }

    /// For people.
    pub(crate) fn state(&self, now_ms: i64) -> PluginState {
        match self.quarantined_since_ms {
            Some(since_ms) => PluginState::Quarantined {
                since_ms,
                trial_ms: self.closed_until_ms,
                faults: self.faults,
            },
            None if now_ms < self.closed_until_ms => PluginState::BackingOff {
                until_ms: self.closed_until_ms,
                faults: self.faults,
            },
            None => PluginState::Ready,
        }
    }

    fn close(&mut self, now_ms: i64, pause: Duration) {
        let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        self.closed_until_ms = now_ms.saturating_add(pause_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        Health::new(HealthPolicy {
            faults_before_back_off: 2,
            first_back_off: Duration::from_millis(100),
            faults_before_quarantine: 4,
            quarantine: Duration::from_secs(60),
        })
    }

    fn fault(health: &mut Health, now_ms: i64) {
        let admission = health.admit(now_ms).expect("admitted");
        health.faulted(admission, now_ms);
    }

    #[test]
    fn pauses_double_and_a_good_call_forgives() {
        let mut health = health();
        fault(&mut health, 0);
        assert_eq!(health.state(0), PluginState::Ready, "one fault is nothing");
        fault(&mut health, 0);
        assert_eq!(
            health.state(0),
            PluginState::BackingOff {
                until_ms: 100,
                faults: 2
            }
        );
        let (failure, wait) = health.admit(40).expect_err("closed");
        assert_eq!((failure.code(), wait.as_millis()), ("backing_off", 60));
        fault(&mut health, 100);
        assert_eq!(
            health.state(100),
            PluginState::BackingOff {
                until_ms: 300,
                faults: 3
            }
        );
        let admission = health.admit(300).expect("open again");
        health.succeeded(admission);
        assert_eq!(health.state(300), PluginState::Ready);
        fault(&mut health, 300);
        assert_eq!(
            health.state(300),
            PluginState::Ready,
            "counting begins anew"
        );
    }

    #[test]
    fn quarantine_ends_by_a_single_trial() {
        let mut health = health();
        for now in [0, 0, 1_000, 2_000] {
            fault(&mut health, now);
        }
        assert_eq!(
            health.state(2_000),
            PluginState::Quarantined {
                since_ms: 2_000,
                trial_ms: 62_000,
                faults: 4
            }
        );
        assert!(health.admit(61_999).is_err());
        let trial = health.admit(62_000).expect("the trial");
        assert!(health.admit(62_000).is_err(), "one at a time");
        health.abandoned(trial);
        fault(&mut health, 62_000);
        assert!(health.admit(62_001).is_err(), "the trial failed");
        let trial = health.admit(122_000).expect("the next trial");
        health.succeeded(trial);
        assert_eq!(health.state(122_000), PluginState::Ready);
    }

    #[test]
    fn stragglers_do_not_end_a_quarantine() {
        let mut health = health();
        let straggler = health.admit(0).expect("admitted");
        for now in [0, 0, 1_000, 2_000] {
            fault(&mut health, now);
        }
        health.succeeded(straggler);
        assert!(health.admit(3_000).is_err());
        health.release();
        assert!(health.admit(3_000).is_ok());
    }
}
