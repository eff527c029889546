//! From entities to the fleet.

use argus_fleet::{FleetRisk, Level, Risk};
use argus_schema::EntityName;

/// Sums up the risk of all assessed entities; `top` is how many of the worst to name.
///
/// `prob_30m` and `prob_8h` are *means*: the share of the fleet that is expected to have an incident. The probability
/// of at least one incident grows towards 1 with the size of the fleet, so it can drive no level; it is told beside
/// them as `prob_any_*`, as if entities were independent. `health` is `critical` where the mean within 30 minutes is
/// above 0.6, `warning` above 0.3.
pub fn fleet_risk<'a>(
    risks: impl IntoIterator<Item = (&'a EntityName, &'a Risk)>,
    top: usize,
) -> FleetRisk {
    let risks: Vec<(&EntityName, &Risk)> = risks.into_iter().collect();
    let assessed = risks.len();
    let count = assessed.max(1) as f64;
    let mean = |value: fn(&Risk) -> f64| risks.iter().map(|(_, r)| value(r)).sum::<f64>() / count;
    let any =
        |value: fn(&Risk) -> f64| 1.0 - risks.iter().map(|(_, r)| 1.0 - value(r)).product::<f64>();
    let of_level = |level: Level| {
        risks
            .iter()
            .filter(|(_, r)| Level::of(r.score) == level)
            .count()
    };
    let prob_30m = mean(|r| r.prob_30m);

    let mut worst: Vec<(&EntityName, f64, f64)> = risks
        .iter()
        .map(|(name, r)| (*name, r.score, r.unclamped))
        .collect();
    worst.sort_by(|a, b| {
        b.1.total_cmp(&a.1)
            .then(b.2.total_cmp(&a.2))
            .then(a.0.cmp(b.0))
    });
    FleetRisk {
        assessed,
        prob_30m,
        prob_8h: mean(|r| r.prob_horizon),
        prob_any_30m: any(|r| r.prob_30m),
        prob_any_8h: any(|r| r.prob_horizon),
        critical: of_level(Level::Critical),
        warning: of_level(Level::Warning),
        degraded: of_level(Level::Degraded),
        healthy: of_level(Level::Healthy),
        high_risk: risks.iter().filter(|(_, r)| r.prob_30m > 0.5).count(),
        avg_score: (mean(|r| r.score) * 10.0).round() / 10.0,
        max_score: worst.first().map_or(0.0, |w| w.1),
        top: worst
            .into_iter()
            .take(top)
            .map(|(name, score, _)| (name.clone(), score))
            .collect(),
        health: match assessed {
            0 => "unknown",
            _ if prob_30m > 0.6 => "critical",
            _ if prob_30m > 0.3 => "warning",
            _ => "healthy",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn risk(score: f64, p: f64) -> Risk {
        Risk {
            score,
            unclamped: score,
            score_30m: score,
            prob_horizon: p,
            prob_30m: p / 2.0,
            in_breach: false,
            calibration: "identity",
            breaches: Vec::new(),
            assessed: 1,
        }
    }

    #[test]
    fn an_empty_fleet_is_unknown_and_has_no_nan() {
        let fleet = fleet_risk([], 5);
        assert_eq!(
            (
                fleet.health,
                fleet.prob_8h,
                fleet.avg_score,
                fleet.max_score
            ),
            ("unknown", 0.0, 0.0, 0.0)
        );
        assert_eq!(fleet.prob_any_8h, 0.0);
    }

    #[test]
    fn counts_means_and_the_worst() {
        let names = ["a", "b", "c", "d"].map(|n| EntityName::new(n).expect("a name"));
        let risks = [
            risk(10.0, 0.1),
            risk(100.0, 1.0),
            risk(65.0, 0.65),
            risk(55.0, 0.55),
        ];
        let fleet = fleet_risk(names.iter().zip(&risks), 2);
        assert_eq!(
            (fleet.critical, fleet.warning, fleet.degraded, fleet.healthy),
            (1, 1, 1, 1)
        );
        assert_eq!(
            (fleet.assessed, fleet.avg_score, fleet.max_score),
            (4, 57.5, 100.0)
        );
        assert_eq!(
            fleet.top,
            [(names[1].clone(), 100.0), (names[2].clone(), 65.0)]
        );
        assert!((fleet.prob_8h - 0.575).abs() < 1e-12 && (fleet.prob_30m - 0.2875).abs() < 1e-12);
        assert_eq!((fleet.prob_any_8h, fleet.health), (1.0, "healthy"));
    }
}
