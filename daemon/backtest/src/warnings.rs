//! Alerts against known incidents.
//!
//! Times are whole minutes. The rules:
//!
//! - Incidents of one server closer than an hour are one. Scored are those that start at least the warm-up and 8 hours
//!   after the first labelled moment; `carryover` ones (which began before) are never scored.
//! - Alerts within the warm-up are ignored; those during an incident, and up to an hour after its end, are neutral.
//! - *warned*: an alert lies in the 8 hours before the start; *lead*: minutes from the first such alert to the start.
//! - *late*: not warned, but an alert lies in the incident's first hour.
//! - Alerts less than an hour apart are one episode. A *false* episode has no incident start from its first alert to 8
//!   hours after its last. *Precision* is the share of episodes that are not false.
//! - False alarms are counted per server-week of labelled time outside incidents, after the warm-up.

use std::collections::BTreeMap;

use argus_trace::{Incident, LabelledSpan};
use serde::Serialize;

/// Kind of incidents that began before anybody looked.
const CARRYOVER: &str = "carryover";
const WARNING_MINUTES: i64 = 480;
const GAP_MINUTES: i64 = 60;
const WEEK_MINUTES: f64 = 7.0 * 24.0 * 60.0;

/// How well alerts warned of incidents.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Warnings {
    /// Scored incidents.
    pub incidents: usize,
    /// Of these, with an alert in the 8 hours before.
    pub warned: usize,
    /// Of the others, with an alert in the first hour.
    pub late: usize,
    /// Median minutes from the first alert to the start, over the warned ones.
    pub lead_median_minutes: Option<f64>,
    /// Alerts less than an hour apart, counted once.
    pub episodes: usize,
    /// Of these, without an incident to warn of.
    pub false_episodes: usize,
    /// Share of the episodes that are not false.
    pub precision: Option<f64>,
    /// False episodes per server-week outside incidents.
    pub false_per_server_week: Option<f64>,
    /// Server-weeks outside incidents.
    pub server_weeks: f64,
}

/// Judges alerts, given as (server, ms since the epoch), over the labelled spans of servers.
pub fn judge(
    alerts: &[(&str, i64)],
    incidents: &[Incident],
    spans: &[LabelledSpan],
    warm_up_minutes: i64,
) -> Warnings {
    let mut total = Warnings::default();
    let mut leads = Vec::new();
    for span in spans {
        let from = minutes(span.from_ms) + warm_up_minutes;
        let to = minutes(span.to_ms);
        let merged = merged(incidents.iter().filter(|i| i.server == span.server));
        let mut times: Vec<i64> = alerts
            .iter()
            .filter(|(server, _)| *server == span.server)
            .map(|(_, at_ms)| minutes(*at_ms))
            .filter(|at| (from..to).contains(at))
            .collect();
        times.sort_unstable();
        times.dedup();
        let active = |at: &i64| {
            merged
                .iter()
                .any(|i| (i.start..i.end + GAP_MINUTES).contains(at))
        };
        let before: Vec<i64> = times.iter().copied().filter(|at| !active(at)).collect();
        let scored = merged
            .iter()
            .filter(|i| !i.carryover && i.start >= from + WARNING_MINUTES);
        for incident in scored {
            total.incidents += 1;
            let window = incident.start - WARNING_MINUTES..incident.start;
            let first_hour = incident.start..(incident.start + GAP_MINUTES).min(incident.end);
            if let Some(first) = before.iter().find(|at| window.contains(at)) {
                total.warned += 1;
                leads.push(incident.start - first);
            } else if times.iter().any(|at| first_hour.contains(at)) {
                total.late += 1;
            }
        }
        for episode in before.chunk_by(|a, b| b - a <= GAP_MINUTES) {
            let (Some(first), Some(last)) = (episode.first(), episode.last()) else {
                continue;
            };
            let range = *first..=last + WARNING_MINUTES;
            total.episodes += 1;
            total.false_episodes += usize::from(!merged.iter().any(|i| range.contains(&i.start)));
        }
        let busy: i64 = merged
            .iter()
            .map(|i| (i.end.clamp(from, to.max(from)) - i.start.clamp(from, to.max(from))).max(0))
            .sum();
        total.server_weeks += ((to - from).max(0) - busy) as f64 / WEEK_MINUTES;
    }
    total.lead_median_minutes = median(leads);
    total.precision =
        (total.episodes > 0).then(|| 1.0 - total.false_episodes as f64 / total.episodes as f64);
    total.false_per_server_week =
        (total.server_weeks > 0.0).then(|| total.false_episodes as f64 / total.server_weeks);
    total
}

/// Incidents that belong together, in minutes.
#[derive(Debug, Clone, Copy)]
struct Merged {
    start: i64,
    end: i64,
    carryover: bool,
}

