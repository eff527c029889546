//! The component's side: what a world's exports call. Not for authors.

use std::marker::PhantomData;
use std::panic::PanicHookInfo;

use serde::de::DeserializeOwned;

use crate::bindings::host::types::Error as WitError;
use crate::bindings::host::{config, log};
use crate::bindings::{explainer, investigator, remediation, sink, source};
use crate::error::Error;
use crate::explainer::{Explainer, Explanation, Subject};
use crate::host::Host;
use crate::incidents::Incident;
use crate::investigator::{
    Characterisation, Evidence, Excerpt, Facts, Fix, Hypothesis, Investigator, Precedent, Question,
    Verdict,
};
use crate::pair::Pair;
use crate::remediation::{Approval, Finding, Progress, Proposal, Remediation};
use crate::settings;
use crate::sink::Sink;
use crate::source::{Options, Source};

use sink::exports::argus::plugin::delivery;
use source::exports::argus::plugin::ingress;

/// A plugin as the exports of its world.
#[derive(Debug)]
pub struct Component<P>(PhantomData<P>);

/// Settings, read anew for every call because every call is a new instance.
fn settings<C: DeserializeOwned>() -> Result<C, Error> {
    std::panic::set_hook(Box::new(report_panic));
    settings::parse(&config::json())
}

fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = panic
        .payload_as_str()
        .unwrap_or("with a payload that is no text");
    let place = panic
        .location()
        .map(|l| format!(", {}:{}", l.file(), l.line()))
        .unwrap_or_default();
    log::panicked(&format!("{message}{place}"));
}

const HOST: &Host = &Host {
    backend: crate::component::Backend,
};

impl<S: Sink> delivery::Guest for Component<S> {
    fn check() -> Result<(), WitError> {
        Ok(S::new(settings()?)?.check(HOST)?)
    }

    fn deliver(
        notification: delivery::Notification,
        idempotency_key: String,
    ) -> Result<delivery::Receipt, WitError> {
        let sink = S::new(settings()?)?;
        let receipt = sink.deliver(HOST, &notification.into(), &idempotency_key)?;
        Ok(delivery::Receipt {
            remote_id: receipt.remote_id,
            message: receipt.message,
        })
    }
}

impl<S: Source> ingress::Guest for Component<S> {
    fn check() -> Result<(), WitError> {
        Ok(S::new(settings()?)?.check(HOST)?)
    }

    fn poll(
        checkpoint: Option<Vec<u8>>,
        max_records: u32,
        options: Vec<Pair>,
    ) -> Result<ingress::Batch, WitError> {
        let source = S::new(settings()?)?;
        let options = Options {
            max_records,
            pairs: options,
        };
        let batch = source.poll(HOST, checkpoint.as_deref(), &options)?;
        Ok(ingress::Batch {
            content: "records".to_owned(),
            items: batch.items,
            checkpoint: batch.checkpoint,
            more: batch.more,
            skipped: batch.skipped,
        })
    }
}

impl<E: Explainer> explainer::exports::argus::plugin::explanations::Guest for Component<E> {
    fn check() -> Result<(), WitError> {
        Ok(E::new(settings()?)?.check(HOST)?)
    }

    fn explain(subject: Subject) -> Result<Explanation, WitError> {
        Ok(E::new(settings()?)?.explain(HOST, &subject)?)
    }
}

impl<R: Remediation> remediation::exports::argus::plugin::repair::Guest for Component<R> {
    fn check() -> Result<(), WitError> {
        Ok(R::new(settings()?)?.check(HOST)?)
    }

    fn plan(incident: Incident, finding: Finding) -> Result<Proposal, WitError> {
        Ok(R::new(settings()?)?.plan(HOST, &incident, &finding)?)
    }

    fn apply(
        incident: Incident,
        proposal: Proposal,
        approval: Approval,
    ) -> Result<Progress, WitError> {
        Ok(R::new(settings()?)?.apply(HOST, &incident, &proposal, &approval)?)
    }

    fn status(reference: String) -> Result<Progress, WitError> {
        Ok(R::new(settings()?)?.status(HOST, &reference)?)
    }

    fn undo(incident: Incident, reference: String) -> Result<Proposal, WitError> {
        Ok(R::new(settings()?)?.undo(HOST, &incident, &reference)?)
    }
}

impl<I: Investigator> investigator::exports::argus::plugin::reasoning::Guest for Component<I> {
    fn check() -> Result<(), WitError> {
        Ok(I::new(settings()?)?.check(HOST)?)
    }

    fn characterise(facts: Facts) -> Result<Characterisation, WitError> {
        Ok(I::new(settings()?)?.characterise(HOST, &facts)?)
    }

    fn hypothesise(
        facts: Facts,
        characterisation: Characterisation,
        precedents: Vec<Precedent>,
    ) -> Result<Vec<Hypothesis>, WitError> {
        Ok(I::new(settings()?)?.hypothesise(HOST, &facts, &characterisation, &precedents)?)
    }

    fn ask(facts: Facts, hypotheses: Vec<Hypothesis>) -> Result<Vec<Question>, WitError> {
        Ok(I::new(settings()?)?.ask(HOST, &facts, &hypotheses)?)
    }

    fn weigh(
        facts: Facts,
        hypothesis: Hypothesis,
        question: Question,
        evidence: Evidence,
    ) -> Result<f64, WitError> {
        Ok(I::new(settings()?)?.weigh(HOST, &facts, &hypothesis, &question, &evidence)?)
    }

    fn confirm(
        facts: Facts,
        hypotheses: Vec<Hypothesis>,
        questions: Vec<Question>,
        weights: Vec<f64>,
    ) -> Result<Verdict, WitError> {
        Ok(I::new(settings()?)?.confirm(HOST, &facts, &hypotheses, &questions, &weights)?)
    }

    fn propose_fix(
        facts: Facts,
        hypothesis: Hypothesis,
        verdict: Verdict,
        source: Vec<Excerpt>,
    ) -> Result<Fix, WitError> {
        Ok(I::new(settings()?)?.propose_fix(HOST, &facts, &hypothesis, &verdict, &source)?)
    }
}
