//! The seven profiles: what is normal for each, and how many servers a fleet has of each.

/// Columns of the built-in server schema, in its order.
pub(crate) mod metric {
    pub(crate) const USER: usize = 0;
    pub(crate) const SYS: usize = 1;
    pub(crate) const IOWAIT: usize = 2;
    pub(crate) const IDLE: usize = 3;
    pub(crate) const JAVA: usize = 4;
    pub(crate) const MEM: usize = 5;
    pub(crate) const SWAP: usize = 6;
    pub(crate) const DISK: usize = 7;
    pub(crate) const NET_IN: usize = 8;
    pub(crate) const NET_OUT: usize = 9;
    pub(crate) const BACK: usize = 10;
    pub(crate) const FRONT: usize = 11;
    pub(crate) const LOAD: usize = 12;
    pub(crate) const UPTIME: usize = 13;
    pub(crate) const COUNT: usize = 14;
}

/// What is normal for a class of servers.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Id in the schema.
    pub(crate) id: &'static str,
    /// Server names are this and a number of `digits` digits.
    pub(crate) prefix: &'static str,
    pub(crate) digits: usize,
    /// Share of a large fleet.
    share: f64,
    /// Mean and standard deviation between servers of user, system, I/O wait, Java, memory, swap, disk (percent),
    /// network in and out (MB/s), back and front close-wait (count), load: in metric order without idle and uptime.
    pub(crate) usual: [(f64, f64); 12],
    /// Cores to choose from.
    pub(crate) cores: &'static [f32],
    /// What weekends do to the activity.
    pub(crate) weekend: f64,
    /// Factors on the activity in the hours 0–6, 7–8, 9–15, 16–18 and 19–23.
    pub(crate) day: [f64; 5],
}

/// Metric columns that [`Profile::usual`] lists.
pub(crate) const USUAL_METRICS: [usize; 12] = {
    use metric::*;
    [
        USER, SYS, IOWAIT, JAVA, MEM, SWAP, DISK, NET_IN, NET_OUT, BACK, FRONT, LOAD,
    ]
};

#[rustfmt::skip]
static PROFILES: [Profile; 7] = [
    Profile {
        id: "web_api", prefix: "ppweb", digits: 3, share: 0.28, cores: &[4.0, 8.0], weekend: 0.7,
        usual: [(18.0, 6.0), (5.0, 2.0), (3.0, 2.0), (25.0, 8.0), (45.0, 10.0), (2.0, 1.0), (35.0, 8.0),
                (85.0, 25.0), (120.0, 35.0), (15.0, 5.0), (12.0, 4.0), (2.8, 1.0)],
        day: [0.48, 1.0, 1.27, 1.2, 0.85],
    },
    Profile {
        id: "ml_compute", prefix: "ppml", digits: 4, share: 0.22, cores: &[16.0, 32.0], weekend: 1.05,
        usual: [(45.0, 12.0), (8.0, 3.0), (2.0, 1.0), (50.0, 15.0), (72.0, 10.0), (5.0, 3.0), (55.0, 8.0),
                (8.5, 3.0), (5.2, 2.0), (2.0, 1.0), (2.0, 1.0), (6.5, 2.0)],
        day: [0.92, 1.0, 1.0, 1.05, 1.15],
    },
    Profile {
        id: "database", prefix: "ppdb", digits: 3, share: 0.17, cores: &[8.0, 16.0], weekend: 0.75,
        usual: [(25.0, 8.0), (12.0, 4.0), (15.0, 5.0), (10.0, 5.0), (68.0, 10.0), (3.0, 2.0), (70.0, 10.0),
                (35.0, 12.0), (28.0, 10.0), (8.0, 3.0), (6.0, 2.0), (4.2, 1.5)],
        day: [0.8, 1.0, 1.21, 1.44, 1.0],
    },
    Profile {
        id: "data_ingest", prefix: "ppetl", digits: 3, share: 0.11, cores: &[8.0, 16.0], weekend: 0.9,
        usual: [(35.0, 10.0), (10.0, 3.0), (8.0, 3.0), (45.0, 12.0), (62.0, 12.0), (4.0, 2.0), (65.0, 12.0),
                (150.0, 45.0), (95.0, 30.0), (10.0, 4.0), (8.0, 3.0), (5.5, 2.0)],
        day: [0.8, 1.0, 1.32, 1.2, 1.0],
    },
    Profile {
        id: "risk_analytics", prefix: "pprisk", digits: 3, share: 0.09, cores: &[16.0, 32.0], weekend: 0.5,
        usual: [(55.0, 15.0), (8.0, 3.0), (2.0, 1.0), (60.0, 15.0), (70.0, 10.0), (5.0, 3.0), (50.0, 10.0),
                (12.0, 4.0), (8.0, 3.0), (3.0, 1.0), (2.0, 1.0), (8.2, 2.5)],
        day: [0.8, 1.0, 1.1, 1.5, 1.0],
    },
    Profile {
        id: "generic", prefix: "ppgen", digits: 3, share: 0.07, cores: &[2.0, 4.0], weekend: 0.85,
        usual: [(12.0, 5.0), (4.0, 2.0), (1.0, 1.0), (8.0, 3.0), (35.0, 8.0), (1.0, 1.0), (30.0, 8.0),
                (15.0, 8.0), (12.0, 6.0), (2.0, 1.0), (2.0, 1.0), (1.5, 0.8)],
        day: [0.8, 1.0, 1.1, 1.2, 1.0],
    },
    Profile {
        id: "conductor_mgmt", prefix: "ppcon", digits: 2, share: 0.06, cores: &[4.0, 8.0], weekend: 0.8,
        usual: [(15.0, 6.0), (6.0, 2.0), (2.0, 1.0), (20.0, 6.0), (42.0, 8.0), (2.0, 1.0), (40.0, 8.0),
                (22.0, 8.0), (18.0, 6.0), (5.0, 2.0), (4.0, 2.0), (3.2, 1.2)],
        day: [0.8, 1.0, 1.1, 1.2, 1.0],
    },
];

