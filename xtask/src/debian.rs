//! Debian packages: installed, or only unpacked into a folder.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{process, step};

/// Whether this system has Debian's package tools.
pub fn is_debian() -> bool {
    process::find_program("apt-get").is_some() && process::find_program("dpkg-deb").is_some()
}

/// Installs packages, as root or by sudo. Never removes another package for them.
pub fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    step::note(format!("installing Debian packages {names}"));
    let by_hand = format!("apt-get update && apt-get install --no-install-recommends {names}");
    // Before anything is tried: without root, fresh package lists are no remedy.
    as_root("apt-get", &by_hand)?;
    let install = || -> Result<()> {
        let mut command = as_root("apt-get", &by_hand)?;
        command.args(["install", "--yes", "--no-install-recommends", "--no-remove"]);
        command.args(["--option", "DPkg::Lock::Timeout=300"]);
        command.args(packages);
        process::run(&mut command)
    };
    with_fresh_lists_if_needed(install)
        .with_context(|| format!("failed to install Debian packages {names}"))
}

/// Downloads packages and unpacks them under `destination`, which is replaced as a whole. Nothing is installed, no
/// service is started, and nobody has to be root unless apt has no package lists yet.
pub fn unpack(packages: &[&str], destination: &Path) -> Result<()> {
    let partial = destination.with_extension("partial");
    let (archives, root) = (partial.join("archives"), partial.join("root"));
    remove_folder(&partial)?;
    for folder in [&archives, &root] {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let download = || -> Result<()> {
        let mut command = process::command("apt-get");
        // As root apt would warn that its sandbox user cannot write here.
        command.args(["download", "--option", "APT::Sandbox::User=root"]);
        command.args(packages).current_dir(&archives);
        process::run(&mut command)
    };
    with_fresh_lists_if_needed(download)
        .with_context(|| format!("failed to download Debian packages {}", packages.join(" ")))?;
    for entry in fs::read_dir(&archives).context("failed to list the downloaded packages")? {
        let archive = entry
            .context("failed to list the downloaded packages")?
            .path();
        let mut command = process::command("dpkg-deb");
        process::run(command.arg("--extract").arg(&archive).arg(&root))?;
    }
    remove_folder(destination)?;
    fs::rename(&root, destination)
        .with_context(|| format!("failed to create {}", destination.display()))?;
    remove_folder(&partial)
}

/// Removes a folder and what is in it; none is fine.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// A new machine has no package lists, an old one has lists of versions that are gone: both fail, then work after
/// `apt-get update`, which is slow and needs root and so is not done first.
fn with_fresh_lists_if_needed(action: impl Fn() -> Result<()>) -> Result<()> {
    if action().is_ok() {
        return Ok(());
    }
    step::note("trying again with fresh package lists");
    process::run(as_root("apt-get", "apt-get update")?.arg("update"))?;
    action()
}

/// Puts a copy of `source` at `destination`, a place of the system that programs look at under its fixed name.
pub fn place_file(source: &Path, destination: &Path) -> Result<()> {
    let by_hand = format!(
        "install -D -m 644 {} {}",
        source.display(),
        destination.display()
    );
    let mut command = as_root("install", &by_hand)?;
    process::run(
        command
            .args(["-D", "-m", "644"])
            .arg(source)
            .arg(destination),
    )
}

/// `program` with root's rights; who cannot have them is told what root has to run.
fn as_root(program: &str, by_hand: &str) -> Result<Command> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let mut command = if is_root {
        process::command(program)
    } else if let Some(sudo) = process::find_program("sudo") {
        let mut command = process::command(sudo);
        if !io::stdin().is_terminal() {
            command.arg("--non-interactive");
        }
        command.arg(program);
        command
    } else {
        bail!("{}", needs_root(program, by_hand));
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

fn needs_root(program: &str, by_hand: &str) -> String {
    format!("{program} needs root, and there is no sudo: as root, run `{by_hand}`, then this again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_not_root_is_told_what_root_has_to_run() {
        assert_eq!(
            needs_root("apt-get", "apt-get update"),
            "apt-get needs root, and there is no sudo: as root, run `apt-get update`, then this again"
        );
    }
}
