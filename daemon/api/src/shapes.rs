//! Shapes of answers that are written by hand, for the OpenAPI document; a test compares them with real answers.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// An RFC 9457 problem document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument {
    /// `urn:argus:problem:` and the code.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status code.
    status: u16,
    /// Stable word for the cause.
    code: String,
    /// A sentence that says what is wrong and what to do.
    detail: String,
}

/// Answer of `/predictions/current`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CurrentPredictions {
    /// By server name.
    predictions: BTreeMap<String, ServerPrediction>,
    /// What the newest forecasts expect, one entry per server and metric, worst and soonest first.
    alerts: Vec<ExpectedAlert>,
    /// Odds of the whole fleet; filters do not apply.
    environment: Environment,
    /// Which model spoke.
    metadata: Metadata,
    /// Counts of the whole fleet; filters do not apply.
    summary: Summary,
    /// Time of the newest record.
    as_of: Option<String>,
    /// Time of this answer.
    timestamp: String,
}

/// One server. Beside the members listed here it has one per metric of the schema.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerPrediction {
    /// Time of its newest record.
    as_of: String,
    /// Seconds since then.
    stale_secs: i64,
    /// Whether it missed three steps.
    stale: bool,
    /// Its full name, the key.
    server_name: String,
    /// A label of six digits; may collide.
    server_id: String,
    /// Profile id.
    profile: String,
    /// Profile as people see it.
    profile_label: String,
    /// Number of cores.
    cores: Option<f32>,
    /// `warming_up`, `pending` or `ready`.
    forecast_state: String,
    /// Closed steps with data in the context window.
    closed_steps: u32,
    /// Closed steps of context the model was given.
    context_steps: Option<u32>,
    /// Start of the newest step the model saw.
    forecast_origin: Option<String>,
    /// When the forecast was made.
    forecast_time: Option<String>,
    /// By name of the metric.
    #[serde(flatten)]
    metrics: BTreeMap<String, MetricPrediction>,
    /// 0 to 100: probability of a critical breach within the horizon, at least 80 while in breach.
    risk_score: Option<f64>,
    /// The same without the floor.
    risk_unclamped: Option<f64>,
    /// The same within 30 minutes.
    risk_30m: Option<f64>,
    /// Probability of a critical breach within 30 minutes.
    prob_30m: Option<f64>,
    /// Probability of a critical breach within the horizon.
    prob_8h: Option<f64>,
    /// Whether a critical threshold is passed now.
    in_breach: Option<bool>,
    /// `identity` or `isotonic`.
    calibration: Option<String>,
    /// Level as people see it.
    alert: Option<Badge>,
    /// `cpu memory iowait swap load disk net_in net_out`.
    display_metrics: BTreeMap<String, Figure>,
    /// Conditions expected or present, most probable first.
    breaches: Vec<Breach>,
    /// Which model spoke; at `/predictions/{server}` only.
    metadata: Option<Metadata>,
}

/// One metric of one server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MetricPrediction {
    /// Median per step ahead; null without a forecast.
    p50: Option<Vec<f32>>,
    /// Lower decile.
    p10: Option<Vec<f32>>,
    /// Upper decile.
    p90: Option<Vec<f32>>,
    /// Newest observation.
    current: Option<f32>,
    /// Slope of the median per step.
    trend: Option<f32>,
}

/// Level of a server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Badge {
    /// `critical`, `warning`, `degraded` or `healthy`.
    level: String,
    /// The risk score.
    score: f64,
    /// `#RRGGBB`.
    color: String,
    /// A coloured circle.
    emoji: String,
    /// The level in words.
    label: String,
}

/// A figure people look at first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Figure {
    /// Now.
    current: Option<f64>,
    /// Mean of the median over the first six steps.
    predicted: Option<f64>,
    /// Their difference.
    delta: Option<f64>,
    /// Unit.
    unit: String,
    /// `increasing`, `decreasing` or `stable`.
    trend: Option<String>,
}

