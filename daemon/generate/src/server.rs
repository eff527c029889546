//! One server of a fleet, lived through the whole span, with what truly went wrong on it.

use argus_schema::Schema;
use argus_trace::{Incident, Series};

use crate::FleetSpec;
use crate::cascade::Felt;
use crate::events::{Event, Trouble};
use crate::life::{Life, Outside};
use crate::profiles::metric;

/// A server's observations and what truly went wrong on it.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratedServer {
    /// One row per step; a silent server has no row.
    pub series: Series,
    /// In order of start. An incident of the server's own lasts from the first to the last step of trouble at which
    /// one of its metrics was past the schema's warning threshold; a cascade, from its first to its last sign.
    pub incidents: Vec<Incident>,
}

/// Lives one server through the whole span.
pub(crate) fn simulate(spec: &FleetSpec, mut life: Life, cascades: &[Felt]) -> GeneratedServer {
    let schema = Schema::server();
    let mut series = Series {
        name: life.name.clone(),
        profile: Some(life.profile.id.to_owned()),
        cores: Some(life.cores()),
        times_ms: Vec::new(),
        values: vec![Vec::new(); metric::COUNT],
        status: Vec::new(),
    };
    let mut breaches = vec![None::<(usize, usize)>; life.events.len()];
    let mut pressures = Vec::new();
    for step in 0..spec.steps() {
        let at = step as f64;
        let time_ms = time(spec, step);
        pressures.clear();
        for felt in cascades.iter().filter(|felt| felt.cascade.lasts(at)) {
            felt.press(at, &mut pressures);
        }
        let outside = Outside {
            pressures: &pressures,
            ..Outside::NOTHING
        };
        let observed = life.live(at, time_ms, outside);
        for (event, breach) in life.events.iter().zip(&mut breaches) {
            if is_breached(event, &observed.values, at, &schema, &life) {
                *breach = Some((breach.map_or(step, |(first, _)| first), step));
            }
        }
        if observed.is_silent {
            continue;
        }
        series.times_ms.push(time_ms);
        series
            .status
            .push(schema.status_code(observed.state.id()).unwrap_or(0));
        for (column, value) in series.values.iter_mut().zip(observed.values) {
            column.push(value as f32);
        }
    }
    let mut incidents = incidents(spec, &life, &breaches, &schema);
    incidents.extend(
        cascades
            .iter()
            .map(|felt| cascade(spec, &life, felt, &schema)),
    );
    incidents.sort_by_key(|incident| incident.start_ms);
    GeneratedServer { series, incidents }
}

fn time(spec: &FleetSpec, step: usize) -> i64 {
    spec.start_ms + step as i64 * i64::from(spec.step_secs) * 1_000
}

fn is_breached(
    event: &Event,
    values: &[f64; metric::COUNT],
    step: f64,
    schema: &Schema,
    life: &Life,
) -> bool {
    if step < event.start || step > event.end {
        return false;
    }
    match event.trouble {
        Trouble::Outage => step >= event.peak,
        // The schema has no thresholds for counts; several times the usual is an incident in anyone's book.
        Trouble::ConnectionLeak => event.strength > 0.75 && step >= event.peak,
        _ => event.trouble.metrics().iter().any(|column| {
            let metric = &schema.metrics[*column];
            let limits = metric.thresholds_for(life.profile.id, Some(life.cores()));
            limits.is_some_and(|limits| match metric.breach {
                Some(argus_schema::Breach::Above) => values[*column] >= limits.warning,
                Some(argus_schema::Breach::Below) => values[*column] <= limits.warning,
                None => false,
            })
        }),
    }
}

fn names(columns: &[usize], schema: &Schema) -> Vec<String> {
    let name = |column: &usize| schema.metrics[*column].name.clone();
    columns.iter().map(name).collect()
}

fn incidents(
    spec: &FleetSpec,
    life: &Life,
    breaches: &[Option<(usize, usize)>],
    schema: &Schema,
) -> Vec<Incident> {
    (life.events.iter().zip(breaches))
        .filter_map(|(event, breach)| {
            let (first, last) = (*breach)?;
            Some(Incident {
                server: life.name.clone(),
                start_ms: time(spec, first),
                end_ms: time(spec, last + 1),
                kind: event.trouble.id().to_owned(),
                metrics: names(event.trouble.metrics(), schema),
            })
        })
        .collect()
}

fn cascade(spec: &FleetSpec, life: &Life, felt: &Felt, schema: &Schema) -> Incident {
    let step = |at: f64| time(spec, (at.ceil() as usize).min(spec.steps()));
    Incident {
        server: life.name.clone(),
        start_ms: step(felt.cascade.start),
        end_ms: step(felt.cascade.end),
        kind: felt.kind.to_owned(),
        metrics: names(&felt.columns(), schema),
    }
}
