//! The kinds of plugins, one file each: what they can be asked, in plain data, and how that becomes a call.

pub(crate) mod disarm;
pub(crate) mod explainer;
pub(crate) mod investigator;
pub(crate) mod remediation;
pub(crate) mod sink;
pub(crate) mod source;

use std::future::Future;

use wasmtime::Store;
use wasmtime::component::InstancePre;

use crate::bindings::argus::plugin::types::Error as ReportedError;
use crate::bindings::explainer::ExplainerPre;
use crate::bindings::investigator::InvestigatorPre;
use crate::bindings::remediation::RemediationPre;
use crate::bindings::sink::SinkPre;
use crate::bindings::source::SourcePre;
use crate::call::CallState;
use crate::config::PluginKind;

/// A linked component, with the positions of what its kind exports.
pub(crate) enum Exports {
    Sink(SinkPre<CallState>),
    Source(SourcePre<CallState>),
    Explainer(ExplainerPre<CallState>),
    Remediation(RemediationPre<CallState>),
    Investigator(InvestigatorPre<CallState>),
}

impl Exports {
    /// Finds what the kind must export.
    pub(crate) fn find(
        kind: PluginKind,
        instance: InstancePre<CallState>,
    ) -> wasmtime::Result<Self> {
        Ok(match kind {
            PluginKind::Sink => Self::Sink(SinkPre::new(instance)?),
            PluginKind::Source => Self::Source(SourcePre::new(instance)?),
            PluginKind::Explainer => Self::Explainer(ExplainerPre::new(instance)?),
            PluginKind::Remediation => Self::Remediation(RemediationPre::new(instance)?),
            PluginKind::Investigator => Self::Investigator(InvestigatorPre::new(instance)?),
        })
    }
}

/// What a call came to: the outer error is the engine's, the inner one the plugin's own.
pub(crate) type Outcome<T> = wasmtime::Result<Result<T, ReportedError>>;

/// Something that a plugin can be asked.
pub(crate) trait Task: Send + 'static {
    /// What a good answer holds.
    type Answer: Send + 'static;

    /// Makes an instance and calls it. Never called for a plugin of another kind.
    fn perform(
        self,
        store: &mut Store<CallState>,
        exports: &Exports,
    ) -> impl Future<Output = Outcome<Self::Answer>> + Send;
}

/// A task was given to a plugin of another kind: a mistake of the daemon, not of the plugin.
pub(crate) fn not_this_kind<T>() -> Outcome<T> {
    Err(wasmtime::Error::msg(
        "a plugin of this kind has no such function",
    ))
}

/// An answer that the host does not accept is told like an error of the plugin's own.
pub(crate) fn reported(code: &str, message: String) -> ReportedError {
    ReportedError {
        code: code.to_owned(),
        message,
        retryable: false,
    }
}

/// `check`, which every kind has.
#[derive(Debug)]
pub(crate) struct Check;

impl Task for Check {
    type Answer = ();

    async fn perform(self, store: &mut Store<CallState>, exports: &Exports) -> Outcome<()> {
        match exports {
            Exports::Sink(plugin) => {
                let instance = plugin.instantiate_async(&mut *store).await?;
                instance.argus_plugin_delivery().call_check(store).await
            }
            Exports::Source(plugin) => {
                let instance = plugin.instantiate_async(&mut *store).await?;
                instance.argus_plugin_ingress().call_check(store).await
            }
            Exports::Explainer(plugin) => {
                let instance = plugin.instantiate_async(&mut *store).await?;
                instance.argus_plugin_explanations().call_check(store).await
            }
            Exports::Remediation(plugin) => {
                let instance = plugin.instantiate_async(&mut *store).await?;
                instance.argus_plugin_repair().call_check(store).await
            }
            Exports::Investigator(plugin) => {
                let instance = plugin.instantiate_async(&mut *store).await?;
                instance.argus_plugin_reasoning().call_check(store).await
            }
        }
    }
}
