//! A compiler for `wasm32-unknown-unknown`, found and not installed.
//!
//! The Rust toolchain at hand is used where it has the target. Else Debian's packages `rustc-web` and `rust-web-src`
//! serve: a compiler and the standard library's source, of one version, from which cargo builds the standard library
//! itself. In both cases the linker `wasm-component-ld`, which makes cargo emit a component, is the Rust toolchain's own.
//!
//! `cargo xtask` installs what is missing; `argus plugin build` says what is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// The target that plugins are built for.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's packages that can stand in for the target.
pub const DEBIAN_PACKAGES: [&str; 2] = ["rustc-web", "rust-web-src"];

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// How plugins are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toolchain {
    kind: Kind,
    /// The folder with `wasm-component-ld`; its subfolder `gcc-ld` has the `wasm-ld` that it calls.
    linkers: PathBuf,
}

/// Which compiler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The Rust toolchain that builds everything else.
    Own,
    /// Debian's packages.
    Debian,
}

/// Why there is no compiler for plugins.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Missing {
    /// `rustc` cannot be run.
    #[error("`rustc` does not run ({0}): install Rust from https://rustup.rs")]
    Rust(String),
    /// The toolchain is older than the linker.
    #[error("wasm-component-ld is missing from {}: update the Rust toolchain (`rustup update`)", .0.display())]
    Linker(PathBuf),
    /// Neither the target nor Debian's packages are there.
    #[error(
        "this Rust toolchain lacks the target {TARGET}: install it with `rustup target add {TARGET}`, \
         or on Debian with `apt-get install {}`", DEBIAN_PACKAGES.join(" ")
    )]
    Target,
}

impl Toolchain {
    /// Finds a compiler on this machine.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub fn find() -> Result<Self, Missing> {
        let sysroot = PathBuf::from(ask_rustc(&["--print", "sysroot"])?);
        let version = ask_rustc(&["-vV"])?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Missing::Rust("`rustc -vV` names no host".to_owned()))?;
        let linkers = sysroot.join("lib/rustlib").join(host).join("bin");
        if !linkers.join("wasm-component-ld").is_file() {
            return Err(Missing::Linker(linkers));
        }
        if has_target(&sysroot) {
            let kind = Kind::Own;
            return Ok(Self { kind, linkers });
        }
        if has_debian_packages() {
            let kind = Kind::Debian;
            return Ok(Self { kind, linkers });
        }
        Err(Missing::Target)
    }

    /// Which compiler it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Makes `command`, which runs cargo, a release build for [`TARGET`] that emits components.
    pub fn configure<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["build", "--release", "--target", TARGET]);
        command.env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
            "wasm-component-ld",
        );
        command.env("PATH", self.search_path());
        if self.kind == Kind::Debian {
            command.arg("-Zbuild-std=std,panic_abort");
            command.env("RUSTC", DEBIAN_RUSTC);
            // Building the standard library is an unstable option of a stable cargo.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }

    /// PATH with the linkers behind everything else.
    fn search_path(&self) -> OsString {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders =
            env::split_paths(&path).chain([self.linkers.clone(), self.linkers.join("gcc-ld")]);
        // Only a folder whose name holds the separator cannot be joined: then the linker is reported missing by rustc.
        env::join_paths(folders).unwrap_or(path)
    }
}

fn has_target(sysroot: &Path) -> bool {
    sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
}

fn has_debian_packages() -> bool {
    DEBIAN_PACKAGES.iter().all(|package| {
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat=${db:Status-Status}", package]);
        query
            .output()
            .is_ok_and(|output| output.stdout == b"installed")
    })
}

fn ask_rustc(arguments: &[&str]) -> Result<String, Missing> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(&rustc)
        .args(arguments)
        .output()
        .map_err(|error| Missing::Rust(error.to_string()))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(Missing::Rust(errors.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Arguments and variables of a build command.
    fn configured(kind: Kind) -> (Vec<String>, HashMap<String, String>) {
        let toolchain = Toolchain {
            kind,
            linkers: "/sysroot/bin".into(),
        };
        let mut command = Command::new("cargo");
        toolchain.configure(&mut command);
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
        let (arguments, set) = configured(Kind::Own);
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
        let (arguments, set) = configured(Kind::Debian);
        assert_eq!(
            arguments.last().map(String::as_str),
            Some("-Zbuild-std=std,panic_abort")
        );
        assert_eq!(set["RUSTC"], "/usr/bin/rustc");
        assert_eq!(set["RUSTC_BOOTSTRAP"], "1");
    }

    #[test]
    fn what_is_missing_says_how_to_get_it() {
        assert_eq!(
            Missing::Target.to_string(),
            "this Rust toolchain lacks the target wasm32-unknown-unknown: install it with `rustup target add \
             wasm32-unknown-unknown`, or on Debian with `apt-get install rustc-web rust-web-src`"
        );
    }
}
