//! One reading of a server by a source that computes its metrics itself.

use crate::Schema;
use crate::server_metrics::CpuPercent;

/// What a source knows of a server at one moment, in the units of the server schema; `None` where it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ServerReading {
    /// The four shares of processor time.
    pub cpu: Option<CpuPercent>,
    /// `java_cpu_pct`.
    pub java_cpu_pct: Option<f64>,
    /// `mem_used_pct`.
    pub mem_used_pct: Option<f64>,
    /// `swap_used_pct`.
    pub swap_used_pct: Option<f64>,
    /// `disk_usage_pct`.
    pub disk_usage_pct: Option<f64>,
    /// `net_in_mb_s`.
    pub net_in_mb_s: Option<f64>,
    /// `net_out_mb_s`.
    pub net_out_mb_s: Option<f64>,
    /// `back_close_wait`.
    pub back_close_wait: Option<f64>,
    /// `front_close_wait`.
    pub front_close_wait: Option<f64>,
    /// `load_average`.
    pub load_average: Option<f64>,
    /// `uptime_days`.
    pub uptime_days: Option<f64>,
}

impl ServerReading {
    /// The reading as values in the order of `schema`, NaN for what is unknown, outside the metric's range, or no
    /// metric of the schema; `None` where nothing is left.
    pub fn values(&self, schema: &Schema) -> Option<Box<[f32]>> {
        let named = [
            ("cpu_user_pct", self.cpu.map(|cpu| cpu.user)),
            ("cpu_sys_pct", self.cpu.map(|cpu| cpu.sys)),
            ("cpu_iowait_pct", self.cpu.map(|cpu| cpu.iowait)),
            ("cpu_idle_pct", self.cpu.map(|cpu| cpu.idle)),
            ("java_cpu_pct", self.java_cpu_pct),
            ("mem_used_pct", self.mem_used_pct),
            ("swap_used_pct", self.swap_used_pct),
            ("disk_usage_pct", self.disk_usage_pct),
            ("net_in_mb_s", self.net_in_mb_s),
            ("net_out_mb_s", self.net_out_mb_s),
            ("back_close_wait", self.back_close_wait),
            ("front_close_wait", self.front_close_wait),
            ("load_average", self.load_average),
            ("uptime_days", self.uptime_days),
        ];
        let mut values = vec![f32::NAN; schema.metrics.len()].into_boxed_slice();
        for (name, value) in named {
            if let Some(column) = schema.metric_index(name)
                && let Some(stored) = value.and_then(|value| schema.metrics[column].stored(value))
            {
                values[column] = stored;
            }
        }
        values.iter().any(|value| !value.is_nan()).then_some(values)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_column_and_nonsense_is_missing() {
        let schema = Schema::server();
        let cpu = CpuPercent {
            user: 1.0,
            sys: 2.0,
            iowait: 3.0,
            idle: 4.0,
        };
        let reading = ServerReading {
            cpu: Some(cpu),
            java_cpu_pct: Some(5.0),
            mem_used_pct: Some(6.0),
            swap_used_pct: Some(7.0),
            disk_usage_pct: Some(8.0),
            net_in_mb_s: Some(9.0),
            net_out_mb_s: Some(10.0),
            back_close_wait: Some(11.0),
            front_close_wait: Some(12.0),
            load_average: Some(13.0),
            uptime_days: Some(14.0),
        };
        let expected: Vec<f32> = (1_u8..=14).map(f32::from).collect();
        assert_eq!(reading.values(&schema).unwrap().to_vec(), expected);

        let nonsense = ServerReading {
            load_average: Some(f64::NAN),
            uptime_days: Some(-1.0),
            ..Default::default()
        };
        assert_eq!(nonsense.values(&schema), None);
        let partly = ServerReading {
            load_average: Some(0.5),
            ..nonsense
        };
        let values = partly.values(&schema).unwrap();
        assert_eq!(values.iter().filter(|value| !value.is_nan()).count(), 1);
    }
}
