//! Tells the linker, and every crate that makes executables with this one, where libtorch lies.
//!
//! The folder goes into the executables as an rpath, so that running them needs no environment variable. Dependents
//! get it as `DEP_ARGUS_TFT_LIBTORCH_LIB` and add it to their own executables: cargo hands link arguments of a library
//! to nobody else.

use std::env;
use std::path::{Path, PathBuf, absolute};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match libtorch_lib_dir() {
        Ok(lib_dir) => {
            println!("cargo::metadata=libtorch_lib={}", lib_dir.display());
            print_rpath(&lib_dir);
        }
        // torch-sys would fail too, later and with a page of C++ errors.
        Err(message) => println!("cargo::error={message}"),
    }
}

/// The folder with libtorch's shared libraries, by the variables that torch-sys reads.
fn libtorch_lib_dir() -> Result<PathBuf, String> {
    if env_var("LIBTORCH_USE_PYTORCH").is_some() {
        return Err("LIBTORCH_USE_PYTORCH is not supported, set LIBTORCH to the `torch` folder of that Python".into());
    }
    let root = env_var("LIBTORCH_LIB")
        .or_else(|| env_var("LIBTORCH"))
        .ok_or(
            "LIBTORCH is not set: build inside the repository, whose .cargo/config.toml sets it",
        )?;
    let lib_dir = absolute(Path::new(&root).join("lib"))
        .map_err(|error| format!("failed to resolve {root}: {error}"))?;
    if !lib_dir.join("libtorch_cpu.so").is_file() {
        return Err(format!(
            "libtorch is not in {}: run `cargo xtask setup`",
            lib_dir.display()
        ));
    }
    Ok(lib_dir)
}

fn env_var(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}

/// Rpath entries of this package's test and benchmark executables; the same three lines stand in the build scripts of
/// the crates that depend on this one.
fn print_rpath(lib_dir: &Path) {
    // DT_RPATH, not DT_RUNPATH: a libtorch of another version on LD_LIBRARY_PATH must not be picked up.
    println!("cargo::rustc-link-arg=-Wl,--disable-new-dtags");
    // A release archive carries its own libtorch in lib/ beside bin/, and prefers it.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib_dir.display());
}
