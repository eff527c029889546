//! Component tools of other languages, installed once per version into a folder of their own.
//!
//! Nothing of the author's system is touched: npm and pip install into the cache folder, at pinned versions. A file
//! `complete` in a tool's folder says that its installation came to its end.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::errors::ToolError;

/// Where tools are kept.
#[derive(Debug, Clone)]
pub struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// Tools in a folder, which is made when it is needed.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The folder of this user's cache: `$ARGUS_TOOLS_DIR`, else `$XDG_CACHE_HOME/argus/plugin-tools`, else
    /// `~/.cache/argus/plugin-tools`, else below the folder for temporary files.
    pub fn of_user() -> Self {
        if let Some(dir) = env::var_os("ARGUS_TOOLS_DIR") {
            return Self::new(dir);
        }
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
        let cache = cache.or_else(home).unwrap_or_else(env::temp_dir);
        Self::new(cache.join("argus/plugin-tools"))
    }

    /// The folder of one tool, installed by `install` if it is not there.
    pub(super) fn folder(
        &self,
        name: &str,
        install: impl FnOnce(&Path) -> Result<(), ToolError>,
    ) -> Result<PathBuf, ToolError> {
        let folder = self.dir.join(name);
        let complete = folder.join("complete");
        fs::create_dir_all(&self.dir).map_err(ToolError::file("create", &self.dir))?;
        // Another build may be installing the same tool right now; unlocked when it is dropped.
        let lock = self.dir.join(format!("{name}.lock"));
        let lock_file = File::create(&lock).map_err(ToolError::file("create", &lock))?;
        lock_file.lock().map_err(ToolError::file("lock", &lock))?;
        if complete.is_file() {
            return Ok(folder);
        }
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(ToolError::file("remove", &folder))?;
        }
        fs::create_dir_all(&folder).map_err(ToolError::file("create", &folder))?;
        install(&folder)?;
        fs::write(&complete, "").map_err(ToolError::file("write", &complete))?;
        Ok(folder)
    }
}
