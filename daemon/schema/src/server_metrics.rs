//! What the metrics of the built-in server schema mean, so that every source computes them alike.

/// Processor time by kind, in any unit of time; what passed between two readings.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CpuTime {
    /// In user mode, niced or not. Guests are part of it already.
    pub user: f64,
    /// In the kernel, interrupts and time stolen by the hypervisor included.
    pub sys: f64,
    /// Idle while waiting for a disk.
    pub iowait: f64,
    /// Idle.
    pub idle: f64,
}

/// [`CpuTime`] as shares of its sum, in percent; they add up to 100.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuPercent {
    /// `cpu_user_pct`.
    pub user: f64,
    /// `cpu_sys_pct`.
    pub sys: f64,
    /// `cpu_iowait_pct`.
    pub iowait: f64,
    /// `cpu_idle_pct`.
    pub idle: f64,
}

impl CpuTime {
    /// Shares in percent; `None` where no time passed.
    pub fn percent(self) -> Option<CpuPercent> {
        let total = self.user + self.sys + self.iowait + self.idle;
        let share = |part: f64| (100.0 * part / total).clamp(0.0, 100.0);
        (total > 0.0).then(|| CpuPercent {
            user: share(self.user),
            sys: share(self.sys),
            iowait: share(self.iowait),
            idle: share(self.idle),
        })
    }
}

/// `mem_used_pct`: what is not available to a new process without swapping. All arguments in one unit.
pub fn memory_used_percent(total: f64, available: f64) -> Option<f64> {
    (total > 0.0).then(|| (100.0 * (1.0 - available / total)).clamp(0.0, 100.0))
}

/// `swap_used_pct`: 0 where a host has no swap, because then none of it is in use. Both arguments in one unit.
pub fn swap_used_percent(total: f64, free: f64) -> Option<f64> {
    if total == 0.0 {
        return Some(0.0);
    }
    (total > 0.0).then(|| (100.0 * (1.0 - free / total)).clamp(0.0, 100.0))
}

/// Sizes of one file system, in one unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Space {
    /// All of it.
    pub size: f64,
    /// Not occupied, the part reserved for root included.
    pub free: f64,
    /// Left for ordinary users.
    pub available: f64,
}

impl Space {
    /// Used space in percent of what ordinary users can have: used / (used + available), as `df` has it. `None` for a
    /// file system without size.
    pub fn used_percent(self) -> Option<f64> {
        let used = (self.size - self.free).max(0.0);
        let usable = used + self.available.max(0.0);
        (usable > 0.0).then(|| (100.0 * used / usable).clamp(0.0, 100.0))
    }
}

/// What a file system type says about the disks of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesystemKind {
    /// Data on a disk.
    Disk,
    /// Data of another host: real, but asking for its size may hang while that host is away.
    Network,
    /// The writable layer of a container; counts only where nothing else is there.
    Overlay,
    /// Kept by the kernel, in memory, or a read-only image that is always full: says nothing about disks.
    Pseudo,
}

impl FilesystemKind {
    /// Kind of a file system type as the kernel names it in `/proc/mounts`.
    pub fn of(fstype: &str) -> Self {
        match fstype {
            "overlay" | "overlayfs" | "aufs" | "unionfs" | "fuse.fuse-overlayfs" => Self::Overlay,
            "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "ceph" | "glusterfs" | "lustre"
            | "beegfs" | "gpfs" | "afs" | "ocfs2" | "9p" | "davfs" | "davfs2" => Self::Network,
            "autofs" | "bdev" | "binder" | "binfmt_misc" | "bpf" | "cgroup" | "cgroup2"
            | "configfs" | "cpuset" | "cramfs" | "debugfs" | "devfs" | "devpts" | "devtmpfs"
            | "efivarfs" | "erofs" | "fdescfs" | "fusectl" | "hugetlbfs" | "iso9660" | "mqueue"
            | "nsfs" | "none" | "nullfs" | "pipefs" | "proc" | "procfs" | "pstore" | "ramfs"
            | "resctrl" | "romfs" | "rootfs" | "rpc_pipefs" | "securityfs" | "selinuxfs"
            | "smackfs" | "sockfs" | "squashfs" | "sysfs" | "tmpfs" | "tracefs" | "udf" => {
                Self::Pseudo
            }
            // User-space file systems of desktops and container tools show their host's size, not a disk's.
            "fuse" | "fuse.lxcfs" | "fuse.snapfuse" | "fuse.squashfuse" | "fuse.portal"
            | "fuse.gvfsd-fuse" | "fuse.archivemount" => Self::Pseudo,
            // Any other user-space file system may wait for another host.
            _ if fstype.starts_with("fuse.") => Self::Network,
            _ => Self::Disk,
        }
    }
}

/// `disk_usage_pct`: the fullest real file system; an overlay root only where there is none.
///
/// Takes (type, mount point, space) of every mount; order and repetition do not matter.
pub fn fullest_percent<'a>(
    mounts: impl IntoIterator<Item = (&'a str, &'a str, Space)>,
) -> Option<f64> {
    let mut real: Option<f64> = None;
    let mut overlay_root: Option<f64> = None;
    for (fstype, mount_point, space) in mounts {
        let Some(used) = space.used_percent() else {
            continue;
        };
        match FilesystemKind::of(fstype) {
            FilesystemKind::Disk | FilesystemKind::Network => {
                real = Some(real.map_or(used, |most| most.max(used)))
            }
            FilesystemKind::Overlay if mount_point == "/" => overlay_root = Some(used),
            FilesystemKind::Overlay | FilesystemKind::Pseudo => {}
        }
    }
    real.or(overlay_root)
}

