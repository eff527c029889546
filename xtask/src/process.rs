//! Child processes: a clean environment, captured output, exit codes that pass through.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, bail};

/// A child process that did not succeed. It has already said why on the terminal.
#[derive(Debug)]
pub struct ChildFailed {
    command_line: String,
    status: ExitStatus,
}

impl ChildFailed {
    /// The child's exit code, or as shells have it 128 + the signal that ended it.
    pub fn exit_code(&self) -> u8 {
        let code = self
            .status
            .code()
            .or_else(|| self.status.signal().map(|signal| 128 + signal));
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
    }
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command_line = &self.command_line;
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => write!(f, "`{command_line}` ended with exit code {code}"),
            (None, Some(signal)) => write!(f, "`{command_line}` was ended by signal {signal}"),
            (None, None) => write!(f, "`{command_line}` failed"),
        }
    }
}

impl std::error::Error for ChildFailed {}

/// Runs a command on our terminal and waits for it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| start_error(command, error))?;
    succeeded(command, status)
}

/// Runs a command and returns what it wrote to its standard output, trimmed; its errors go to our terminal.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| start_error(command, error))?;
    succeeded(command, output.status)?;
    let text = String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` wrote something that is not text", line_of(command)))?;
    Ok(text.trim().to_owned())
}

/// Whether a command can be started and succeeds; it says nothing on the terminal.
pub fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Fails with [`ChildFailed`] unless `status` is success.
pub fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(ChildFailed {
        command_line: line_of(command),
        status,
    }
    .into())
}

/// "failed to start …", with a sentence of its own for a program that is not there.
pub fn start_error(command: &Command, error: io::Error) -> anyhow::Error {
    let program = command.get_program().display();
    if error.kind() == io::ErrorKind::NotFound {
        return anyhow::anyhow!("`{program}` is not installed or not on PATH");
    }
    anyhow::Error::new(error).context(format!("failed to start `{program}`"))
}

/// A command with the environment that the user started us in.
pub fn command(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    restore_environment(&mut command);
    command
}

/// The first executable file of that name on PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Fails with `advice` unless a program of that name is on PATH.
pub fn require_program(name: &str, advice: &str) -> Result<PathBuf> {
    let Some(program) = find_program(name) else {
        bail!("`{name}` is missing: {advice}");
    };
    Ok(program)
}

/// Takes out what `cargo run` added for us. Otherwise the daemon would find its libraries on our search path, which
/// hides a missing rpath, and Debian's compiler would be handed the libraries of rustup's.
fn restore_environment(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_added_by_cargo) {
            command.env_remove(name);
        }
    }
    // Nested cargo sets it again from .cargo/config.toml; a libtorch of the user's is linked there by then.
    command.env_remove("LIBTORCH");
    if let Some(search_path) = env::var_os("LD_LIBRARY_PATH") {
        match without_cargos_folders(&search_path, &cargos_folders()) {
            Some(search_path) => command.env("LD_LIBRARY_PATH", search_path),
            None => command.env_remove("LD_LIBRARY_PATH"),
        };
    }
}

fn is_added_by_cargo(name: &str) -> bool {
    const OTHERS: [&str; 6] = [
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_LINKS",
        "CARGO_MANIFEST_PATH",
        "CARGO_PRIMARY_PACKAGE",
    ];
    name.starts_with("CARGO_PKG_") || OTHERS.contains(&name)
}

/// The folders whose libraries cargo and rustup put on the search path: our own build's and the toolchain's.
fn cargos_folders() -> Vec<PathBuf> {
    let build = env::current_exe().ok();
    let toolchain_bin = env::var_os("CARGO").map(PathBuf::from);
    [
        build.as_deref().and_then(Path::parent),
        toolchain_bin
            .as_deref()
            .and_then(Path::parent)
            .and_then(Path::parent),
    ]
    .into_iter()
    .flatten()
    .map(Path::to_path_buf)
    .collect()
}

fn without_cargos_folders(search_path: &OsString, folders: &[PathBuf]) -> Option<OsString> {
    let kept: Vec<PathBuf> = env::split_paths(search_path)
        .filter(|entry| !entry.as_os_str().is_empty())
        .filter(|entry| !folders.iter().any(|folder| entry.starts_with(folder)))
        .collect();
    if kept.is_empty() {
        return None;
    }
    env::join_paths(kept).ok()
}

fn line_of(command: &Command) -> String {
    // Without its folder: `cargo …`, not the path of the toolchain's.
    let program = Path::new(command.get_program());
    let mut line = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .display()
        .to_string();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.display().to_string());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = run(&mut Command::new("argus-no-such-program")).expect_err("not there");
        assert_eq!(
            error.to_string(),
            "`argus-no-such-program` is not installed or not on PATH"
        );
    }

    #[test]
    fn a_signal_is_told_and_becomes_the_shells_exit_code() {
        let error = run(Command::new("sh").args(["-c", "kill -KILL $$"])).expect_err("killed");
        let child: &ChildFailed = error.downcast_ref().expect("the child failed");
        assert_eq!(child.exit_code(), 137);
        assert_eq!(
            child.to_string(),
            "`sh -c kill -KILL $$` was ended by signal 9"
        );
    }

    #[test]
    fn a_missing_program_is_told_with_what_to_do() {
        let error = require_program("argus-no-such-program", "install it").expect_err("not there");
        assert_eq!(
            error.to_string(),
            "`argus-no-such-program` is missing: install it"
        );
    }

    #[test]
    fn only_cargos_folders_leave_the_search_path() {
        let folders = [PathBuf::from("/t/debug"), PathBuf::from("/r/stable")];
        let check = |before: &str, after: Option<&str>| {
            let left = without_cargos_folders(&before.into(), &folders);
            assert_eq!(left, after.map(OsString::from), "{before}");
        };
        check("/t/debug/deps:/t/debug:/r/stable/lib", None);
        check("/t/debug/deps:/opt/mine::/r/stable/lib", Some("/opt/mine"));
    }
}
