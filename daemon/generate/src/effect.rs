//! What others' troubles, and scenarios, do to a server's metrics.

use crate::profiles::metric::*;

/// One change of a metric, at full weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// Multiplied by this.
    Times(f64),
    /// Raised by this, in the metric's unit.
    Plus(f64),
    /// Raised to this, where it is lower.
    Toward(f64),
}

use Change::{Plus, Times, Toward};

/// Changes that come together, by column.
pub(crate) type Effect = &'static [(usize, Change)];

/// Connections are refused or hang: retried, left half closed, waited for.
pub(crate) const CONNECTION_FAILURES: Effect = &[
    (BACK, Times(3.0)),
    (BACK, Plus(15.0)),
    (FRONT, Times(2.5)),
    (FRONT, Plus(10.0)),
    (LOAD, Times(1.3)),
    (SYS, Times(1.4)),
];
/// Requests pile up in front of something slow.
pub(crate) const REQUEST_QUEUING: Effect = &[
    (LOAD, Times(2.0)),
    (MEM, Times(1.15)),
    (BACK, Times(1.5)),
    (BACK, Plus(5.0)),
    (JAVA, Times(1.2)),
];
/// Nobody hands out work.
pub(crate) const IDLE_RESOURCES: Effect = &[
    (USER, Times(0.3)),
    (JAVA, Times(0.2)),
    (NET_IN, Times(0.1)),
    (NET_OUT, Times(0.1)),
    (LOAD, Times(0.4)),
];
/// There is work, and nothing to work on.
pub(crate) const DATA_STARVATION: Effect = &[
    (USER, Times(0.4)),
    (JAVA, Times(0.3)),
    (NET_IN, Times(0.15)),
    (MEM, Times(0.9)),
    (LOAD, Times(0.5)),
];
/// The source of a cascade itself.
pub(crate) const OVERWHELMED: Effect = &[
    (USER, Toward(95.0)),
    (MEM, Toward(92.0)),
    (IOWAIT, Toward(45.0)),
    (LOAD, Times(3.0)),
];
/// Getting worse: most of the processor and the memory is in use.
pub(crate) const DEGRADING: Effect = &[
    (USER, Toward(75.0)),
    (MEM, Toward(80.0)),
    (LOAD, Times(1.8)),
];
/// The same of a database, which waits for its disks too.
pub(crate) const DEGRADING_DATABASE: Effect = &[
    (USER, Toward(70.0)),
    (MEM, Toward(80.0)),
    (IOWAIT, Toward(18.0)),
    (LOAD, Times(1.8)),
];
/// Nearly nothing is left.
pub(crate) const CRITICAL: Effect = &[
    (USER, Toward(90.0)),
    (MEM, Toward(93.0)),
    (IOWAIT, Toward(35.0)),
    (LOAD, Times(3.0)),
];
/// What was degrading has become critical.
pub(crate) const ESCALATED: Effect = &[
    (USER, Toward(92.0)),
    (MEM, Toward(95.0)),
    (IOWAIT, Toward(40.0)),
    (LOAD, Times(3.5)),
];

/// An effect and how much of it is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pressure {
    pub(crate) effect: Effect,
    /// 0 to 1.
    pub(crate) weight: f64,
}

/// Lets pressures work on the values of a step, one after the other.
pub(crate) fn apply(pressures: &[Pressure], values: &mut [f64; COUNT]) {
    for pressure in pressures {
        for (column, change) in pressure.effect {
            let value = &mut values[*column];
            *value += pressure.weight
                * match change {
                    Times(factor) => *value * (factor - 1.0),
                    Plus(amount) => *amount,
                    Toward(level) => (level - *value).max(0.0),
                };
        }
    }
}

/// What trouble of servers of one profile does to servers of another.
#[derive(Debug)]
pub(crate) struct Dependency {
    dependent: &'static str,
    source: &'static str,
    /// Share of the dependents that feel it.
    pub(crate) share: f64,
    /// What they feel, and how strongly.
    pub(crate) effects: &'static [(f64, Effect)],
}

#[rustfmt::skip]
static DEPENDENCIES: [Dependency; 6] = [
    Dependency { dependent: "web_api", source: "database", share: 0.85,
                 effects: &[(1.0, CONNECTION_FAILURES), (0.7, REQUEST_QUEUING)] },
    Dependency { dependent: "data_ingest", source: "database", share: 0.75,
                 effects: &[(1.0, CONNECTION_FAILURES), (0.6, REQUEST_QUEUING)] },
    Dependency { dependent: "risk_analytics", source: "database", share: 0.8,
                 effects: &[(1.0, DATA_STARVATION), (0.5, IDLE_RESOURCES)] },
    Dependency { dependent: "ml_compute", source: "conductor_mgmt", share: 0.9,
                 effects: &[(1.0, IDLE_RESOURCES)] },
    Dependency { dependent: "ml_compute", source: "data_ingest", share: 0.6,
                 effects: &[(1.0, DATA_STARVATION)] },
    Dependency { dependent: "conductor_mgmt", source: "database", share: 0.7,
                 effects: &[(1.0, CONNECTION_FAILURES)] },
];

/// Whether trouble of servers of this profile spreads to others.
pub(crate) fn is_source(profile: &str) -> bool {
    DEPENDENCIES.iter().any(|known| known.source == profile)
}

/// What a dependent feels of a source in trouble.
pub(crate) fn felt(dependent: &str, source: &str) -> Option<&'static Dependency> {
    DEPENDENCIES
        .iter()
        .find(|known| known.dependent == dependent && known.source == source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profiles::split;

    #[test]
    fn half_a_pressure_does_half() {
        let mut values = [10.0; COUNT];
        apply(
            &[Pressure {
                effect: &[(USER, Toward(90.0)), (LOAD, Times(3.0)), (BACK, Plus(4.0))],
                weight: 0.5,
            }],
            &mut values,
        );
        assert_eq!(
            (values[USER], values[LOAD], values[BACK]),
            (50.0, 20.0, 12.0)
        );
        assert_eq!(values[MEM], 10.0);
    }

    #[test]
    fn what_is_higher_already_is_not_lowered() {
        let mut values = [95.0; COUNT];
        let pressure = Pressure {
            effect: DEGRADING,
            weight: 1.0,
        };
        apply(&[pressure], &mut values);
        assert_eq!(values[USER], 95.0);
    }

    #[test]
    fn dependencies_name_profiles_that_exist() {
        let known: Vec<&str> = split(7).iter().map(|(profile, _)| profile.id).collect();
        for dependency in &DEPENDENCIES {
            assert!(known.contains(&dependency.dependent) && known.contains(&dependency.source));
        }
    }
}
