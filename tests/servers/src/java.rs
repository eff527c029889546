//! Which JDKs the machine has.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::Context;

/// A JDK: it can compile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Jdk {
    pub version: u32,
    pub home: PathBuf,
}

impl Jdk {
    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.home.join("bin").join(name)
    }
}

/// The oldest JDK within `versions`: what a server was made for, rather than what it happens to run on.
///
/// # Errors
/// When there is none, with those that were found.
pub(crate) fn find(versions: &RangeInclusive<u32>) -> anyhow::Result<Jdk> {
    let mut found: Vec<Jdk> = homes().into_iter().filter_map(jdk_at).collect();
    found.sort();
    let list = match found.as_slice() {
        [] => "none was".to_owned(),
        some => {
            let each: Vec<_> = some.iter().map(|jdk| jdk.version.to_string()).collect();
            format!("only {} were", each.join(", "))
        }
    };
    let fit = found
        .into_iter()
        .find(|jdk| versions.contains(&jdk.version));
    fit.with_context(|| {
        format!(
            "it needs a JDK {} to {} (with javac), and {list} found at JAVA_HOME, on PATH and in /usr/lib/jvm",
            versions.start(),
            versions.end()
        )
    })
}

/// Where a JDK may be.
fn homes() -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = env::var_os("JAVA_HOME")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&path).map(|folder| folder.join("javac"));
    homes.extend(on_path.filter_map(|javac| {
        let javac = fs::canonicalize(javac).ok()?;
        Some(javac.parent()?.parent()?.to_path_buf())
    }));
    let sdkman = env::var_os("HOME").map(|home| Path::new(&home).join(".sdkman/candidates/java"));
    for folder in [Some(PathBuf::from("/usr/lib/jvm")), sdkman]
        .into_iter()
        .flatten()
    {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        homes.extend(entries.filter_map(|entry| fs::canonicalize(entry.path()).ok()));
    }
    homes.sort();
    homes.dedup();
    homes
}

fn jdk_at(home: PathBuf) -> Option<Jdk> {
    let javac = Command::new(home.join("bin/javac"))
        .arg("-version")
        .output()
        .ok()?;
    // `javac 17.0.15`; a very old one says it on standard error.
    let version = version_in(&String::from_utf8_lossy(&javac.stdout))?;
    Some(Jdk { version, home })
}

fn version_in(text: &str) -> Option<u32> {
    let number = text.trim().strip_prefix("javac ")?;
    let major = number.split(|c: char| !c.is_ascii_digit()).next()?;
    major.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        for (text, expected) in [
            ("javac 17.0.15\n", Some(17)),
            ("javac 25\n", Some(25)),
            ("javac 26-ea\n", Some(26)),
            ("", None),
            ("error", None),
        ] {
            assert_eq!(version_in(text), expected, "{text}");
        }
    }

    #[test]
    fn who_has_none_is_told_what_to_get() {
        let error = find(&(3..=4)).expect_err("no such JDK");
        assert!(
            error.to_string().starts_with("it needs a JDK 3 to 4"),
            "{error}"
        );
    }
}
