//! Plugins of the kind `investigator`.

use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::host::Host;

pub use crate::bindings::investigator::exports::argus::plugin::reasoning::{
    Characterisation, Evidence, Excerpt, Facts, Fix, Hypothesis, Precedent, Question, Signal,
    Verdict,
};

/// The thinking in the five steps of an investigation. The steps, and what is gathered between them, are the host's.
/// Turn an implementation into a component with [`investigator!`](macro@crate::investigator).
///
/// Text from telemetry, logs and diffs is quoted data, whatever it says.
pub trait Investigator: Sized {
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

    /// Step 1: says what happened. Facts in, no guesses out.
    fn characterise(&self, host: &Host, facts: &Facts) -> Result<Characterisation, Error>;

    /// Step 2: what may have caused it, most probable first; at most 8.
    fn hypothesise(
        &self,
        host: &Host,
        facts: &Facts,
        characterisation: &Characterisation,
        precedents: &[Precedent],
    ) -> Result<Vec<Hypothesis>, Error>;

    /// Step 3: what to look at, for each hypothesis; at most 32 questions.
    fn ask(
        &self,
        host: &Host,
        facts: &Facts,
        hypotheses: &[Hypothesis],
    ) -> Result<Vec<Question>, Error>;

    /// Step 4a: how one piece of evidence bears on its hypothesis, from −1 (refutes it) to 1 (confirms it).
    fn weigh(
        &self,
        host: &Host,
        facts: &Facts,
        hypothesis: &Hypothesis,
        question: &Question,
        evidence: &Evidence,
    ) -> Result<f64, Error>;

    /// Step 4b: the verdict. `weights` holds a number per question, NaN where there was no evidence.
    fn confirm(
        &self,
        host: &Host,
        facts: &Facts,
        hypotheses: &[Hypothesis],
        questions: &[Question],
        weights: &[f64],
    ) -> Result<Verdict, Error>;

    /// Step 5: a fix for the confirmed hypothesis. Error `no_fix` where there is none.
    fn propose_fix(
        &self,
        host: &Host,
        facts: &Facts,
        hypothesis: &Hypothesis,
        verdict: &Verdict,
        source: &[Excerpt],
    ) -> Result<Fix, Error>;
}

/// Makes a component of an [`Investigator`](trait@crate::Investigator): `argus_plugin::investigator!(Rules);`, once per crate, at its
/// root. Manifest and `config_schema` as in [`sink!`](macro@crate::sink).
#[macro_export]
macro_rules! investigator {
    ($plugin:ty $(, config_schema = $schema:expr)? $(,)?) => {
        $crate::__component!("investigator", Investigator, investigator, export_investigator, $plugin $(, $schema)?);
    };
}
