//! Rates of counters that grow until their host reboots.

use std::collections::BTreeMap;

use argus_schema::server_metrics::{CpuPercent, CpuTime};

use super::scrape::{CPU_MODES, CpuSeconds, ENTRY_BYTES, InterfaceBytes, Scrape};

/// The counters of an instance's newest scrape that had them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    cpus: Option<At<BTreeMap<Box<str>, CpuSeconds>>>,
    interfaces: Option<At<BTreeMap<Box<str>, InterfaceBytes>>>,
}

/// Values of a moment.
#[derive(Debug)]
struct At<T> {
    time_ms: i64,
    values: T,
}

/// What passed between two scrapes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rates {
    /// Shares of processor time; `None` where none can be told.
    pub(super) cpu: Option<CpuPercent>,
    /// Bytes per second received and sent by the interfaces that both scrapes have; NaN for a direction that one lacks.
    pub(super) interfaces: Vec<(Box<str>, InterfaceBytes)>,
}

impl Counters {
    /// Takes the counters out of a scrape and returns the rates since the scrape before, if that is at most
    /// `max_gap_ms` older.
    pub(super) fn advance(&mut self, time_ms: i64, scrape: &mut Scrape, max_gap_ms: i64) -> Rates {
        let cpus = std::mem::take(&mut scrape.cpus);
        let interfaces = std::mem::take(&mut scrape.interfaces);
        let mut rates = Rates::default();
        if !cpus.is_empty() {
            rates.cpu = self
                .cpus
                .as_ref()
                .filter(|last| last.is_recent(time_ms, max_gap_ms))
                .and_then(|last| {
                    let pairs = cpus
                        .iter()
                        .filter_map(|(cpu, now)| Some((last.values.get(cpu)?, now)));
                    pairs
                        .map(|(before, now)| cpu_time(before, now))
                        .fold(CpuTime::default(), sum)
                        .percent()
                });
            self.cpus = Some(At {
                time_ms,
                values: cpus,
            });
        }
        if !interfaces.is_empty() {
            if let Some(last) = self
                .interfaces
                .as_ref()
                .filter(|last| last.is_recent(time_ms, max_gap_ms))
            {
                let secs = last.seconds_until(time_ms);
                let pairs = interfaces
                    .iter()
                    .filter_map(|(name, now)| Some((name, last.values.get(name)?, now)));
                rates.interfaces = pairs
                    .map(|(name, before, now)| {
                        (
                            name.clone(),
                            [0, 1]
                                .map(|direction| growth(before[direction], now[direction]) / secs),
                        )
                    })
                    .collect();
            }
            self.interfaces = Some(At {
                time_ms,
                values: interfaces,
            });
        }
        rates
    }

    /// Estimated memory.
    pub(super) fn held_bytes(&self) -> usize {
        let cpus = self.cpus.as_ref().map_or(0, |at| map_bytes(&at.values));
        cpus + self
            .interfaces
            .as_ref()
            .map_or(0, |at| map_bytes(&at.values))
    }
}

impl<T> At<T> {
    fn is_recent(&self, time_ms: i64, max_gap_ms: i64) -> bool {
        let gap_ms = time_ms.saturating_sub(self.time_ms);
        gap_ms > 0 && gap_ms <= max_gap_ms
    }

    fn seconds_until(&self, time_ms: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a gap of minutes")]
        let gap_ms = time_ms.saturating_sub(self.time_ms) as f64;
        gap_ms / 1000.0
    }
}

fn map_bytes<T>(map: &BTreeMap<Box<str>, T>) -> usize {
    map.keys().map(|name| ENTRY_BYTES + name.len()).sum()
}

/// How much a counter grew; one that fell began again at 0.
fn growth(before: f64, now: f64) -> f64 {
    if now < before { now } else { now - before }
}

/// What passed on one processor.
///
/// All modes begin again together when the host reboots, which shows in their sum. A single mode that falls while the
/// sum grows is no reboot: Linux takes back iowait and idle time now and then, and that counts as none.
fn cpu_time(before: &CpuSeconds, now: &CpuSeconds) -> CpuTime {
    let is_known = |mode: &usize| !before[*mode].is_nan() && !now[*mode].is_nan();
    let known: Vec<usize> = (0..CPU_MODES.len()).filter(is_known).collect();
    let total = |seconds: &CpuSeconds| known.iter().map(|mode| seconds[*mode]).sum::<f64>();
    let has_rebooted = total(now) < total(before);
    let mut time = CpuTime::default();
    for mode in known {
        let passed = if has_rebooted {
            now[mode]
        } else {
            now[mode] - before[mode]
        }
        .max(0.0);
        match CPU_MODES[mode] {
            "user" | "nice" => time.user += passed,
            "iowait" => time.iowait += passed,
            "idle" => time.idle += passed,
            _ => time.sys += passed,
        }
    }
    time
}

fn sum(a: CpuTime, b: CpuTime) -> CpuTime {
    CpuTime {
        user: a.user + b.user,
        sys: a.sys + b.sys,
        iowait: a.iowait + b.iowait,
        idle: a.idle + b.idle,
    }
}
