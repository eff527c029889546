//! What a generated fleet promises.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use argus_generate::{FleetSpec, GeneratedServer, generate, write};
use argus_schema::Schema;

fn fleet(servers: u32, days: u32, seed: u64) -> Vec<GeneratedServer> {
    generate(&FleetSpec {
        servers,
        days,
        seed,
        ..FleetSpec::default()
    })
    .unwrap()
    .collect()
}

fn column<'a>(server: &'a GeneratedServer, name: &str) -> &'a [f32] {
    &server.series.values[Schema::server().metric_index(name).unwrap()]
}

#[test]
fn the_same_seed_gives_the_same_fleet() {
    let text = |fleet: &[GeneratedServer]| format!("{fleet:?}");
    assert_eq!(text(&fleet(9, 2, 7)), text(&fleet(9, 2, 7)));
    assert_ne!(text(&fleet(9, 2, 7)), text(&fleet(9, 2, 8)));
}

#[test]
fn values_are_within_the_schema_and_percentages_add_up() {
    let schema = Schema::server();
    for server in fleet(14, 10, 3) {
        for (metric, values) in schema.metrics.iter().zip(&server.series.values) {
            for value in values.iter().filter(|value| !value.is_nan()) {
                let value = f64::from(*value);
                assert!(
                    metric.min.is_none_or(|min| value >= min),
                    "{} is {value}",
                    metric.name
                );
                assert!(
                    metric.max.is_none_or(|max| value <= max),
                    "{} is {value}",
                    metric.name
                );
            }
        }
        for row in 0..server.series.times_ms.len() {
            let parts = [
                "cpu_user_pct",
                "cpu_sys_pct",
                "cpu_iowait_pct",
                "cpu_idle_pct",
            ];
            let sum: f32 = parts.iter().map(|name| column(&server, name)[row]).sum();
            assert!(
                (sum - 100.0).abs() < 1e-3,
                "{} adds up to {sum}",
                server.series.name
            );
        }
        assert!(
            column(&server, "back_close_wait")
                .iter()
                .all(|count| count.fract() == 0.0)
        );
    }
}

