//! One server's life, step by step.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::FleetSpec;
use crate::cycle::{Moment, activity};
use crate::effect::{Pressure, apply};
use crate::events::{Event, Trouble, schedule};
use crate::noise::{Correlated, normal, poisson};
use crate::profiles::{Profile, USUAL_METRICS, metric};
use crate::states::State;

/// A server that has not seen its next step yet.
pub(crate) struct Life {
    pub(crate) profile: &'static Profile,
    pub(crate) name: String,
    /// What goes wrong by itself, in order of start.
    pub(crate) events: Vec<Event>,
    character: Character,
    noise: Noise,
    memory: Memory,
    rng: StdRng,
    step_secs: f64,
}

/// What comes to a server from outside at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outside<'a> {
    /// Factor on its activity, 1 for none.
    pub(crate) activity: f64,
    pub(crate) pressures: &'a [Pressure],
    /// Keeps it in its healthy state: nothing but what comes from outside happens to it.
    pub(crate) is_calm: bool,
}

impl Outside<'_> {
    pub(crate) const NOTHING: Outside<'static> = Outside {
        activity: 1.0,
        pressures: &[],
        is_calm: false,
    };
}

/// What a server was at a step.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// In the order of the schema; NaN where the server has no such thing.
    pub(crate) values: [f64; metric::COUNT],
    pub(crate) state: State,
    /// Nothing of it reached anybody.
    pub(crate) is_silent: bool,
}

/// What makes a server differ from the others of its profile; fixed for its life.
struct Character {
    cores: f32,
    /// Usual values, in the order of [`USUAL_METRICS`].
    levels: [f64; 12],
    shift_hours: f64,
    /// A job that runs every day at this hour, for so long.
    job: (f64, f64),
    has_java: bool,
    /// Share of steps without a row.
    sparseness: f64,
    /// Percent of the disk written per day and removed again by the nightly clean-up.
    disk_per_day: f64,
}

impl Character {
    fn draw(profile: &Profile, rng: &mut StdRng) -> Self {
        let levels = profile
            .usual
            .map(|(mean, deviation)| mean * (0.6 * deviation / mean * normal(rng)).exp());
        Self {
            cores: profile.cores[rng.random_range(0..profile.cores.len())],
            levels,
            shift_hours: 0.7 * normal(rng),
            job: (rng.random_range(0.0..24.0), rng.random_range(0.3..1.5)),
            has_java: rng.random_bool(0.75),
            sparseness: if rng.random_bool(0.1) {
                rng.random_range(0.05..0.4)
            } else {
                0.001
            },
            disk_per_day: rng.random_range(0.2..2.0),
        }
    }
}

/// Noise of a server: a common part that moves all busy metrics, and each metric's own.
struct Noise {
    common: Correlated,
    own: [Correlated; 12],
    slow_memory: Correlated,
}

/// Values that remember.
struct Memory {
    state: State,
    /// Smoothed factors of the state.
    factors: [f64; 12],
    swap: f64,
    uptime_days: f64,
    /// Steps for which the server stays silent.
    silent_steps: u32,
}

impl Life {
    /// A server before its first step; `number` is its place within its profile, from 1.
    pub(crate) fn new(spec: &FleetSpec, profile: &'static Profile, number: u32, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let character = Character::draw(profile, &mut rng);
        let step_secs = f64::from(spec.step_secs);
        let frequency = if rng.random_bool(spec.problem_share) {
            4.0
        } else {
            1.0
        };
        let events = schedule(spec.steps(), 3_600.0 / step_secs, frequency, &mut rng);
        let noise = Noise {
            common: Correlated::new(2_400.0, step_secs, &mut rng),
            own: std::array::from_fn(|_| Correlated::new(1_800.0, step_secs, &mut rng)),
            slow_memory: Correlated::new(36_000.0, step_secs, &mut rng),
        };
        let memory = Memory {
            state: State::Healthy,
            factors: State::Healthy.factors(),
            swap: character.levels[5],
            uptime_days: rng.random_range(0.0..60.0),
            silent_steps: 0,
        };
        Self {
            profile,
            name: format!("{}{number:0width$}", profile.prefix, width = profile.digits),
            events,
            character,
            noise,
            memory,
            rng,
            step_secs,
        }
    }

