//! Troubles that spread: a source fails, and servers that depend on its profile feel it.
//!
//! All cascades of a fleet are drawn before any server lives, each source's from a seed of its own, so that every
//! server can still be made by itself.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::FleetSpec;
use crate::effect::{Effect, OVERWHELMED, Pressure, felt, is_source};
use crate::noise::{exponential, mix};
use crate::profiles::Profile;

/// Sets the draws for cascades apart from those of the servers' lives.
const STREAM: u64 = 0x6361_7363_6164_6573;
/// From the first sign to full strength, and back, in hours.
const RISE_HOURS: f64 = 0.5;
const FALL_HOURS: f64 = 0.75;
/// Shortest and longest time at full strength in hours.
const HOLD_HOURS: (f64, f64) = (0.25, 2.0);

/// One source's failure.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cascade {
    /// Place of the source in the fleet.
    source: usize,
    source_profile: &'static str,
    /// Steps since the start of the fleet.
    pub(crate) start: f64,
    pub(crate) peak: f64,
    pub(crate) end: f64,
    over: f64,
    seed: u64,
}

impl Cascade {
    /// How much of the failure there is at a step, 0 to 1.
    pub(crate) fn weight(&self, step: f64) -> f64 {
        if step < self.start || step >= self.over {
            0.0
        } else if step < self.peak {
            (step - self.start) / (self.peak - self.start)
        } else if step < self.end {
            1.0
        } else {
            (self.over - step) / (self.over - self.end)
        }
    }

    /// Whether there is anything of it at a step.
    pub(crate) fn lasts(&self, step: f64) -> bool {
        (self.start..self.over).contains(&step)
    }
}

/// All cascades of a fleet, in order of their start.
pub(crate) fn schedule(spec: &FleetSpec, fleet: &[(&'static Profile, u32)]) -> Vec<Cascade> {
    let mut cascades = Vec::new();
    if spec.cascades_per_day <= 0.0 {
        return cascades;
    }
    let per_hour = 3_600.0 / f64::from(spec.step_secs);
    let mean_gap = 24.0 * per_hour / spec.cascades_per_day;
    let steps = spec.steps() as f64;
    for (source, (profile, _)) in fleet.iter().enumerate() {
        if !is_source(profile.id) {
            continue;
        }
        let rng = &mut StdRng::seed_from_u64(mix(spec.seed ^ STREAM, source as u64));
        let mut start = exponential(rng, mean_gap);
        while start < steps {
            let peak = start + RISE_HOURS * per_hour;
            let end = peak + rng.random_range(HOLD_HOURS.0..HOLD_HOURS.1) * per_hour;
            let over = end + FALL_HOURS * per_hour;
            cascades.push(Cascade {
                source,
                source_profile: profile.id,
                start,
                peak,
                end,
                over,
                seed: rng.random(),
            });
            start = over + exponential(rng, mean_gap);
        }
    }
    cascades.sort_by(|left, right| left.start.total_cmp(&right.start));
    cascades
}

/// A cascade as one server feels it.
#[derive(Debug, Clone)]
pub(crate) struct Felt {
    pub(crate) cascade: Cascade,
    /// Kind of the incident it is to this server.
    pub(crate) kind: &'static str,
    /// Effects at full strength.
    effects: Vec<Pressure>,
}

impl Felt {
    /// Adds what the server feels at a step.
    pub(crate) fn press(&self, step: f64, pressures: &mut Vec<Pressure>) {
        let weight = self.cascade.weight(step);
        if weight > 0.0 {
            pressures.extend(self.effects.iter().map(|full| Pressure {
                weight: full.weight * weight,
                ..*full
            }));
        }
    }

    /// The columns that it changes.
    pub(crate) fn columns(&self) -> Vec<usize> {
        let mut columns: Vec<usize> = (self.effects.iter())
            .flat_map(|pressure| pressure.effect.iter().map(|(column, _)| *column))
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// What the server at a place in the fleet feels, in order of start.
pub(crate) fn felt_by(cascades: &[Cascade], place: usize, profile: &Profile) -> Vec<Felt> {
    let mut all = Vec::new();
    for cascade in cascades {
        let (kind, effects) = if cascade.source == place {
            ("cascade_source", pressures(&[(1.0, OVERWHELMED)]))
        } else {
            let Some(dependency) = felt(profile.id, cascade.source_profile) else {
                continue;
            };
            let draw = StdRng::seed_from_u64(mix(cascade.seed, place as u64)).random::<f64>();
            if draw >= dependency.share {
                continue;
            }
            ("cascade_impact", pressures(dependency.effects))
        };
        all.push(Felt {
            cascade: cascade.clone(),
            kind,
            effects,
        });
    }
    all
}

fn pressures(effects: &[(f64, Effect)]) -> Vec<Pressure> {
    let pressure = |&(weight, effect): &(f64, Effect)| Pressure { effect, weight };
    effects.iter().map(pressure).collect()
}
