//! Other people's programs.

use std::io::ErrorKind;
use std::process::Command;

use crate::errors::ToolError;

/// Lines of a failed program's output that are worth repeating.
const LAST_LINES: usize = 40;

/// Runs a program without a word; what it said is told only if it fails.
pub(super) fn run(command: &mut Command, advice: &'static str) -> Result<(), ToolError> {
    let output = command
        .output()
        .map_err(|error| start_error(command, error, advice))?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    Err(ToolError::Program {
        command: line_of(command),
        status: output.status,
        output: format!("\n{last}"),
    })
}

pub(super) fn start_error(
    command: &Command,
    error: std::io::Error,
    advice: &'static str,
) -> ToolError {
    let program = command.get_program().display().to_string();
    if error.kind() == ErrorKind::NotFound {
        return ToolError::NoProgram { program, advice };
    }
    ToolError::File {
        action: "start",
        path: program.into(),
        source: error,
    }
}

/// The command as one would type it.
pub(super) fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<String> = words.map(|word| word.display().to_string()).collect();
    words.join(" ")
}
