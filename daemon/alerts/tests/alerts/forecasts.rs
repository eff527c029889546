//! Forecasts by letter.

use argus_alerts::{Alerts, Evaluation, Transition, TransitionKind};
use argus_fleet::{BreachForecast, Level, Risk};
use argus_schema::{Breach, EntityName, Schema};

pub const MEM: &str = "mem_used_pct";
pub const DISK: &str = "disk_usage_pct";
pub const STEP_MS: i64 = 300_000;

pub fn name(text: &str) -> EntityName {
    EntityName::new(text).expect("a name")
}

/// Risk with these conditions: `h`ot, `n`ow in breach, `-` between, `c`old, `u`nobserved, `w`arning hot with the
/// critical threshold cold.
pub fn risk(conditions: &[(&str, char)]) -> Risk {
    let schema = Schema::server();
    let mut breaches = Vec::new();
    let mut assessed = 0;
    for &(metric, letter) in conditions {
        let index = schema.metric_index(metric).expect("a metric");
        let (critical, warning) = match letter {
            'h' => (0.9, 0.95),
            '-' => (0.45, 0.45),
            'w' => (0.05, 0.9),
            'u' => continue,
            _ => (0.1, 0.1),
        };
        assessed |= 1 << index;
        let breach = |severity, threshold, probability| BreachForecast {
            metric_index: index,
            metric: metric.to_owned(),
            unit: "%".to_owned(),
            derived: false,
            severity,
            threshold,
            side: Breach::Above,
            current: Some(91.26),
            probability,
            probability_30m: probability / 2.0,
            now: letter == 'n',
            expected_step: (probability >= 0.5).then_some(9),
            earliest_step: Some(4),
            latest_step: None,
            peak_median: 99.1,
        };
        breaches.push(breach(Level::Critical, 98.0, critical));
        breaches.push(breach(Level::Warning, 90.0, warning));
    }
    let most = breaches.iter().map(|b| b.probability).fold(0.0, f64::max);
    Risk {
        score: most * 100.0,
        unclamped: most * 100.0,
        score_30m: 0.0,
        prob_horizon: most,
        prob_30m: 0.0,
        in_breach: false,
        calibration: "identity",
        breaches,
        assessed,
    }
}

pub fn evaluate(
    alerts: &Alerts,
    entity: &EntityName,
    origin_ms: i64,
    now_ms: i64,
    scheduled: bool,
    risk: &Risk,
) -> Vec<Transition> {
    let evaluation = Evaluation {
        now_ms,
        entity,
        profile: "database",
        origin_ms,
        step_secs: 300,
        scheduled,
        risk,
    };
    alerts.evaluate(&[evaluation]).expect("written")
}

/// One entity with one metric, forecast step by step.
pub struct Fleet<'a> {
    alerts: &'a Alerts,
    pub origin_ms: i64,
    pub now_ms: i64,
}

impl<'a> Fleet<'a> {
    pub fn new(alerts: &'a Alerts) -> Self {
        Self {
            alerts,
            origin_ms: 0,
            now_ms: 0,
        }
    }

    /// The next scheduled forecast; a letter for what happened.
    pub fn forecast(&mut self, letter: char) -> char {
        self.origin_ms += STEP_MS;
        self.now_ms += STEP_MS;
        self.judge(letter, true)
    }

    /// A forecast of the newest origin and beyond that somebody asked for.
    pub fn on_demand(&mut self, letter: char) -> char {
        self.origin_ms += STEP_MS;
        let happened = self.judge(letter, false);
        self.origin_ms -= STEP_MS;
        happened
    }

    fn judge(&self, letter: char, scheduled: bool) -> char {
        let risk = risk(&[(MEM, letter)]);
        let transitions = evaluate(
            self.alerts,
            &name("ppdb001"),
            self.origin_ms,
            self.now_ms,
            scheduled,
            &risk,
        );
        assert!(transitions.len() <= 1, "{transitions:?}");
        transitions.first().map_or('.', |t| letter_of(t.kind))
    }
}

pub fn letter_of(kind: TransitionKind) -> char {
    match kind {
        TransitionKind::Pending => 'p',
        TransitionKind::Dropped => 'd',
        TransitionKind::Firing => 'F',
        TransitionKind::SeverityChanged => 'S',
        TransitionKind::Acknowledged => 'a',
        TransitionKind::Resolved => 'R',
    }
}
