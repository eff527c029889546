//! JavaScript: an engine with the module's state inside, made by npm's component tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use argus_plugin_host::PluginKind;

use super::process::run;
use super::tools::Tools;
use super::{unfinished, world};
use crate::errors::ToolError;
use crate::project::{Engine, Project};

const ADVICE: &str = "install Node.js 20 or later with npm, e.g. from https://nodejs.org";
const QUICKJS: &[&str] = &["componentize-qjs@0.4.5"];
/// The shim is needed at the version for which the tool was made, which the tool itself does not say.
const STARLINGMONKEY: &[&str] = &[
    "@bytecodealliance/componentize-js@0.23.0",
    "@bytecodealliance/preview2-shim@0.17.9",
];

pub(super) fn build(
    project: &Project,
    kind: PluginKind,
    main: &str,
    engine: Engine,
    tools: &Tools,
    progress: &dyn Fn(&str),
) -> Result<Vec<u8>, ToolError> {
    let main_file = project.dir.join(main);
    if !main_file.is_file() {
        let package = project.dir.join("package.json");
        let reason = format!("argus.main names {main}, which is not there");
        return Err(ToolError::content(&package, reason));
    }
    let (packages, program) = match engine {
        Engine::QuickJs => (QUICKJS, "componentize-qjs"),
        Engine::StarlingMonkey => (STARLINGMONKEY, "componentize-js"),
    };
    let name = packages[0].replace(['@', '/'], "-");
    let folder = tools.folder(&name, |folder| {
        progress(&format!("npm install {} (once)", packages[0]));
        npm_install(packages, folder)
    })?;
    let output = unfinished(project)?;
    let mut command = Command::new(folder.join("node_modules/.bin").join(program));
    command.current_dir(&project.dir);
    match engine {
        Engine::QuickJs => {
            command.args(["--wit", "wit", "--world", world(kind), "--js", main]);
            // Without `--sync` the component would need the async component model, which hosts do not have yet.
            command.args(["--module-root", ".", "--sync", "--stub-wasi", "--output"]);
            command.arg(&output);
        }
        Engine::StarlingMonkey => {
            command.arg(main).arg("--wit").arg(project.dir.join("wit"));
            command.args(["--world-name", world(kind), "--out"]);
            command.arg(&output);
            command.args([
                "--disable",
                "stdio",
                "random",
                "clocks",
                "http",
                "fetch-event",
            ]);
        }
    }
    progress(&format!("{program} {main}"));
    let made = run(&mut command, ADVICE);
    let wasm = made.and_then(|()| fs::read(&output).map_err(ToolError::file("read", &output)));
    // Left over, it does no harm: the next build writes over it.
    let _ = fs::remove_file(&output);
    wasm
}

fn npm_install(packages: &[&str], folder: &Path) -> Result<(), ToolError> {
    let mut npm = Command::new("npm");
    npm.args([
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--prefix",
    ]);
    run(npm.arg(folder).args(packages), ADVICE)
}
