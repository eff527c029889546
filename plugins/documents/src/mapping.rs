//! From a document to what a record holds.

use std::collections::BTreeMap;

use argus_plugin::Error;
use serde::Deserialize;
use serde_json::Value;

use crate::unit::Unit;
use crate::{layouts, value};

/// `[plugins.NAME.config.mapping]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingConfig {
    /// A built-in mapping to start from; what is said beside it comes first.
    pub layout: Option<String>,
    /// Paths to the server's name; the first that a document has counts.
    pub server: Vec<String>,
    /// Paths to the status, the profile and the number of cores.
    pub status: Vec<String>,
    /// See `status`.
    pub profile: Vec<String>,
    /// See `status`.
    pub cores: Vec<String>,
    /// Fields that every record gets unless its document says otherwise, e.g. `profile = "database"`.
    pub constants: BTreeMap<String, Value>,
    /// Whether several documents of one server and time are parts of one record, as agents send them that make a
    /// document per kind of metric.
    pub parts: Option<bool>,
    /// How metrics are found; the first rule for a metric that applies counts.
    pub metrics: Vec<Rule>,
}

/// One way to find a metric.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The metric, by its name in the schema or any name that the daemon takes for it.
    pub metric: String,
    /// Where its value is.
    pub path: String,
    /// Where more is to be added, where a document has it.
    #[serde(default)]
    pub plus: Vec<String>,
    /// What it is to be divided by; a document without that, or with a 0, does not have the metric.
    #[serde(default)]
    pub divide_by: Option<String>,
    /// The value's unit; none is the metric's own.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// The rule applies only to documents with one of these values there.
    #[serde(default)]
    pub only: Option<Condition>,
    /// The rule does not apply to documents with one of these values there.
    #[serde(default)]
    pub unless: Option<Condition>,
    /// What becomes of a second value of the same record.
    #[serde(default)]
    pub merge: Merge,
}

/// Documents that a rule is for, or not.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where to look.
    pub path: String,
    /// What to look for.
    pub is: Vec<String>,
}

/// What becomes of two values of one metric in the parts of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// The first stays.
    #[default]
    First,
    /// The larger one stays: the fullest disk.
    Max,
    /// They are added: the traffic of all interfaces.
    Sum,
}

/// A mapping that is ready to use.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    server: Vec<String>,
    /// Names and paths of the fields that are no metrics.
    fields: Vec<(&'static str, Vec<String>)>,
    constants: BTreeMap<String, Value>,
    rules: Vec<Ready>,
    /// Names of metrics.
    metrics: Vec<String>,
    /// See [`MappingConfig::parts`].
    pub parts: bool,
}

/// A rule, what its values are multiplied with, and which metric it is for.
#[derive(Debug, Clone, PartialEq)]
struct Ready {
    rule: Rule,
    factor: f64,
    metric: usize,
}

/// What a document holds for a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The server's name.
    pub server: String,
    /// Metrics in the order of the rules, each as its place in [`Mapping::metrics`].
    pub metrics: Vec<(usize, f64, Merge)>,
    /// Status, profile and cores, as the document has them.
    pub fields: Vec<(&'static str, Value)>,
}

impl Mapping {
    /// A mapping out of settings.
    ///
    /// # Errors
    /// `invalid_config`, naming the setting.
    pub fn new(config: MappingConfig) -> Result<Self, Error> {
        let base = match &config.layout {
            Some(name) => layouts::layout(name)?,
            None => MappingConfig::default(),
        };
        let invalid =
            |message: String| Error::new("invalid_config", format!("config.mapping.{message}"));
        let server = either(config.server, base.server);
        if server.is_empty() && !config.constants.contains_key("server_name") {
            return Err(invalid(
                "server: is missing, and there is no layout that says it".into(),
            ));
        }
        let (mut rules, mut metrics) = (Vec::new(), Vec::new());
        for rule in config.metrics.into_iter().chain(base.metrics) {
            let factor = match rule.unit {
                None => 1.0,
                Some(unit) => unit.factor_to(&rule.metric).ok_or_else(|| {
                    let metric = &rule.metric;
                    invalid(format!("metrics: `{metric}` is not measured in {unit:?}"))
                })?,
            };
            let known = metrics.iter().position(|name| *name == rule.metric);
            let metric = known.unwrap_or_else(|| {
                metrics.push(rule.metric.clone());
                metrics.len() - 1
            });
            rules.push(Ready {
                rule,
                factor,
                metric,
            });
        }
        if rules.is_empty() {
            return Err(invalid(
                "metrics: are missing, and there is no layout that says them".into(),
            ));
        }
        Ok(Self {
            server,
            fields: vec![
                ("status", either(config.status, base.status)),
                ("profile", either(config.profile, base.profile)),
                ("cores", either(config.cores, base.cores)),
            ],
            constants: config.constants,
            rules,
            metrics,
            parts: config.parts.or(base.parts).unwrap_or(false),
        })
    }

