//! Python: the interpreter with the module's state inside, made by componentize-py.

use std::fs;
use std::path::Path;
use std::process::Command;

use argus_plugin_host::PluginKind;

use super::process::run;
use super::tools::Tools;
use super::{unfinished, world};
use crate::errors::ToolError;
use crate::project::Project;

const ADVICE: &str =
    "install Python 3.10 or later with its module `venv` (on Debian: apt-get install python3-venv)";
const COMPONENTIZE: &str = "componentize-py==0.25.1";

pub(super) fn build(
    project: &Project,
    kind: PluginKind,
    main: &str,
    tools: &Tools,
    progress: &dyn Fn(&str),
) -> Result<Vec<u8>, ToolError> {
    if !project.dir.join(format!("{main}.py")).is_file() {
        let pyproject = project.dir.join("pyproject.toml");
        let reason = format!("tool.argus.main names {main}, but there is no {main}.py");
        return Err(ToolError::content(&pyproject, reason));
    }
    let folder = tools.folder(&COMPONENTIZE.replace("==", "-"), |folder| {
        progress(&format!("pip install {COMPONENTIZE} (once)"));
        pip_install(folder)
    })?;
    let output = unfinished(project)?;
    let mut command = Command::new(folder.join("bin/componentize-py"));
    command.current_dir(&project.dir);
    command.args(["--quiet", "--wit-path", "wit", "--world", world(kind)]);
    // WASI is inert in the host anyhow; stubbed, the component does not even ask for it.
    command.args([
        "componentize",
        main,
        "--stub-wasi",
        "--python-path",
        ".",
        "--output",
    ]);
    command.arg(&output);
    progress(&format!("componentize-py {main} (about 20 s)"));
    let made = run(&mut command, ADVICE);
    let wasm = made.and_then(|()| fs::read(&output).map_err(ToolError::file("read", &output)));
    // Left over, it does no harm: the next build writes over it.
    let _ = fs::remove_file(&output);
    wasm
}

fn pip_install(folder: &Path) -> Result<(), ToolError> {
    run(
        Command::new("python3").args(["-m", "venv"]).arg(folder),
        ADVICE,
    )?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    run(pip.arg(COMPONENTIZE), ADVICE)
}
