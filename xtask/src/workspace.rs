//! Where things lie in the checkout.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Folders of the checkout.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The repository's root.
    pub root: PathBuf,
}

impl Workspace {
    /// The checkout that this program was started in by cargo.
    pub fn find() -> Result<Workspace> {
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .context("xtask/ lies in the repository's root")?;
        Ok(Workspace {
            root: root.to_path_buf(),
        })
    }

    /// What setup fetches; ignored by git, not touched by `cargo clean`.
    pub fn deps(&self) -> PathBuf {
        self.root.join(".deps")
    }

    /// The libtorch that `.cargo/config.toml` points the build to.
    pub fn libtorch(&self) -> PathBuf {
        self.deps().join("libtorch")
    }

    /// Debian packages that are unpacked and not installed.
    pub fn debian_root(&self) -> PathBuf {
        self.deps().join("debian")
    }

    /// The plugins' own cargo workspace.
    pub fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }

    /// The built plugins, one `.wasm` each.
    pub fn plugins_dist(&self) -> PathBuf {
        self.plugins().join("dist")
    }
}
