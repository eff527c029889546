//! `WS /ws/predictions` and `/ws`: the newest state pushed.
//!
//! A client gets `{"type":"connected"}`, then a `prediction_update` per published state and an `alert` per change. It
//! may send `{"type":"filter", …}` with the members of `/predictions/current`'s query. Nothing is queued for a client:
//! while it is busy taking one message, states pass by, and the next message is the newest one. A client that takes one
//! message longer than [`SEND_TIMEOUT`] is dropped and counted.

use std::collections::HashMap;
use std::time::Duration;

use argus_alerts::{Alert, AlertId, AlertState};
use argus_fleet::Level;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::alerts::object;
use crate::context::Shared;
use crate::predictions::{Query, Selection, document};
use crate::problem::{Answer, Problem, rfc3339};

const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(30);
/// A client that did not answer two pings is gone.
const SILENT_AFTER: Duration = Duration::from_secs(75);
/// While records pour in, the state is published several times a second; people cannot read that fast.
const PAUSE_BETWEEN_UPDATES: Duration = Duration::from_secs(1);
const MAX_CLIENT_MESSAGE_BYTES: usize = 64 * 1024;

/// Upgrades to a WebSocket.
#[utoipa::path(get, path = "/ws/predictions", tag = "predictions", security(("key" = ["read"])), responses(
    (status = 101, description = "JSON messages `connected`, `prediction_update`, `alert`, `filter_set`, `error`"),
    (status = 503, description = "too many clients", body = crate::shapes::ProblemDocument)))]
pub(crate) async fn connect(
    State(api): State<Shared>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer<Response> {
    let upgrade = upgrade
        .map_err(|error| Problem::new(error.status(), "not_a_websocket", error.body_text()))?;
    let place = api.websockets.clone().try_acquire_owned().map_err(|_| {
        let most = api.context.config.max_websockets;
        Problem::unavailable(
            "too_many_websockets",
            format!("{most} clients are connected, which is the most"),
        )
        .retry_after_secs(30)
    })?;
    Ok(upgrade
        .max_message_size(MAX_CLIENT_MESSAGE_BYTES)
        .on_upgrade(move |socket| async move {
            api.metrics.websocket_clients.inc();
            if let Err(Gone::Slow) = Client::new(api.clone(), socket).run().await {
                api.metrics.websocket_dropped.inc();
            }
            api.metrics.websocket_clients.dec();
            drop(place);
        }))
}

/// Why a client is no longer served.
enum Gone {
    Left,
    Slow,
}

struct Client {
    api: Shared,
    socket: WebSocket,
    selection: Selection,
    /// Alerts it was told of.
    told: HashMap<AlertId, Told>,
    heard: Instant,
}

/// What changes about an alert are worth a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    state: AlertState,
    severity: Level,
    is_acknowledged: bool,
}

impl Told {
    fn of(alert: &Alert) -> Self {
        Self {
            state: alert.state,
            severity: alert.severity,
            is_acknowledged: alert.acknowledged.is_some(),
        }
    }
}

/// A message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Request {
    /// Narrows the updates from now on; an empty one widens them again.
    Filter(Query),
    /// Keeps the connection busy.
    Ping,
}

impl Client {
    fn new(api: Shared, socket: WebSocket) -> Self {
        let told = firing(&api.context.alerts.active())
            .map(|alert| (alert.id, Told::of(alert)))
            .collect();
        Self {
            api,
            socket,
            selection: Selection::default(),
            told,
            heard: Instant::now(),
        }
    }