    /// Every path that is looked at, for databases that send only what is asked for.
    pub fn paths(&self) -> Vec<&str> {
        let of_rules = self.rules.iter().flat_map(|Ready { rule, .. }| {
            let one = std::iter::once(&rule.path);
            let conditions = rule.only.iter().chain(&rule.unless);
            let conditions = conditions.map(|condition| &condition.path);
            one.chain(&rule.plus)
                .chain(&rule.divide_by)
                .chain(conditions)
        });
        let of_fields = self.fields.iter().flat_map(|(_, paths)| paths);
        let all = self.server.iter().chain(of_fields).chain(of_rules);
        let mut paths: Vec<&str> = all.map(String::as_str).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// Fields that every record gets unless its document says otherwise.
    pub fn constants(&self) -> &BTreeMap<String, Value> {
        &self.constants
    }

    /// Names of the metrics that documents may hold.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// Reads a document; none where it holds nothing of interest.
    ///
    /// # Errors
    /// What is wrong with it, to follow "document `ID` ".
    pub fn apply(&self, document: &Value) -> Result<Option<Mapped>, String> {
        let mut metrics: Vec<(usize, f64, Merge)> = Vec::new();
        for ready in &self.rules {
            let Ready {
                rule,
                factor,
                metric,
            } = ready;
            let is_known = metrics.iter().any(|(known, ..)| known == metric);
            if !is_known && let Some(value) = rule.value(document)? {
                metrics.push((*metric, value * factor, rule.merge));
            }
        }
        let mut fields = Vec::new();
        for (name, paths) in &self.fields {
            let found = paths.iter().find_map(|path| value::at(document, path));
            fields.extend(found.map(|found| (*name, found.clone())));
        }
        // A document of something else, and not a server's whose name is missing.
        let has_status = fields.iter().any(|(name, _)| *name == "status");
        if metrics.is_empty() && !has_status {
            return Ok(None);
        }
        Ok(Some(Mapped {
            server: self.server(document)?,
            metrics,
            fields,
        }))
    }

    fn server(&self, document: &Value) -> Result<String, String> {
        for path in &self.server {
            if let Some(found) = value::at(document, path) {
                let name = value::text(found).ok_or_else(|| needs(path, found, "text"))?;
                return Ok(name.to_owned());
            }
        }
        match self.constants.get("server_name").and_then(Value::as_str) {
            Some(constant) => Ok(constant.to_owned()),
            None => Err(format!(
                "names no server: it has no `{}`",
                self.server.join("`, no `")
            )),
        }
    }
}

fn either(own: Vec<String>, base: Vec<String>) -> Vec<String> {
    if own.is_empty() { base } else { own }
}

fn needs(path: &str, found: &Value, what: &str) -> String {
    format!(
        "has {} at `{path}`, where {what} is needed",
        value::shown(found)
    )
}

impl Rule {
    /// The value in its own unit, if the document has it.
    fn value(&self, document: &Value) -> Result<Option<f64>, String> {
        let number = |path: &str| -> Result<Option<f64>, String> {
            let Some(found) = value::at(document, path) else {
                return Ok(None);
            };
            let number = value::number(found).ok_or_else(|| needs(path, found, "a number"))?;
            Ok(Some(number))
        };
        let is_for = self
            .only
            .as_ref()
            .is_none_or(|only| only.holds_for(document));
        if !is_for
            || self
                .unless
                .as_ref()
                .is_some_and(|unless| unless.holds_for(document))
        {
            return Ok(None);
        }
        let Some(mut value) = number(&self.path)? else {
            return Ok(None);
        };
        for path in &self.plus {
            value += number(path)?.unwrap_or(0.0);
        }
        let Some(divisor) = &self.divide_by else {
            return Ok(Some(value));
        };
        let divisor = number(divisor)?.filter(|divisor| *divisor != 0.0);
        Ok(divisor.map(|divisor| value / divisor))
    }
}

impl Condition {
    fn holds_for(&self, document: &Value) -> bool {
        let found = value::at(document, &self.path).and_then(value::text);
        found.is_some_and(|found| self.is.iter().any(|is| is == found))
    }
}
