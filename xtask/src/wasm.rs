//! A compiler for `wasm32-unknown-unknown`, installed where there is none.
//!
//! [`argus_wasm_toolchain`] says which compilers serve. Where none is found, Debian's packages are installed, or rustup
//! adds the target, but only when asked to: it changes the user's toolchain.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use argus_wasm_toolchain::{DEBIAN_PACKAGES, Kind, Missing, TARGET, Toolchain};

use crate::{cargo, debian, process, step};

const NOT_DEBIAN: &str = "this Rust toolchain lacks the target wasm32-unknown-unknown, and this system has no Debian \
                          packages: install your distribution's package of the target, or let rustup add it with \
                          `cargo xtask setup --rustup`";

/// Finds a compiler, or installs Debian's, or with `allow_rustup` lets rustup add the target.
pub fn set_up(allow_rustup: bool) -> Result<Toolchain> {
    match Toolchain::find() {
        Err(Missing::Target) => install(allow_rustup)?,
        found => return Ok(noted(found?)),
    }
    Ok(noted(Toolchain::find()?))
}

/// A `cargo build` of the workspace in `folder` for [`TARGET`], in release mode.
pub fn build_command(toolchain: &Toolchain, folder: &Path) -> Command {
    let mut command = cargo::command(folder);
    toolchain.configure(&mut command);
    command
}

fn noted(toolchain: Toolchain) -> Toolchain {
    match toolchain.kind() {
        Kind::Own => step::note(format!("the Rust toolchain has the target {TARGET}")),
        Kind::Debian => step::note("compiling with Debian's rustc-web"),
    }
    toolchain
}

fn install(allow_rustup: bool) -> Result<()> {
    if allow_rustup {
        step::note(format!("letting rustup add the target {TARGET}"));
        return process::run(process::command("rustup").args(["target", "add", TARGET]))
            .with_context(|| format!("failed to add the target {TARGET} with rustup"));
    }
    if !debian::is_debian() {
        bail!(NOT_DEBIAN);
    }
    debian::install(&DEBIAN_PACKAGES).map_err(|error| {
        anyhow!(
            "{error:#} (or let rustup add the target {TARGET} with `cargo xtask setup --rustup`)"
        )
    })
}
