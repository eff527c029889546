//! What has to be on the machine already, and the sentence for each that is not.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::process;

/// Fails unless there is a C and C++ toolchain: bundled SQLite, zstd and the glue to libtorch are compiled from source.
pub fn require_cxx_compiler() -> Result<()> {
    const ADVICE: &str = "install a C and C++ compiler (Debian: `apt-get install g++`)";
    for program in ["cc", "c++"] {
        process::require_program(program, ADVICE)?;
    }
    Ok(())
}

/// A Python 3 with pip, which only fetches and unpacks archives: Argus itself needs no Python.
pub fn require_python_with_pip() -> Result<PathBuf> {
    let python = process::require_program(
        "python3",
        "install Python 3 with pip (Debian: `apt-get install python3 python3-pip`), or set LIBTORCH to a libtorch that \
         you already have",
    )?;
    if !process::succeeds(process::command(&python).args(["-m", "pip", "--version"])) {
        bail!(
            "{} has no pip: install it (Debian: `apt-get install python3-pip`; elsewhere `python3 -m ensurepip`), or \
             set LIBTORCH to a libtorch that you already have",
            python.display()
        );
    }
    Ok(python)
}

/// Fails unless rustfmt and clippy are installed.
pub fn require_rustfmt_and_clippy() -> Result<()> {
    for component in ["rustfmt", "clippy"] {
        let subcommand = component.trim_start_matches("rust");
        let mut command = crate::cargo::command(".".as_ref());
        if !process::succeeds(command.args([subcommand, "--version"])) {
            bail!("{component} is missing: install it (`rustup component add {component}`)");
        }
    }
    Ok(())
}
