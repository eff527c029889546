//! `[templates.<name>]`: message texts of the operator's own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::plugins::Plugin;
use crate::routes;
use crate::suggest;

/// Texts that replace the daemon's own, for some sinks. Written in Jinja; tried when the daemon starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// One line; becomes a notification's summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Several lines; becomes the annotation `description`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Sinks that it is for.
    pub sinks: Vec<String>,
}

pub(crate) fn check(
    templates: &BTreeMap<String, Template>,
    plugins: &BTreeMap<String, Plugin>,
    found: &mut Checker,
) {
    let sinks: Vec<&str> = routes::sinks(plugins).collect();
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, template) in templates {
        let path = |key: &'static str| ["templates", name.as_str(), key];
        if template.title.is_none() && template.body.is_none() {
            found.report(
                &["templates", name],
                "the template has neither title nor body",
                "write at least one: title = \"{{ severity | upper }} {{ server }}\"",
            );
        }
        for sink in &template.sinks {
            if !sinks.contains(&sink.as_str()) {
                found.report(
                    &path("sinks"),
                    format!("there is no sink `{sink}`"),
                    suggest::offer(sink, sinks.iter().copied()),
                );
            } else if let Some(other) = owners.insert(sink, name) {
                found.report(
                    &path("sinks"),
                    format!("sink `{sink}` has the template `{other}` already"),
                    "a sink has one template",
                );
            }
        }
    }
}
