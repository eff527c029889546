//! Plugins of the kind `sink`.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;
use crate::notification::Notification;

/// Carries notifications somewhere else. Turn an implementation into a component with [`sink!`](crate::sink).
pub trait Sink: Sized {
    /// The `[plugins.NAME.config]` table. Derive `Deserialize`, with `#[serde(deny_unknown_fields)]` so that a
    /// misspelt setting is an error instead of ignored.
    type Config: DeserializeOwned;

    /// Called before every [`check`](Sink::check) and [`deliver`](Sink::deliver), because every call gets a fresh
    /// instance: validate settings, keep them, do no work.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Called before the plugin is put to use, and when an operator asks. Settings were accepted by
    /// [`new`](Sink::new) already; look further only if that sends nothing people would see.
    fn check(&self, host: &Host) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }

    /// Carries one notification. Called again with the same `idempotency_key` where the outcome of an attempt was
    /// never learnt: pass the key on wherever the far side understands one. A retryable error makes the host try
    /// again later; any other gives this notification up.
    fn deliver(
        &self,
        host: &Host,
        notification: &Notification,
        idempotency_key: &str,
    ) -> Result<Receipt, Error>;
}

/// The far side took the notification.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the far side calls it, where it said so: a message id, a ticket number.
    pub remote_id: Option<String>,
    /// A remark for the delivery's history.
    pub message: Option<String>,
}

/// Makes a component of a [`Sink`](trait@crate::Sink): `argus_plugin::sink!(Slack);`, once per crate, at its root.
///
/// The crate's name, version and description become the plugin's manifest, which travels inside the component. A JSON
/// Schema of the settings can go with it: `sink!(Slack, config_schema = include_str!("../config.schema.json"));`.
#[macro_export]
macro_rules! sink {
    ($plugin:ty $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::__component!("sink", Sink, sink, export_sink, $plugin $(, $schema)?);
    };
}
