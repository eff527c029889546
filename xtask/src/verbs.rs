//! What each verb does, in order.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cli::{HELP, Options, Verb};
use crate::databases::{self, Missing};
use crate::lock::DepsLock;
use crate::workspace::Workspace;
use crate::{cargo, libtorch, plugins, prerequisites, process, step, test_servers, wasm};
use argus_wasm_toolchain::Toolchain;

/// Does what the command line asked for.
pub fn execute(verb: Verb) -> Result<()> {
    let workspace = Workspace::find()?;
    match verb {
        Verb::Help => {
            println!("{HELP}");
            Ok(())
        }
        Verb::Setup(options) => {
            set_up(&workspace, options)?;
            step::note("ready: `cargo xtask run`, or `cargo build --release -p argus`");
            Ok(())
        }
        Verb::Plugins(options) => {
            let compiler = set_up(&workspace, options)?;
            build_plugins(&workspace, &compiler)
        }
        Verb::Run(options, arguments) => run(&workspace, options, &arguments),
        Verb::Test(options, arguments) => {
            let compiler = set_up(&workspace, options)?;
            test(&workspace, &compiler, &arguments, Missing::LeftOut)
        }
        Verb::Check(options) => check(&workspace, options),
    }
}

/// What every build needs.
fn set_up(workspace: &Workspace, options: Options) -> Result<Toolchain> {
    prerequisites::require_cxx_compiler()?;
    let _lock = DepsLock::acquire(&workspace.deps())?;
    step::run("libtorch", || libtorch::set_up(workspace, options))?;
    step::run("WebAssembly compiler", || wasm::set_up(options.rustup))
}

fn build_plugins(workspace: &Workspace, compiler: &Toolchain) -> Result<()> {
    step::run("plugins", || plugins::build(workspace, compiler))
}

/// Replaces this process by the daemon, so that signals and its exit code are the daemon's own.
fn run(workspace: &Workspace, options: Options, arguments: &[OsString]) -> Result<()> {
    let compiler = set_up(workspace, options)?;
    build_plugins(workspace, &compiler)?;
    let program = step::run("argus", || {
        let mut build = cargo::command(&workspace.root);
        let artifacts = cargo::build(build.args(["build", "--release", "--package", "argus"]))?;
        cargo::program_among(&artifacts, "argus")
    })?;
    let mut daemon = process::command(program);
    daemon.current_dir(&workspace.root).arg("serve");
    let example = "examples/argus.toml";
    if workspace.root.join(example).is_file() {
        daemon.args(["--config", example]);
    }
    daemon.args(arguments);
    let error = daemon.exec();
    Err(process::start_error(&daemon, error))
}

fn test(
    workspace: &Workspace,
    compiler: &Toolchain,
    arguments: &[OsString],
    missing: Missing,
) -> Result<()> {
    build_plugins(workspace, compiler)?;
    let servers = step::run("test servers", || {
        let _lock = DepsLock::acquire(&workspace.deps())?;
        test_servers::set_up(workspace)
    })?;
    step::run("databases to test against", || databases::set_up(missing))?;
    // One build for all: `cargo build -p argus` would choose other features and compile most crates twice.
    let program = step::run("build of all tests and of argus", || {
        let mut build = cargo::command(&workspace.root);
        let artifacts = cargo::build(build.args(["test", "--workspace", "--no-run"]))?;
        cargo::program_among(&artifacts, "argus")
    })?;
    if arguments.is_empty() && has_plugins(workspace) {
        step::run("tests of the plugins, with a fake host", || {
            process::run(cargo::command(&workspace.plugins()).args(["test", "--workspace"]))
        })?;
    }
    step::run("tests", || {
        let mut command = test_command(workspace, &program, &servers, arguments);
        process::run(command.env("ARGUS_TEST_SERVERS", missing.value()))
    })
}

fn has_plugins(workspace: &Workspace) -> bool {
    workspace.plugins().join("Cargo.toml").is_file()
}

/// `cargo test` with what the end-to-end tests run, by environment variables.
fn test_command(
    workspace: &Workspace,
    program: &Path,
    servers: &Path,
    arguments: &[OsString],
) -> Command {
    let mut command = cargo::command(&workspace.root);
    // One run tells everything that is wrong, not only what was wrong first.
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(arguments);
    command.env("ARGUS_BIN", program);
    command.env("ARGUS_PLUGINS_DIR", workspace.plugins_dist());
    command.env("ARGUS_TEST_BIN_DIR", servers);
    command
}

fn check(workspace: &Workspace, options: Options) -> Result<()> {
    prerequisites::require_rustfmt_and_clippy()?;
    let mut cargo_workspaces = vec![workspace.root.clone()];
    cargo_workspaces.extend(has_plugins(workspace).then(|| workspace.plugins()));
    let in_each = |arguments: &[&str]| -> Result<()> {
        cargo_workspaces
            .iter()
            .try_for_each(|folder| process::run(cargo::command(folder).args(arguments)))
    };
    step::run("format", || in_each(&["fmt", "--all", "--check"]))?;
    let compiler = set_up(workspace, options)?;
    step::run("lints", || {
        in_each(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step::run("licences, bans and sources of dependencies", || {
        if process::find_program("cargo-deny").is_none() {
            step::note("skipped: cargo-deny is not installed (`cargo install cargo-deny`)");
            return Ok(());
        }
        let rules = workspace.root.join("deny.toml").display().to_string();
        in_each(&[
            "deny", "check", "--config", &rules, "licenses", "bans", "sources",
        ])
    })?;
    test(workspace, &compiler, &[], Missing::Fails)
}
