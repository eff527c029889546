//! A compiler for `wasm32-unknown-unknown`.
//!
//! The Rust toolchain at hand is used where it has the target. Else, on Debian, the packages `rustc-web` and
//! `rust-web-src` serve: a compiler and the standard library's source, of one version, from which cargo builds the
//! standard library itself. Else rustup may add the target, but only when asked to: it changes the user's toolchain.
//! In every case the linker `wasm-component-ld`, which makes cargo emit a component, is the Rust toolchain's own.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::{cargo, debian, process, step};

/// The target that plugins are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

const NOT_DEBIAN: &str = "this Rust toolchain lacks the target wasm32-unknown-unknown, and this system has no Debian \
                          packages: install your distribution's package of the target, or let rustup add it with \
                          `cargo xtask setup --rustup`";

/// How plugins are compiled.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiler {
    kind: Kind,
    /// The folder with `wasm-component-ld`; its subfolder `gcc-ld` has the `wasm-ld` that it calls.
    linkers: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The toolchain that builds everything else.
    Toolchain,
    /// Debian's packages.
    Debian,
}

/// Finds a compiler, or installs Debian's, or with `allow_rustup` lets rustup add the target.
pub fn set_up(allow_rustup: bool) -> Result<Compiler> {
    let sysroot = sysroot(&rustc())?;
    let linkers = sysroot.join("lib/rustlib").join(host()?).join("bin");
    if !linkers.join("wasm-component-ld").is_file() {
        bail!(
            "wasm-component-ld is missing from {}: update the Rust toolchain",
            linkers.display()
        );
    }
    let compiler = |kind| Compiler { kind, linkers };
    if has_target(&sysroot) {
        step::note(format!("the Rust toolchain has the target {TARGET}"));
        return Ok(compiler(Kind::Toolchain));
    }
    if debian::are_installed(&DEBIAN_PACKAGES) {
        step::note("compiling with Debian's rustc-web");
        return Ok(compiler(Kind::Debian));
    }
    if allow_rustup {
        step::note(format!("letting rustup add the target {TARGET}"));
        process::run(process::command("rustup").args(["target", "add", TARGET]))
            .with_context(|| format!("failed to add the target {TARGET} with rustup"))?;
        return Ok(compiler(Kind::Toolchain));
    }
    if !debian::is_debian() {
        bail!(NOT_DEBIAN);
    }
    debian::install(&DEBIAN_PACKAGES).map_err(|error| {
        anyhow!(
            "{error:#} (or let rustup add the target {TARGET} with `cargo xtask setup --rustup`)"
        )
    })?;
    Ok(compiler(Kind::Debian))
}

impl Compiler {
    /// A `cargo build` of the workspace in `folder` for [`TARGET`], in release mode.
    pub fn build_command(&self, folder: &Path) -> Result<Command> {
        let mut command = cargo::command(folder);
        command.args(["build", "--release", "--target", TARGET]);
        command.env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            "wasm-component-ld",
        );
        command.env("PATH", self.search_path()?);
        if self.kind == Kind::Debian {
            command.arg("-Zbuild-std=std,panic_abort");
            command.env("RUSTC", DEBIAN_RUSTC);
            // Building the standard library is an unstable option of a stable cargo.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        Ok(command)
    }

    fn search_path(&self) -> Result<std::ffi::OsString> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders =
            env::split_paths(&path).chain([self.linkers.clone(), self.linkers.join("gcc-ld")]);
        env::join_paths(folders).context("failed to add the linkers to PATH")
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

fn rustc() -> PathBuf {
    env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from)
}

fn sysroot(rustc: &Path) -> Result<PathBuf> {
    let sysroot = process::output(process::command(rustc).args(["--print", "sysroot"]))?;
    Ok(sysroot.into())
}

/// The triple of the machine that compiles, which names the folder of its linkers.
fn host() -> Result<String> {
    let version = process::output(process::command(rustc()).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// The variables of a build command, less those that are only taken away.
    fn variables(kind: Kind) -> (Vec<String>, HashMap<String, String>) {
        let compiler = Compiler {
            kind,
            linkers: "/sysroot/bin".into(),
        };
        let command = compiler
            .build_command(Path::new("/w/plugins"))
            .expect("PATH can be joined");
        let arguments = command
            .get_args()
            .map(|argument| argument.display().to_string())
            .collect();
        let set = command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        let set = set
            .map(|(name, value)| (name.display().to_string(), value.display().to_string()))
            .collect();
        (arguments, set)
    }

    #[test]
    fn the_toolchain_builds_without_unstable_options() {
        let (arguments, set) = variables(Kind::Toolchain);
        assert_eq!(arguments, ["build", "--release", "--target", TARGET]);
        assert_eq!(
            set["CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER"],
            "wasm-component-ld"
        );
        assert!(
            set["PATH"].ends_with(":/sysroot/bin:/sysroot/bin/gcc-ld"),
            "{}",
            set["PATH"]
        );
        assert!(!set.contains_key("RUSTC_BOOTSTRAP"));
    }

    #[test]
    fn debians_compiler_builds_the_standard_library() {
        let (arguments, set) = variables(Kind::Debian);
        assert_eq!(
            arguments.last().map(String::as_str),
            Some("-Zbuild-std=std,panic_abort")
        );
        assert_eq!(set["RUSTC"], "/usr/bin/rustc");
        assert_eq!(set["RUSTC_BOOTSTRAP"], "1");
    }
}
