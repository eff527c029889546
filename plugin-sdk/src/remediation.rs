//! Plugins of the kind `remediation`.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;
use crate::incidents::Incident;

pub use crate::bindings::remediation::exports::argus::plugin::repair::{
    Approval, Finding, Progress, Proposal,
};

/// Proposes a repair and, once the host allows it, performs it. Turn an implementation into a component with
/// [`remediation!`](macro@crate::remediation).
///
/// The host decides, by the operator's policy, on what the proposal says. Perform nothing else than what was approved.
pub trait Remediation: Sized {
    /// The `[plugins.NAME.config]` table.
    type Config: DeserializeOwned;

    /// Called before every other function, because every call gets a fresh instance: validate settings, keep them, do
    /// no work.
    fn new(config: Self::Config) -> Result<Self, Error>;

    /// Is the configuration valid, and does the far side let the plugin in? Changes nothing.
    fn check(&self, host: &Host) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }

    /// What could be done about the incident. Changes nothing. Error `no_proposal` where there is nothing to do.
    fn plan(&self, host: &Host, incident: &Incident, finding: &Finding) -> Result<Proposal, Error>;

    /// Does what was approved, or goes on with it: called again with the same key where an outcome was not learnt.
    fn apply(
        &self,
        host: &Host,
        incident: &Incident,
        proposal: &Proposal,
        approval: &Approval,
    ) -> Result<Progress, Error>;

    /// Where the repair stands now. `reference` is that of an earlier [`Progress`].
    fn status(&self, host: &Host, reference: &str) -> Result<Progress, Error>;

    /// Proposes to undo a repair that did not help, as [`plan`](Remediation::plan) does. Changes nothing.
    fn undo(&self, host: &Host, incident: &Incident, reference: &str) -> Result<Proposal, Error> {
        let _ = (host, incident, reference);
        Err(Error::new("no_proposal", "this plugin cannot undo"))
    }
}

/// Makes a component of a [`Remediation`](trait@crate::Remediation): `argus_plugin::remediation!(Restart);`, once per crate, at its root.
/// Manifest and `config_schema` as in [`sink!`](macro@crate::sink).
#[macro_export]
macro_rules! remediation {
    ($plugin:ty $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::__component!("remediation", Remediation, remediation, export_remediation, $plugin $(, $schema)?);
    };
}
