//! Breaks placeholders for secrets in everything that comes from outside, before a plugin sees it: what a plugin
//! passes on must not become a secret because somebody named his server so.

use crate::bindings::argus::plugin::incidents::Incident;
use crate::bindings::argus::plugin::types::Pair;
use crate::bindings::investigator::exports::argus::plugin::reasoning as r;
use crate::bindings::remediation::exports::argus::plugin::repair as p;
use crate::secrets::disarm as disarm_text;

/// Breaks the placeholders in all texts of a value.
pub(crate) trait Disarm {
    fn disarm(&mut self);
}

impl Disarm for String {
    fn disarm(&mut self) {
        if let std::borrow::Cow::Owned(broken) = disarm_text(self) {
            *self = broken;
        }
    }
}

impl<T: Disarm> Disarm for Option<T> {
    fn disarm(&mut self) {
        self.iter_mut().for_each(Disarm::disarm);
    }
}

impl<T: Disarm> Disarm for Vec<T> {
    fn disarm(&mut self) {
        self.iter_mut().for_each(Disarm::disarm);
    }
}

impl Disarm for f64 {
    fn disarm(&mut self) {}
}

/// The value with its placeholders broken.
pub(crate) fn disarmed<T: Disarm>(mut value: T) -> T {
    value.disarm();
    value
}

/// Names every text of a record. Whoever adds a text to a record adds it here; a test counts them in the WIT.
macro_rules! texts {
    ($($record:ty { $($field:ident),* })*) => {
        $(impl Disarm for $record {
            fn disarm(&mut self) {
                $(self.$field.disarm();)*
            }
        })*
    };
}

texts! {
    Pair { name, value }
    Incident { id, kind, state, severity, entity, profile, metric, summary }
    p::Finding { cause, location, evidence, commit, diff, explanation, risk, side_effects, rollback }
    p::Proposal { action, title, description, diff, parameters, risk }
    p::Approval { idempotency_key, by }
    r::Signal { name, unit }
    r::Facts { incident, signals, suspect_commit, context }
    r::Characterisation { pattern, summary }
    r::Precedent { id, summary, cause, fix, outcome }
    r::Hypothesis { title, cause, description }
    r::Question { evidence, of, confirms, refutes }
    r::Evidence { text, link }
    r::Verdict { reasoning, location }
    r::Excerpt { path, text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_of_the_wit_records_is_named() {
        let this = include_str!("disarm.rs");
        for (file, records) in [
            (
                include_str!("../../../../plugin-sdk/wit/remediation.wit"),
                &["finding", "proposal", "approval"][..],
            ),
            (
                include_str!("../../../../plugin-sdk/wit/investigator.wit"),
                &[
                    "signal",
                    "facts",
                    "characterisation",
                    "precedent",
                    "hypothesis",
                    "question",
                    "evidence",
                    "verdict",
                    "excerpt",
                ],
            ),
            (
                include_str!("../../../../plugin-sdk/wit/incidents.wit"),
                &["incident"],
            ),
        ] {
            for record in records {
                let (_, body) = file
                    .split_once(&format!("record {record} {{"))
                    .expect("the record is there");
                let body = &body[..body.find('}').expect("an end")];
                let name = format!("{}{}", record[..1].to_uppercase(), &record[1..]);
                let named = this
                    .lines()
                    .find(|line| line.contains(&format!("{name} {{ ")))
                    .expect("named here");
                for line in body
                    .lines()
                    .map(str::trim)
                    .filter(|l| !l.starts_with("///"))
                {
                    let Some((field, kind)) = line.split_once(": ") else {
                        continue;
                    };
                    let plain = ["f64,", "s64,", "u64,", "u32,", "bool,", "option<s64>,"];
                    let numbers = ["list<f32>,", "list<u32>,", "list<u8>,", "option<u32>,"];
                    if plain.contains(&kind) || numbers.contains(&kind) {
                        continue;
                    }
                    let field = field.replace('-', "_");
                    let listed = named
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .any(|word| word == field);
                    assert!(listed, "{record}.{field} ({kind}) is not disarmed");
                }
            }
        }
    }

    #[test]
    fn placeholders_are_broken_everywhere() {
        let trap = || "{{secret:token}}".to_owned();
        let facts = r::Facts {
            incident: Incident {
                id: trap(),
                kind: trap(),
                state: trap(),
                severity: trap(),
                entity: trap(),
                profile: trap(),
                metric: Some(trap()),
                started_at_ms: 0,
                updated_at_ms: 0,
                ended_at_ms: None,
                summary: trap(),
            },
            signals: Vec::new(),
            onset_ms: 0,
            suspect_commit: trap(),
            context: vec![Pair {
                name: trap(),
                value: trap(),
            }],
        };
        assert!(!format!("{:?}", disarmed(facts)).contains("{{secret:"));
    }
}
