//! What the series become.

use argus_schema::{Record, Schema};

use crate::{SCRAPE_1, SCRAPE_2, T0, records, value};

/// Metrics that are present must be as told, all others missing.
#[track_caller]
fn check(record: &Record, expected: &[(&str, f64)]) {
    for metric in &Schema::server().metrics {
        let found = f64::from(value(record, &metric.name));
        match expected.iter().find(|(name, _)| *name == metric.name) {
            Some((name, expected)) => {
                let tolerance = 1e-6 * expected.abs().max(1e-3);
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{name} is {found}, not {expected}"
                );
            }
            None => assert!(found.is_nan(), "{} is {found}, not missing", metric.name),
        }
    }
}

#[test]
fn a_real_exporter() {
    let records = records(&[(SCRAPE_1, T0), (SCRAPE_2, T0 + 15_000)]);
    let [first, second] = records.as_slice() else {
        panic!("two records, not {records:?}")
    };
    assert_eq!(first.entity.as_str(), "web-01:9100");
    assert_eq!((first.time_ms, second.time_ms), (T0, T0 + 15_000));
    assert_eq!(
        (second.status, second.profile, second.cores),
        (0, None, Some(2.0))
    );
    // No rates in the first scrape of an instance.
    assert!(value(first, "cpu_user_pct").is_nan() && value(first, "net_in_mb_s").is_nan());
    assert!(!value(first, "mem_used_pct").is_nan());
    // Computed from the two files by hand.
    check(
        second,
        &[
            ("cpu_user_pct", 88.737_087_637),
            ("cpu_sys_pct", 10.963_012_329),
            ("cpu_iowait_pct", 0.199_933_355),
            ("cpu_idle_pct", 0.099_966_678),
            ("mem_used_pct", 7.439_206_575),
            ("swap_used_pct", 0.0),
            ("disk_usage_pct", 31.032_921_198),
            ("net_in_mb_s", 0.000_017_4),
            ("net_out_mb_s", 0.000_026_8),
            ("back_close_wait", 0.0),
            ("load_average", 3.11),
            (
                "uptime_days",
                (1_795_284_705.0 - 1_795_281_908.0) / 86_400.0,
            ),
        ],
    );
}

#[test]
fn a_reboot_starts_the_counters_anew() {
    let before = r#"
        node_cpu_seconds_total{cpu="0",mode="user"} 5000
        node_cpu_seconds_total{cpu="0",mode="idle"} 9000
        node_network_receive_bytes_total{device="eth0"} 9000000000
        node_network_transmit_bytes_total{device="eth0"} 1000000
        node_boot_time_seconds 1795000000
    "#;
    let after = r#"
        node_cpu_seconds_total{cpu="0",mode="user"} 3
        node_cpu_seconds_total{cpu="0",mode="idle"} 9
        node_network_receive_bytes_total{device="eth0"} 30000000
        node_network_transmit_bytes_total{device="eth0"} 2000000
        node_boot_time_seconds 1795284690
    "#;
    let records = records(&[(before, T0), (after, T0 + 15_000)]);
    check(
        &records[1],
        &[
            ("cpu_user_pct", 25.0),
            ("cpu_sys_pct", 0.0),
            ("cpu_iowait_pct", 0.0),
            ("cpu_idle_pct", 75.0),
            ("net_in_mb_s", 2.0),
            ("net_out_mb_s", 1.0 / 15.0),
            ("uptime_days", 15.0 / 86_400.0),
        ],
    );
}

#[test]
fn iowait_that_falls_is_no_reboot() {
    let cpu = |user: f64, iowait: f64, idle: f64| {
        format!(
            "node_cpu_seconds_total{{cpu=\"0\",mode=\"user\"}} {user}\n\
             node_cpu_seconds_total{{cpu=\"0\",mode=\"iowait\"}} {iowait}\n\
             node_cpu_seconds_total{{cpu=\"0\",mode=\"idle\"}} {idle}\n"
        )
    };
    let records = records(&[
        (&cpu(100.0, 50_000.0, 9.0), T0),
        (&cpu(105.0, 49_999.5, 19.0), T0 + 15_000),
    ]);
    // The first scrape holds nothing but counters: no metric, no record.
    assert_eq!(records.len(), 1);
    assert!((value(&records[0], "cpu_iowait_pct")).abs() < 1e-6);
    assert!((value(&records[0], "cpu_user_pct") - 100.0 / 3.0).abs() < 1e-4);
}