fn merged<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<Merged> {
    let gap_ms = GAP_MINUTES * 60_000;
    let mut sorted: Vec<&Incident> = incidents.collect();
    sorted.sort_by_key(|incident| (incident.start_ms, incident.end_ms));
    let mut spans: Vec<(i64, i64, bool)> = Vec::new();
    for incident in sorted {
        let carryover = incident.kind == CARRYOVER;
        match spans.last_mut() {
            Some((_, end, all)) if incident.start_ms - *end <= gap_ms => {
                *end = (*end).max(incident.end_ms);
                *all &= carryover;
            }
            _ => spans.push((incident.start_ms, incident.end_ms, carryover)),
        }
    }
    let in_minutes = spans.into_iter().map(|(start, end, carryover)| Merged {
        start: minutes(start),
        end: minutes(end),
        carryover,
    });
    in_minutes.collect()
}

/// The median; `None` of nothing.
pub(crate) fn median(mut values: Vec<i64>) -> Option<f64> {
    values.sort_unstable();
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) as f64 / 2.0)
}

fn minutes(time_ms: i64) -> i64 {
    time_ms.div_euclid(60_000)
}

/// Labelled spans where nobody said: all that was replayed of each server.
pub(crate) fn whole(spans: &BTreeMap<String, (i64, i64)>) -> Vec<LabelledSpan> {
    let span = |(server, (from_ms, to_ms)): (&String, &(i64, i64))| LabelledSpan {
        server: server.clone(),
        from_ms: *from_ms,
        to_ms: *to_ms,
    };
    spans.iter().map(span).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60;

    fn incident(start: i64, end: i64, kind: &str) -> Incident {
        Incident {
            server: "a".to_owned(),
            start_ms: start * 60_000,
            end_ms: end * 60_000,
            kind: kind.to_owned(),
            metrics: Vec::new(),
        }
    }

    fn judged(alerts: &[i64], incidents: &[Incident]) -> Warnings {
        let alerts: Vec<(&str, i64)> = alerts.iter().map(|at| ("a", at * 60_000)).collect();
        let span = LabelledSpan {
            server: "a".to_owned(),
            from_ms: 0,
            to_ms: 10 * 24 * HOUR * 60_000,
        };
        judge(&alerts, incidents, &[span], 24 * HOUR)
    }

    #[test]
    fn each_rule_holds() {
        let day = 24 * HOUR;
        let one = [incident(3 * day, 3 * day + 30, "labelled")];
        let check = |alerts: &[i64], incidents: &[Incident], told: [usize; 5]| {
            let found = judged(alerts, incidents);
            let numbers = [
                found.incidents,
                found.warned,
                found.late,
                found.episodes,
                found.false_episodes,
            ];
            assert_eq!(numbers, told, "{alerts:?}");
        };
        check(&[], &one, [1, 0, 0, 0, 0]);
        check(&[3 * day - 60], &one, [1, 1, 0, 1, 0]);
        // Exactly 8 hours before still counts, a minute earlier is false.
        check(&[3 * day - 480], &one, [1, 1, 0, 1, 0]);
        check(&[3 * day - 481], &one, [1, 0, 0, 1, 1]);
        // During the incident and an hour after it: late, but neutral.
        check(&[3 * day + 5, 3 * day + 80], &one, [1, 0, 1, 0, 0]);
        // Within the warm-up nothing counts.
        check(&[60, day - 1], &one, [1, 0, 0, 0, 0]);
        // Less than an hour apart: one episode.
        check(
            &[5 * day, 5 * day + 60, 5 * day + 121],
            &[],
            [0, 0, 0, 2, 2],
        );
        // Two incidents within an hour are one; one that began before anybody looked is not scored.
        let two = [
            incident(3 * day, 3 * day + 30, "labelled"),
            incident(3 * day + 80, 3 * day + 90, "labelled"),
            incident(6 * day, 6 * day + 5, "carryover"),
        ];
        check(&[3 * day - 10], &two, [1, 1, 0, 1, 0]);
        // Too early to have been warned of.
        check(&[], &[incident(day + 479, day + 500, "labelled")], [0; 5]);
    }

    #[test]
    fn rates_are_over_the_time_outside_incidents() {
        let day = 24 * HOUR;
        let found = judged(&[5 * day], &[incident(3 * day, 5 * day - 600, "labelled")]);
        let quiet = 9 * day - (2 * day - 600);
        assert!((found.server_weeks - quiet as f64 / WEEK_MINUTES).abs() < 1e-9);
        assert_eq!((found.episodes, found.false_episodes), (1, 1));
        assert_eq!(found.precision, Some(0.0));
        assert_eq!(found.lead_median_minutes, None);
        assert_eq!(median(vec![30, 10, 20, 40]), Some(25.0));
    }
}
