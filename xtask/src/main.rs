//! The one way in: `cargo xtask setup|run|test|check|plugins`.
//!
//! A verb is a few [`step::run`]s in a row. Every step says what it does, may be repeated, finds what an earlier run
//! left behind, and fails with a sentence that says what to install. Everything that is fetched lies in `.deps/`,
//! outside `target/`, so that `cargo clean` does not download it again.
//!
//! | module | concern |
//! |---|---|
//! | [`cli`] | verbs and options |
//! | [`verbs`] | what each verb does, in order |
//! | [`process`] | child processes: environment, output, exit codes |
//! | [`cargo`] | nested cargo, and where it put what it built |
//! | [`prerequisites`] | what has to be on the machine already |
//! | [`libtorch`] | `.deps/libtorch` |
//! | [`debian`] | Debian packages, installed or only unpacked |
//! | [`wasm`] | a compiler for `wasm32-unknown-unknown` |
//! | [`plugins`] | `plugins/dist/*.wasm` |
//! | [`test_servers`] | the real servers that the end-to-end tests run against |
//! | [`databases`] | the databases that the tests of connectors run against |

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to the terminal"
)]

mod cargo;
mod cli;
mod databases;
mod debian;
mod libtorch;
mod lock;
mod plugins;
mod prerequisites;
mod process;
mod step;
mod test_servers;
mod verbs;
mod wasm;
mod workspace;

use std::env;
use std::process::ExitCode;

use crate::cli::UsageError;
use crate::process::ChildFailed;

fn main() -> ExitCode {
    let outcome = cli::parse(env::args_os().skip(1)).and_then(verbs::execute);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The code of the child that failed, so that `cargo xtask test` ends as `cargo test` did; 2 for a wrong command line;
/// otherwise 1.
fn exit_code(error: &anyhow::Error) -> u8 {
    if let Some(child) = error.downcast_ref::<ChildFailed>() {
        return child.exit_code();
    }
    if error.is::<UsageError>() {
        return 2;
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;
    use std::process::Command;

    #[test]
    fn the_exit_code_of_a_failed_child_passes_through() {
        let error = process::run(Command::new("sh").args(["-c", "exit 101"]))
            .context("the tests failed")
            .expect_err("the child fails");
        assert_eq!(exit_code(&error), 101);
        assert_eq!(
            format!("{error:#}"),
            "the tests failed: `sh -c exit 101` ended with exit code 101"
        );
    }

    #[test]
    fn a_wrong_command_line_is_exit_code_2() {
        let error = cli::parse(["tset".into()].into_iter()).expect_err("no such verb");
        assert_eq!(exit_code(&error), 2);
    }
}
