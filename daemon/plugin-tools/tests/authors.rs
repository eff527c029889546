//! An author's day in each language: new, build, inspect, cases, conformance.
//!
//! Rust needs a compiler for WebAssembly, JavaScript needs npm, Python needs pip: where one is missing, its test says so
//! and does nothing else. `ARGUS_TEST_REQUIRE_TOOLCHAINS=1` makes that a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use argus_plugin_host::PluginKind;
use argus_plugin_tools::build::{self, Tools};
use argus_plugin_tools::case::{Case, Outcome, Workbench};
use argus_plugin_tools::project::Project;
use argus_plugin_tools::{Language, conformance, scaffold};

fn kept(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn workbench() -> Workbench {
    Workbench::new(Some(kept("compiled-plugins")), None).expect("a workbench")
}

/// Whether a language can be tried here.
#[expect(clippy::print_stderr, reason = "a test that does nothing says why")]
fn can_try(language: Language) -> bool {
    let runs = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        output.is_ok_and(|output| output.status.success())
    };
    let lacking = match language {
        Language::Rust => argus_wasm_toolchain::Toolchain::find()
            .err()
            .map(|e| e.to_string()),
        Language::JavaScript => (!runs("npm", "--version")).then(|| "npm is missing".to_owned()),
        Language::Python => {
            (!runs("python3", "--version")).then(|| "python3 is missing".to_owned())
        }
    };
    let Some(lacking) = lacking else { return true };
    let required = std::env::var_os("ARGUS_TEST_REQUIRE_TOOLCHAINS").is_some();
    assert!(!required, "{language}: {lacking}");
    eprintln!("not tried: {language}: {lacking}");
    false
}

/// New, build and every case of a template; returns the component and its cases.
fn make(parent: &Path, kind: PluginKind, language: Language) -> (PathBuf, Vec<Case>) {
    // One target folder for all Rust templates: compiling the dependencies takes most of the time.
    let cargo = parent.join(".cargo");
    std::fs::create_dir(&cargo).expect("a folder");
    let target = format!("build.target-dir = {:?}\n", kept("authors-target"));
    std::fs::write(cargo.join("config.toml"), target).expect("written");
    let dir = scaffold::new_project(parent, "team-chat", kind, language).expect("unpacked");
    let project = Project::open(&dir).expect("a project");
    let tools = Tools::new(kept("plugin-tools"));
    let (wasm, report) = {
        // In that folder the templates' components have one name: none is built before the last one was taken away.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _alone = BUILDING.lock();
        build::build(&project, &tools, &|_| ()).expect("built")
    };
    let manifest = report.manifest.as_ref().expect("a manifest");
    assert_eq!(
        (manifest.name.as_str(), manifest.version.as_str()),
        ("team-chat", "0.1.0")
    );
    assert_eq!(report.kind, Some(kind.as_str()));
    assert_eq!(manifest.config_schema["type"], "object");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join("cases"))
        .expect("cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let cases = files
        .iter()
        .map(|file| Case::read(file).expect("a case"))
        .collect();
    (wasm, cases)
}

fn assert_all_good(outcomes: &[Outcome]) {
    let bad: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| !outcome.differences.is_empty())
        .collect();
    assert!(bad.is_empty(), "{bad:#?}");
}

fn check(kind: PluginKind, language: Language) {
    if !can_try(language) {
        return;
    }
    let parent = tempfile::tempdir().expect("temporary folder");
    let (wasm, cases) = make(parent.path(), kind, language);
    let bench = workbench();
    assert!(!cases.is_empty());
    for case in &cases {
        let outcome = bench.run(&wasm, kind, case).expect("ran");
        assert_all_good(&[outcome]);
    }
    let typical = cases.iter().find(|case| case.expect.error.is_none());
    let outcomes =
        conformance::run(&bench, &wasm, typical.expect("a case that ends well")).expect("ran");
    assert!(outcomes.len() >= 4, "{outcomes:?}");
    assert_all_good(&outcomes);
}

#[test]
fn a_sink_in_rust() {
    check(PluginKind::Sink, Language::Rust);
}

#[test]
fn a_sink_in_javascript() {
    check(PluginKind::Sink, Language::JavaScript);
}

#[test]
fn a_sink_in_python() {
    check(PluginKind::Sink, Language::Python);
}

#[test]
fn an_explainer_in_rust() {
    check(PluginKind::Explainer, Language::Rust);
}

#[test]
fn an_explainer_in_javascript() {
    check(PluginKind::Explainer, Language::JavaScript);
}

#[test]
fn an_explainer_in_python() {
    check(PluginKind::Explainer, Language::Python);
}

#[test]
fn a_source_in_rust() {
    check(PluginKind::Source, Language::Rust);
}

#[test]
fn a_source_in_javascript() {
    check(PluginKind::Source, Language::JavaScript);
}
