//! Rust: cargo, with whatever compiler for WebAssembly this machine has.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use argus_wasm_toolchain::Toolchain;
use serde_json::Value;

use super::process;
use crate::errors::ToolError;
use crate::project::Project;

const ADVICE: &str = "install Rust from https://rustup.rs";

pub(super) fn build(project: &Project, progress: &dyn Fn(&str)) -> Result<Vec<u8>, ToolError> {
    let toolchain = Toolchain::find()?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    toolchain.configure(&mut command);
    command.arg("--message-format=json-render-diagnostics");
    command.current_dir(&project.dir).stdout(Stdio::piped());
    progress("cargo build (the first time compiles the dependencies: a minute or two)");
    // Compiler messages go to the terminal as they come; standard output says where the component is.
    let mut child = command
        .spawn()
        .map_err(|error| process::start_error(&command, error, ADVICE))?;
    let manifest = project.dir.join("Cargo.toml");
    let stdout = child.stdout.take();
    let lines = stdout
        .into_iter()
        .flat_map(|out| BufReader::new(out).lines());
    let components: Vec<PathBuf> = lines
        .map_while(Result::ok)
        .filter_map(|line| component_of(&line, &manifest.display().to_string()))
        .collect();
    let status = child
        .wait()
        .map_err(ToolError::file("wait for", &manifest))?;
    if !status.success() {
        return Err(ToolError::Program {
            command: "cargo build".into(),
            status,
            output: String::new(),
        });
    }
    let [component] = components.as_slice() else {
        return Err(ToolError::content(
            &manifest,
            "cargo built no component: the package needs `[lib] crate-type = [\"cdylib\"]`",
        ));
    };
    fs::read(component).map_err(ToolError::file("read", component))
}

/// The component that one of cargo's messages tells of.
fn component_of(line: &str, manifest: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["manifest_path"] != manifest {
        return None;
    }
    let files = message["filenames"].as_array()?.iter();
    let mut components = files
        .filter_map(Value::as_str)
        .filter(|file| file.ends_with(".wasm"));
    components.next().map(PathBuf::from)
}
