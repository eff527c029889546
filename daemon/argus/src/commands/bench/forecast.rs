//! `argus bench forecast`: windows of the store → tensors → network → quantiles in metric units.
//!
//! Each entity has a window of its own, as in the store, filled with the waves of a plausible server; a round takes
//! every entity's context, and what is usual for it, from its window and runs the forecast loop's own batches through
//! the model. Records do not go through the log: how fast they are accepted is another question.

use std::hint::black_box;
use std::time::Instant;

use argus_config::Config;
use argus_forecast::{CONTEXT_STEPS, Input, LoadedModel, LoopConfig, ModelSlot, known, predict};
use argus_schema::{EntityName, Record, Schema};
use argus_store::StoreConfig;
use argus_store::window::{Window, WindowConfig};
use clap::Args;
use serde_json::json;

use super::{Machine, resident_bytes};
use crate::cli::ModelSelection;
use crate::exit::Outcome;
use crate::output;
use crate::serve::settings;

/// Bins of a window whose history is full: ten days of 5-minute steps.
const FULL_WINDOW_STEPS: u32 = 2_880;
/// Rounds that are measured, after one that is not; the median counts.
const ROUNDS: usize = 5;
/// pytorch-forecasting, end to end, on two cores whose matrix products reach [`PEER_SGEMM_GFLOPS`].
const PEER_MS_PER_ENTITY: f64 = 6.4;
const PEER_SGEMM_GFLOPS: f64 = 340.0;
/// Arithmetic of the network it took that for.
const PEER_MFLOP_PER_WINDOW: f64 = 40.8;
const STEP_SECS: u32 = 300;