#[test]
fn guests_are_counted_once_and_processors_together() {
    let cpus = |seconds: f64| {
        ["0", "1"].map(|cpu| {
            let mode = |mode: &str, value: f64| {
                format!("node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}} {value}\n")
            };
            let busy = if cpu == "0" { seconds } else { 0.0 };
            let guest =
                format!("node_cpu_guest_seconds_total{{cpu=\"{cpu}\",mode=\"user\"}} {busy}\n");
            let modes = [
                mode("user", busy * 0.5),
                mode("nice", busy * 0.1),
                mode("system", busy * 0.1),
                mode("irq", busy * 0.05),
                mode("softirq", busy * 0.1),
                mode("steal", busy * 0.05),
                mode("iowait", busy * 0.1),
                mode("idle", seconds - busy),
                mode("guest", busy),
            ];
            guest + &modes.concat()
        })
    };
    let records = records(&[
        (&cpus(100.0).concat(), T0),
        (&cpus(110.0).concat(), T0 + 15_000),
    ]);
    let expected = [
        ("cpu_user_pct", 30.0),
        ("cpu_sys_pct", 15.0),
        ("cpu_iowait_pct", 5.0),
        ("cpu_idle_pct", 50.0),
    ];
    check(&records[0], &expected);
    assert_eq!(records[0].cores, Some(2.0));
}

#[test]
fn rates_need_a_recent_scrape_before() {
    let net = |bytes: u64| {
        format!(
            "node_network_receive_bytes_total{{device=\"eth0\"}} {bytes}\n\
             node_network_transmit_bytes_total{{device=\"eth0\"}} {bytes}\nnode_load1 1\n"
        )
    };
    let records = records(&[
        (&net(0), T0),
        (&net(1_000_000), T0 + 900_000),
        (&net(9_000_000), T0 + 1_800_001),
        // A part of the exporter was away: the counters before that still serve.
        ("node_load1 1", T0 + 1_800_501),
        (&net(10_000_000), T0 + 1_801_001),
    ]);
    let rates: Vec<f32> = records
        .iter()
        .map(|record| value(record, "net_in_mb_s"))
        .collect();
    assert!(
        rates[0].is_nan() && rates[2].is_nan() && rates[3].is_nan(),
        "{rates:?}"
    );
    assert!(
        (rates[1] - 1.0 / 900.0).abs() < 1e-9 && (rates[4] - 1.0).abs() < 1e-6,
        "{rates:?}"
    );
}

#[test]
fn memory_swap_and_disks_at_the_edge() {
    #[track_caller]
    fn check_gauges(text: &str, expected: &[(&str, f64)]) {
        let records = records(&[(text, T0)]);
        check(&records[0], expected);
    }
    check_gauges(
        "node_memory_MemTotal_bytes 1000\nnode_memory_MemFree_bytes 100\nnode_memory_Buffers_bytes 50\n\
         node_memory_Cached_bytes 350\nnode_memory_SwapTotal_bytes 400\nnode_memory_SwapFree_bytes 300",
        &[("mem_used_pct", 50.0), ("swap_used_pct", 25.0)],
    );
    check_gauges(
        "node_memory_MemTotal_bytes 1000\nnode_load1 0",
        &[("load_average", 0.0)],
    );
    check_gauges(
        "node_memory_MemAvailable_bytes 1000\nnode_load1 0",
        &[("load_average", 0.0)],
    );
    let filesystem = |labels: &str, size: u32, free: u32, avail: u32| {
        format!(
            "node_filesystem_size_bytes{{{labels}}} {size}\nnode_filesystem_free_bytes{{{labels}}} {free}\n\
             node_filesystem_avail_bytes{{{labels}}} {avail}\n"
        )
    };
    let root = filesystem(
        r#"device="/dev/vda",fstype="ext4",mountpoint="/""#,
        100,
        50,
        40,
    );
    let data = filesystem(
        r#"device="/dev/vdb",fstype="xfs",mountpoint="/data""#,
        100,
        20,
        20,
    );
    let run = filesystem(
        r#"device="tmpfs",fstype="tmpfs",mountpoint="/run""#,
        100,
        0,
        0,
    );
    let overlay = filesystem(
        r#"device="overlay",fstype="overlay",mountpoint="/""#,
        100,
        90,
        90,
    );
    check_gauges(
        &[root.clone(), data.clone(), run.clone()].concat(),
        &[("disk_usage_pct", 80.0)],
    );
    check_gauges(
        &[overlay.clone(), root.clone()].concat(),
        &[("disk_usage_pct", 100.0 * 50.0 / 90.0)],
    );
    check_gauges(&[overlay, run].concat(), &[("disk_usage_pct", 10.0)]);
    // Without the free bytes, those available stand in.
    let no_free: String = root
        .lines()
        .filter(|line| !line.contains("_free_"))
        .map(|line| format!("{line}\n"))
        .collect();
    check_gauges(&no_free, &[("disk_usage_pct", 60.0)]);
    check_gauges(
        "node_tcp_connection_states{state=\"close_wait\"} 7\nnode_tcp_connection_states{state=\"listen\"} 2",
        &[("back_close_wait", 7.0)],
    );
}