#[test]
fn every_kind_of_trouble_happens_and_shows() {
    let schema = Schema::server();
    let fleet = fleet(40, 30, 42);
    let kinds: BTreeSet<_> = fleet
        .iter()
        .flat_map(|s| &s.incidents)
        .map(|i| i.kind.as_str())
        .collect();
    let expected = [
        "connection_leak",
        "cpu_ramp",
        "disk_fill",
        "io_storm",
        "memory_leak",
        "outage",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    for server in &fleet {
        for incident in server
            .incidents
            .iter()
            .filter(|incident| incident.kind == "disk_fill")
        {
            let inside = |time: &i64| (incident.start_ms..incident.end_ms).contains(time);
            let disk = server
                .series
                .times_ms
                .iter()
                .zip(column(server, "disk_usage_pct"));
            let most = disk
                .filter(|(time, _)| inside(time))
                .map(|(_, value)| *value)
                .fold(0.0, f32::max);
            assert!(most >= 85.0 || most == 0.0, "{incident:?} reaches {most}");
        }
    }
    // Reboots are falls of the uptime; silent servers have no rows.
    let falls = |s: &GeneratedServer| {
        column(s, "uptime_days")
            .windows(2)
            .filter(|pair| pair[1] < pair[0])
            .count()
    };
    assert!(fleet.iter().map(falls).sum::<usize>() > 10);
    assert!(
        fleet
            .iter()
            .any(|server| server.series.times_ms.len() < 30 * 288 * 9 / 10)
    );
    let statuses: BTreeSet<_> = fleet
        .iter()
        .flat_map(|server| server.series.status.iter().copied())
        .collect();
    assert!(
        statuses.len() >= 7 && !statuses.contains(&0),
        "{statuses:?} of {:?}",
        schema.statuses
    );
}

#[test]
fn days_and_weeks_have_a_rhythm() {
    let fleet = fleet(60, 14, 5);
    let mean = |from_hour: i64, to_hour: i64, weekend: bool| {
        let web = fleet
            .iter()
            .filter(|server| server.series.profile.as_deref() == Some("web_api"));
        let values = web.flat_map(|server| {
            server
                .series
                .times_ms
                .iter()
                .zip(column(server, "net_out_mb_s"))
        });
        let chosen = values.filter(|(time, _)| {
            let hour = (*time / 3_600_000) % 24;
            // The fleet starts on a Monday.
            let day = ((*time - FleetSpec::default().start_ms) / 86_400_000) % 7;
            (from_hour..to_hour).contains(&hour) && (day >= 5) == weekend
        });
        let (sum, count) = chosen.fold((0.0, 0.0), |(sum, count), (_, value)| {
            (sum + value, count + 1.0)
        });
        sum / count
    };
    assert!(mean(11, 15, false) > 1.7 * mean(1, 5, false));
    assert!(mean(11, 15, false) > 1.2 * mean(11, 15, true));
}

#[test]
fn a_fleet_is_written_with_its_incidents() {
    let dir = tempfile::tempdir().unwrap();
    let (trace, incidents) = (
        dir.path().join("fleet.parquet"),
        dir.path().join("incidents.csv"),
    );
    let spec = FleetSpec {
        servers: 8,
        days: 6,
        ..FleetSpec::default()
    };
    let written = write(&spec, &trace, Some(&incidents)).unwrap();
    let series = argus_trace::read_series(&trace, &Schema::server()).unwrap();
    assert_eq!(series.len(), written.servers);
    assert_eq!(
        series
            .iter()
            .map(|series| series.times_ms.len())
            .sum::<usize>(),
        written.rows
    );
    assert_eq!(
        std::fs::read_to_string(&incidents).unwrap().lines().count(),
        written.incidents + 1
    );
}

#[test]
fn impossible_fleets_are_refused() {
    let check = |spec: FleetSpec, expected: &str| {
        let error = generate(&spec)
            .err()
            .expect("the specification is impossible")
            .to_string();
        assert_eq!(error, expected);
    };
    let usual = FleetSpec::default;
    check(
        FleetSpec {
            servers: 0,
            ..usual()
        },
        "`servers` is 0; 1 to 100000 are possible",
    );
    check(
        FleetSpec {
            step_secs: 0,
            ..usual()
        },
        "`step_secs` is 0; 1 to 3600 are possible",
    );
    check(
        FleetSpec {
            problem_share: f64::NAN,
            ..usual()
        },
        "`problem_share` is NaN; 0 to 1 is possible",
    );
}

#[test]
fn a_cascade_drags_down_what_depends_on_its_source() {
    let spec = FleetSpec {
        servers: 28,
        days: 10,
        cascades_per_day: 0.5,
        ..FleetSpec::default()
    };
    let with: Vec<_> = generate(&spec).unwrap().collect();
    let without = fleet(28, 10, spec.seed);
    let of_kind = |kind: &str| {
        let all = with.iter().flat_map(|server| &server.incidents);
        all.filter(|incident| incident.kind == kind)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (sources, impacts) = (of_kind("cascade_source"), of_kind("cascade_impact"));
    assert!(sources.len() > 10 && impacts.len() > sources.len());
    // Whoever feels it feels it while a source fails.
    assert!(impacts.iter().all(|impact| {
        sources
            .iter()
            .any(|source| source.start_ms == impact.start_ms && source.server != impact.server)
    }));
    // At full strength a source is overwhelmed; the same server without cascades goes its usual way.
    let at = |fleet: &[GeneratedServer], name: &str, time_ms: i64, metric: &str| {
        let server = fleet
            .iter()
            .find(|server| server.series.name == name)
            .unwrap();
        let row = server.series.times_ms.binary_search(&time_ms).ok()?;
        Some(column(server, metric)[row])
    };
    let mut compared = 0;
    for source in &sources {
        let time_ms = source.end_ms - 300_000;
        let (Some(failing), Some(usual)) = (
            at(&with, &source.server, time_ms, "mem_used_pct"),
            at(&without, &source.server, time_ms, "mem_used_pct"),
        ) else {
            continue;
        };
        assert!(failing >= 91.0, "{source:?}: {failing}");
        compared += usize::from(failing > usual + 5.0);
    }
    assert!(compared > sources.len() / 2);
    // Who depends on nothing is left alone.
    let alone = |fleet: &[GeneratedServer]| {
        let server = fleet
            .iter()
            .find(|server| server.series.name.starts_with("ppgen"));
        format!("{:?}", server.unwrap().series)
    };
    assert_eq!(alone(&with), alone(&without));
}
