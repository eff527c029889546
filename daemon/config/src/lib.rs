//! The one TOML file: types, defaults, precise errors.
