//! `argus forecast`: the model over a trace, offline, through the same windows as the daemon's.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use argus_config::Config;
use argus_fleet::EntityForecast;
use argus_forecast::{CONTEXT_STEPS, LoadedModel, MIN_CONTEXT_BINS, ModelSlot, predict};
use argus_schema::{EntityName, ProfileRules, Record, Schema};
use argus_store::window::{Window, WindowConfig};
use argus_store::{Context, StoreConfig};
use argus_trace::{ForecastWriter, Series, read_origins, read_series};
use serde_json::json;

use crate::cli::ForecastArgs;
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings;

/// Windows that are kept until the model runs over them.
const BATCH_WINDOWS: usize = 512;

/// Looks a model up as the daemon would and loads it.
fn load_model(
    args: &ForecastArgs,
    config: &Config,
    schema: &Arc<Schema>,
) -> anyhow::Result<Arc<LoadedModel>> {
    let data_dir = args
        .data_dir
        .clone()
        .unwrap_or_else(|| settings::data_dir(config));
    let lookup = settings::lookup(&args.model, config, &data_dir);
    let slot = ModelSlot::new(Arc::clone(schema), settings::device(config));
    slot.load_first(&lookup.choose());
    slot.current().map_err(anyhow::Error::msg)
}

/// Runs the command.
pub fn run(args: &ForecastArgs) -> anyhow::Result<Outcome> {
    let schema = Schema::server();
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    let model = load_model(args, &config, &schema)?;
    output::note(format_args!("model {} ({})", model.id.name, model.id.path));
    let step_ms = i64::from(args.step_secs) * 1000;
    let series = read_series(&args.input, &schema)
        .with_context(|| format!("read {}", args.input.display()))?;
    let mut origins = bins_by_server(args, &series, step_ms)?;
    let total: usize = origins.values().map(Vec::len).sum();
    let bar = output::progress(total as u64, "forecasts");

    let mut writer = ForecastWriter::create(&args.output)?;
    let mut run = Run {
        args,
        schema: &schema,
        profiles: settings::profiles(&config),
        model: &model,
        waiting: Vec::new(),
        too_short: 0,
        out_of_range: 0,
        written: 0,
    };
    for one in &series {
        let Some(bins) = origins.remove(&one.name) else {
            continue;
        };
        let count = bins.len();
        run.server(one, bins, step_ms, &mut writer)?;
        bar.inc(count as u64);
    }
    run.flush(&mut writer)?;
    bar.finish_and_clear();
    if run.written == 0 {
        // The writer is dropped unfinished, so that no empty file looks like an answer.
        bail!("no origin has the {MIN_CONTEXT_BINS} bins of context that the model needs");
    }
    writer.finish()?;
    let (written, too_short, out_of_range) = (run.written, run.too_short, run.out_of_range);
    let unknown = origins.values().map(Vec::len).sum::<usize>();
    if out_of_range > 0 {
        output::note(format_args!(
            "{out_of_range} values outside their metric's range were taken as missing"
        ));
    }
    if args.json {
        output::line(json!({
            "model": model.id.path, "forecasts": written, "too_little_context": too_short,
            "origins_of_unknown_servers": unknown, "values_out_of_range": out_of_range, "output": args.output,
        }));
    } else {
        output::line(format_args!(
            "{written} forecasts written to {}; {too_short} origins with too little context, {unknown} of unknown servers",
            args.output.display()
        ));
    }
    Ok(Outcome::Done)
}

/// Origins as bin indices, ascending, by server; without `--origins` each server's last bin.
fn bins_by_server(
    args: &ForecastArgs,
    series: &[Series],
    step_ms: i64,
) -> anyhow::Result<BTreeMap<String, Vec<i64>>> {
    let mut bins: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    if let Some(path) = &args.origins {
        let origins = read_origins(path).with_context(|| format!("read {}", path.display()))?;
        for origin in origins {
            bins.entry(origin.server)
                .or_default()
                .push(origin.origin_ms.div_euclid(step_ms));
        }
    } else {
        let last =
            |s: &Series| Some((s.name.clone(), vec![s.times_ms.last()?.div_euclid(step_ms)]));
        bins.extend(series.iter().filter_map(last));
    }
    for list in bins.values_mut() {
        list.sort_unstable();
        list.dedup();
    }
    Ok(bins)
}

