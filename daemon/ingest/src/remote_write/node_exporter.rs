//! Which series of node_exporter feed which metric.

use argus_schema::server_metrics::{
    fullest_percent, memory_used_percent, network_megabytes, swap_used_percent,
};
use argus_schema::{EntityName, ServerReading};

use super::counters::Rates;
use super::protobuf::TimeSeries;
use super::scrape::{CPU_MODES, Gauge, Mount, Reading, Scrape, SpaceField};

/// Longer label values name no processor, device or mount point; it bounds what a series costs to keep.
const MAX_LABEL_BYTES: usize = 256;
const SECS_PER_DAY: f64 = 86_400.0;

/// The entity of a series and what it stands for; `None` for series that feed no metric.
pub(super) fn classify(series: &TimeSeries, drop_port: bool) -> Option<(EntityName, Reading)> {
    let reading = reading(series)?;
    let instance = series.label("instance")?;
    let name = if drop_port {
        without_port(instance)
    } else {
        instance
    };
    Some((EntityName::new(name).ok()?, reading))
}

fn reading(series: &TimeSeries) -> Option<Reading> {
    let key = |name: &str| {
        series
            .label(name)
            .filter(|value| value.len() <= MAX_LABEL_BYTES)
            .map(Box::from)
    };
    let filesystem = |field| {
        let mount = Mount {
            device: key("device")?,
            fstype: key("fstype")?,
            mount_point: key("mountpoint")?,
        };
        Some(Reading::Filesystem { mount, field })
    };
    let interface = |direction| {
        Some(Reading::Interface {
            device: key("device")?,
            direction,
        })
    };
    let gauge = |gauge| Some(Reading::Gauge(gauge));
    match series.label("__name__")? {
        "node_cpu_seconds_total" => {
            let mode = series.label("mode")?;
            let mode = CPU_MODES.iter().position(|known| *known == mode)?;
            Some(Reading::Cpu {
                cpu: key("cpu")?,
                mode,
            })
        }
        "node_memory_MemTotal_bytes" => gauge(Gauge::MemTotal),
        "node_memory_MemAvailable_bytes" => gauge(Gauge::MemAvailable),
        "node_memory_MemFree_bytes" => gauge(Gauge::MemFree),
        "node_memory_Buffers_bytes" => gauge(Gauge::Buffers),
        "node_memory_Cached_bytes" => gauge(Gauge::Cached),
        "node_memory_SwapTotal_bytes" => gauge(Gauge::SwapTotal),
        "node_memory_SwapFree_bytes" => gauge(Gauge::SwapFree),
        "node_filesystem_size_bytes" => filesystem(SpaceField::Size),
        "node_filesystem_free_bytes" => filesystem(SpaceField::Free),
        "node_filesystem_avail_bytes" => filesystem(SpaceField::Available),
        "node_network_receive_bytes_total" => interface(0),
        "node_network_transmit_bytes_total" => interface(1),
        "node_tcp_connection_states" if series.label("state") == Some("close_wait") => {
            gauge(Gauge::CloseWait)
        }
        "node_tcp_connection_states" => gauge(Gauge::OtherTcpState),
        "node_load1" => gauge(Gauge::Load1),
        "node_boot_time_seconds" => gauge(Gauge::BootTime),
        _ => None,
    }
}

/// The metrics of a scrape and the rates since the one before; java stays missing, node_exporter knows no processes.
pub(super) fn server_reading(scrape: &Scrape, time_ms: i64, rates: &Rates) -> ServerReading {
    let network = network_megabytes(
        rates
            .interfaces
            .iter()
            .map(|(name, [rx, tx])| (name.as_ref(), *rx, *tx)),
    );
    ServerReading {
        cpu: rates.cpu,
        java_cpu_pct: None,
        mem_used_pct: memory_used(scrape),
        swap_used_pct: scrape
            .gauge(Gauge::SwapTotal)
            .zip(scrape.gauge(Gauge::SwapFree))
            .and_then(|(total, free)| swap_used_percent(total, free)),
        disk_usage_pct: fullest_percent(scrape.filesystems()),
        net_in_mb_s: network.map(|(received, _)| received),
        net_out_mb_s: network.map(|(_, sent)| sent),
        // The exporter's tcpstat collector does not tell on which side of the server a connection lies.
        back_close_wait: close_wait(scrape),
        front_close_wait: None,
        load_average: scrape.gauge(Gauge::Load1),
        uptime_days: scrape
            .gauge(Gauge::BootTime)
            .map(|boot_secs| uptime_days(time_ms, boot_secs)),
    }
}

/// Number of processors in a scrape.
pub(super) fn cores(scrape: &Scrape) -> Option<f32> {
    let count = u16::try_from(scrape.cpus.len()).ok()?;
    (count > 0).then(|| f32::from(count))
}

/// The tcpstat collector leaves out states that no connection is in.
fn close_wait(scrape: &Scrape) -> Option<f64> {
    let none_if_others_are_there = || scrape.gauge(Gauge::OtherTcpState).map(|_| 0.0);
    scrape
        .gauge(Gauge::CloseWait)
        .or_else(none_if_others_are_there)
}

/// Kernels before 3.14 have no MemAvailable; what they can give up at once is then free, buffers and page cache.
fn memory_used(scrape: &Scrape) -> Option<f64> {
    let given_up = || {
        let free = scrape.gauge(Gauge::MemFree)?;
        Some(free + scrape.gauge(Gauge::Buffers)? + scrape.gauge(Gauge::Cached)?)
    };
    let available = scrape.gauge(Gauge::MemAvailable).or_else(given_up)?;
    memory_used_percent(scrape.gauge(Gauge::MemTotal)?, available)
}

fn uptime_days(time_ms: i64, boot_secs: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit a double's 53 bits"
    )]
    let time_secs = time_ms as f64 / 1000.0;
    (time_secs - boot_secs) / SECS_PER_DAY
}

/// `host:9100` → `host`, `[::1]:9100` → `[::1]`; a bare IPv6 address keeps its last group.
fn without_port(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty()
                && !port.is_empty()
                && port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => instance,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn ports_are_dropped_and_addresses_kept() {
        for (instance, name) in [
            ("web-01:9100", "web-01"),
            ("10.0.0.3:9100", "10.0.0.3"),
            ("[fe80::1]:9100", "[fe80::1]"),
            ("fe80::1", "fe80::1"),
            ("web-01", "web-01"),
            ("web-01:", "web-01:"),
            (":9100", ":9100"),
            ("web:blue", "web:blue"),
        ] {
            assert_eq!(without_port(instance), name);
        }
    }
}
