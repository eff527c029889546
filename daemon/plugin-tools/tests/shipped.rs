//! Every shipped plugin runs its cases, and passes the conformance suite configured as its first case says.
//!
//! Components come from `plugins/dist`; `cargo xtask plugins` builds them.

use std::path::{Path, PathBuf};

use argus_plugin_host::PluginKind;
use argus_plugin_tools::case::{Case, Outcome, Workbench};
use argus_plugin_tools::{conformance, inspect};

/// Components for tests and measurements: they misbehave, or do nothing.
const NOT_SHIPPED: [&str; 3] = ["bench", "hostile", "hostile-source"];

fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| file.extension().is_some_and(|end| end == extension))
        .collect();
    files.sort();
    files
}

fn failures(name: &str, outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty());
    failed
        .map(|outcome| {
            format!(
                "{name}: {}: {}",
                outcome.name,
                outcome.differences.join("\n")
            )
        })
        .collect()
}

#[test]
fn every_shipped_plugin_conforms() {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
    let bench = Workbench::new(Some(cache), None).expect("a workbench");
    let components = files(&plugins().join("dist"), "wasm");
    let mut tried = Vec::new();
    let mut failed = Vec::new();
    for wasm in &components {
        let name = wasm
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if NOT_SHIPPED.contains(&name.as_str()) {
            continue;
        }
        let bytes = std::fs::read(wasm).expect("readable");
        let report = inspect::inspect(&bytes).expect("a component");
        failed.extend(
            report
                .problems()
                .iter()
                .map(|problem| format!("{name}: {problem}")),
        );
        let kind = report.kind.and_then(PluginKind::from_name).expect("a kind");
        let cases: Vec<Case> = files(&plugins().join(&name).join("cases"), "json")
            .iter()
            .map(|file| Case::read(file).expect("a case"))
            .collect();
        if cases.is_empty() {
            // What a source fetches comes from a connector, which cases cannot play yet.
            let excused = kind == PluginKind::Source;
            failed.extend((!excused).then(|| format!("{name} has no cases")));
            continue;
        }
        for case in &cases {
            let outcome = bench.run(wasm, kind, case).expect("ran");
            failed.extend(failures(&name, &[outcome]));
        }
        let typical = cases.iter().find(|case| case.expect.error.is_none());
        let typical = typical.expect("a case that ends well");
        let outcomes = conformance::run(&bench, wasm, typical).expect("ran");
        failed.extend(failures(&name, &outcomes));
        tried.push(name);
    }
    for sink in ["alertmanager", "pagerduty", "slack", "webhook"] {
        assert!(
            tried.iter().any(|name| name == sink),
            "{sink} is not in plugins/dist: run `cargo xtask plugins` first"
        );
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
