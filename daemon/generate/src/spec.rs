//! What to generate.

use crate::SpecError;

/// What kind of servers a fleet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetKind {
    /// Servers of seven profiles and the troubles that befall them.
    Typical,
    /// Servers whose metrics run in many ways: nothing of a name, a profile or an hour helps to forecast them. For training
    /// only.
    Varied,
}

impl FleetKind {
    /// What a source of training that is such a fleet is called.
    pub fn source_name(self) -> &'static str {
        match self {
            Self::Typical => "synthetic",
            Self::Varied => "varied",
        }
    }
}

/// Kind, size, span and seed of a fleet.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetSpec {
    /// What its servers are like.
    pub kind: FleetKind,
    /// Servers over all profiles, 1 to 100 000; in a typical fleet of 7 or more each profile has at least one.
    pub servers: u32,
    /// Days to cover, 1 to 3 660.
    pub days: u32,
    /// Everything random follows from it.
    pub seed: u64,
    /// Start of the first step, milliseconds since the Unix epoch, UTC.
    pub start_ms: i64,
    /// Length of a step in seconds, 1 to 3 600.
    pub step_secs: u32,
    /// In a typical fleet, share of servers that are in trouble several times as often as the others, 0 to 1.
    pub problem_share: f64,
    /// In a typical fleet, how often a server that others depend on fails and drags them along, per day; 0 to 100.
    pub cascades_per_day: f64,
}

impl Default for FleetSpec {
    /// A typical fleet: 28 servers, 14 days from Monday 2024-01-01, 5-minute steps, seed 42, no cascades.
    fn default() -> Self {
        Self {
            kind: FleetKind::Typical,
            servers: 28,
            days: 14,
            seed: 42,
            start_ms: 1_704_067_200_000,
            step_secs: 300,
            problem_share: 0.1,
            cascades_per_day: 0.0,
        }
    }
}

impl FleetSpec {
    /// Steps of each server.
    pub fn steps(&self) -> usize {
        (u64::from(self.days) * 86_400 / u64::from(self.step_secs.max(1))) as usize
    }

    /// Checks all fields.
    ///
    /// # Errors
    /// Names the first field that is out of range.
    pub fn check(&self) -> Result<(), SpecError> {
        let refuse = |field, found: String, allowed| {
            Err(SpecError {
                field,
                found,
                allowed,
            })
        };
        if !(1..=100_000).contains(&self.servers) {
            return refuse(
                "servers",
                self.servers.to_string(),
                "1 to 100000 are possible",
            );
        }
        if !(1..=3_660).contains(&self.days) {
            return refuse("days", self.days.to_string(), "1 to 3660 are possible");
        }
        if !(1..=3_600).contains(&self.step_secs) {
            return refuse(
                "step_secs",
                self.step_secs.to_string(),
                "1 to 3600 are possible",
            );
        }
        if !(0.0..=1.0).contains(&self.problem_share) {
            return refuse(
                "problem_share",
                self.problem_share.to_string(),
                "0 to 1 is possible",
            );
        }
        if !(0.0..=100.0).contains(&self.cascades_per_day) {
            return refuse(
                "cascades_per_day",
                self.cascades_per_day.to_string(),
                "0 to 100 are possible",
            );
        }
        // Year 1970 to 9999: what every reader of timestamps can take.
        if !(0..=253_402_300_799_000 - i64::from(self.days) * 86_400_000).contains(&self.start_ms) {
            return refuse(
                "start_ms",
                self.start_ms.to_string(),
                "a time between the years 1970 and 9999 is needed",
            );
        }
        Ok(())
    }
}
