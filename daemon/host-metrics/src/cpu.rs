//! `/proc/stat`: processor time since boot.

use argus_schema::server_metrics::CpuTime;

/// Processor time of all processors together, in clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CpuTicks {
    time: CpuTime,
    /// Number of processors.
    pub(crate) cores: u16,
}

/// What passed between two readings, in clock ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Passed {
    /// By kind.
    pub(crate) time: CpuTime,
    /// On all processors.
    pub(crate) ticks: f64,
}

impl CpuTicks {
    /// Reads the text of `/proc/stat`; `None` where it has no line of totals.
    ///
    /// The columns after `steal` are guests, whose time is in `user` and `nice` already.
    pub(crate) fn parse(stat: &str) -> Option<Self> {
        let totals = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<f64> = totals
            .split_whitespace()
            .map_while(|field| field.parse().ok())
            .collect();
        let column = |index: usize| ticks.get(index).copied().unwrap_or(0.0);
        let time = CpuTime {
            user: column(0) + column(1),
            sys: column(2) + column(5) + column(6) + column(7),
            iowait: column(4),
            idle: column(3),
        };
        let is_processor = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cores = u16::try_from(stat.lines().filter(is_processor).count()).unwrap_or(u16::MAX);
        (ticks.len() >= 4).then_some(Self { time, cores })
    }

    /// What passed since an earlier reading. Linux takes back iowait and idle time now and then; that counts as none.
    pub(crate) fn since(&self, earlier: &Self) -> Passed {
        let passed = |pick: fn(&CpuTime) -> f64| (pick(&self.time) - pick(&earlier.time)).max(0.0);
        let time = CpuTime {
            user: passed(|time| time.user),
            sys: passed(|time| time.sys),
            iowait: passed(|time| time.iowait),
            idle: passed(|time| time.idle),
        };
        Passed {
            time,
            ticks: time.user + time.sys + time.iowait + time.idle,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  100 10 50 800 20 5 5 10 40 0\ncpu0 50 5 25 400 10 3 2 5 20 0\ncpu1 50 5 25 400 10 2 3 5 20 0\nctxt 1\n";
    const AFTER: &str = "cpu  130 20 60 940 15 6 8 16 60 0\ncpu0 1\ncpu1 1\n";

    #[test]
    fn kinds_and_cores() {
        let before = CpuTicks::parse(BEFORE).unwrap();
        assert_eq!(
            before.time,
            CpuTime {
                user: 110.0,
                sys: 70.0,
                iowait: 20.0,
                idle: 800.0
            }
        );
        assert_eq!(before.cores, 2);
        let passed = CpuTicks::parse(AFTER).unwrap().since(&before);
        assert_eq!(
            passed.time,
            CpuTime {
                user: 40.0,
                sys: 20.0,
                iowait: 0.0,
                idle: 140.0
            }
        );
        assert!((passed.ticks - 200.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_stat() {
        for text in ["", "cpu", "cpu  1 2 x", "cpu0 1 2 3 4", "intr 1"] {
            assert_eq!(CpuTicks::parse(text), None, "{text:?}");
        }
    }
}
