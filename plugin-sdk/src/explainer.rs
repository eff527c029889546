//! Plugins of the kind `explainer`.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;
use crate::pair::value_of;

pub use crate::bindings::explainer::exports::argus::plugin::explanations::{
    Driver, Explanation, Subject,
};

/// Says why a forecast is what it is, by consulting the model. Turn an implementation into a component with
/// [`explainer!`](macro@crate::explainer).
pub trait Explainer: Sized {
    /// The `[plugins.NAME.config]` table.
    type Config: DeserializeOwned;

    /// Called before every other function, because every call gets a fresh instance: validate settings, keep them, do
    /// no work.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Called before the plugin is put to use, and when an operator asks.
    fn check(&self, host: &Host) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }

    /// Explains a subject: open its [window](Host::window), run the model on variants of it. Errors of the model may be
    /// handed on.
    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error>;
}

impl Subject {
    /// A wish of the caller, by name.
    pub fn option(&self, name: &str) -> Option<&str> {
        value_of(&self.options, name)
    }
}

/// Makes a component of an [`Explainer`](trait@crate::Explainer): `argus_plugin::explainer!(Shap);`, once per crate, at its root. Manifest
/// and `config_schema` as in [`sink!`](macro@crate::sink).
#[macro_export]
macro_rules! explainer {
    ($plugin:ty $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::__component!("explainer", Explainer, explainer, export_explainer, $plugin $(, $schema)?);
    };
}
