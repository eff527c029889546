//! What could be done, as transformations of the newest steps of the context.
//!
//! An action has been taken at the beginning of its span: the model is asked what it would forecast had the span looked
//! as after the action. Strength 0 changes nothing, 1 is as much of it as is plausible. Only observed values change.
//!
//! | action | at strength a |
//! |---|---|
//! | scale out | load is shared with 1, 2 or 3 more instances (3a): everything that follows load divided by 1 + 3a, CPU idle rises to match |
//! | restart | memory, swap and close-waits at their lowest of the context, uptime from 0; only at full strength |
//! | throttle | user and Java CPU, load, network times 1 − 0.75a; idle gets what user CPU gives back |
//! | free memory | memory and swap times 1 − 0.6a |
//! | reduce I/O | iowait times 1 − 0.9a, idle gets the difference |
//! | free disk | disk usage times 1 − 0.6a |
//! | one metric as usual | the metric goes the share a of the way from where it is worse than typical to typical |

use std::collections::BTreeMap;

/// Series by metric name, over the whole context: as observed, and typical.
#[derive(Debug, Default)]
pub struct Observed {
    pub own: BTreeMap<String, Vec<f32>>,
    pub typical: BTreeMap<String, Vec<f32>>,
    pub step_secs: u32,
}

/// Something that could be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    ScaleOut,
    Restart,
    Throttle,
    FreeMemory,
    ReduceIo,
    FreeDisk,
    /// This metric as usual.
    AsUsual(String),
}

/// Everything that grows with the work a server is given.
const FOLLOWS_LOAD: [&str; 9] = [
    "cpu_user_pct",
    "cpu_sys_pct",
    "cpu_iowait_pct",
    "java_cpu_pct",
    "load_average",
    "net_in_mb_s",
    "net_out_mb_s",
    "back_close_wait",
    "front_close_wait",
];
const THROTTLED: [&str; 5] = [
    "cpu_user_pct",
    "java_cpu_pct",
    "load_average",
    "net_in_mb_s",
    "net_out_mb_s",
];
const CLEARED_BY_RESTART: [&str; 4] = [
    "mem_used_pct",
    "swap_used_pct",
    "back_close_wait",
    "front_close_wait",
];
/// Metrics that somebody can do something about, and whether more is worse.
const ACTIONABLE: [(&str, bool); 9] = [
    ("cpu_user_pct", true),
    ("cpu_sys_pct", true),
    ("cpu_iowait_pct", true),
    ("cpu_idle_pct", false),
    ("mem_used_pct", true),
    ("swap_used_pct", true),
    ("disk_usage_pct", true),
    ("load_average", true),
    ("net_in_mb_s", true),
];
const IDLE: &str = "cpu_idle_pct";

impl Action {
    /// All that this subject's metrics allow.
    pub fn all(observed: &Observed) -> Vec<Self> {
        let named = [
            (Self::ScaleOut, &FOLLOWS_LOAD[..]),
            (Self::Restart, &CLEARED_BY_RESTART),
            (Self::Throttle, &THROTTLED),
            (Self::FreeMemory, &["mem_used_pct", "swap_used_pct"]),
            (Self::ReduceIo, &["cpu_iowait_pct"]),
            (Self::FreeDisk, &["disk_usage_pct"]),
        ];
        let is_seen = |name: &&str| observed.seen(name).is_some();
        let possible = named
            .into_iter()
            .filter(|(_, metrics)| metrics.iter().any(is_seen));
        let metrics = ACTIONABLE.iter().filter(|(name, _)| is_seen(name));
        possible
            .map(|(action, _)| action)
            .chain(metrics.map(|(name, _)| Self::AsUsual((*name).to_owned())))
            .collect()
    }