/// `argus bench forecast`.
#[derive(Debug, Args)]
pub struct ForecastBenchArgs {
    /// Entities to forecast.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub entities: u32,
    /// Fill windows of 2,880 steps, as after ten days, instead of the 288 of a context: a model that asks what is usual
    /// reads them all.
    #[arg(long)]
    pub full_windows: bool,
    /// Threads that run the network.
    #[arg(long, default_value_t = crate::cli::default_threads(), value_parser = crate::cli::parse_count)]
    pub threads: usize,
    /// Which model answers.
    #[command(flatten)]
    pub model: ModelSelection,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

struct Measured {
    /// Wall milliseconds per entity and round: contexts from windows, and the model with what is around it.
    context_ms: f64,
    model_ms: f64,
}

/// Runs the command.
pub fn run(args: &ForecastBenchArgs) -> anyhow::Result<Outcome> {
    let config = Config::default();
    let schema = Schema::server();
    let lookup = settings::lookup(&args.model, &config, &settings::data_dir(&config));
    let slot = ModelSlot::with_threads(schema.clone(), settings::device(&config), args.threads);
    slot.load_first(&lookup.choose());
    let model = slot.current().map_err(anyhow::Error::msg)?;
    let before = resident_bytes().0;
    let windows = windows(args, &schema);
    let filled = resident_bytes().0;
    let measured = measure(&model, &windows)?;
    let (rss, peak) = resident_bytes();
    // The machine is measured last: its matrices would be in the memory that is told.
    let machine = Machine::measure()?;
    let architecture = &model.model.config().architecture;
    let mflop = architecture.flop_per_window() as f64 / 1e6;
    let ms = measured.context_ms + measured.model_ms;
    let speedup = PEER_MS_PER_ENTITY / ms;
    // What the peer would take at this run's matrix rate, if all of it scaled with that; both on two threads.
    let at_equal_rate = speedup * PEER_SGEMM_GFLOPS / machine.sgemm_gflops_2_threads;
    let steps = if args.full_windows {
        FULL_WINDOW_STEPS
    } else {
        CONTEXT_STEPS
    };
    if args.json {
        output::line(json!({
            "ms_per_entity": ms, "sgemm_gflops": machine.sgemm_gflops_2_threads,
            "sgemm_gflops_1_thread": machine.sgemm_gflops_1_thread, "entities": args.entities,
            "entities_per_sec": 1e3 / ms, "context_ms_per_entity": measured.context_ms,
            "model_ms_per_entity": measured.model_ms, "rss_bytes": rss, "peak_rss_bytes": peak,
            "rss_before_windows_bytes": before, "windows_rss_bytes": filled.saturating_sub(before),
            "window_steps": steps, "model": model.id.path, "mflop_per_window": mflop,
            "threads": args.threads, "peer_ms_per_entity": PEER_MS_PER_ENTITY,
            "peer_sgemm_gflops": PEER_SGEMM_GFLOPS, "peer_mflop_per_window": PEER_MFLOP_PER_WINDOW,
            "speedup": speedup, "speedup_at_equal_matrix_rate": at_equal_rate,
        }));
        return Ok(Outcome::Done);
    }
    let mib = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    output::line(format_args!(
        "model {} ({mflop:.1} MFLOP a window)",
        model.id.path
    ));
    output::line(format_args!(
        "{ms:.3} ms an entity, {:.0} entities/s ({} entities of {steps} steps, {} threads): {:.3} ms contexts, {:.3} ms model",
        1e3 / ms,
        args.entities,
        args.threads,
        measured.context_ms,
        measured.model_ms
    ));
    output::line(format_args!(
        "resident {:.0} MiB (highest {:.0}): {:.0} before the windows, {:.0} for them",
        mib(rss),
        mib(peak),
        mib(before),
        mib(filled.saturating_sub(before))
    ));
    output::line(format_args!(
        "sgemm in the same run: {:.0} GFLOP/s with 1 thread, {:.0} with 2",
        machine.sgemm_gflops_1_thread, machine.sgemm_gflops_2_threads
    ));
    output::line(format_args!(
        "pytorch-forecasting: {PEER_MS_PER_ENTITY} ms an entity at {PEER_SGEMM_GFLOPS} GFLOP/s for {PEER_MFLOP_PER_WINDOW} MFLOP a window: {speedup:.1} times as long, {at_equal_rate:.1} at equal matrix rate"
    ));
    Ok(Outcome::Done)
}

fn measure(model: &LoadedModel, windows: &[(EntityName, Window)]) -> anyhow::Result<Measured> {
    let batch_entities = LoopConfig::new(STEP_SECS).batch_entities;
    let mut rounds = Vec::with_capacity(ROUNDS);
    for round in 0..=ROUNDS {
        let (mut context_secs, mut model_secs) = (0.0, 0.0);
        for batch in windows.chunks(batch_entities) {
            let started = Instant::now();
            let due: Vec<(&(EntityName, Window), i64)> = (batch.iter())
                .filter_map(|entity| Some((entity, entity.1.newest_bin()?)))
                .collect();
            let known = known(&model.model, &due, |(_, window), bin, steps| {
                window.context(bin, steps)
            });
            let inputs: Vec<Input<'_>> = (known.iter())
                .map(|known| {
                    let (name, _) = known.entity;
                    Input::new(name, "web_api", &known.context, known.usual.as_ref())
                })
                .collect();
            context_secs += started.elapsed().as_secs_f64();
            let started = Instant::now();
            black_box(predict(&model.model, &model.id, STEP_SECS, 0, &inputs)?);
            model_secs += started.elapsed().as_secs_f64();
        }
        // The first round finds cold caches and makes the workers' memory.
        if round > 0 {
            let each = 1e3 / windows.len() as f64;
            rounds.push((context_secs * each, model_secs * each));
        }
    }
    rounds.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
    let (context_ms, model_ms) = rounds[rounds.len() / 2];
    Ok(Measured {
        context_ms,
        model_ms,
    })
}

/// A full window for each entity.
fn windows(args: &ForecastBenchArgs, schema: &Schema) -> Vec<(EntityName, Window)> {
    let steps = if args.full_windows {
        FULL_WINDOW_STEPS
    } else {
        CONTEXT_STEPS
    };
    let bar = output::progress(u64::from(args.entities), "windows");
    let filled = (0..args.entities).filter_map(|entity| {
        bar.inc(1);
        let name = EntityName::new(&format!("bench-{entity:05}")).ok()?;
        let mut window = Window::new(WindowConfig {
            metrics: schema.metrics.len(),
            step_ms: i64::from(STEP_SECS) * 1000,
            window_steps: steps,
            exact_bins: StoreConfig::new("").exact_bins,
            max_records_per_bin: u32::MAX,
            keeps_rows: false,
        });
        for step in 0..steps {
            // A fresh window takes rising times without refusal.
            let _ = window.push(&record(&name, schema, entity, step));
        }
        Some((name, window))
    });
    let filled = filled.collect();
    bar.finish_and_clear();
    filled
}

fn record(name: &EntityName, schema: &Schema, entity: u32, step: u32) -> Record {
    Record {
        entity: name.clone(),
        time_ms: (i64::from(step) + 6_000_000) * i64::from(STEP_SECS) * 1000,
        status: 3,
        profile: None,
        cores: Some(8.0),
        values: plausible_values(schema, entity, step),
    }
}

/// Daily waves of each metric, shifted from entity to entity, with a little jitter.
pub(super) fn plausible_values(schema: &Schema, entity: u32, step: u32) -> Box<[f32]> {
    let wave = |metric: usize| {
        let phase = f64::from(step) / 288.0 + f64::from(entity) * 0.07 + metric as f64 * 0.13;
        let jitter = f64::from((step * 7919 + entity * 104_729 + metric as u32 * 31) % 97) / 97.0;
        let value = 40.0 + 25.0 * (std::f64::consts::TAU * phase).sin() + 5.0 * jitter;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a measured value has single precision"
        )]
        let value = value as f32;
        value
    };
    (0..schema.metrics.len()).map(wave).collect()
}
