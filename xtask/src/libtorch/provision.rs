//! Fetching libtorch and laying it out.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{VERSION, clear};
use crate::debian::remove_folder;
use crate::{prerequisites, process, step};

/// Names and hashes of the wheels.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Takes from the archives what the CPU build needs.
const UNPACK: &str = include_str!("unpack.py");

/// The file in a finished folder that says what it was made from.
const MARKER: &str = "argus-libtorch";

/// The wheels were built for different baselines of glibc; this is all of them.
const WHEEL_PLATFORMS: [&str; 4] = [
    "manylinux_2_28_x86_64",
    "manylinux_2_25_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux2014_x86_64",
];

/// Where libtorch is taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Source {
    /// PyTorch's Python wheels, by pip: works wherever pip works, mirrors and proxies included.
    Wheels,
    /// PyTorch's own archive for C++.
    Official,
}

impl Source {
    /// For a sentence.
    pub fn in_words(self) -> &'static str {
        match self {
            Source::Wheels => "Python wheels",
            Source::Official => "the official archive",
        }
    }

    /// The marker's content. Another version, other wheels or another layout make another marker, and so a new folder.
    pub fn marker(self) -> String {
        match self {
            Source::Wheels => format!("layout 1, from wheels\n{REQUIREMENTS}"),
            Source::Official => format!("layout 1, from {}\n", official_url()),
        }
    }
}

fn official_url() -> String {
    format!(
        "https://download.pytorch.org/libtorch/cpu/libtorch-shared-with-deps-{VERSION}%2Bcpu.zip"
    )
}

/// What the folder at `place` was made from, by its marker.
pub fn source_of(place: &Path) -> Option<Source> {
    let marker = fs::read_to_string(place.join(MARKER)).ok()?;
    [Source::Wheels, Source::Official]
        .into_iter()
        .find(|source| source.marker() == marker)
}

/// Where a libtorch is made before it is renamed to `place`.
pub fn partial(place: &Path) -> PathBuf {
    place.with_extension("partial")
}

/// Fetches libtorch and puts it at `place`.
pub fn provision(source: Source, place: &Path) -> Result<()> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "libtorch can be fetched for x86_64 Linux only: get libtorch {VERSION} for this machine and set LIBTORCH to \
             its folder"
        );
    }
    let python = prerequisites::require_python_with_pip()?;
    let partial = partial(place);
    let (downloads, layout) = (partial.join("downloads"), partial.join("libtorch"));
    let temporary = partial.join("tmp");
    for folder in [&downloads, &temporary, &layout.join("lib")] {
        fs::create_dir_all(folder)
            .with_context(|| format!("failed to create {}", folder.display()))?;
    }
    let script = partial.join("unpack.py");
    write(&script, UNPACK)?;
    let mut unpack = process::command(&python);
    unpack.arg(&script);
    match source {
        Source::Wheels => {
            step::note(format!(
                "downloading libtorch {VERSION} as Python wheels (540 MB)"
            ));
            download_wheels(&python, &downloads)?;
            unpack.arg("wheels").arg(&downloads);
        }
        Source::Official => {
            step::note(format!("downloading {}", official_url()));
            unpack.args(["official", &official_url()]);
        }
    }
    process::run(unpack.arg(&layout)).context("failed to unpack libtorch")?;
    if source == Source::Wheels {
        // The wheel's own libtorch.so also pulls in CUDA's half.
        write(
            &layout.join("lib/libtorch.so"),
            "INPUT(-ltorch_cpu -lc10)\n",
        )?;
        write(&layout.join("build-version"), &format!("{VERSION}+cpu\n"))?;
    }
    write(&layout.join(MARKER), &source.marker())?;
    super::check_version(&layout)?;
    clear(place)?;
    fs::rename(&layout, place).with_context(|| format!("failed to create {}", place.display()))?;
    remove_folder(&partial)
}

fn download_wheels(python: &Path, downloads: &Path) -> Result<()> {
    let requirements = downloads.with_file_name("requirements.txt");
    write(&requirements, REQUIREMENTS)?;
    let mut pip = process::command(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
    ]);
    // The machine's own Python decides nothing: any Python 3 fetches the same files.
    pip.args(["--implementation", "cp", "--python-version", "3.11"]);
    for platform in WHEEL_PLATFORMS {
        pip.args(["--platform", platform]);
    }
    pip.args(["--no-input", "--disable-pip-version-check"]);
    // Its temporary files go where the next setup clears up.
    pip.env("TMPDIR", downloads.with_file_name("tmp"));
    pip.arg("--dest")
        .arg(downloads)
        .arg("--requirement")
        .arg(&requirements);
    process::run(&mut pip).with_context(|| {
        format!(
            "failed to download libtorch {VERSION} with pip: check the network and pip's configuration, or set LIBTORCH \
             to a libtorch that you already have"
        )
    })
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("failed to write {}", path.display()))
}
