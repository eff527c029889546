//! One server's life, step by step.

use argus_schema::Schema;
use argus_trace::{Incident, Series};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::FleetSpec;
use crate::cycle::{Moment, activity};
use crate::events::{Event, Trouble, schedule};
use crate::noise::{Correlated, normal, poisson};
use crate::profiles::{Profile, USUAL_METRICS, metric};
use crate::states::State;

/// A server's observations and what truly went wrong on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedServer {
    /// One row per step; a silent server has no row.
    pub series: Series,
    /// In order of start. An incident lasts from the first to the last step of trouble at which one of its metrics
    /// was past the schema's warning threshold.
    pub incidents: Vec<Incident>,
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

/// Lives one server through the whole span.
pub(crate) fn simulate(
    spec: &FleetSpec,
    profile: &Profile,
    number: u32,
    seed: u64,
) -> GeneratedServer {
    let schema = Schema::server();
    let rng = &mut StdRng::seed_from_u64(seed);
    let character = Character::draw(profile, rng);
    let step_secs = f64::from(spec.step_secs);
    let steps_per_hour = 3_600.0 / step_secs;
    let frequency = if rng.random_bool(spec.problem_share) {
        4.0
    } else {
        1.0
    };
    let events = schedule(spec.steps(), steps_per_hour, frequency, rng);
    let mut noise = Noise {
        common: Correlated::new(2_400.0, step_secs, rng),
        own: std::array::from_fn(|_| Correlated::new(1_800.0, step_secs, rng)),
        slow_memory: Correlated::new(36_000.0, step_secs, rng),
    };
    let mut memory = Memory {
        state: State::Healthy,
        factors: State::Healthy.factors(),
        swap: character.levels[5],
        uptime_days: rng.random_range(0.0..60.0),
        silent_steps: 0,
    };
    let mut series = Series {
        name: format!("{}{number:0width$}", profile.prefix, width = profile.digits),
        profile: Some(profile.id.to_owned()),
        cores: Some(character.cores),
        times_ms: Vec::new(),
        values: vec![Vec::new(); metric::COUNT],
        status: Vec::new(),
    };
    let mut breaches = vec![None::<(usize, usize)>; events.len()];

    for step in 0..spec.steps() {
        let time_ms = spec.start_ms + step as i64 * i64::from(spec.step_secs) * 1_000;
        let moment = Moment::at(time_ms);
        advance_state(&mut memory, &events, step as f64, moment, step_secs, rng);
        let values = observe(
            profile,
            &character,
            &mut memory,
            &mut noise,
            &events,
            step as f64,
            moment,
            spec,
            rng,
        );
        for (event, breach) in events.iter().zip(&mut breaches) {
            if is_breached(
                event,
                &values,
                step as f64,
                &schema,
                profile.id,
                character.cores,
            ) {
                *breach = Some((breach.map_or(step, |(first, _)| first), step));
            }
        }
        let silent = memory.silent_steps > 0 || rng.random_bool(character.sparseness);
        memory.silent_steps = memory.silent_steps.saturating_sub(1);
        if silent {
            continue;
        }
        series.times_ms.push(time_ms);
        series
            .status
            .push(schema.status_code(memory.state.id()).unwrap_or(0));
        for (column, value) in series.values.iter_mut().zip(values) {
            column.push(value as f32);
        }
    }
    let incidents = incidents(spec, &series.name, &events, &breaches, &schema);
    GeneratedServer { series, incidents }
}

fn advance_state(
    memory: &mut Memory,
    events: &[Event],
    step: f64,
    moment: Moment,
    step_secs: f64,
    rng: &mut StdRng,
) {
    memory.uptime_days += step_secs / 86_400.0;
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
    // A new state takes hold within about ten minutes.
    let gain = 1.0 - (-step_secs / 600.0).exp();
    for (factor, target) in memory.factors.iter_mut().zip(memory.state.factors()) {
        *factor += (target - *factor) * gain;
    }
}

