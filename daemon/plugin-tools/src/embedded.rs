//! The SDKs, their WIT and the templates, as they were when this program was built.

/// Paths relative to `plugin-sdk/`, and contents.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));

/// Files below a folder of `plugin-sdk/`, with paths relative to it.
pub(crate) fn below(folder: &str) -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let prefix = format!("{folder}/");
    FILES
        .iter()
        .filter_map(move |(path, content)| Some((path.strip_prefix(prefix.as_str())?, *content)))
}

/// The Rust SDK as a package: its manifest, sources and WIT.
pub(crate) fn rust_sdk() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    let belongs =
        |path: &str| path == "Cargo.toml" || path.starts_with("src/") || path.starts_with("wit/");
    FILES.iter().copied().filter(move |(path, _)| belongs(path))
}
