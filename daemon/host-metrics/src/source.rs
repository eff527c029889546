//! The source itself: two readings into one record.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use argus_schema::{EntityName, Record, Schema, ServerReading};

use crate::cpu::CpuTicks;
use crate::disk::{DiskSpace, StatvfsDiskSpace, fullest};
use crate::network::InterfaceBytes;
use crate::processes::JavaTicks;
use crate::sockets::Sockets;
use crate::{HostError, memory, network};

const SECS_PER_DAY: f64 = 86_400.0;

/// Reads this host as one server. The server's name is the host's unless [`SelfSource::with_name`] gives another.
pub struct SelfSource {
    schema: Arc<Schema>,
    root: PathBuf,
    name: EntityName,
    disk_space: Box<dyn DiskSpace>,
    last: Option<Counters>,
}

/// What only grows, at one moment.
struct Counters {
    /// Seconds since boot; the wall clock may jump between two readings, this does not.
    uptime_secs: Option<f64>,
    time_ms: i64,
    cpu: Option<CpuTicks>,
    interfaces: InterfaceBytes,
    java: JavaTicks,
}

impl SelfSource {
    /// A source for the host whose root directory is `root` (`/`, or a directory of recorded files).
    ///
    /// # Errors
    /// Where there is no `/proc/stat` below it, or the host's name is no entity name.
    pub fn new(schema: Arc<Schema>, root: impl Into<PathBuf>) -> Result<Self, HostError> {
        let root = root.into();
        let stat = root.join("proc/stat");
        if let Err(error) = fs::metadata(&stat) {
            return Err(HostError::NoProc { path: stat, error });
        }
        let name = host_name(&root);
        let name =
            EntityName::new(&name).map_err(|error| HostError::BadHostName { name, error })?;
        Ok(Self {
            schema,
            root,
            name,
            disk_space: Box::new(StatvfsDiskSpace),
            last: None,
        })
    }

    /// The same under another server name.
    #[must_use]
    pub fn with_name(mut self, name: EntityName) -> Self {
        self.name = name;
        self
    }

    /// The same with another way to measure file systems.
    #[must_use]
    pub fn with_disk_space(mut self, disk_space: impl DiskSpace + 'static) -> Self {
        self.disk_space = Box::new(disk_space);
        self
    }

    /// The server's name.
    pub fn name(&self) -> &EntityName {
        &self.name
    }

    /// Reads the host at `now_ms` (milliseconds since the epoch). The first call returns `None`: it is the starting
    /// point of the rates; call again a second or more later. Rates are means since the call before.
    ///
    /// # Errors
    /// When `/proc/stat` cannot be read any more.
    pub fn sample(&mut self, now_ms: i64) -> Result<Option<Record>, HostError> {
        let counters = self.counters(now_ms)?;
        let Some(last) = self.last.take() else {
            self.last = Some(counters);
            return Ok(None);
        };
        let cores = counters
            .cpu
            .map(|cpu| f32::from(cpu.cores))
            .filter(|cores| *cores > 0.0);
        let values = self.reading(&last, &counters).values(&self.schema);
        self.last = Some(counters);
        let record = |values| Record {
            entity: self.name.clone(),
            time_ms: now_ms,
            status: 0,
            profile: None,
            cores,
            values,
        };
        Ok(values.map(record))
    }

    fn counters(&self, now_ms: i64) -> Result<Counters, HostError> {
        let path = self.root.join("proc/stat");
        let stat = fs::read_to_string(&path).map_err(|error| HostError::NoProc { path, error })?;
        Ok(Counters {
            uptime_secs: self.first_number("proc/uptime"),
            time_ms: now_ms,
            cpu: CpuTicks::parse(&stat),
            interfaces: network::parse(&self.text("proc/net/dev")),
            java: JavaTicks::read(&self.root.join("proc")),
        })
    }

    fn reading(&self, last: &Counters, now: &Counters) -> ServerReading {
        let passed = now
            .cpu
            .zip(last.cpu)
            .map(|(cpu, earlier)| cpu.since(&earlier));
        let java = passed.filter(|passed| passed.ticks > 0.0 && !now.java.is_empty());
        let network = network::rates(
            &last.interfaces,
            &now.interfaces,
            seconds_between(last, now),
        );
        let (mem_used_pct, swap_used_pct) = memory::parse(&self.text("proc/meminfo"));
        let close_wait = self.close_wait();
        ServerReading {
            cpu: passed.and_then(|passed| passed.time.percent()),
            java_cpu_pct: java
                .map(|passed| (100.0 * now.java.since(&last.java) / passed.ticks).min(100.0)),
            mem_used_pct,
            swap_used_pct,
            disk_usage_pct: fullest(
                &self.text("proc/mounts"),
                &self.root,
                self.disk_space.as_ref(),
            ),
            net_in_mb_s: network.map(|(received, _)| received),
            net_out_mb_s: network.map(|(_, sent)| sent),
            back_close_wait: close_wait.map(|(back, _)| back),
            front_close_wait: close_wait.map(|(_, front)| front),
            load_average: self.first_number("proc/loadavg"),
            uptime_days: now.uptime_secs.map(|secs| secs / SECS_PER_DAY),
        }
    }

    fn close_wait(&self) -> Option<(f64, f64)> {
        let mut sockets = Sockets::default();
        let mut is_readable = false;
        for path in ["proc/net/tcp", "proc/net/tcp6"] {
            if let Ok(file) = File::open(self.root.join(path)) {
                is_readable = true;
                sockets.add(BufReader::new(file));
            }
        }
        is_readable.then(|| sockets.close_wait())
    }

    /// Text of a file below the root; empty where it cannot be read, which then reads as nothing known.
    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap_or_else(|error| {
            tracing::debug!(path, %error, "cannot read a file of this host; its metrics are missing");
            String::new()
        })
    }

    fn first_number(&self, path: &str) -> Option<f64> {
        self.text(path).split_whitespace().next()?.parse().ok()
    }
}

fn seconds_between(last: &Counters, now: &Counters) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds between two readings"
    )]
    let by_wall_clock = (now.time_ms.saturating_sub(last.time_ms)) as f64 / 1000.0;
    let by_uptime = now
        .uptime_secs
        .zip(last.uptime_secs)
        .map(|(now, last)| now - last);
    by_uptime
        .filter(|secs| *secs > 0.0)
        .unwrap_or(by_wall_clock)
}

/// The kernel's host name, else the configured one, else `localhost`.
fn host_name(root: &Path) -> String {
    ["proc/sys/kernel/hostname", "etc/hostname"]
        .iter()
        .filter_map(|path| fs::read_to_string(root.join(path)).ok())
        .map(|text| text.trim().to_owned())
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
