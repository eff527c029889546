//! `/proc/net/dev`: bytes through the interfaces since they came up.

use std::collections::BTreeMap;

use argus_schema::server_metrics::network_megabytes;

/// Bytes received and sent by interface.
pub(crate) type InterfaceBytes = BTreeMap<String, [u64; 2]>;

/// Reads the text of `/proc/net/dev`; lines that are no interface are left out.
pub(crate) fn parse(dev: &str) -> InterfaceBytes {
    let interface = |line: &str| {
        let (name, counters) = line.split_once(':')?;
        let counters: Vec<u64> = counters
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        Some((
            name.trim().to_owned(),
            [*counters.first()?, *counters.get(8)?],
        ))
    };
    dev.lines().filter_map(interface).collect()
}

/// MB/s in and out over `secs` between two readings; interfaces that are new or gone do not count.
pub(crate) fn rates(
    before: &InterfaceBytes,
    now: &InterfaceBytes,
    secs: f64,
) -> Option<(f64, f64)> {
    let per_second = |name: &str, bytes: &[u64; 2]| {
        let last = before.get(name)?;
        let [received, sent] =
            [0, 1].map(|direction| growth(last[direction], bytes[direction]) / secs);
        Some((received, sent))
    };
    let pairs: Vec<_> = now
        .iter()
        .filter_map(|(name, bytes)| per_second(name, bytes).map(|(i, o)| (name.as_str(), i, o)))
        .collect();
    (secs > 0.0).then(|| network_megabytes(pairs)).flatten()
}

/// How much a counter grew; one that fell began again at 0 when its interface came up anew.
fn growth(before: u64, now: u64) -> f64 {
    let bytes = now.checked_sub(before).unwrap_or(now);
    #[expect(clippy::cast_precision_loss, reason = "bytes between two readings")]
    let bytes = bytes as f64;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n";

    fn dev(lo: u64, eth0: [u64; 2]) -> InterfaceBytes {
        let line = |name: &str, [rx, tx]: [u64; 2]| {
            format!("{name:>6}:{rx:>8} 29 0 0 0 0 0 0 {tx:>8} 29 0 0 0 0 0 0\n")
        };
        parse(&format!(
            "{HEADER}{}{}",
            line("lo", [lo, lo]),
            line("eth0", eth0)
        ))
    }

    #[test]
    fn rates_leave_out_the_loopback_and_survive_a_reset() {
        let before = dev(0, [1_000_000, 0]);
        assert_eq!(before["eth0"], [1_000_000, 0]);
        assert_eq!(
            rates(&before, &dev(9_000_000, [21_000_000, 5_000_000]), 10.0),
            Some((2.0, 0.5))
        );
        assert_eq!(
            rates(&before, &dev(0, [500_000, 0]), 10.0),
            Some((0.05, 0.0))
        );
        assert_eq!(rates(&before, &before, 0.0), None);
        assert_eq!(rates(&InterfaceBytes::new(), &before, 10.0), None);
    }

    #[test]
    fn an_interface_without_space_after_the_colon() {
        assert_eq!(
            parse("eth0:4880387468 1 0 0 0 0 0 0 5041882 1 0 0 0 0 0 0")["eth0"],
            [4_880_387_468, 5_041_882]
        );
        assert!(parse("eth0: 1 2 3").is_empty());
    }
}