/// One threshold expected to be passed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Breach {
    /// Metric.
    metric: String,
    /// Its unit.
    unit: String,
    /// Whether it is derived from other metrics.
    derived: bool,
    /// `warning` or `critical`.
    severity: String,
    /// The threshold.
    threshold: f64,
    /// `above` or `below`: where trouble lies.
    side: String,
    /// Newest observation.
    current: Option<f64>,
    /// Probability within the horizon.
    probability: f64,
    /// Probability within 30 minutes.
    probability_30m: f64,
    /// Whether it is passed now.
    now: bool,
    /// Step at which the median passes it.
    expected_step: Option<u32>,
    /// Step at which the pessimistic decile passes it.
    earliest_step: Option<u32>,
    /// Step at which the optimistic decile passes it.
    latest_step: Option<u32>,
    /// Most extreme value of the median.
    peak_median: f64,
    /// Time of `expected_step`.
    expected_at: Option<String>,
    /// Time of `earliest_step`.
    earliest_at: Option<String>,
    /// Time of `latest_step`.
    latest_at: Option<String>,
    /// `expected_step` in minutes.
    minutes_ahead: Option<f64>,
}

/// What the newest forecast of a server expects.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExpectedAlert {
    /// Server.
    server: String,
    /// The same.
    server_name: String,
    /// Metric.
    metric: String,
    /// `warning` or `critical`.
    severity: String,
    /// Most extreme value of the median.
    predicted_value: f64,
    /// Newest observation.
    current: Option<f64>,
    /// The threshold.
    threshold: f64,
    /// Probability within the horizon.
    probability: f64,
    /// Whether it is passed now.
    in_breach: bool,
    /// First step at which the median passes it; 0 while it is passed.
    steps_ahead: u32,
    /// The same in minutes.
    minutes_ahead: f64,
    /// The same as a time.
    expected_at: String,
    /// A sentence.
    message: String,
}

/// Odds of the whole fleet; null while nothing is assessed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Environment {
    /// Expected share of the fleet with an incident within 30 minutes.
    prob_30m: Option<f64>,
    /// The same within the horizon.
    prob_8h: Option<f64>,
    /// Older name of `prob_30m`.
    incident_probability_30m: Option<f64>,
    /// Older name of `prob_8h`.
    incident_probability_8h: Option<f64>,
    /// Probability of at least one incident within 30 minutes, were servers independent.
    prob_any_30m: Option<f64>,
    /// The same within the horizon.
    prob_any_8h: Option<f64>,
    /// Servers more likely than not to have an incident within 30 minutes.
    high_risk_servers: usize,
    /// Servers known.
    total_servers: usize,
    /// Servers with a forecast.
    assessed_servers: usize,
    /// `healthy`, `warning`, `critical` or `unknown`.
    fleet_health: String,
}

/// Which model spoke.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Metadata {
    /// Always `TFT`: nothing else makes predictions.
    model_type: String,
    /// Where the model was loaded from.
    model_dir: Option<String>,
    /// Its name.
    model_name: Option<String>,
    /// SHA-256 of its weights.
    weights_sha256: Option<String>,
    /// When the state was published.
    prediction_time: String,
    /// Steps ahead.
    horizon_steps: Option<u32>,
    /// Length of a step.
    step_secs: u32,
    /// Levels of `p10 p50 p90`.
    quantiles: Vec<f64>,
    /// Closed steps with data, all servers.
    input_points: u64,
    /// `cpu` or `cuda:0`.
    device: Option<String>,
    /// Number of the published state.
    tick: u64,
    /// How long the newest run of the model took.
    forecast_ms: f64,
    /// `cursor` of the next page, if `limit` cut this one.
    next_cursor: Option<String>,
}

/// Counts of the whole fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// Servers known.
    total_servers: usize,
    /// Score 80 and more.
    critical_count: usize,
    /// 60 to 79.
    warning_count: usize,
    /// 50 to 59.
    degrading_count: usize,
    /// The same.
    degraded_count: usize,
    /// Below 50.
    healthy_count: usize,
    /// Too little data yet.
    warming_up_count: usize,
    /// First forecast still to come.
    pending_count: usize,
    /// Mean score.
    avg_risk_score: Option<f64>,
    /// Greatest score.
    max_risk_score: Option<f64>,
    /// Names of the worst five.
    top_5_risks: Vec<String>,
    /// Names of the worst ten.
    top_10_risks: Vec<String>,
    /// Names of the worst twenty.
    top_20_risks: Vec<String>,
    /// When this was computed.
    risk_calculation_time: String,
}

