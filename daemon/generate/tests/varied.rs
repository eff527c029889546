//! What a fleet of servers of no kind promises.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use argus_generate::{FleetKind, FleetSpec, GeneratedServer, generate};
use argus_schema::Schema;

const DAY: usize = 288;

fn fleet(servers: u32, days: u32, seed: u64, step_secs: u32) -> Vec<GeneratedServer> {
    let spec = FleetSpec {
        kind: FleetKind::Varied,
        servers,
        days,
        seed,
        step_secs,
        ..FleetSpec::default()
    };
    generate(&spec).unwrap().collect()
}

/// All series that a fleet has, each by its server and metric.
fn observed(fleet: &[GeneratedServer]) -> Vec<&[f32]> {
    let all = fleet.iter().flat_map(|server| &server.series.values);
    all.map(Vec::as_slice)
        .filter(|values| values.iter().any(|value| !value.is_nan()))
        .collect()
}

/// Correlation of two series; 0 where one is constant.
fn correlation(one: &[f32], other: &[f32]) -> f64 {
    let mean =
        |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    let (of_one, of_other) = (mean(one), mean(other));
    let pairs = || {
        one.iter()
            .zip(other)
            .map(|(a, b)| (f64::from(*a) - of_one, f64::from(*b) - of_other))
    };
    let product = pairs().map(|(a, b)| a * b).sum::<f64>();
    let sizes = pairs().map(|(a, _)| a * a).sum::<f64>() * pairs().map(|(_, b)| b * b).sum::<f64>();
    if sizes > 0.0 {
        product / sizes.sqrt()
    } else {
        0.0
    }
}

#[test]
fn the_same_seed_gives_the_same_fleet() {
    let text = |fleet: &[GeneratedServer]| format!("{fleet:?}");
    assert_eq!(text(&fleet(5, 2, 7, 300)), text(&fleet(5, 2, 7, 300)));
    assert_ne!(text(&fleet(5, 2, 7, 300)), text(&fleet(5, 2, 8, 300)));
}

#[test]
fn values_are_within_the_schema_at_any_step() {
    let schema = Schema::server();
    for step_secs in [7, 300, 3_600] {
        for server in fleet(8, 2, 3, step_secs) {
            assert!(server.incidents.is_empty() && server.series.profile.is_none());
            let bins = 2 * 86_400 / step_secs as usize;
            assert_eq!(server.series.times_ms.len(), bins);
            for (metric, values) in schema.metrics.iter().zip(&server.series.values) {
                assert_eq!(values.len(), bins);
                let missing = values.iter().filter(|value| value.is_nan()).count();
                assert!(
                    missing == 0 || missing == bins,
                    "{} is there or not",
                    metric.name
                );
                for value in values.iter().filter(|value| !value.is_nan()) {
                    let value = f64::from(*value);
                    assert!(
                        value.is_finite()
                            && metric.min.is_none_or(|min| value >= min)
                            && metric.max.is_none_or(|max| value <= max),
                        "{} is {value}",
                        metric.name
                    );
                }
            }
        }
    }
}

#[test]
fn some_series_come_back_daily_and_others_do_not() {
    let fleet = fleet(60, 12, 1, 300);
    let series = observed(&fleet);
    assert!(series.len() > 400, "{}", series.len());
    let daily = series
        .iter()
        .map(|values| correlation(&values[DAY..], &values[..values.len() - DAY]));
    let daily: Vec<f64> = daily.collect();
    let share = |is: &dyn Fn(f64) -> bool| {
        daily.iter().filter(|c| is(**c)).count() as f64 / daily.len() as f64
    };
    let (strong, none) = (share(&|c| c > 0.6), share(&|c| c < 0.15));
    assert!((0.2..0.7).contains(&strong), "{strong} come back daily");
    assert!((0.1..0.6).contains(&none), "{none} do not");
}

#[test]
fn metrics_of_a_server_have_more_in_common_than_those_of_two() {
    let fleet = fleet(40, 6, 5, 300);
    let related = |one: &GeneratedServer, other: &GeneratedServer| {
        let (one, other) = (std::slice::from_ref(one), std::slice::from_ref(other));
        let (one, other) = (observed(one), observed(other));
        // The first metric of one against the last of the other: never the same series.
        correlation(one[0], other[other.len() - 1]).abs()
    };
    let within: f64 = fleet.iter().map(|server| related(server, server)).sum();
    let between: f64 = fleet
        .windows(2)
        .map(|pair| related(&pair[0], &pair[1]))
        .sum();
    assert!(within > 1.3 * between, "{within} within, {between} between");
}