    /// The strengths that are tried first, ascending.
    pub fn strengths(&self) -> &'static [f32] {
        match self {
            Self::ScaleOut => &[1.0 / 3.0, 2.0 / 3.0, 1.0],
            Self::Restart => &[1.0],
            _ => &[0.5, 1.0],
        }
    }

    /// Whether there is anything between those: nobody starts half an instance.
    pub fn is_gradual(&self) -> bool {
        !matches!(self, Self::ScaleOut | Self::Restart)
    }

    /// The changed metrics with their values over the newest `steps` of the context.
    pub fn apply(
        &self,
        observed: &Observed,
        steps: usize,
        strength: f32,
    ) -> Vec<(String, Vec<f32>)> {
        let mut changes = Changes {
            observed,
            steps,
            made: Vec::new(),
        };
        match self {
            Self::ScaleOut => {
                let factor = 1.0 / (1.0 + 3.0 * strength);
                changes.scale(&FOLLOWS_LOAD, factor);
                changes.each(IDLE, |_, idle| 100.0 - (100.0 - idle) * factor);
            }
            Self::Restart => {
                for name in CLEARED_BY_RESTART {
                    let lowest = observed.seen(name).into_iter().flatten();
                    let lowest = lowest.copied().filter(|v| !v.is_nan()).reduce(f32::min);
                    changes.each(name, |_, value| lowest.unwrap_or(value));
                }
                let step_days = observed.step_secs as f32 / 86_400.0;
                changes.each("uptime_days", |step, _| step as f32 * step_days);
            }
            Self::Throttle => {
                let given_back = 0.75 * strength;
                changes.scale(&THROTTLED, 1.0 - given_back);
                changes.give_to_idle("cpu_user_pct", given_back);
            }
            Self::FreeMemory => {
                changes.scale(&["mem_used_pct", "swap_used_pct"], 1.0 - 0.6 * strength);
            }
            Self::ReduceIo => {
                let given_back = 0.9 * strength;
                changes.scale(&["cpu_iowait_pct"], 1.0 - given_back);
                changes.give_to_idle("cpu_iowait_pct", given_back);
            }
            Self::FreeDisk => changes.scale(&["disk_usage_pct"], 1.0 - 0.6 * strength),
            Self::AsUsual(name) => {
                let more_is_worse = ACTIONABLE.iter().any(|(n, worse)| n == name && *worse);
                let typical = observed
                    .newest(&observed.typical, name, steps)
                    .unwrap_or_default();
                changes.each(name, |step, value| {
                    let usual = typical.get(step).copied().filter(|v| !v.is_nan());
                    let usual = usual.filter(|usual| (value > *usual) == more_is_worse);
                    usual.map_or(value, |usual| value + (usual - value) * strength)
                });
            }
        }
        changes.made
    }

    /// Scenario, what to do, effort, and the risk of doing it: as an operator would judge it, not the model.
    pub fn words(&self, strength: f32) -> [String; 4] {
        let percent = |of: f32| format!("{:.0} %", 100.0 * of * strength);
        let four = |scenario: String, action: String, effort: &str, risk: &str| {
            [scenario, action, effort.to_owned(), risk.to_owned()]
        };
        match self {
            Self::ScaleOut => {
                let more = 3.0 * strength;
                four(
                    format!("Scale horizontally (+{more:.0} instances)"),
                    format!("auto-scale to {:.0}", 1.0 + more),
                    "HIGH",
                    "LOW",
                )
            }
            Self::Restart => four(
                "Restart service".to_owned(),
                "systemctl restart <service>".to_owned(),
                "LOW",
                "MEDIUM",
            ),
            Self::Throttle => four(
                format!("Throttle the workload by {}", percent(0.75)),
                "limit rates, postpone batch jobs".to_owned(),
                "MEDIUM",
                "LOW",
            ),
            Self::FreeMemory => four(
                format!("Reduce memory usage by {}", percent(0.6)),
                "shrink caches, heaps, pools".to_owned(),
                "MEDIUM",
                "LOW",
            ),
            Self::ReduceIo => four(
                format!("Optimize disk I/O (reduce waiting by {})", percent(0.9)),
                "add indexes, cache queries, move the noisy neighbour".to_owned(),
                "HIGH",
                "LOW",
            ),
            Self::FreeDisk => four(
                format!("Free disk space ({} of what is used)", percent(0.6)),
                "delete, compress or move old files".to_owned(),
                "MEDIUM",
                "LOW",
            ),
            Self::AsUsual(metric) => four(
                format!("{metric} {} of the way back to usual", percent(1.0)),
                format!("find what drives {metric}"),
                "MEDIUM",
                "LOW",
            ),
        }
    }
}

impl Observed {
    fn seen(&self, name: &str) -> Option<&Vec<f32>> {
        let series = self.own.get(name)?;
        series.iter().any(|value| !value.is_nan()).then_some(series)
    }

    fn newest<'a>(
        &self,
        of: &'a BTreeMap<String, Vec<f32>>,
        name: &str,
        steps: usize,
    ) -> Option<&'a [f32]> {
        let series = of.get(name)?;
        series.get(series.len().checked_sub(steps)?..)
    }
}

/// Changes under construction.
struct Changes<'a> {
    observed: &'a Observed,
    steps: usize,
    made: Vec<(String, Vec<f32>)>,
}

impl Changes<'_> {
    /// Changes each observed value of a metric; missing ones stay missing.
    fn each(&mut self, name: &str, change: impl Fn(usize, f32) -> f32) {
        let observed = self.observed;
        let Some(own) = observed.newest(&observed.own, name, self.steps) else {
            return;
        };
        let changed: Vec<f32> = own
            .iter()
            .enumerate()
            .map(|(step, value)| match value.is_nan() {
                true => *value,
                false => tidy(change(step, *value)),
            })
            .collect();
        if changed
            .iter()
            .zip(own)
            .any(|(new, old)| !new.is_nan() && new != old)
        {
            self.made.push((name.to_owned(), changed));
        }
    }

    fn scale(&mut self, names: &[&str], factor: f32) {
        for name in names {
            self.each(name, |_, value| value * factor);
        }
    }

    /// CPU that is not used any more is idle.
    fn give_to_idle(&mut self, from: &str, share: f32) {
        let observed = self.observed;
        let Some(given) = observed.newest(&observed.own, from, self.steps) else {
            return;
        };
        self.each(IDLE, |step, idle| {
            let given = given[step] * share;
            if given.is_nan() {
                idle
            } else {
                (idle + given).min(100.0)
            }
        });
    }
}

/// To three decimals: what is told is exactly what the model was given.
fn tidy(value: f32) -> f32 {
    ((f64::from(value) * 1000.0).round() / 1000.0) as f32
}