    pub(crate) fn cores(&self) -> f32 {
        self.character.cores
    }

    /// Lives through the step of this number, which begins at `time_ms`.
    pub(crate) fn live(&mut self, step: f64, time_ms: i64, outside: Outside<'_>) -> Observed {
        let moment = Moment::at(time_ms);
        self.advance(step, moment, outside.is_calm);
        let values = self.observe(step, moment, outside);
        let is_silent =
            self.memory.silent_steps > 0 || self.rng.random_bool(self.character.sparseness);
        self.memory.silent_steps = self.memory.silent_steps.saturating_sub(1);
        Observed {
            values,
            state: self.memory.state,
            is_silent,
        }
    }

    fn advance(&mut self, step: f64, moment: Moment, is_calm: bool) {
        let (memory, rng, step_secs) = (&mut self.memory, &mut self.rng, self.step_secs);
        memory.uptime_days += step_secs / 86_400.0;
        if is_calm {
            memory.state = State::Healthy;
        } else {
            advance_state(memory, &self.events, step, moment, step_secs, rng);
        }
        // A new state takes hold within about ten minutes.
        let gain = 1.0 - (-step_secs / 600.0).exp();
        for (factor, target) in memory.factors.iter_mut().zip(memory.state.factors()) {
            *factor += (target - *factor) * gain;
        }
    }

    /// The strongest effect of a trouble at a step.
    fn strongest(&self, trouble: Trouble, step: f64) -> f64 {
        let events = self.events.iter().filter(|event| event.trouble == trouble);
        let effects = events.map(|event| event.effect(step, 3_600.0 / self.step_secs));
        effects.fold(0.0, f64::max)
    }

    /// All metrics at a step, in the order of the schema.
    fn observe(&mut self, step: f64, moment: Moment, outside: Outside<'_>) -> [f64; metric::COUNT] {
        let leak = self.strongest(Trouble::MemoryLeak, step);
        let fill = self.strongest(Trouble::DiskFill, step);
        let ramp = self.strongest(Trouble::CpuRamp, step);
        let storm = self.strongest(Trouble::IoStorm, step);
        let connections = self.strongest(Trouble::ConnectionLeak, step);
        let mut values = self.usual(moment, outside.activity);

        // Troubles. A ramp drags load, network and Java along; a storm makes processes wait.
        let cores = f64::from(self.character.cores);
        values[metric::USER] += ramp * (92.0 - values[metric::USER]).max(0.0);
        values[metric::JAVA] += 0.8 * ramp * (85.0 - values[metric::JAVA]).max(0.0);
        values[metric::SYS] *= 1.0 + ramp;
        values[metric::IOWAIT] += storm * 45.0;
        values[metric::NET_IN] *= 1.0 + 0.5 * ramp;
        values[metric::MEM] += leak * (99.0 - values[metric::MEM]).max(0.0);
        values[metric::LOAD] += ramp * 1.3 * cores + storm * 0.6 * cores;
        apply(outside.pressures, &mut values);
        self.add_up(&mut values);

        // Memory that does not fit goes to swap and comes back slowly.
        let (memory, rng) = (&mut self.memory, &mut self.rng);
        values[metric::MEM] = values[metric::MEM].clamp(1.0, 99.5);
        let pressure = (values[metric::MEM] - 88.0).max(0.0);
        let wanted = values[metric::SWAP] + pressure * 5.0;
        let rate = if wanted > memory.swap { 0.25 } else { 0.03 };
        memory.swap += (wanted - memory.swap) * (rate * self.step_secs / 300.0).min(1.0);
        values[metric::SWAP] = (memory.swap + 0.05 * normal(rng)).clamp(0.0, 100.0);

        // Logs grow through the day and are rotated at 3 in the morning.
        let since_cleanup = (moment.hour - 3.0).rem_euclid(24.0) / 24.0;
        let disk = values[metric::DISK] + self.character.disk_per_day * since_cleanup;
        values[metric::DISK] =
            (disk + fill * (99.0 - disk).max(0.0) + 0.03 * normal(rng)).clamp(0.0, 100.0);

        let closing = 1.0 + 12.0 * connections;
        values[metric::BACK] = poisson(rng, values[metric::BACK] * closing);
        values[metric::FRONT] = poisson(rng, values[metric::FRONT] * (1.0 + 6.0 * connections));
        values[metric::UPTIME] = memory.uptime_days;
        values
    }

