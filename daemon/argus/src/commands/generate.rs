//! `argus generate`: a synthetic fleet, with its incidents where it has any.

use argus_generate::{FleetKind, FleetSpec, write};
use jiff::tz::TimeZone;

use crate::cli::{FleetChoice, GenerateArgs};
use crate::exit::Outcome;
use crate::output;

/// Runs the command.
pub fn run(args: &GenerateArgs) -> anyhow::Result<Outcome> {
    let start = args.start.to_zoned(TimeZone::UTC)?;
    let spec = FleetSpec {
        kind: match args.kind {
            FleetChoice::Typical => FleetKind::Typical,
            FleetChoice::Varied => FleetKind::Varied,
        },
        servers: args.servers,
        days: args.days,
        seed: args.seed,
        start_ms: start.timestamp().as_millisecond(),
        cascades_per_day: args.cascades_per_day,
        ..FleetSpec::default()
    };
    let incidents = args.output.with_file_name(format!(
        "{}_incidents.csv",
        args.output
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
    ));
    let written = write(&spec, &args.output, Some(&incidents))?;
    output::line(format_args!(
        "seed {}: {} servers, {} rows in {}, {} incidents in {}",
        spec.seed,
        written.servers,
        written.rows,
        args.output.display(),
        written.incidents,
        incidents.display()
    ));
    Ok(Outcome::Done)
}
