//! Exit codes, and how a failure is told.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | ran, and the answer is no: records refused, parity outside tolerance |
//! | 2 | could not run: bad arguments, configuration, input, or environment |

use std::process::ExitCode;

/// How a command that ran to its end turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// It ran, and the answer is no; the command has said why.
    No,
}

/// Turns a command's outcome into the process's exit code, printing what went wrong.
pub fn report(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Err(error) => {
            crate::output::error(&error);
            ExitCode::from(2)
        }
    }
}
