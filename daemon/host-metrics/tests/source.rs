//! The self source on directories of made-up `/proc` files, and on the host that runs the tests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use argus_host_metrics::{DiskSpace, HostError, SelfSource, StatvfsDiskSpace};
use argus_schema::server_metrics::Space;
use argus_schema::{EntityName, Record, Schema};
use tempfile::TempDir;

const T0: i64 = 1_795_262_400_000;

/// Every file system is 40 % full for ordinary users.
struct FortyPercent;

impl DiskSpace for FortyPercent {
    fn space(&self, _mount_point: &Path) -> Option<Space> {
        Some(Space {
            size: 100.0,
            free: 64.0,
            available: 54.0,
        })
    }
}

struct Host(TempDir);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let host = Self(TempDir::new().unwrap());
        files.iter().for_each(|(path, text)| host.write(path, text));
        host
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn source(&self) -> SelfSource {
        SelfSource::new(Schema::server(), self.0.path())
            .unwrap()
            .with_disk_space(FortyPercent)
    }
}

fn java(ticks: u64) -> String {
    format!("42 (java) S 1 42 42 0 -1 4194304 0 0 0 0 {ticks} 0 0 0 20 0 9 0 777 1 1")
}

/// Metrics that are present must be as told, all others missing.
#[track_caller]
fn check(record: &Record, expected: &[(&str, f64)]) {
    let schema = Schema::server();
    for (metric, found) in schema.metrics.iter().zip(&record.values) {
        let found = f64::from(*found);
        match expected.iter().find(|(name, _)| *name == metric.name) {
            Some((name, expected)) => {
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs().max(1e-3),
                    "{name} is {found}, not {expected}"
                );
            }
            None => assert!(found.is_nan(), "{} is {found}, not missing", metric.name),
        }
    }
}

#[test]
fn a_whole_host() {
    let host = Host::new(&[
        ("proc/sys/kernel/hostname", "web-01\n"),
        (
            "proc/stat",
            "cpu  1000 0 500 8000 500 0 0 0 300 0\ncpu0 1 0 0 0\ncpu1 1 0 0 0\n",
        ),
        ("proc/uptime", "86400.00 100.00\n"),
        ("proc/loadavg", "1.75 0.5 0.25 2/345 6789\n"),
        (
            "proc/meminfo",
            "MemTotal: 1000 kB\nMemAvailable: 250 kB\nSwapTotal: 100 kB\nSwapFree: 90 kB\n",
        ),
        ("proc/mounts", "/dev/vda / ext4 rw 0 0\n"),
        (
            "proc/net/dev",
            "h\nh\n lo: 5 0 0 0 0 0 0 0 5 0\n eth0: 0 0 0 0 0 0 0 0 0 0\n",
        ),
        (
            "proc/net/tcp",
            "h\n 0: 0100007F:1F40 0:0 0A\n 1: 0100007F:1F40 0:1 08\n 2: 0100007F:0007 0:1 08\n 3: 0:8 0:1 08\n",
        ),
        ("proc/42/stat", &java(5_000)),
        ("proc/43/stat", "43 (bash) S 1"),
    ]);
    let mut source = host.source();
    assert_eq!(source.name().as_str(), "web-01");
    assert_eq!(source.sample(T0).unwrap(), None);

    host.write(
        "proc/stat",
        "cpu  1060 40 530 9240 520 5 5 0 400 0\ncpu0 1 0 0 0\ncpu1 1 0 0 0\n",
    );
    host.write(
        "proc/net/dev",
        "h\nh\n lo: 9000000 0 0 0 0 0 0 0 5 0\n eth0: 20000000 0 0 0 0 0 0 0 5000000 0\n",
    );
    host.write("proc/uptime", "86410.00 100.00\n");
    host.write("proc/42/stat", &java(5_070));
    // The wall clock was set meanwhile; rates do not go by it.
    let record = source.sample(T0 + 3_600_000).unwrap().unwrap();
    assert_eq!(
        (record.entity.as_str(), record.time_ms),
        ("web-01", T0 + 3_600_000)
    );
    assert_eq!(
        (record.status, record.profile, record.cores),
        (0, None, Some(2.0))
    );
    check(
        &record,
        &[
            ("cpu_user_pct", 100.0 / 14.0),
            ("cpu_sys_pct", 40.0 / 14.0),
            ("cpu_iowait_pct", 20.0 / 14.0),
            ("cpu_idle_pct", 1240.0 / 14.0),
            ("java_cpu_pct", 70.0 / 14.0),
            ("mem_used_pct", 75.0),
            ("swap_used_pct", 10.0),
            ("disk_usage_pct", 40.0),
            ("net_in_mb_s", 2.0),
            ("net_out_mb_s", 0.5),
            ("back_close_wait", 2.0),
            ("front_close_wait", 1.0),
            ("load_average", 1.75),
            ("uptime_days", 86_410.0 / 86_400.0),
        ],
    );
}

