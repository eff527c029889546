//! A fleet that lives on, step by step, and plays scenarios.

use std::sync::Arc;

use argus_schema::{EntityName, Record, Schema};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;

use crate::cycle::Moment;
use crate::effect::{
    CRITICAL, DEGRADING, DEGRADING_DATABASE, ESCALATED, Effect, OVERWHELMED, Pressure, felt,
    is_source,
};
use crate::life::{Life, Outside};
use crate::noise::mix;
use crate::{FleetSpec, Scenario, SpecError, profiles};

/// Steps within which what a scenario did is gone after another was set.
const FADE_STEPS: f64 = 12.0;
/// Sources that fail in a cascade.
const CASCADE_SOURCES: usize = 2;

/// Servers that live on for as long as they are asked to.
///
/// Nothing goes wrong on its own: what happens is the scenario's doing. The same specification, scenarios and times
/// give the same records.
pub struct LiveFleet {
    schema: Arc<Schema>,
    seed: u64,
    servers: Vec<Server>,
    scenario: Scenario,
    /// Steps lived.
    steps: u64,
    /// The step at which the scenario was set.
    since: u64,
    /// The step from which it is healthy again.
    until: Option<u64>,
    /// Scenarios that were set before.
    changes: u64,
}

struct Server {
    life: Life,
    name: EntityName,
    profile: Option<u8>,
    is_affected: bool,
    pushes: Vec<Push>,
}

/// A pressure on its way to its full weight, or back to none.
struct Push {
    pressure: Pressure,
    target: f64,
    /// Change of the weight per step.
    rate: f64,
}

/// What a live fleet plays, and on whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioStatus {
    /// What it plays.
    pub scenario: Scenario,
    /// The servers that it concerns, in the fleet's order.
    pub affected: Vec<EntityName>,
    /// Servers of the fleet.
    pub fleet_size: usize,
    /// Steps lived.
    pub steps: u64,
    /// Steps until it is healthy again by itself.
    pub steps_left: Option<u64>,
}

impl LiveFleet {
    /// A healthy fleet before its first step; of the specification, servers, seed and length of a step count.
    ///
    /// # Errors
    /// When the specification is out of range.
    pub fn new(spec: &FleetSpec, schema: Arc<Schema>) -> Result<Self, SpecError> {
        spec.check()?;
        let mut servers = Vec::with_capacity(spec.servers as usize);
        for (place, (profile, number)) in profiles::split(spec.servers).into_iter().enumerate() {
            let mut life = Life::new(spec, profile, number, mix(spec.seed, place as u64));
            life.events.clear();
            // A generated name is short and has no control characters.
            let Ok(name) = EntityName::new(&life.name) else {
                continue;
            };
            servers.push(Server {
                name,
                profile: schema.profile_code(profile.id),
                life,
                is_affected: false,
                pushes: Vec::new(),
            });
        }
        Ok(Self {
            schema,
            seed: spec.seed,
            servers,
            scenario: Scenario::Healthy,
            steps: 0,
            since: 0,
            until: None,
            changes: 0,
        })
    }

    /// Plays another scenario from the next step on, for so many steps or until the next one is set; gives the one
    /// before. What the one before did fades.
    pub fn set(&mut self, scenario: Scenario, steps: Option<u64>) -> Scenario {
        let before = std::mem::replace(&mut self.scenario, scenario);
        self.since = self.steps;
        self.until = steps.map(|steps| self.steps.saturating_add(steps));
        self.changes += 1;
        let escalates = before == Scenario::Degrading && scenario == Scenario::Critical;
        for server in &mut self.servers {
            for push in &mut server.pushes {
                push.target = 0.0;
                push.rate = 1.0 / FADE_STEPS;
            }
        }
        match scenario.share() {
            _ if escalates => {}
            Some(share) => self.pick(share),
            None => self.cascade(),
        }
        for server in self.servers.iter_mut().filter(|server| server.is_affected) {
            match scenario {
                Scenario::Degrading if server.life.profile.id == "database" => {
                    server.push(DEGRADING_DATABASE, 1.0, 60.0);
                }
                Scenario::Degrading => server.push(DEGRADING, 1.0, 60.0),
                Scenario::Critical if escalates => server.push(ESCALATED, 1.0, 12.0),
                Scenario::Critical => server.push(CRITICAL, 1.0, 24.0),
                _ => {}
            }
        }
        before
    }

