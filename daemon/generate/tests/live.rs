//! A live fleet plays what it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use argus_generate::{FleetSpec, LiveFleet, Scenario};
use argus_schema::{Record, Schema};

const STEP_MS: i64 = 30_000;

struct Play {
    fleet: LiveFleet,
    time_ms: i64,
}

impl Play {
    fn new(seed: u64) -> Self {
        let spec = FleetSpec {
            servers: 20,
            seed,
            step_secs: 30,
            ..FleetSpec::default()
        };
        Self {
            fleet: LiveFleet::new(&spec, Schema::server()).unwrap(),
            time_ms: spec.start_ms,
        }
    }

    /// Mean of a metric per server over so many steps.
    fn means(&mut self, steps: usize, metric: &str) -> BTreeMap<String, f64> {
        let column = Schema::server().metric_index(metric).unwrap();
        let mut sums = BTreeMap::<String, (f64, f64)>::new();
        for _ in 0..steps {
            for record in self.step() {
                let (sum, count) = sums.entry(record.entity.to_string()).or_default();
                *sum += f64::from(record.values[column]);
                *count += 1.0;
            }
        }
        sums.into_iter()
            .map(|(name, (sum, count))| (name, sum / count))
            .collect()
    }

    fn step(&mut self) -> Vec<Record> {
        self.time_ms += STEP_MS;
        self.fleet.step(self.time_ms)
    }

    fn affected(&self) -> Vec<String> {
        let status = self.fleet.status();
        status.affected.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn records_are_valid_and_repeatable() {
    let schema: Arc<Schema> = Schema::server();
    let (mut one, mut other) = (Play::new(3), Play::new(3));
    for scenario in Scenario::ALL {
        one.fleet.set(scenario, None);
        other.fleet.set(scenario, None);
        for _ in 0..130 {
            let records = one.step();
            assert_eq!(format!("{records:?}"), format!("{:?}", other.step()));
            for record in records {
                for (metric, value) in schema.metrics.iter().zip(&record.values) {
                    let value = f64::from(*value);
                    let fits = value.is_nan()
                        || metric.min.is_none_or(|min| value >= min)
                            && metric.max.is_none_or(|max| value <= max);
                    assert!(
                        fits,
                        "{scenario:?}: {} of {} is {value}",
                        metric.name, record.entity
                    );
                }
                let parts = [
                    "cpu_user_pct",
                    "cpu_sys_pct",
                    "cpu_iowait_pct",
                    "cpu_idle_pct",
                ];
                let part = |name: &&str| record.values[schema.metric_index(name).unwrap()];
                assert!((parts.iter().map(part).sum::<f32>() - 100.0).abs() < 1e-3);
            }
        }
    }
}

#[test]
fn degrading_becomes_critical_on_the_same_servers_and_healthy_ends_it() {
    let mut play = Play::new(1);
    let before = play.means(20, "mem_used_pct");
    assert_eq!(play.fleet.set(Scenario::Degrading, None), Scenario::Healthy);
    let degrading = play.affected();
    assert_eq!(degrading.len(), 4);
    play.means(60, "mem_used_pct");
    let during = play.means(20, "mem_used_pct");
    assert!(degrading.iter().all(|name| during[name] >= 79.0));

    assert_eq!(
        play.fleet.set(Scenario::Critical, None),
        Scenario::Degrading
    );
    assert_eq!(play.affected(), degrading);
    play.means(15, "mem_used_pct");
    let critical = play.means(10, "mem_used_pct");
    assert!(degrading.iter().all(|name| critical[name] >= 94.0));

    play.fleet.set(Scenario::Healthy, None);
    assert!(play.affected().is_empty());
    play.means(15, "mem_used_pct");
    let after = play.means(20, "mem_used_pct");
    for (name, usual) in before {
        assert!(
            (after[&name] - usual).abs() < 12.0,
            "{name}: {usual} became {}",
            after[&name]
        );
    }
}

#[test]
fn a_cascade_begins_with_databases_and_reaches_the_web() {
    let mut play = Play::new(2);
    let before = play.means(20, "back_close_wait");
    play.fleet.set(Scenario::Cascade, None);
    let affected = play.affected();
    assert!(
        affected
            .iter()
            .filter(|name| name.starts_with("ppdb"))
            .count()
            >= 2
    );
    play.means(24, "back_close_wait");
    let during = play.means(20, "back_close_wait");
    for name in affected.iter().filter(|name| name.starts_with("ppweb")) {
        assert!(during[name] > 1.5 * before[name], "{name}");
    }
    assert!(!affected.iter().any(|name| name.starts_with("ppgen")));
}

#[test]
fn modes_move_the_activity_as_they_say() {
    let mut play = Play::new(4);
    play.fleet.set(Scenario::SuddenSpike, None);
    let affected = play.affected();
    assert_eq!(affected.len(), 2);
    let before = play.means(90, "net_in_mb_s");
    play.means(15, "net_in_mb_s");
    let during = play.means(60, "net_in_mb_s");
    assert!(
        affected
            .iter()
            .all(|name| during[name] > 1.7 * before[name])
    );
}

#[test]
fn a_scenario_may_end_by_itself_and_unknown_ones_are_named() {
    let mut play = Play::new(5);
    play.fleet.set(Scenario::Critical, Some(3));
    assert_eq!(play.fleet.status().steps_left, Some(3));
    for _ in 0..4 {
        play.step();
    }
    assert_eq!(play.fleet.status().scenario, Scenario::Healthy);
    let error = "boom".parse::<Scenario>().unwrap_err().to_string();
    assert!(
        error.contains("`boom`") && error.contains("`cyclic`"),
        "{error}"
    );
}

#[test]
fn a_scenario_that_is_set_in_the_past_begins_in_the_present() {
    let (mut calm, mut told) = (Play::new(3), Play::new(3));
    // Its activity rises from the 60th step on.
    told.fleet.set(Scenario::GradualSpike, Some(200));
    let affected = told.affected();
    for step in 1..=100 {
        let time_ms = step * STEP_MS;
        let [calm, told] = [&mut calm, &mut told].map(|play| play.fleet.step_past(time_ms));
        // As text, which NaN equals itself in.
        assert_eq!(format!("{calm:?}"), format!("{told:?}"));
    }
    assert_eq!(told.affected(), affected);
    assert_eq!(told.fleet.status().steps_left, Some(200));
    let mut rises = |steps| {
        let (calm, told) = (
            calm.means(steps, "net_in_mb_s"),
            told.means(steps, "net_in_mb_s"),
        );
        let rise = |server: &String| told[server] / calm[server];
        affected.iter().map(rise).fold(f64::INFINITY, f64::min)
    };
    assert!((rises(60) - 1.0).abs() < 1e-6, "it has not begun");
    assert!(rises(130) > 1.3, "it has begun");
}
