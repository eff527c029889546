//! Remediations: they propose a repair and perform what the host allows.
//!
//! The records are the WIT package's own, see [`crate::repair`].

use wasmtime::Store;

use super::disarm::disarmed;
use super::{Exports, Outcome, Task, not_this_kind};
use crate::bindings::argus::plugin::incidents::Incident;
use crate::bindings::remediation::exports::argus::plugin::repair::{
    Approval, Finding, Progress, Proposal,
};
use crate::call::CallState;
use crate::errors::PluginError;
use crate::plugin::Plugin;

impl Plugin {
    /// Asks what could be done about an incident. Changes nothing. Only for remediations, as the next three.
    pub async fn plan(
        &self,
        incident: Incident,
        finding: Finding,
    ) -> Result<Proposal, PluginError> {
        self.call(Plan(disarmed(incident), disarmed(finding))).await
    }

    /// Does what was approved.
    pub async fn apply(
        &self,
        incident: Incident,
        proposal: Proposal,
        approval: Approval,
    ) -> Result<Progress, PluginError> {
        let task = Apply(disarmed(incident), disarmed(proposal), disarmed(approval));
        self.call(task).await
    }

    /// Asks where a repair stands.
    pub async fn repair_status(&self, reference: String) -> Result<Progress, PluginError> {
        self.call(Status(disarmed(reference))).await
    }

    /// Asks how to undo a repair. Changes nothing.
    pub async fn undo(
        &self,
        incident: Incident,
        reference: String,
    ) -> Result<Proposal, PluginError> {
        self.call(Undo(disarmed(incident), disarmed(reference)))
            .await
    }
}

struct Plan(Incident, Finding);
struct Apply(Incident, Proposal, Approval);
struct Status(String);
struct Undo(Incident, String);

impl Task for Plan {
    type Answer = Proposal;

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<Proposal> {
        let Exports::Remediation(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let repair = instance.argus_plugin_repair();
        repair.call_plan(store, &self.0, &self.1).await
    }
}

impl Task for Apply {
    type Answer = Progress;

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<Progress> {
        let Exports::Remediation(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let repair = instance.argus_plugin_repair();
        repair.call_apply(store, &self.0, &self.1, &self.2).await
    }
}

impl Task for Status {
    type Answer = Progress;

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<Progress> {
        let Exports::Remediation(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        instance
            .argus_plugin_repair()
            .call_status(store, &self.0)
            .await
    }
}

impl Task for Undo {
    type Answer = Proposal;

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<Proposal> {
        let Exports::Remediation(plugin) = exports else {
            return not_this_kind();
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let repair = instance.argus_plugin_repair();
        repair.call_undo(store, &self.0, &self.1).await
    }
}