/// What a network interface carries, judged by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceKind {
    /// Bytes that leave or reach the host.
    Outside,
    /// Bytes that another interface counts too: bridges, container and virtual machine ends, bonds, VLANs, tunnels.
    Layered,
    /// Never leaves the host.
    Loopback,
}

impl InterfaceKind {
    /// Kind of an interface as Linux and common container runtimes name it.
    pub fn of(name: &str) -> Self {
        const LAYERED: [&str; 26] = [
            "veth",
            "docker",
            "br-",
            "virbr",
            "vnet",
            "tap",
            "tun",
            "wg",
            "bond",
            "team",
            "dummy",
            "ifb",
            "cni",
            "cali",
            "flannel",
            "cilium",
            "lxc",
            "lxd",
            "podman",
            "vxlan",
            "geneve",
            "gre",
            "sit",
            "ip6tnl",
            "kube-",
            "nodelocaldns",
        ];
        if name == "lo" {
            return Self::Loopback;
        }
        let is_numbered_bridge = name
            .strip_prefix("br")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_vlan = name.contains('.');
        if is_vlan || is_numbered_bridge || LAYERED.iter().any(|prefix| name.starts_with(prefix)) {
            return Self::Layered;
        }
        Self::Outside
    }
}

/// `net_in_mb_s` and `net_out_mb_s` in MB/s (10⁶ bytes): the sum of (interface, bytes in per s, bytes out per s) over
/// all interfaces but the loopback. Layered ones carry bytes that are counted below them already, so they count only
/// where there is no other (a container that sees nothing else).
pub fn network_megabytes<'a>(
    rates: impl IntoIterator<Item = (&'a str, f64, f64)>,
) -> Option<(f64, f64)> {
    let mut outside: Option<(f64, f64)> = None;
    let mut layered: Option<(f64, f64)> = None;
    for (name, bytes_in, bytes_out) in rates {
        let sum = match InterfaceKind::of(name) {
            InterfaceKind::Outside => &mut outside,
            InterfaceKind::Layered => &mut layered,
            InterfaceKind::Loopback => continue,
        };
        let (total_in, total_out) = sum.unwrap_or((0.0, 0.0));
        *sum = Some((total_in + bytes_in, total_out + bytes_out));
    }
    outside
        .or(layered)
        .map(|(bytes_in, bytes_out)| (bytes_in / 1e6, bytes_out / 1e6))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn cpu_shares_add_up() {
        let share = CpuTime {
            user: 30.0,
            sys: 10.0,
            iowait: 20.0,
            idle: 140.0,
        }
        .percent()
        .unwrap();
        assert_eq!(
            share,
            CpuPercent {
                user: 15.0,
                sys: 5.0,
                iowait: 10.0,
                idle: 70.0
            }
        );
        assert_eq!(CpuTime::default().percent(), None);
    }

    #[test]
    fn a_host_without_swap_uses_none() {
        assert_eq!(swap_used_percent(0.0, 0.0), Some(0.0));
        assert_eq!(swap_used_percent(200.0, 150.0), Some(25.0));
    }

    #[test]
    fn disk_use_leaves_out_what_is_reserved_for_root() {
        let space = Space {
            size: 100.0,
            free: 30.0,
            available: 25.0,
        };
        assert_eq!(space.used_percent(), Some(100.0 * 70.0 / 95.0));
    }

    #[test]
    fn the_fullest_real_file_system_counts() {
        let half = Space {
            size: 10.0,
            free: 5.0,
            available: 5.0,
        };
        let full = Space {
            size: 10.0,
            free: 0.0,
            available: 0.0,
        };
        let empty = Space {
            size: 10.0,
            free: 10.0,
            available: 10.0,
        };
        let none = Space {
            size: 0.0,
            free: 0.0,
            available: 0.0,
        };
        #[track_caller]
        fn check(mounts: &[(&str, &str, Space)], expected: Option<f64>) {
            assert_eq!(fullest_percent(mounts.iter().copied()), expected);
        }
        check(
            &[
                ("ext4", "/", empty),
                ("xfs", "/data", half),
                ("tmpfs", "/run", full),
            ],
            Some(50.0),
        );
        check(
            &[("squashfs", "/snap/core/1", full), ("overlay", "/", half)],
            Some(50.0),
        );
        check(
            &[("overlay", "/", full), ("ext4", "/var", empty)],
            Some(0.0),
        );
        check(
            &[("overlay", "/var/lib/docker/overlay2/x/merged", full)],
            None,
        );
        check(&[("btrfs", "/", none)], None);
        check(&[], None);
    }

    #[test]
    fn bytes_are_counted_once() {
        let host = [
            ("lo", 9e6, 9e6),
            ("eth0", 1e6, 2e6),
            ("eth1", 1e6, 0.0),
            ("docker0", 5e5, 5e5),
            ("eth0.7", 3e5, 0.0),
        ];
        assert_eq!(network_megabytes(host), Some((2.0, 2.0)));
        assert_eq!(
            network_megabytes([("lo", 1.0, 1.0), ("br0", 4e6, 0.0)]),
            Some((4.0, 0.0))
        );
        assert_eq!(network_megabytes([("lo", 1.0, 1.0)]), None);
        assert_eq!(InterfaceKind::of("brick0"), InterfaceKind::Outside);
    }
}