    /// What it plays, and on whom.
    pub fn status(&self) -> ScenarioStatus {
        let affected = self.servers.iter().filter(|server| server.is_affected);
        ScenarioStatus {
            scenario: self.scenario,
            affected: affected.map(|server| server.name.clone()).collect(),
            fleet_size: self.servers.len(),
            steps: self.steps,
            steps_left: self.until.map(|until| until.saturating_sub(self.steps)),
        }
    }

    /// Lives through the step that begins at `time_ms`, and tells what was observed.
    pub fn step(&mut self, time_ms: i64) -> Vec<Record> {
        if self.until.is_some_and(|until| self.steps >= until) {
            self.set(Scenario::Healthy, None);
        }
        let age = self.steps - self.since;
        self.live(
            time_ms,
            Some(self.scenario.activity(age, Moment::at(time_ms))),
        )
    }

    /// Lives through a step of the past: a scenario that is set already begins after it.
    pub fn step_past(&mut self, time_ms: i64) -> Vec<Record> {
        self.since += 1;
        self.until = self.until.map(|until| until.saturating_add(1));
        self.live(time_ms, None)
    }

    /// Lives through a step; `activity` is the scenario's where it plays.
    fn live(&mut self, time_ms: i64, activity: Option<f64>) -> Vec<Record> {
        let mut records = Vec::with_capacity(self.servers.len());
        for server in &mut self.servers {
            let pressures = activity.map_or_else(Vec::new, |_| server.advance());
            let outside = Outside {
                activity: activity.filter(|_| server.is_affected).unwrap_or(1.0),
                pressures: &pressures,
                is_calm: true,
            };
            let observed = server.life.live(self.steps as f64, time_ms, outside);
            if observed.is_silent {
                continue;
            }
            records.push(Record {
                entity: server.name.clone(),
                time_ms,
                status: self.schema.status_code(observed.state.id()).unwrap_or(0),
                profile: server.profile,
                cores: Some(server.life.cores()),
                values: observed.values.iter().map(|value| *value as f32).collect(),
            });
        }
        self.steps += 1;
        records
    }

    /// Concerns a share of the servers, at least one of a share above none, drawn anew for every change.
    fn pick(&mut self, share: f64) {
        let count = (share * self.servers.len() as f64).ceil() as usize;
        let rng = &mut StdRng::seed_from_u64(mix(self.seed, u64::MAX - self.changes));
        let chosen = index::sample(rng, self.servers.len(), count.min(self.servers.len()));
        for server in &mut self.servers {
            server.is_affected = false;
        }
        for place in chosen {
            self.servers[place].is_affected = true;
        }
    }

    /// Lets sources fail, databases first, and whatever depends on them feel it.
    fn cascade(&mut self) {
        self.pick(0.0);
        let mut sources: Vec<usize> = (0..self.servers.len())
            .filter(|place| is_source(self.servers[*place].life.profile.id))
            .collect();
        sources.sort_by_key(|place| self.servers[*place].life.profile.id != "database");
        sources.truncate(CASCADE_SOURCES);
        let failing: Vec<&str> = sources
            .iter()
            .map(|place| self.servers[*place].life.profile.id)
            .collect();
        for (place, server) in self.servers.iter_mut().enumerate() {
            if sources.contains(&place) {
                server.is_affected = true;
                server.push(OVERWHELMED, 1.0, 24.0);
                continue;
            }
            let source = failing
                .iter()
                .find_map(|source| felt(server.life.profile.id, source));
            if let Some(dependency) = source {
                server.is_affected = true;
                for (weight, effect) in dependency.effects {
                    server.push(effect, *weight, 24.0);
                }
            }
        }
    }
}

impl Server {
    fn push(&mut self, effect: Effect, target: f64, ramp_steps: f64) {
        let pressure = Pressure {
            effect,
            weight: 0.0,
        };
        self.pushes.push(Push {
            pressure,
            target,
            rate: target / ramp_steps,
        });
    }

    /// Moves all pushes by a step, and forgets those that are over.
    fn advance(&mut self) -> Vec<Pressure> {
        for push in &mut self.pushes {
            let weight = &mut push.pressure.weight;
            *weight = if *weight < push.target {
                (*weight + push.rate).min(push.target)
            } else {
                (*weight - push.rate).max(push.target)
            };
        }
        self.pushes
            .retain(|push| push.target > 0.0 || push.pressure.weight > 0.0);
        self.pushes.iter().map(|push| push.pressure).collect()
    }
}
