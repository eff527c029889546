//! `argus serve`: opens everything in order, lets it run, and closes it in the opposite order.

pub mod connectors;
mod control;
mod demo;
mod drivers;
mod explain;
pub mod messages;
pub mod models;
mod observe;
mod plugin_services;
mod plugin_set;
pub mod plugins;
mod polling;
pub mod settings;
mod sources;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use argus_alerts::{Alerts, Delivery};
use argus_api::ApiContext;
use argus_api::auth::{KeyStore, check_bind};
use argus_config::Config;
use argus_explain::{Engine, EngineParts};
use argus_fleet::Fleet;
use argus_forecast::{ForecastHandle, ForecastLoop, LoopConfig, LoopParts, ModelSlot};
use argus_ingest::remote_write::RemoteWrite;
use argus_plugin_host::services::Services;
use argus_plugin_host::{CompilerCommand, HostConfig, PluginHost};
use argus_schema::{Limits, RecordParser, Schema};
use argus_sources::{Intake, Sources};
use argus_store::{Clock, Store, SystemClock};
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{COMPILE_VERB, ServeArgs};
use crate::exit::Outcome;
use crate::output;
use control::DaemonControl;
use demo::Demo;
use drivers::Drivers;
use explain::Explainers;
use models::Models;
use plugin_set::PluginSet;
use settings::data_dir;

/// Runs the daemon until SIGTERM or SIGINT.
pub fn run(args: &ServeArgs) -> anyhow::Result<Outcome> {
    let config = configuration(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("argus")
        .build()?;
    let outcome = runtime.block_on(serve(args, config));
    // Plugins and blocking reads that ignore the drain deadline must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

fn configuration(args: &ServeArgs) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        // The report form shows file, line, column and the offending text.
        Some(file) => Config::load(file).map_err(|error| {
            anyhow!(
                "the configuration is not usable\n{}",
                error.drawing(output::is_terminal())
            )
        })?,
        None => Config::default(),
    };
    if let Some(listen) = args.listen {
        config.server.listen = listen;
    }
    if let Some(dir) = &args.data_dir {
        config.storage.data_dir = Some(std::path::absolute(dir)?);
    }
    Ok(config)
}

async fn serve(args: &ServeArgs, mut config: Config) -> anyhow::Result<Outcome> {
    let data_dir = data_dir(&config);
    std::fs::create_dir_all(&data_dir)
        .with_context(|| format!("make data directory {}", data_dir.display()))?;
    let keys = Arc::new(KeyStore::open(&data_dir)?);
    check_bind(config.server.listen, &keys)?;
    let listener = tokio::net::TcpListener::bind(config.server.listen)
        .await
        .map_err(|error| {
            let listen = config.server.listen;
            anyhow!("cannot listen on {listen}: {error}; choose another address with --listen")
        })?;
    config.server.listen = listener.local_addr()?;

    let schema = Schema::server();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let stop = CancellationToken::new();
    let (store, recovery) = Store::open(
        settings::store(&config, &data_dir),
        Arc::clone(&schema),
        Arc::clone(&clock),
    )?;
    for message in &recovery.messages {
        tracing::warn!(%message, "recovery");
    }
    tracing::info!(
        entities = recovery.entities,
        records = recovery.replayed_records,
        "store recovered"
    );
    let (routing, templates) = (messages::routing(&config)?, messages::templates(&config)?);
    let alerts = Alerts::open(&data_dir.join("alerts.sqlite"), settings::alerts(&config))?;

    let lookup = settings::lookup(&args.model, &config, &data_dir);
    let models = Arc::new(ModelSlot::new(
        Arc::clone(&schema),
        settings::device(&config),
    ));
    models.load_first(&lookup.choose());
    let fleet = Arc::new(ArcSwap::from_pointee(Fleet {
        step_secs: config.step.step_secs,
        ..Fleet::default()
    }));
    // Its thread ends with the last plugin that holds it.
    let (engine, _) = Engine::spawn(EngineParts {
        store: Arc::clone(&store),
        schema: Arc::clone(&schema),
        models: Arc::clone(&models),
        fleet: Arc::clone(&fleet),
        thresholds: Arc::new(settings::thresholds(&config)),
    })
    .context("start the thread for explanations")?;

    let mut services = plugin_services::services(&store, &schema, &alerts, config.step.step_secs);
    services.model = Some(Arc::new(engine.clone()));
    let connectors = connectors::open(&config).await;
    services.connectors = connectors.clone();
    let host = plugin_host(&data_dir, services)?;
    let plugins = Arc::new(PluginSet::load(&config, &host).await);
    let explainers = Arc::new(Explainers {
        plugins: Arc::clone(&plugins),
        engine,
        fleet: Arc::clone(&fleet),
        models: Arc::clone(&models),
        schema: Arc::clone(&schema),
        kept: Mutex::default(),
    });
    let drivers = Drivers::spawn(Arc::clone(&explainers), Arc::clone(&clock), &stop);
    let now = Arc::clone(&clock);
    alerts.set_routing(routing);
    let delivery = Delivery::spawn(
        Arc::clone(&alerts),
        drivers::driven(
            messages::worded(plugins.sinks(&config), &templates),
            &drivers,
        ),
        settings::delivery(&config),
        Arc::new(move || now.now_ms()),
        stop.clone(),
    );

    let (forecasts, forecast_thread) = start_forecasts(
        &config, &schema, &store, &clock, &alerts, &models, &fleet, &drivers,
    )?;

    let remote_write = Arc::new(RemoteWrite::new(
        Arc::clone(&schema),
        settings::remote_write(&config),
    ));
    let self_source = start_self_source(&config, &schema, &store, &clock, &stop);
    let demo = Demo::new(&config.demo, &schema)?;
    let demo_feed = demo
        .clone()
        .map(|demo| tokio::spawn(demo.run(Arc::clone(&store), Arc::clone(&clock), stop.clone())));
    let parser = Arc::new(RecordParser::new(
        Arc::clone(&schema),
        settings::mapping(&config),
        Limits::default(),
    ));
    let intake = Intake {
        store: Arc::clone(&store),
        parser: Arc::clone(&parser),
        clock: Arc::clone(&clock),
    };
    let sources = polling::sources(&plugins, &config);
    let sources = Arc::new(Sources::spawn(sources, &intake, rand::random(), &stop));
    let stopping = Arc::new(AtomicBool::new(false));
    let models = Arc::new(Models::new(models, lookup, &data_dir));
    tokio::spawn(Arc::clone(&models).watch(stop.clone()));
    let control = DaemonControl {
        models,
        store: Arc::clone(&store),
        forecasts: forecasts.clone(),
        plugins,
        sources: Arc::clone(&sources),
        connectors: connectors.clone(),
        demo,
        explainers,
        drivers,
        recovery: Arc::new(recovery),
        stopping: Arc::clone(&stopping),
        clock: Arc::clone(&clock),
    };
    let context = ApiContext {
        parser,
        schema,
        fleet,
        tick: forecasts.tick(),
        store: Arc::clone(&store),
        alerts,
        remote_write,
        keys,
        control: Arc::new(control),
        clock,
        config: config.server.clone(),
    };
    let mut api = tokio::spawn(argus_api::serve(context, listener, stop.clone()));
    announce(&config);

    let outcome = tokio::select! {
        signal = wait_for_signal() => signal.map(|()| Outcome::Done),
        _ = &mut api => Err(anyhow!("the API ended; the log says why")),
        () = forecasts.ended() => Err(anyhow!("the forecast loop ended; the log says why")),
    };
    tracing::info!("stopping: running requests end, then everything is written down");
    stopping.store(true, Ordering::Relaxed);
    stop.cancel();
    let served = async {
        if !api.is_finished() {
            // It keeps the drain deadline itself, and then stores what it has acknowledged, for which the store must be
            // open. An API that panicked has been reported by its runtime.
            let _ = api.await;
        }
    };
    let others = async {
        self_source.await;
        if let Some(feed) = demo_feed {
            let _ = feed.await;
        }
        sources.join().await;
        delivery.join().await;
        connectors::close(&connectors).await;
    };
    let ((), drained) = tokio::join!(
        served,
        tokio::time::timeout(settings::drain(&config), others)
    );
    if drained.is_err() {
        tracing::warn!("the drain deadline passed; what was still running is dropped");
    }
    forecasts.stop().await;
    let closed = tokio::task::spawn_blocking(move || {
        // The loop's last run must be over before the store closes under it.
        let _ = forecast_thread.join();
        store.close()
    });
    closed.await?;
    outcome
}

