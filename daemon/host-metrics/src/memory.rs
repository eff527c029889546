//! `/proc/meminfo`.

use argus_schema::server_metrics::{memory_used_percent, swap_used_percent};

/// Memory in use and swap in use, in percent; `None` where the file does not tell.
pub(crate) fn parse(meminfo: &str) -> (Option<f64>, Option<f64>) {
    let kilobytes = |name: &str| -> Option<f64> {
        let line = meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse().ok()
    };
    // Kernels before 3.14 have no MemAvailable; what they can give up at once is then free, buffers and page cache.
    let given_up = || Some(kilobytes("MemFree")? + kilobytes("Buffers")? + kilobytes("Cached")?);
    let available = kilobytes("MemAvailable").or_else(given_up);
    let memory = kilobytes("MemTotal")
        .zip(available)
        .and_then(|(total, free)| memory_used_percent(total, free));
    let swap = kilobytes("SwapTotal")
        .zip(kilobytes("SwapFree"))
        .and_then(|(total, free)| swap_used_percent(total, free));
    (memory, swap)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[track_caller]
    fn check(meminfo: &str, memory: Option<f64>, swap: Option<f64>) {
        assert_eq!(parse(meminfo), (memory, swap));
    }

    #[test]
    fn shares_of_memory_and_swap() {
        let all = "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable:  250 kB\nSwapCached: 7 kB\nSwapTotal: 400 kB\nSwapFree: 300 kB\n";
        check(all, Some(75.0), Some(25.0));
        let old = "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 350 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        check(old, Some(50.0), Some(0.0));
        check("MemTotal: 1000 kB\n", None, None);
        check("MemTotal: 0 kB\nMemAvailable: 0 kB\n", None, None);
        check("", None, None);
    }
}