/// Answer of `/alerts/active`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveAlerts {
    /// Time of this answer.
    timestamp: String,
    /// Number of alerts.
    count: usize,
    /// The alerts.
    alerts: Vec<ActiveAlert>,
}

/// An alert of the state machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveAlert {
    /// Server.
    server: String,
    /// The same.
    server_name: String,
    /// Metric.
    metric: String,
    /// `warning` or `critical`.
    severity: String,
    /// The same.
    level: String,
    /// Most extreme value of the median.
    predicted_value: Option<f64>,
    /// Newest observation.
    current: Option<f64>,
    /// Unit of both.
    unit: String,
    /// The threshold.
    threshold: f64,
    /// Whether values below it are the bad ones.
    below: bool,
    /// Steps until the median passes it.
    steps_ahead: Option<f64>,
    /// The same in minutes.
    minutes_ahead: Option<f64>,
    /// A sentence.
    message: String,
    /// Number of the alert.
    id: i64,
    /// Stable over all alerts about this server and metric.
    fingerprint: String,
    /// `pending` or `firing`.
    state: String,
    /// Profile id.
    profile: String,
    /// Probability within the horizon.
    probability: f64,
    /// Probability within 30 minutes.
    probability_30m: f64,
    /// Whether the threshold is passed now.
    in_breach: bool,
    /// Whether the numbers are derived from other metrics.
    derived: bool,
    /// When the median passes the threshold.
    expected_at: Option<String>,
    /// Risk score of the server.
    risk_score: f64,
    /// What drives the risk, largest first, at most three; null while no explainer has told.
    drivers: Option<Vec<crate::control::DriverReport>>,
    /// The highest severity it has fired with.
    peak_severity: String,
    /// First strike.
    pending_since: String,
    /// When it fired.
    started_at: Option<String>,
    /// Last change.
    updated_at: String,
    /// When it ended.
    resolved_at: Option<String>,
    /// Who has seen it.
    acknowledged: Option<SeenBy>,
    /// How often it fired and resolved shortly before.
    flaps: u32,
}

/// Who has seen an alert.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenBy {
    /// Who.
    who: String,
    /// When.
    at: String,
    /// What they said.
    note: Option<String>,
}

/// Answer of `/servers`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Servers {
    /// Number of servers.
    count: usize,
    /// The servers, by name.
    servers: Vec<Server>,
}

/// A known server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Server {
    /// Its full name, the key.
    server_name: String,
    /// A label of six digits; may collide.
    server_id: String,
    /// Profile id.
    profile: String,
    /// Profile as people see it.
    profile_label: String,
    /// Number of cores.
    cores: Option<f32>,
    /// Status its newest record gave.
    status: Option<String>,
    /// Time of its newest record.
    last_seen: String,
    /// Seconds since then.
    stale_secs: i64,
    /// Whether it missed three steps.
    stale: bool,
    /// Records accepted.
    records: u64,
    /// Closed steps with data in the context window.
    closed_steps: u32,
    /// `warming_up`, `pending` or `ready`.
    forecast_state: String,
    /// Its risk score.
    risk_score: Option<f64>,
}

/// Answer of a plugin's reload.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginReloadedAnswer {
    /// Always true; a refusal is a problem document.
    success: bool,
    /// Its name in the configuration.
    plugin: String,
    /// What ran before; null where nothing did.
    previous: Option<crate::control::PluginVersion>,
    /// What runs now.
    current: crate::control::PluginVersion,
}

/// Answer of `/plugins`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Plugins {
    /// Number of plugins.
    count: usize,
    /// The plugins.
    plugins: Vec<crate::control::PluginReport>,
    /// Queues of the sinks among them.
    #[schema(value_type = Vec<Object>)]
    sinks: Vec<serde_json::Value>,
}