struct Run<'a> {
    args: &'a ForecastArgs,
    schema: &'a Schema,
    profiles: ProfileRules,
    model: &'a LoadedModel,
    /// Windows that wait for the model: name, profile id, context.
    waiting: Vec<(EntityName, String, Context)>,
    too_short: usize,
    out_of_range: usize,
    written: usize,
}

impl Run<'_> {
    /// Walks one server's rows in time order and takes the context at each origin.
    fn server(
        &mut self,
        series: &Series,
        bins: Vec<i64>,
        step_ms: i64,
        writer: &mut ForecastWriter,
    ) -> anyhow::Result<()> {
        let name = EntityName::new(&series.name)
            .with_context(|| format!("server name `{}`", series.name))?;
        let profile = match &series.profile {
            Some(profile) => profile.clone(),
            None => {
                let code = self.profiles.profile_of(&series.name, self.schema);
                self.schema.profiles[usize::from(code)].id.clone()
            }
        };
        let mut window = Window::new(WindowConfig {
            metrics: self.schema.metrics.len(),
            step_ms,
            window_steps: CONTEXT_STEPS,
            exact_bins: StoreConfig::new("").exact_bins,
            max_records_per_bin: u32::MAX,
            keeps_rows: false,
        });
        let mut next = 0;
        for bin in bins {
            while let Some(time_ms) = series
                .times_ms
                .get(next)
                .filter(|t| t.div_euclid(step_ms) <= bin)
            {
                let values = self.legal(series, next);
                let record = Record {
                    entity: name.clone(),
                    time_ms: *time_ms,
                    status: series.status[next],
                    profile: None,
                    cores: None,
                    values,
                };
                // A row that the daemon would refuse (a duplicate) is refused here too.
                let _ = window.push(&record);
                next += 1;
            }
            match window
                .context(bin, CONTEXT_STEPS)
                .filter(|c| observed_bins(c) >= MIN_CONTEXT_BINS as usize)
            {
                Some(context) => self.waiting.push((name.clone(), profile.clone(), context)),
                None => self.too_short += 1,
            }
            if self.waiting.len() >= BATCH_WINDOWS {
                self.flush(writer)?;
            }
        }
        Ok(())
    }

    /// The row's values; one that the daemon would refuse is missing here too, and counted.
    fn legal(&mut self, series: &Series, row: usize) -> Box<[f32]> {
        let columns = self.schema.metrics.iter().zip(&series.values);
        let mut refused = 0;
        let values = columns.map(|(metric, values)| {
            let value = values[row];
            let stored = metric.stored(f64::from(value));
            refused += usize::from(stored.is_none() && !value.is_nan());
            stored.unwrap_or(f32::NAN)
        });
        let values = values.collect();
        self.out_of_range += refused;
        values
    }

    fn flush(&mut self, writer: &mut ForecastWriter) -> anyhow::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let inputs: Vec<_> = waiting
            .iter()
            .map(|(name, profile, context)| (name, profile.as_str(), context))
            .collect();
        let forecasts = predict(
            &self.model.model,
            &self.model.id,
            self.args.step_secs,
            0,
            &inputs,
        )?;
        for forecast in &forecasts {
            self.write(forecast, writer)?;
        }
        self.written += forecasts.len();
        Ok(())
    }

    fn write(&self, forecast: &EntityForecast, writer: &mut ForecastWriter) -> anyhow::Result<()> {
        for (column, metric) in self.schema.metrics.iter().enumerate() {
            let [low, median, high] = [0.1, 0.5, 0.9].map(|level| forecast.series(column, level));
            let steps = low
                .zip(median)
                .zip(high)
                .map(|((low, median), high)| [low, median, high]);
            let mut steps = steps.peekable();
            if steps.peek().is_some() {
                writer.write(
                    forecast.entity.as_str(),
                    forecast.origin_ms,
                    &metric.name,
                    steps,
                )?;
            }
        }
        Ok(())
    }
}

fn observed_bins(context: &Context) -> usize {
    let bins = context.status.len();
    (0..bins)
        .filter(|bin| context.values.iter().any(|metric| !metric[*bin].is_nan()))
        .count()
}
