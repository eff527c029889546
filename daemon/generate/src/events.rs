//! What goes wrong, and when: drawn for a server before it runs.

use rand::Rng;

use crate::noise::exponential;
use crate::profiles::metric;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A process grows until it is restarted; swap follows.
    MemoryLeak,
    /// The disk fills up until someone cleans it.
    DiskFill,
    /// Load ramps up until the processors are saturated.
    CpuRamp,
    /// The disks cannot keep up.
    IoStorm,
    /// Connections are not closed.
    ConnectionLeak,
    /// The server says nothing.
    Outage,
}

impl Trouble {
    /// Kind of incident, as written to the list of incidents.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::MemoryLeak => "memory_leak",
            Self::DiskFill => "disk_fill",
            Self::CpuRamp => "cpu_ramp",
            Self::IoStorm => "io_storm",
            Self::ConnectionLeak => "connection_leak",
            Self::Outage => "outage",
        }
    }

    /// The metrics that show it.
    pub(crate) fn metrics(self) -> &'static [usize] {
        match self {
            Self::MemoryLeak => &[metric::MEM, metric::SWAP],
            Self::DiskFill => &[metric::DISK],
            Self::CpuRamp => &[metric::IDLE, metric::LOAD],
            Self::IoStorm => &[metric::IOWAIT],
            Self::ConnectionLeak => &[metric::BACK, metric::FRONT],
            Self::Outage => &[],
        }
    }

    /// Mean days between two on an ordinary server; shortest and longest rise and hold in hours.
    fn timing(self) -> (f64, (f64, f64), (f64, f64)) {
        match self {
            Self::MemoryLeak => (12.0, (6.0, 40.0), (0.2, 2.0)),
            Self::DiskFill => (16.0, (5.0, 30.0), (0.5, 4.0)),
            Self::CpuRamp => (6.0, (0.5, 4.0), (0.3, 2.0)),
            Self::IoStorm => (9.0, (0.2, 2.0), (0.3, 1.5)),
            Self::ConnectionLeak => (12.0, (2.0, 12.0), (0.2, 1.0)),
            Self::Outage => (15.0, (0.0, 0.0), (0.2, 6.0)),
        }
    }
}

/// One trouble of one server: it rises evenly from `start` to `peak`, holds until `end`, then falls fast.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) trouble: Trouble,
    /// Steps since the start of the series.
    pub(crate) start: f64,
    pub(crate) peak: f64,
    pub(crate) end: f64,
    /// How bad it gets: 0.5 is hardly noticed, 1 is an incident for sure.
    pub(crate) strength: f64,
    /// Whether it is ended by a reboot.
    pub(crate) reboots: bool,
}

impl Event {
    /// Part of the full effect that is there at a step, 0 to `strength`. After the end it falls within half an hour.
    pub(crate) fn effect(&self, step: f64, steps_per_hour: f64) -> f64 {
        let part = if step < self.start {
            0.0
        } else if step < self.peak {
            (step - self.start) / (self.peak - self.start)
        } else if step < self.end {
            1.0
        } else {
            (1.0 - (step - self.end) / (0.5 * steps_per_hour)).max(0.0)
        };
        part * self.strength
    }
}

/// Draws all troubles of a server in order of their start. `frequency` multiplies how often they come.
pub(crate) fn schedule(
    steps: usize,
    steps_per_hour: f64,
    frequency: f64,
    rng: &mut impl Rng,
) -> Vec<Event> {
    use Trouble::*;
    let mut events = Vec::new();
    for trouble in [
        MemoryLeak,
        DiskFill,
        CpuRamp,
        IoStorm,
        ConnectionLeak,
        Outage,
    ] {
        let (days_between, rise, hold) = trouble.timing();
        let mean_gap = days_between * 24.0 * steps_per_hour / frequency;
        let mut start = exponential(rng, mean_gap);
        while start < steps as f64 {
            let between = |(least, most): (f64, f64), rng: &mut _| -> f64 {
                let draw: f64 = Rng::random(rng);
                (least + (most - least) * draw) * steps_per_hour
            };
            let peak = start + between(rise, rng);
            let end = peak + between(hold, rng);
            let strength = rng.random_range(0.5..1.0);
            let reboots = trouble == MemoryLeak && rng.random_bool(0.5)
                || trouble == Outage && rng.random_bool(0.7);
            events.push(Event {
                trouble,
                start,
                peak,
                end,
                strength,
                reboots,
            });
            start = end + exponential(rng, mean_gap);
        }
    }
    events.sort_by(|left, right| left.start.total_cmp(&right.start));
    events
}