/// Profile and number (from 1) of each server of a fleet, by largest remainders; from 7 servers on every profile has
/// at least one.
pub(crate) fn split(servers: u32) -> Vec<(&'static Profile, u32)> {
    let guaranteed = u32::from(servers >= PROFILES.len() as u32);
    let to_share = servers - guaranteed * PROFILES.len() as u32;
    let exact = PROFILES
        .each_ref()
        .map(|profile| profile.share * f64::from(to_share));
    let mut counts = exact.map(|count| count as u32);
    let mut by_remainder: Vec<usize> = (0..PROFILES.len()).collect();
    by_remainder.sort_by(|left, right| exact[*right].fract().total_cmp(&exact[*left].fract()));
    let mut left = to_share - counts.iter().sum::<u32>();
    for index in by_remainder.into_iter().cycle() {
        if left == 0 {
            break;
        }
        counts[index] += 1;
        left -= 1;
    }
    let numbered = |(profile, count): (&'static Profile, u32)| {
        (1..=count + guaranteed).map(move |n| (profile, n))
    };
    PROFILES.iter().zip(counts).flat_map(numbered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_a_profile_and_every_profile_a_server() {
        for servers in [1, 6, 7, 8, 20, 28, 400] {
            let split = split(servers);
            assert_eq!(split.len(), servers as usize);
            let profiles: std::collections::BTreeSet<_> =
                split.iter().map(|(profile, _)| profile.id).collect();
            assert!(
                servers < 7 || profiles.len() == 7,
                "{servers} servers have {profiles:?}"
            );
        }
    }

    #[test]
    fn columns_and_ids_are_those_of_the_schema() {
        let schema = argus_schema::Schema::server();
        assert_eq!(schema.metrics.len(), metric::COUNT);
        for (column, name) in [
            (metric::USER, "cpu_user_pct"),
            (metric::SYS, "cpu_sys_pct"),
            (metric::IOWAIT, "cpu_iowait_pct"),
            (metric::IDLE, "cpu_idle_pct"),
            (metric::JAVA, "java_cpu_pct"),
            (metric::MEM, "mem_used_pct"),
            (metric::SWAP, "swap_used_pct"),
            (metric::DISK, "disk_usage_pct"),
            (metric::NET_IN, "net_in_mb_s"),
            (metric::NET_OUT, "net_out_mb_s"),
            (metric::BACK, "back_close_wait"),
            (metric::FRONT, "front_close_wait"),
            (metric::LOAD, "load_average"),
            (metric::UPTIME, "uptime_days"),
        ] {
            assert_eq!(schema.metric_index(name), Some(column), "{name}");
        }
        assert!(
            PROFILES
                .iter()
                .all(|profile| schema.profile_code(profile.id).is_some())
        );
    }
}
