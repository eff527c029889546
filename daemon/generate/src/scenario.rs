//! What a live fleet can be told to play.

use std::f64::consts::TAU;
use std::str::FromStr;

use crate::cycle::Moment;

/// What a live fleet plays. Ramps are counted in steps of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// Nothing happens beyond the servers' days and nights.
    Healthy,
    /// A fifth of the servers fills up to 75 % of processor and 80 % of memory within 60 steps.
    Degrading,
    /// A quarter of the servers reaches 90 % and more within 24 steps; after [`Self::Degrading`] the same servers, in
    /// 12.
    Critical,
    /// Two sources fail within 24 steps, and whatever depends on them feels it.
    Cascade,
    /// As [`Self::Healthy`].
    Stable,
    /// All servers work from 9 to 17 h UTC and rest otherwise.
    BusinessHours,
    /// After 60 steps, a tenth of the servers rises to 2.5 times its activity over 120 steps.
    GradualSpike,
    /// From the 100th to the 200th step, a tenth of the servers has 2.5 times its activity.
    SuddenSpike,
    /// All servers swing by 30 % with a period of 72 steps.
    Cyclic,
}

/// There is no scenario of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no scenario `{0}`; known are {list}", list = Scenario::names())]
pub struct UnknownScenario(pub String);

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Healthy,
        Self::Degrading,
        Self::Critical,
        Self::Cascade,
        Self::Stable,
        Self::BusinessHours,
        Self::GradualSpike,
        Self::SuddenSpike,
        Self::Cyclic,
    ];

    /// Its name in configuration and API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degrading => "degrading",
            Self::Critical => "critical",
            Self::Cascade => "cascade",
            Self::Stable => "stable",
            Self::BusinessHours => "business_hours",
            Self::GradualSpike => "gradual_spike",
            Self::SuddenSpike => "sudden_spike",
            Self::Cyclic => "cyclic",
        }
    }

    fn names() -> String {
        Self::ALL
            .map(|scenario| format!("`{}`", scenario.name()))
            .join(", ")
    }

    /// Share of the fleet that it concerns; `None` where it picks servers by their profiles.
    pub(crate) fn share(self) -> Option<f64> {
        match self {
            Self::Healthy | Self::Stable => Some(0.0),
            Self::Degrading => Some(0.2),
            Self::Critical => Some(0.25),
            Self::GradualSpike | Self::SuddenSpike => Some(0.1),
            Self::BusinessHours | Self::Cyclic => Some(1.0),
            Self::Cascade => None,
        }
    }

    /// Factor on the activity of a server that it concerns, `age` steps after it was set.
    pub(crate) fn activity(self, age: u64, moment: Moment) -> f64 {
        let age = age as f64;
        match self {
            Self::BusinessHours if moment.is_between(9.0, 17.0) => {
                1.4 + 0.2 * (TAU * (moment.hour - 9.0) / 8.0).sin()
            }
            Self::BusinessHours => 0.6 + 0.1 * (TAU * moment.hour / 24.0).sin(),
            Self::GradualSpike => 1.0 + 1.5 * ((age - 60.0) / 120.0).clamp(0.0, 1.0),
            Self::SuddenSpike if age > 100.0 && age < 200.0 => 2.5,
            Self::Cyclic => 1.0 + 0.3 * (TAU * age / 72.0).sin(),
            _ => 1.0,
        }
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, UnknownScenario> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
            .ok_or_else(|| UnknownScenario(name.to_owned()))
    }
}
