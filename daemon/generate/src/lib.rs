//! A seeded synthetic fleet with ground-truth incidents.
//!
//! The fleet is for demos, tests, and for teaching a model what real traces lack; accuracy claims never come from it.
//! Servers of seven profiles follow a daily and a weekly rhythm with correlated noise; they change state, leak memory,
//! fill disks, ramp up until they saturate, reboot and go silent; where asked for, a failing source drags down what
//! depends on it. Percentages add up: user, system, I/O wait and idle
//! make 100. The same [`FleetSpec`] gives the same fleet. A [`LiveFleet`] lives on step by step and plays [`Scenario`]s.
//!
//! A fleet of [`FleetKind::Varied`] is for training only: its servers have no profile, no incidents and no relation
//! between metrics that could be learned by heart.

mod cascade;
mod cycle;
mod effect;
mod errors;
mod events;
mod life;
mod live;
mod noise;
mod profiles;
mod scenario;
mod server;
mod spec;
mod states;
mod varied;
mod write;

pub use errors::{GenerateError, SpecError};
pub use live::{LiveFleet, ScenarioStatus};
pub use scenario::{Scenario, UnknownScenario};
pub use server::GeneratedServer;
pub use spec::{FleetKind, FleetSpec};
pub use write::{Written, write};

/// All servers of a fleet, one after the other; each is made when it is asked for.
///
/// # Errors
/// When the specification asks for nothing, or for more than is sensible.
pub fn generate(
    spec: &FleetSpec,
) -> Result<impl Iterator<Item = GeneratedServer> + use<>, SpecError> {
    spec.check()?;
    let spec = spec.clone();
    Ok(match spec.kind {
        FleetKind::Typical => Box::new(typical(spec)) as Box<dyn Iterator<Item = GeneratedServer>>,
        FleetKind::Varied => {
            Box::new((0..spec.servers).map(move |place| varied::server(&spec, place)))
        }
    })
}

fn typical(spec: FleetSpec) -> impl Iterator<Item = GeneratedServer> {
    let fleet = profiles::split(spec.servers);
    let cascades = cascade::schedule(&spec, &fleet);
    (fleet.into_iter().enumerate()).map(move |(place, (profile, number))| {
        let life = life::Life::new(&spec, profile, number, noise::mix(spec.seed, place as u64));
        server::simulate(&spec, life, &cascade::felt_by(&cascades, place, profile))
    })
}
