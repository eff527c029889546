//! What one scrape of node_exporter says, as far as it matters.

use std::collections::BTreeMap;

use argus_schema::server_metrics::Space;

/// Modes of `node_cpu_seconds_total` that add up to all of a processor's time. Guests are counted in `user` and `nice`.
pub(super) const CPU_MODES: [&str; 8] = [
    "user", "nice", "system", "irq", "softirq", "steal", "iowait", "idle",
];

/// Seconds of one processor by mode, in the order of [`CPU_MODES`]; NaN where unknown.
pub(super) type CpuSeconds = [f64; CPU_MODES.len()];

/// Bytes through one interface: received, sent; NaN where unknown.
pub(super) type InterfaceBytes = [f64; 2];

/// Series without labels that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gauge {
    MemTotal,
    MemAvailable,
    MemFree,
    Buffers,
    Cached,
    SwapTotal,
    SwapFree,
    Load1,
    BootTime,
    CloseWait,
    OtherTcpState,
}

impl Gauge {
    const COUNT: usize = 11;
}

/// Sizes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpaceField {
    Size,
    Free,
    Available,
}

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mount {
    pub(super) device: Box<str>,
    pub(super) fstype: Box<str>,
    pub(super) mount_point: Box<str>,
}

/// What one series stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    Gauge(Gauge),
    Cpu { cpu: Box<str>, mode: usize },
    Filesystem { mount: Mount, field: SpaceField },
    Interface { device: Box<str>, direction: usize },
}

/// One scrape, as far as it has arrived.
#[derive(Debug, Clone)]
pub(super) struct Scrape {
    gauges: [f64; Gauge::COUNT],
    pub(super) cpus: BTreeMap<Box<str>, CpuSeconds>,
    pub(super) interfaces: BTreeMap<Box<str>, InterfaceBytes>,
    filesystems: BTreeMap<Mount, Space>,
    held_bytes: usize,
}

/// Estimated memory of a map's entry beside its text.
pub(super) const ENTRY_BYTES: usize = 128;

impl Default for Scrape {
    fn default() -> Self {
        Self {
            gauges: [f64::NAN; Gauge::COUNT],
            cpus: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            filesystems: BTreeMap::new(),
            held_bytes: size_of::<Self>(),
        }
    }
}

impl Scrape {
    /// A gauge's value, if it has arrived.
    pub(super) fn gauge(&self, gauge: Gauge) -> Option<f64> {
        let value = self.gauges[gauge as usize];
        (!value.is_nan()).then_some(value)
    }

    /// (type, mount point, space) of every file system whose size has arrived.
    pub(super) fn filesystems(&self) -> impl Iterator<Item = (&str, &str, Space)> {
        self.filesystems.iter().filter_map(|(mount, space)| {
            let available = if space.available.is_nan() {
                space.free
            } else {
                space.available
            };
            let free = if space.free.is_nan() {
                available
            } else {
                space.free
            };
            let is_known = !space.size.is_nan() && !free.is_nan();
            let space = Space {
                size: space.size,
                free,
                available,
            };
            is_known.then_some((mount.fstype.as_ref(), mount.mount_point.as_ref(), space))
        })
    }

    /// Estimated memory.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Adds one sample.
    pub(super) fn set(&mut self, reading: &Reading, value: f64) {
        match reading {
            Reading::Gauge(gauge) => self.gauges[*gauge as usize] = value,
            Reading::Cpu { cpu, mode } => {
                let seconds = self.cpus.entry(cpu.clone()).or_insert_with(|| {
                    self.held_bytes += ENTRY_BYTES + cpu.len();
                    [f64::NAN; CPU_MODES.len()]
                });
                seconds[*mode] = value;
            }
            Reading::Interface { device, direction } => {
                let bytes = self.interfaces.entry(device.clone()).or_insert_with(|| {
                    self.held_bytes += ENTRY_BYTES + device.len();
                    [f64::NAN; 2]
                });
                bytes[*direction] = value;
            }
            Reading::Filesystem { mount, field } => {
                let space = self.filesystems.entry(mount.clone()).or_insert_with(|| {
                    let text = mount.device.len() + mount.fstype.len() + mount.mount_point.len();
                    self.held_bytes += ENTRY_BYTES + text;
                    Space {
                        size: f64::NAN,
                        free: f64::NAN,
                        available: f64::NAN,
                    }
                });
                match field {
                    SpaceField::Size => space.size = value,
                    SpaceField::Free => space.free = value,
                    SpaceField::Available => space.available = value,
                }
            }
        }
    }
}
