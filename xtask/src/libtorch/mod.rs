//! `.deps/libtorch`: the CPU build of libtorch that tch links.
//!
//! It is one of three things, told apart by what lies there:
//!
//! - a folder made from PyTorch's Python wheels (the default), or from its official archive (`--official-libtorch`),
//!   with a marker file that names what it was made from;
//! - a symbolic link to a libtorch that the user already has, named by `LIBTORCH`.
//!
//! A folder is made beside its place and renamed into it, marker included, so a killed setup leaves nothing behind
//! that looks whole.

mod provision;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context, Result, bail};

use crate::cli::Options;
use crate::debian::remove_folder;
use crate::step;
use crate::workspace::Workspace;
use provision::Source;

/// The one version that tch 0.26 binds to.
pub const VERSION: &str = "2.13.0";

/// Makes `.deps/libtorch` usable.
pub fn set_up(workspace: &Workspace, options: Options) -> Result<()> {
    let place = workspace.libtorch();
    // What a killed setup left.
    remove_folder(&provision::partial(&place))?;
    if let Some(own) = libtorch_of_the_user(env::var_os("LIBTORCH").map(PathBuf::from), &place)? {
        return link(&own, &place);
    }
    match find(&place) {
        Found::Link {
            target,
            problem: None,
        } if !options.official_libtorch => {
            step::note(format!(
                "libtorch {VERSION} linked from {}",
                target.display()
            ));
            return Ok(());
        }
        Found::Folder(source) if source == Source::Official || !options.official_libtorch => {
            step::note(format!(
                "libtorch {VERSION} is in place, from {}",
                source.in_words()
            ));
            return Ok(());
        }
        Found::Link { target, problem } => {
            let reason = problem.unwrap_or_else(|| "--official-libtorch replaces it".to_owned());
            step::note(format!(
                "dropping the link to {}: {reason}",
                target.display()
            ));
        }
        Found::Folder(_) | Found::Nothing => {}
    }
    let source = if options.official_libtorch {
        Source::Official
    } else {
        Source::Wheels
    };
    provision::provision(source, &place)
}

/// What lies at `.deps/libtorch`.
#[derive(Debug, PartialEq)]
enum Found {
    /// Nothing of use.
    Nothing,
    /// A whole folder of ours.
    Folder(Source),
    /// A link to a libtorch of the user's, and what is wrong with that.
    Link {
        target: PathBuf,
        problem: Option<String>,
    },
}

fn find(place: &Path) -> Found {
    if let Ok(target) = fs::read_link(place) {
        let problem = check_version(place).err().map(|error| error.to_string());
        return Found::Link { target, problem };
    }
    match provision::source_of(place) {
        Some(source) if check_version(place).is_ok() => Found::Folder(source),
        _ => Found::Nothing,
    }
}

/// `LIBTORCH` as the user set it. Cargo sets it too, from `.cargo/config.toml`: then it names our own place.
fn libtorch_of_the_user(variable: Option<PathBuf>, place: &Path) -> Result<Option<PathBuf>> {
    let Some(path) = variable.filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(None);
    };
    let path = absolute(&path)
        .with_context(|| format!("failed to resolve LIBTORCH={}", path.display()))?;
    Ok((path != place).then_some(path))
}

/// Makes `place` a symbolic link to `own`, a libtorch of the right version.
fn link(own: &Path, place: &Path) -> Result<()> {
    check_version(own).with_context(|| format!("LIBTORCH is set to {}", own.display()))?;
    if fs::read_link(place).is_ok_and(|target| target == own) {
        step::note(format!("libtorch {VERSION} linked from {}", own.display()));
        return Ok(());
    }
    step::note(format!("linking libtorch {VERSION} from {}", own.display()));
    clear(place)?;
    std::os::unix::fs::symlink(own, place)
        .with_context(|| format!("failed to create {}", place.display()))
}

/// Removes what lies at `place`, a folder or a link; what a link points to stays.
fn clear(place: &Path) -> Result<()> {
    if fs::symlink_metadata(place).is_ok_and(|metadata| metadata.is_symlink()) {
        return fs::remove_file(place)
            .with_context(|| format!("failed to remove {}", place.display()));
    }
    remove_folder(place)
}

/// Fails unless `libtorch` holds headers and libraries of [`VERSION`].
fn check_version(libtorch: &Path) -> Result<()> {
    for file in ["lib/libtorch.so", "lib/libtorch_cpu.so", "lib/libc10.so"] {
        if !libtorch.join(file).is_file() {
            bail!("{} is no libtorch: {file} is missing", libtorch.display());
        }
    }
    let version = version_of(libtorch).with_context(|| {
        format!(
            "failed to read the version of the libtorch in {}",
            libtorch.display()
        )
    })?;
    // The part after the plus names the build, such as 2.13.0+cpu.
    let release = version.split('+').next().unwrap_or_default();
    if release != VERSION {
        bail!(
            "{} holds libtorch {release}, Argus needs {VERSION}: point LIBTORCH to that version, or unset it and setup \
             fetches one",
            libtorch.display()
        );
    }
    Ok(())
}

/// The version by the archive's own file, or by the header that every build has.
fn version_of(libtorch: &Path) -> io::Result<String> {
    if let Ok(version) = fs::read_to_string(libtorch.join("build-version")) {
        return Ok(version.trim().to_owned());
    }
    let header = fs::read_to_string(libtorch.join("include/torch/headeronly/version.h"))?;
    let number = |name: &str| {
        let prefix = format!("#define TORCH_VERSION_{name} ");
        let line = header.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or("?", str::trim)
    };
    Ok(format!(
        "{}.{}.{}",
        number("MAJOR"),
        number("MINOR"),
        number("PATCH")
    ))
}

#[cfg(test)]
mod tests;
