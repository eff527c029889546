//! Puts changed files to use.
//!
//! Files are looked at, not listened to: it works on every file system, survives renames and replaced folders, and a few
//! `stat` calls a second cost nothing. A file counts as changed when it was the same in two looks in a row, so that one
//! that is being copied is left alone; one that was refused is tried again only when it changes again.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::host::PluginHost;
use crate::plugin::Plugin;

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file, if it is there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(|m| m.is_file())?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// What was seen of a plugin's file.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When it was read last.
    pub read: Option<Stamp>,
    /// In the last look.
    last: Option<Stamp>,
}

impl Seen {
    /// Whether the file is another one than was read, and has come to rest.
    fn settled_change(&mut self, now: Option<Stamp>) -> bool {
        let settled = now.is_some() && now == self.last;
        self.last = now;
        settled && now != self.read
    }
}

/// Looks at all plugins' files until the host is gone.
pub(crate) async fn watch(host: Weak<PluginHost>, every: Duration) {
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let Some(host) = host.upgrade() else {
            return;
        };
        let plugins: Vec<Arc<Plugin>> = host
            .watched
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        drop(host);
        for plugin in plugins {
            let path = plugin.path().to_owned();
            let Ok(stamp) = tokio::task::spawn_blocking(move || Stamp::of(&path)).await else {
                return;
            };
            if plugin.seen.lock().settled_change(stamp) {
                // A compilation that takes long must not keep other plugins from being looked at.
                tokio::spawn(async move { plugin.reload_changed().await });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_when_it_has_come_to_rest() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x");
        let look = |seen: &mut Seen| seen.settled_change(Stamp::of(&path));
        let mut seen = Seen::default();
        assert!(!look(&mut seen), "there is none");
        std::fs::write(&path, "one").expect("written");
        assert!(!look(&mut seen), "it may be growing");
        std::fs::write(&path, "one and more").expect("written");
        assert!(!look(&mut seen), "it has grown");
        assert!(look(&mut seen));
        seen.read = Stamp::of(&path);
        assert!(!look(&mut seen), "it was read");
        let beside = dir.path().join("y");
        std::fs::write(&beside, "one and more").expect("written");
        std::fs::rename(&beside, &path).expect("renamed");
        assert!(!look(&mut seen));
        assert!(look(&mut seen), "another file of the same size");
    }
}