    /// What the hour and the state make of the server's usual values, with its noise.
    fn usual(&mut self, moment: Moment, outside: f64) -> [f64; metric::COUNT] {
        let (character, noise, rng) = (&self.character, &mut self.noise, &mut self.rng);
        let (job_hour, job_hours) = character.job;
        let job = if (moment.hour - job_hour).rem_euclid(24.0) < job_hours {
            1.35
        } else {
            1.0
        };
        let busy = activity(self.profile, moment, character.shift_hours)
            * job
            * outside
            * (0.12 * noise.common.next(rng)).exp();
        let mut values = [0.0; metric::COUNT];
        for (slot, column) in USUAL_METRICS.into_iter().enumerate() {
            let own = noise.own[slot].next(rng);
            let usual = character.levels[slot] * self.memory.factors[slot];
            values[column] = match column {
                metric::MEM => {
                    usual * (0.9 + 0.1 * busy) + 1.5 * noise.slow_memory.next(rng) + 0.4 * own
                }
                metric::SWAP | metric::DISK => usual,
                metric::BACK | metric::FRONT => usual * busy,
                _ => usual * busy * (0.15 * own).exp(),
            };
        }
        values
    }

    /// The three busy shares never exceed what there is; idle is the rest.
    fn add_up(&self, values: &mut [f64; metric::COUNT]) {
        let used = values[metric::USER] + values[metric::SYS] + values[metric::IOWAIT];
        let most = 99.5;
        if used > most {
            for column in [metric::USER, metric::SYS, metric::IOWAIT] {
                values[column] *= most / used;
            }
        }
        values[metric::IDLE] =
            100.0 - values[metric::USER] - values[metric::SYS] - values[metric::IOWAIT];
        let java_most = 0.95 * (values[metric::USER] + values[metric::SYS]);
        values[metric::JAVA] = if self.character.has_java {
            values[metric::JAVA].min(java_most)
        } else {
            f64::NAN
        };
    }
}

fn advance_state(
    memory: &mut Memory,
    events: &[Event],
    step: f64,
    moment: Moment,
    step_secs: f64,
    rng: &mut StdRng,
) {
    let at_peak = |event: &&Event| event.strength > 0.75 && step >= event.peak && step < event.end;
    let ends_now = |event: &&Event| step >= event.end && step < event.end + 1.0;
    memory.state = match memory.state {
        State::CriticalIssue if !events.iter().any(|event| at_peak(&event)) => State::Recovery,
        _ if events.iter().any(|event| at_peak(&event)) => State::CriticalIssue,
        state => state.step(moment, step_secs, rng),
    };
    if events
        .iter()
        .any(|event| event.trouble == Trouble::Outage && step >= event.peak && step < event.end)
    {
        memory.silent_steps = memory.silent_steps.max(1);
    }
    let planned_reboot =
        memory.state == State::Maintenance && rng.random_bool((step_secs / 14_400.0).min(1.0));
    if planned_reboot || events.iter().filter(ends_now).any(|event| event.reboots) {
        memory.uptime_days = 0.0;
        memory.swap = 0.0;
        // Shutting down and coming up takes a few minutes.
        memory.silent_steps = memory
            .silent_steps
            .max((rng.random_range(200.0..900.0) / step_secs) as u32);
    }
}
