//! Names and values.

pub use crate::bindings::host::types::Pair;

impl Pair {
    /// A name and its value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// The first value of that name.
pub fn value_of<'a>(pairs: &'a [Pair], name: &str) -> Option<&'a str> {
    let pair = pairs.iter().find(|pair| pair.name == name)?;
    Some(&pair.value)
}

pub(crate) fn to_pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs
        .iter()
        .map(|(name, value)| Pair::new(*name, *value))
        .collect()
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn from_pairs(pairs: Vec<Pair>) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|pair| (pair.name, pair.value))
        .collect()
}