/// All metrics at a step, in the order of the schema.
#[expect(
    clippy::too_many_arguments,
    reason = "one step reads all that a server is"
)]
fn observe(
    profile: &Profile,
    character: &Character,
    memory: &mut Memory,
    noise: &mut Noise,
    events: &[Event],
    step: f64,
    moment: Moment,
    spec: &FleetSpec,
    rng: &mut StdRng,
) -> [f64; metric::COUNT] {
    let steps_per_hour = 3_600.0 / f64::from(spec.step_secs);
    let strongest = |trouble: Trouble| {
        let effects = events
            .iter()
            .filter(|event| event.trouble == trouble)
            .map(|e| e.effect(step, steps_per_hour));
        effects.fold(0.0, f64::max)
    };
    let (leak, fill, ramp) = (
        strongest(Trouble::MemoryLeak),
        strongest(Trouble::DiskFill),
        strongest(Trouble::CpuRamp),
    );
    let (storm, connections) = (
        strongest(Trouble::IoStorm),
        strongest(Trouble::ConnectionLeak),
    );

    let (job_hour, job_hours) = character.job;
    let job = if (moment.hour - job_hour).rem_euclid(24.0) < job_hours {
        1.35
    } else {
        1.0
    };
    let busy = activity(profile, moment, character.shift_hours)
        * job
        * (0.12 * noise.common.next(rng)).exp();

    let mut values = [0.0; metric::COUNT];
    for (slot, column) in USUAL_METRICS.into_iter().enumerate() {
        let own = noise.own[slot].next(rng);
        let usual = character.levels[slot] * memory.factors[slot];
        values[column] = match column {
            metric::MEM => {
                usual * (0.9 + 0.1 * busy) + 1.5 * noise.slow_memory.next(rng) + 0.4 * own
            }
            metric::SWAP | metric::DISK => usual,
            metric::BACK | metric::FRONT => usual * busy,
            _ => usual * busy * (0.15 * own).exp(),
        };
    }

    // Troubles. A ramp drags load, network and Java along; a storm makes processes wait.
    values[metric::USER] += ramp * (92.0 - values[metric::USER]).max(0.0);
    values[metric::JAVA] += 0.8 * ramp * (85.0 - values[metric::JAVA]).max(0.0);
    values[metric::SYS] *= 1.0 + ramp;
    values[metric::IOWAIT] += storm * 45.0;
    values[metric::NET_IN] *= 1.0 + 0.5 * ramp;
    values[metric::MEM] += leak * (99.0 - values[metric::MEM]).max(0.0);
    let cores = f64::from(character.cores);
    values[metric::LOAD] += ramp * 1.3 * cores + storm * 0.6 * cores;

    // The three busy shares never exceed what there is; idle is the rest.
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
    values[metric::JAVA] = if character.has_java {
        values[metric::JAVA].min(java_most)
    } else {
        f64::NAN
    };

    // Memory that does not fit goes to swap and comes back slowly.
    values[metric::MEM] = values[metric::MEM].clamp(1.0, 99.5);
    let pressure = (values[metric::MEM] - 88.0).max(0.0);
    let wanted = values[metric::SWAP] + pressure * 5.0;
    let rate = if wanted > memory.swap { 0.25 } else { 0.03 };
    memory.swap += (wanted - memory.swap) * (rate * 12.0 / steps_per_hour).min(1.0);
    values[metric::SWAP] = (memory.swap + 0.05 * normal(rng)).clamp(0.0, 100.0);

    // Logs grow through the day and are rotated at 3 in the morning.
    let since_cleanup = (moment.hour - 3.0).rem_euclid(24.0) / 24.0;
    let disk = values[metric::DISK] + character.disk_per_day * since_cleanup;
    values[metric::DISK] =
        (disk + fill * (99.0 - disk).max(0.0) + 0.03 * normal(rng)).clamp(0.0, 100.0);

    let closing = 1.0 + 12.0 * connections;
    values[metric::BACK] = poisson(rng, values[metric::BACK] * closing);
    values[metric::FRONT] = poisson(rng, values[metric::FRONT] * (1.0 + 6.0 * connections));
    values[metric::UPTIME] = memory.uptime_days;
    values
}

fn is_breached(
    event: &Event,
    values: &[f64; metric::COUNT],
    step: f64,
    schema: &Schema,
    profile: &str,
    cores: f32,
) -> bool {
    if step < event.start || step > event.end {
        return false;
    }
    match event.trouble {
        Trouble::Outage => step >= event.peak,
        // The schema has no thresholds for counts; several times the usual is an incident in anyone's book.
        Trouble::ConnectionLeak => event.strength > 0.75 && step >= event.peak,
        _ => event.trouble.metrics().iter().any(|column| {
            let metric = &schema.metrics[*column];
            let limits = metric.thresholds_for(profile, Some(cores));
            limits.is_some_and(|limits| match metric.breach {
                Some(argus_schema::Breach::Above) => values[*column] >= limits.warning,
                Some(argus_schema::Breach::Below) => values[*column] <= limits.warning,
                None => false,
            })
        }),
    }
}

fn incidents(
    spec: &FleetSpec,
    name: &str,
    events: &[Event],
    breaches: &[Option<(usize, usize)>],
    schema: &Schema,
) -> Vec<Incident> {
    let time = |step: usize| spec.start_ms + step as i64 * i64::from(spec.step_secs) * 1_000;
    let mut incidents: Vec<Incident> = (events.iter().zip(breaches))
        .filter_map(|(event, breach)| {
            let (first, last) = (*breach)?;
            Some(Incident {
                server: name.to_owned(),
                start_ms: time(first),
                end_ms: time(last + 1),
                kind: event.trouble.id().to_owned(),
                metrics: event
                    .trouble
                    .metrics()
                    .iter()
                    .map(|c| schema.metrics[*c].name.clone())
                    .collect(),
            })
        })
        .collect();
    incidents.sort_by_key(|incident| incident.start_ms);
    incidents
}
