//! The states a server goes through, and what each does to its metrics.

use rand::Rng;

use crate::cycle::Moment;

/// What a server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    Healthy,
    MorningSpike,
    HeavyLoad,
    CriticalIssue,
    Maintenance,
    Recovery,
}

impl State {
    /// Name in the schema.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Healthy => "healthy",
            Self::MorningSpike => "morning_spike",
            Self::HeavyLoad => "heavy_load",
            Self::CriticalIssue => "critical_issue",
            Self::Maintenance => "maintenance",
            Self::Recovery => "recovery",
        }
    }

    /// Factors on user, system, I/O wait, Java, memory, swap, disk, network in and out, back and front close-wait,
    /// load. What an issue does is the events' business, so a critical server keeps the factors of a healthy one.
    #[rustfmt::skip]
    pub(crate) fn factors(self) -> [f64; 12] {
        match self {
            Self::Idle =>         [0.30, 0.50, 0.20, 0.20, 0.80, 0.50, 1.0, 0.20, 0.20, 0.30, 0.30, 0.40],
            Self::Healthy | Self::CriticalIssue =>
                                  [1.00; 12],
            Self::MorningSpike => [1.30, 1.20, 1.40, 1.40, 1.10, 1.20, 1.0, 1.50, 1.40, 1.30, 1.30, 1.30],
            Self::HeavyLoad =>    [1.40, 1.30, 1.50, 1.50, 1.20, 1.30, 1.0, 1.50, 1.40, 1.40, 1.40, 1.40],
            Self::Maintenance =>  [0.30, 0.50, 0.80, 0.20, 0.80, 0.50, 1.0, 0.20, 0.20, 0.20, 0.20, 0.50],
            Self::Recovery =>     [0.80, 0.90, 1.20, 0.70, 1.00, 1.10, 1.0, 0.80, 0.70, 0.90, 0.90, 0.90],
        }
    }

    /// Transitions per hour: where to, and how often. A state lasts 1 / (sum of the rates) hours on average.
    fn rates(self, moment: Moment) -> Vec<(Self, f64)> {
        let workday = !moment.is_weekend();
        let when = |holds: bool, rate: f64, otherwise: f64| if holds { rate } else { otherwise };
        match self {
            Self::Healthy => vec![
                (
                    Self::MorningSpike,
                    when(workday && moment.is_between(7.0, 9.0), 0.5, 0.0),
                ),
                (
                    Self::HeavyLoad,
                    when(workday && moment.is_between(10.0, 17.0), 0.12, 0.02),
                ),
                (
                    Self::Idle,
                    when(
                        moment.is_between(0.0, 5.0) || moment.is_between(22.0, 24.0),
                        0.12,
                        0.005,
                    ),
                ),
                (
                    Self::Maintenance,
                    when(moment.is_between(2.0, 4.0), 0.03, 0.0005),
                ),
            ],
            Self::Idle => vec![(Self::Healthy, when(moment.is_between(6.0, 22.0), 1.5, 0.3))],
            Self::MorningSpike => vec![(Self::Healthy, 0.7), (Self::HeavyLoad, 0.2)],
            Self::HeavyLoad => vec![(Self::Healthy, 1.0)],
            Self::Maintenance => vec![(Self::Recovery, 1.2)],
            Self::Recovery => vec![(Self::Healthy, 2.5)],
            // Ended by the event that caused it.
            Self::CriticalIssue => Vec::new(),
        }
    }

    /// The state after a step.
    pub(crate) fn step(self, moment: Moment, step_secs: f64, rng: &mut impl Rng) -> Self {
        let mut draw = rng.random::<f64>();
        for (state, per_hour) in self.rates(moment) {
            let chance = per_hour * step_secs / 3_600.0;
            if draw < chance {
                return state;
            }
            draw -= chance;
        }
        self
    }
}