#[test]
fn a_container_with_a_partial_proc() {
    let host = Host::new(&[
        ("proc/stat", "cpu  10 0 0 90 0 0 0 0 0 0\ncpu0 1 0 0 0\n"),
        ("etc/hostname", "box\n"),
    ]);
    let mut source = host.source();
    assert_eq!(source.name().as_str(), "box");
    source.sample(T0).unwrap();
    // No processor time passed: nothing is known, so there is no record.
    assert_eq!(source.sample(T0 + 1_000).unwrap(), None);
    host.write("proc/stat", "cpu  20 0 0 120 0 0 0 0 0 0\ncpu0 1 0 0 0\n");
    let record = source.sample(T0 + 2_000).unwrap().unwrap();
    let expected = [
        ("cpu_user_pct", 25.0),
        ("cpu_sys_pct", 0.0),
        ("cpu_iowait_pct", 0.0),
        ("cpu_idle_pct", 75.0),
    ];
    check(&record, &expected);
}

#[test]
fn a_java_machine_that_comes_and_goes() {
    let stat = |ticks: u32| format!("cpu  {ticks} 0 0 {ticks} 0 0 0 0 0 0\ncpu0 1 0 0 0\n");
    let host = Host::new(&[("proc/stat", &stat(0))]);
    let mut source = host.source();
    let schema = Schema::server();
    let column = schema.metric_index("java_cpu_pct").unwrap();
    source.sample(T0).unwrap();
    let mut java_at = |second: u32, ticks: Option<u64>| {
        match ticks {
            Some(ticks) => host.write("proc/42/stat", &java(ticks)),
            None => drop(fs::remove_dir_all(host.0.path().join("proc/42"))),
        }
        host.write("proc/stat", &stat(second * 100));
        source
            .sample(T0 + i64::from(second) * 1_000)
            .unwrap()
            .unwrap()
            .values[column]
    };
    assert!(java_at(1, None).is_nan());
    assert!((java_at(2, Some(20)) - 10.0).abs() < 1e-5);
    assert!(java_at(3, Some(20)).abs() < 1e-5);
    assert!((java_at(4, Some(1_000_000)) - 100.0).abs() < 1e-5);
    assert!(java_at(5, None).is_nan());
}

#[test]
fn what_keeps_it_from_working() {
    let empty = Host::new(&[]);
    let error = SelfSource::new(Schema::server(), empty.0.path())
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, HostError::NoProc { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("the self source needs Linux's /proc"),
        "{error}"
    );

    let host = Host::new(&[
        ("proc/stat", "cpu  1 1 1 1\n"),
        ("proc/sys/kernel/hostname", "a\u{1}b"),
    ]);
    let error = SelfSource::new(Schema::server(), host.0.path())
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(error, HostError::BadHostName { .. }), "{error}");

    host.write("proc/sys/kernel/hostname", "");
    let mut source = host.source();
    assert_eq!(source.name().as_str(), "localhost");
    fs::remove_file(host.0.path().join("proc/stat")).unwrap();
    assert!(source.sample(T0).is_err());
}

#[test]
fn the_name_can_be_given() {
    let host = Host::new(&[("proc/stat", "cpu  1 1 1 1\n")]);
    let source = host.source().with_name(EntityName::new("edge-7").unwrap());
    assert_eq!(source.name().as_str(), "edge-7");
}

#[test]
fn this_host() {
    let Ok(mut source) = SelfSource::new(Schema::server(), "/") else {
        return;
    };
    assert_eq!(source.sample(T0).unwrap(), None);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let Some(record) = source.sample(T0 + 300).unwrap() else {
        return;
    };
    let schema = Schema::server();
    let value = |name: &str| record.values[schema.metric_index(name).unwrap()];
    let cpu = value("cpu_user_pct")
        + value("cpu_sys_pct")
        + value("cpu_iowait_pct")
        + value("cpu_idle_pct");
    assert!(
        cpu.is_nan() || (cpu - 100.0).abs() < 1e-3,
        "shares add up to {cpu}"
    );
    let root = StatvfsDiskSpace
        .space(Path::new("/"))
        .and_then(Space::used_percent);
    assert!(root.is_some_and(|used| (0.0..=100.0).contains(&used)));
}
