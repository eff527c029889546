//! Investigators: the thinking in the five steps of an investigation.
//!
//! The records are the WIT package's own, see [`crate::reasoning`].

use wasmtime::Store;

use super::disarm::disarmed;
use super::{Exports, Outcome, Task, not_this_kind};
use crate::bindings::investigator::exports::argus::plugin::reasoning::{
    Characterisation, Evidence, Excerpt, Facts, Fix, Hypothesis, Precedent, Question, Verdict,
};
use crate::call::CallState;
use crate::errors::PluginError;
use crate::plugin::Plugin;

/// A task, the method that runs it, and the function behind it: they differ in nothing but types.
macro_rules! steps {
    ($(
        $(#[$doc:meta])*
        $task:ident, $method:ident, $function:ident ($($argument:ident: $type:ty),*) -> $answer:ty;
    )*) => {
        impl Plugin {
            $(
                $(#[$doc])*
                pub async fn $method(&self, $($argument: $type),*) -> Result<$answer, PluginError> {
                    self.call($task { $($argument: disarmed($argument)),* }).await
                }
            )*
        }

        $(
            struct $task {
                $($argument: $type),*
            }

            impl Task for $task {
                type Answer = $answer;

                async fn perform(
                    self,
                    store: &mut Store<CallState>,
                    exports: &Exports,
                ) -> Outcome<$answer> {
                    let Exports::Investigator(plugin) = exports else {
                        return not_this_kind();
                    };
                    let instance = plugin.instantiate_async(&mut *store).await?;
                    instance
                        .argus_plugin_reasoning()
                        .$function(store, $(&self.$argument),*)
                        .await
                }
            }
        )*
    };
}

steps! {
    /// Step 1: says what happened. Only for investigators, as the other steps.
    Characterise, characterise, call_characterise(facts: Facts) -> Characterisation;

    /// Step 2: what may have caused it.
    Hypothesise, hypothesise, call_hypothesise(
        facts: Facts, characterisation: Characterisation, precedents: Vec<Precedent>
    ) -> Vec<Hypothesis>;

    /// Step 3: what to look at.
    Ask, ask, call_ask(facts: Facts, hypotheses: Vec<Hypothesis>) -> Vec<Question>;

    /// Step 4a: how a piece of evidence bears on its hypothesis, from −1 to 1.
    Weigh, weigh, call_weigh(
        facts: Facts, hypothesis: Hypothesis, question: Question, evidence: Evidence
    ) -> f64;

    /// Step 4b: the verdict.
    Confirm, confirm, call_confirm(
        facts: Facts, hypotheses: Vec<Hypothesis>, questions: Vec<Question>, weights: Vec<f64>
    ) -> Verdict;

    /// Step 5: a fix.
    ProposeFix, propose_fix, call_propose_fix(
        facts: Facts, hypothesis: Hypothesis, verdict: Verdict, source: Vec<Excerpt>
    ) -> Fix;
}
