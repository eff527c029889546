//! Mounted file systems and how full they are.

use std::path::Path;

use argus_schema::server_metrics::{FilesystemKind, Space, fullest_percent};

/// Tells the size of a mounted file system.
pub trait DiskSpace: Send {
    /// Sizes of the file system mounted at a path, in bytes; `None` where they cannot be told. Called for every local
    /// mount at every sample.
    fn space(&self, mount_point: &Path) -> Option<Space>;
}

/// Asks the kernel (`statvfs`).
#[derive(Debug, Clone, Copy, Default)]
pub struct StatvfsDiskSpace;

impl DiskSpace for StatvfsDiskSpace {
    fn space(&self, mount_point: &Path) -> Option<Space> {
        let stat = rustix::fs::statvfs(mount_point).ok()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "numbers of blocks, for a percentage"
        )]
        let [size, free, available] =
            [stat.f_blocks, stat.f_bfree, stat.f_bavail].map(|blocks| blocks as f64);
        Some(Space {
            size,
            free,
            available,
        })
    }
}

/// Use of the fullest local file system in percent, from the text of `/proc/mounts`.
///
/// File systems of other hosts are left out: asking for their size hangs while the other host is away, and they are
/// that host's to report.
pub(crate) fn fullest(mounts: &str, root: &Path, disk_space: &dyn DiskSpace) -> Option<f64> {
    let local = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (_device, mount_point, fstype) = (fields.next()?, fields.next()?, fields.next()?);
        let is_counted = matches!(
            FilesystemKind::of(fstype),
            FilesystemKind::Disk | FilesystemKind::Overlay
        );
        is_counted.then(|| (fstype, unescaped(mount_point)))
    });
    let measured: Vec<(&str, String, Space)> = local
        .filter_map(|(fstype, mount_point)| {
            let path = root.join(mount_point.trim_start_matches('/'));
            disk_space
                .space(&path)
                .map(|space| (fstype, mount_point, space))
        })
        .collect();
    fullest_percent(
        measured
            .iter()
            .map(|(fstype, mount_point, space)| (*fstype, mount_point.as_str(), *space)),
    )
}

/// The kernel writes space, tab, newline and backslash of a mount point as `\` and three octal digits.
fn unescaped(mount_point: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .into_iter()
        .fold(mount_point.to_owned(), |text, (escape, plain)| {
            text.replace(escape, plain)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(&'static [(&'static str, f64)]);

    impl DiskSpace for Table {
        fn space(&self, mount_point: &Path) -> Option<Space> {
            let used = self
                .0
                .iter()
                .find(|(path, _)| Path::new(path) == mount_point)?
                .1;
            Some(Space {
                size: 100.0,
                free: 100.0 - used,
                available: 100.0 - used,
            })
        }
    }

    #[test]
    fn the_fullest_local_disk() {
        let mounts = "proc /proc proc rw 0 0\n/dev/vda / ext4 rw 0 0\n/dev/vdb /my\\040data xfs rw 0 0\n\
                      nas:/x /nas nfs4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n/dev/vdc /gone ext4 rw 0 0\n\nbroken\n";
        let table = Table(&[
            ("/", 40.0),
            ("/my data", 70.0),
            ("/nas", 99.0),
            ("/run", 100.0),
            ("/proc", 0.0),
        ]);
        assert_eq!(fullest(mounts, Path::new("/"), &table), Some(70.0));
    }

    #[test]
    fn a_container_with_nothing_but_its_overlay() {
        let mounts = "overlay / overlay rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(
            fullest(mounts, Path::new("/"), &Table(&[("/", 25.0)])),
            Some(25.0)
        );
        assert_eq!(fullest("", Path::new("/"), &Table(&[])), None);
    }
}