fn announce(config: &Config) {
    let step = if config.step.step_secs == 300 {
        String::new()
    } else {
        format!(" (a step is {} s, not 5 minutes)", config.step.step_secs)
    };
    output::line(format_args!(
        "Argus is at http://{}{step}",
        config.server.listen
    ));
}

#[expect(
    clippy::too_many_arguments,
    reason = "each is a part of the daemon that the loop is given"
)]
fn start_forecasts(
    config: &Config,
    schema: &Arc<Schema>,
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
    alerts: &Arc<Alerts>,
    models: &Arc<ModelSlot>,
    fleet: &Arc<ArcSwap<Fleet>>,
    drivers: &Drivers,
) -> anyhow::Result<(ForecastHandle, std::thread::JoinHandle<()>)> {
    let thresholds = settings::thresholds(config);
    thresholds.check(schema)?;
    let observer = observe::AlertObserver::new(
        Arc::clone(alerts),
        Arc::clone(store),
        Arc::clone(schema),
        Arc::clone(clock),
        drivers.clone(),
    );
    let parts = LoopParts {
        store: Arc::clone(store),
        schema: Arc::clone(schema),
        profiles: settings::profiles(config),
        models: Arc::clone(models),
        clock: Arc::clone(clock),
        thresholds,
        observer: Box::new(observer),
    };
    ForecastLoop::spawn(
        LoopConfig::new(config.step.step_secs),
        parts,
        Arc::clone(fleet),
    )
    .context("start the forecasts")
}

fn start_self_source(
    config: &Config,
    schema: &Arc<Schema>,
    store: &Arc<Store>,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let host = config.self_source.enabled.then(|| {
        tokio::spawn(sources::self_source(
            config.self_source.clone(),
            Arc::clone(schema),
            Arc::clone(store),
            Arc::clone(clock),
            stop.clone(),
        ))
    });
    async move {
        // If it panicked, that is in the log; there is nothing left to wait for.
        if let Some(host) = host {
            let _ = host.await;
        }
    }
}

/// How often plugins' files are looked at for changes.
const WATCH_PLUGINS_EVERY: Duration = Duration::from_secs(1);

fn plugin_host(data_dir: &Path, services: Services) -> anyhow::Result<Arc<PluginHost>> {
    Ok(PluginHost::new(HostConfig {
        cache_dir: Some(data_dir.join("plugin-cache")),
        state_dir: Some(data_dir.join("plugin-state")),
        compiler: Some(CompilerCommand {
            // Itself, even where its file was replaced by another version meanwhile.
            program: "/proc/self/exe".into(),
            arguments: vec![COMPILE_VERB.to_owned()],
        }),
        watch_every: Some(WATCH_PLUGINS_EVERY),
        services,
        ..HostConfig::default()
    })?)
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
