//! Explainers: they say why a forecast is what it is.

use serde_json::Value;
use wasmtime::Store;

use super::disarm::disarmed;
use super::{Exports, Outcome, Task, not_this_kind, reported};
use crate::bindings::argus::plugin::types::{Error as ReportedError, Pair};
use crate::bindings::explainer::exports::argus::plugin::explanations as wit;
use crate::call::{CallState, MAX_TEXT_CHARS, readable};
use crate::errors::PluginError;
use crate::plugin::Plugin;

/// What is to be explained. Mirrors `explanations.subject` of the WIT package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Whose forecast.
    pub entity: String,
    /// The entity's profile.
    pub profile: String,
    /// `risk`, or a metric's name.
    pub target: String,
    /// Steps ahead for a metric; 0 for `risk`.
    pub step: u32,
    /// The caller's wishes.
    pub options: Vec<(String, String)>,
}

/// One cause and what it does.
#[derive(Debug, Clone, PartialEq)]
pub struct Driver {
    /// A metric's name, or another short name.
    pub name: String,
    /// How much it adds to the target, in the target's unit.
    pub impact: f32,
    /// How uncertain that is; 0 where it is exact.
    pub standard_error: f32,
    /// One line for people.
    pub text: String,
}

/// An explanation. Mirrors `explanations.explanation` of the WIT package.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// One line for people.
    pub summary: String,
    /// What matters most, first.
    pub drivers: Vec<Driver>,
    /// The whole explanation: a JSON object.
    pub details: Value,
}

const MAX_DRIVERS: usize = 32;
const MAX_DETAILS_BYTES: usize = 1 << 20;
const MAX_NAME_CHARS: usize = 100;

impl Plugin {
    /// Explains a subject. Only for explainers. An answer whose details are no JSON object, or whose numbers are not
    /// finite, is the error `bad_explanation`.
    pub async fn explain(&self, subject: Subject) -> Result<Explanation, PluginError> {
        self.call(Explain(subject)).await
    }
}

struct Explain(Subject);

impl Task for Explain {
    type Answer = Explanation;

    async fn perform(
        self,
        store: &mut Store<CallState>,
        exports: &Exports,
    ) -> Outcome<Explanation> {
        let Exports::Explainer(plugin) = exports else {
            return not_this_kind();
        };
        let options = self.0.options.into_iter();
        let subject = wit::Subject {
            entity: disarmed(self.0.entity),
            profile: disarmed(self.0.profile),
            target: disarmed(self.0.target),
            step: self.0.step,
            options: disarmed(options.map(|(name, value)| Pair { name, value }).collect()),
        };
        let instance = plugin.instantiate_async(&mut *store).await?;
        let explanation = instance
            .argus_plugin_explanations()
            .call_explain(store, &subject)
            .await?;
        Ok(explanation.and_then(accept))
    }
}

fn accept(from: wit::Explanation) -> Result<Explanation, ReportedError> {
    let bad = |reason: String| reported("bad_explanation", reason);
    if from.details.len() > MAX_DETAILS_BYTES {
        return Err(bad(format!(
            "the details are over {MAX_DETAILS_BYTES} bytes"
        )));
    }
    if from.drivers.len() > MAX_DRIVERS {
        return Err(bad(format!("there are more than {MAX_DRIVERS} drivers")));
    }
    let details: Value = serde_json::from_str(&from.details)
        .map_err(|e| bad(format!("the details are no JSON: {e}")))?;
    if !details.is_object() {
        return Err(bad("the details are no JSON object".to_owned()));
    }
    let drivers = from.drivers.into_iter().map(|driver| {
        if !driver.impact.is_finite() || !driver.standard_error.is_finite() {
            return Err(bad("the impact of a driver is no finite number".to_owned()));
        }
        Ok(Driver {
            name: readable(&driver.name, MAX_NAME_CHARS),
            impact: driver.impact,
            standard_error: driver.standard_error,
            text: readable(&driver.text, MAX_TEXT_CHARS),
        })
    });
    Ok(Explanation {
        summary: readable(&from.summary, MAX_TEXT_CHARS),
        drivers: drivers.collect::<Result<_, _>>()?,
        details,
    })
}
