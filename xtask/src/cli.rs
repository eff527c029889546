//! Verbs and options.

use std::ffi::OsString;
use std::fmt;

use anyhow::Result;

/// Printed by `cargo xtask help`.
pub const HELP: &str = "\
The one way in to building Argus.

Usage: cargo xtask <VERB> [OPTIONS] [-- ARGS…]

Verbs:
  setup    fetch what the build needs: libtorch into .deps/, a WebAssembly compiler
  run      set up, build everything, start the daemon on the example configuration
           (ARGS go to `argus serve`)
  test     set up, fetch the servers that tests run against, run all tests
           (ARGS go to `cargo test --workspace`)
  check    format, lints, dependency rules, then `test`: what CI runs
  plugins  build the plugins into plugins/dist/

Options:
  --rustup              let rustup add the WebAssembly target where it is missing
  --official-libtorch   take libtorch from the official archive, not from Python wheels

Set LIBTORCH to use a libtorch that you already have. docs/building.md says more.";

/// What the user asked for.
#[derive(Debug, PartialEq)]
pub enum Verb {
    /// Print [`HELP`].
    Help,
    /// Fetch what the build needs.
    Setup(Options),
    /// Build and start the daemon, with arguments for it.
    Run(Options, Vec<OsString>),
    /// Run all tests, with arguments for `cargo test`.
    Test(Options, Vec<OsString>),
    /// Everything that a change has to pass.
    Check(Options),
    /// Build the plugins.
    Plugins(Options),
}

/// What setting up may do; every verb sets up first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// `rustup target add` is allowed.
    pub rustup: bool,
    /// libtorch comes from the official archive.
    pub official_libtorch: bool,
}

/// A command line that means nothing; exit code 2.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{HELP}", self.0)
    }
}

impl std::error::Error for UsageError {}

/// Reads a command line without the program's name.
pub fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Verb> {
    let verb = arguments.next().unwrap_or_else(|| "help".into());
    let mut options = Options::default();
    let mut help = false;
    for argument in arguments.by_ref() {
        match argument.to_str() {
            Some("--rustup") => options.rustup = true,
            Some("--official-libtorch") => options.official_libtorch = true,
            Some("--help" | "-h") => help = true,
            Some("--") => break,
            _ => {
                let argument = argument.display();
                return usage(format!(
                    "unknown option `{argument}` (arguments to pass on go after `--`)"
                ));
            }
        }
    }
    let passed_on: Vec<OsString> = arguments.collect();
    if help {
        return Ok(Verb::Help);
    }
    let parsed = match verb.to_str() {
        Some("help" | "--help" | "-h") => Verb::Help,
        Some("run") => return Ok(Verb::Run(options, passed_on)),
        Some("test") => return Ok(Verb::Test(options, passed_on)),
        Some("setup") => Verb::Setup(options),
        Some("check") => Verb::Check(options),
        Some("plugins") => Verb::Plugins(options),
        _ => return usage(format!("unknown verb `{}`", verb.display())),
    };
    if !passed_on.is_empty() {
        return usage(format!("`{}` passes no arguments on", verb.display()));
    }
    Ok(parsed)
}

fn usage<T>(message: String) -> Result<T> {
    Err(UsageError(message).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Verb) {
        let parsed = parse(line.split_whitespace().map(OsString::from));
        assert_eq!(parsed.expect("the command line is right"), expected);
    }

    fn check_error(line: &str, expected_start: &str) {
        let error = parse(line.split_whitespace().map(OsString::from)).expect_err(line);
        let message = error.to_string();
        assert!(message.starts_with(expected_start), "{message}");
        assert!(message.contains("Usage: cargo xtask"), "{message}");
    }

    const RUSTUP: Options = Options {
        rustup: true,
        official_libtorch: false,
    };

    #[test]
    fn verbs_and_options() {
        check("", Verb::Help);
        check("setup --help", Verb::Help);
        check("setup --rustup", Verb::Setup(RUSTUP));
        check("check", Verb::Check(Options::default()));
        check(
            "run --rustup -- --listen 127.0.0.1:9000",
            Verb::Run(RUSTUP, vec!["--listen".into(), "127.0.0.1:9000".into()]),
        );
        check(
            "test -- -p argus-store -- recovery",
            Verb::Test(
                Options::default(),
                ["-p", "argus-store", "--", "recovery"]
                    .map(OsString::from)
                    .to_vec(),
            ),
        );
    }

    #[test]
    fn wrong_command_lines_say_what_is_wrong_and_show_the_help() {
        check_error("tset", "unknown verb `tset`\n");
        check_error(
            "run --listen x",
            "unknown option `--listen` (arguments to pass on go after `--`)\n",
        );
        check_error("setup -- x", "`setup` passes no arguments on\n");
    }
}
