//! Seeds of random sequences, by what they are for.

use rand::SeedableRng;
use rand::rngs::StdRng;

/// The random sequence of a place in the run.
pub(crate) fn seeded(seed: u64, place: &[u64]) -> StdRng {
    StdRng::seed_from_u64(
        place
            .iter()
            .fold(seed, |mixed, part| mix(mixed ^ mix(*part))),
    )
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): neighbouring numbers become unlike ones.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
