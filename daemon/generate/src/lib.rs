//! A seeded synthetic fleet with ground-truth incidents.
//!
//! The fleet is for demos, tests, and for teaching a model what real traces lack; accuracy claims never come from it.
//! Servers of seven profiles follow a daily and a weekly rhythm with correlated noise; they change state, leak memory,
//! fill disks, ramp up until they saturate, reboot and go silent. Percentages add up: user, system, I/O wait and idle
//! make 100. The same [`FleetSpec`] gives the same fleet.

mod cycle;
mod errors;
mod events;
mod noise;
mod profiles;
mod server;
mod spec;
mod states;
mod write;

pub use errors::{GenerateError, SpecError};
pub use server::GeneratedServer;
pub use spec::FleetSpec;
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
    Ok(profiles::split(spec.servers).into_iter().enumerate().map(
        move |(index, (profile, number))| {
            let seed = noise::mix(spec.seed, index as u64);
            server::simulate(&spec, profile, number, seed)
        },
    ))
}