    async fn run(mut self) -> Result<(), Gone> {
        let mut tick = self.api.context.tick.clone();
        let mut alerts = self.api.context.alerts.changed();
        let shutdown = self.api.shutdown.clone();
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_update = Instant::now();
        // The state there is comes first; a new client does not wait for the next step.
        tick.mark_changed();
        self.send_json(&json!({
            "type": "connected",
            "message": "Connected to Argus predictions",
            "timestamp": rfc3339(self.api.now_ms()),
        }))
        .await?;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    let _ = self.send(Message::Close(None)).await;
                    return Ok(());
                }
                received = self.socket.recv() => match received {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone::Left),
                    Some(Ok(message)) => {
                        self.heard = Instant::now();
                        if let Message::Text(text) = message && self.understand(&text).await? {
                            tick.mark_changed();
                            next_update = Instant::now();
                        }
                    }
                },
                _ = ping.tick() => {
                    if self.heard.elapsed() > SILENT_AFTER {
                        return Err(Gone::Slow);
                    }
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
                changed = alerts.changed() => {
                    if changed.is_err() {
                        return Err(Gone::Left);
                    }
                    self.tell_alerts().await?;
                }
                changed = async { tokio::time::sleep_until(next_update).await; tick.changed().await } => {
                    if changed.is_err() {
                        return Err(Gone::Left);
                    }
                    self.update().await?;
                    next_update = Instant::now() + PAUSE_BETWEEN_UPDATES;
                }
            }
        }
    }

    /// Acts on a client's message; says whether the next update should come at once.
    async fn understand(&mut self, text: &str) -> Result<bool, Gone> {
        let filter = match serde_json::from_str(text) {
            Ok(Request::Filter(filter)) => filter,
            Ok(Request::Ping) => {
                self.send_json(&json!({"type": "pong"})).await?;
                return Ok(false);
            }
            // Clients of the older daemon send texts that mean nothing; they are told once each and not dropped.
            Err(error) => {
                self.send_json(
                    &json!({"type": "error", "code": "bad_message", "detail": error.to_string()}),
                )
                .await?;
                return Ok(false);
            }
        };
        match filter.understand(&self.api.context.schema) {
            Ok(selection) => {
                self.selection = selection;
                self.send_json(&json!({"type": "filter_set"})).await?;
                Ok(true)
            }
            Err(problem) => {
                self.send_json(
                    &json!({"type": "error", "code": problem.code(), "detail": problem.detail()}),
                )
                .await?;
                Ok(false)
            }
        }
    }

    async fn update(&mut self) -> Result<(), Gone> {
        let timestamp = rfc3339(self.api.now_ms());
        let fleet = match self.api.predicting_fleet() {
            Ok(fleet) => fleet,
            Err(problem) => {
                let message = json!({
                    "type": "prediction_update", "timestamp": timestamp, "tick": self.api.fleet().tick,
                    "predictions": null, "code": problem.code(), "detail": problem.detail(),
                });
                return self.send_json(&message).await;
            }
        };
        let tick = fleet.tick;
        let (api, selection) = (self.api.clone(), self.selection.clone());
        let text = tokio::task::spawn_blocking(move || {
            let head = format!("{{\"type\":\"prediction_update\",\"timestamp\":{timestamp},\"tick\":{tick},\"predictions\":");
            let chunks = document(&api, &fleet, &selection);
            let mut text = Vec::with_capacity(head.len() + chunks.iter().map(bytes::Bytes::len).sum::<usize>() + 1);
            text.extend_from_slice(head.as_bytes());
            for chunk in chunks {
                text.extend_from_slice(&chunk);
            }
            text.push(b'}');
            Utf8Bytes::try_from(text)
        })
        .await;
        match text {
            Ok(Ok(text)) => self.send(Message::Text(text)).await,
            _ => Err(Gone::Left),
        }
    }

    /// Tells which alerts began, changed or ended since it was last told.
    async fn tell_alerts(&mut self) -> Result<(), Gone> {
        let active = self.api.context.alerts.active();
        let step_secs = self.api.fleet().step_secs;
        let mut messages: Vec<Value> = Vec::new();
        let mut now = HashMap::new();
        for alert in firing(&active) {
            let told = Told::of(alert);
            let change = match self.told.get(&alert.id) {
                None => Some("firing"),
                Some(before) if before.severity != told.severity => Some("severity_changed"),
                Some(before) if before.is_acknowledged != told.is_acknowledged => {
                    Some("acknowledged")
                }
                Some(_) => None,
            };
            if let Some(change) = change {
                messages.push(
                    json!({"type": "alert", "change": change, "alert": object(alert, step_secs)}),
                );
            }
            now.insert(alert.id, told);
        }
        for id in self.told.keys().filter(|id| !now.contains_key(id)) {
            messages.push(json!({"type": "alert", "change": "resolved", "alert": {"id": id, "state": "resolved"}}));
        }
        self.told = now;
        for mut message in messages {
            message["timestamp"] = rfc3339(self.api.now_ms());
            self.send_json(&message).await?;
        }
        Ok(())
    }

    async fn send_json(&mut self, message: &Value) -> Result<(), Gone> {
        self.send(Message::Text(message.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => {
                self.api.metrics.websocket_message();
                Ok(())
            }
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Slow),
        }
    }
}

fn firing(alerts: &[Alert]) -> impl Iterator<Item = &Alert> {
    alerts
        .iter()
        .filter(|alert| alert.state == AlertState::Firing)
}
