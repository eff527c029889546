//! From a document to what a record holds.

use std::collections::BTreeMap;

use argus_plugin::Error;
use serde::Deserialize;
use serde_json::Value;

use crate::fields::Found;
use crate::layouts;
use crate::unit::Unit;
use crate::value::Raw;

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

/// A mapping that is ready to use. It knows paths by their places in [`paths`](Self::paths).
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    paths: Vec<String>,
    server: Vec<usize>,
    /// Names and paths of the fields that are no metrics.
    fields: Vec<(&'static str, Vec<usize>)>,
    constants: BTreeMap<String, Value>,
    rules: Vec<Ready>,
    /// Names of metrics.
    metrics: Vec<String>,
    /// See [`MappingConfig::parts`].
    pub parts: bool,
}

/// A rule that is ready to use.
#[derive(Debug, Clone, PartialEq)]
struct Ready {
    /// Its place in [`Mapping::metrics`].
    metric: usize,
    path: usize,
    plus: Vec<usize>,
    divide_by: Option<usize>,
    only: Option<ReadyCondition>,
    unless: Option<ReadyCondition>,
    /// What values are multiplied with.
    factor: f64,
    merge: Merge,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ReadyCondition {
    path: usize,
    is: Vec<String>,
}

/// What a document holds for a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapped {
    /// The server's name.
    pub server: String,
    /// Metrics in the order of the rules, each as its place in [`Mapping::metrics`].
    pub metrics: Vec<(usize, f64, Merge)>,
    /// Status, profile and cores, each with its JSON, as the document has it.
    pub fields: Vec<(&'static str, Box<str>)>,
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
        let fields = [
            ("status", either(config.status, base.status)),
            ("profile", either(config.profile, base.profile)),
            ("cores", either(config.cores, base.cores)),
        ];
        let all: Vec<Rule> = config.metrics.into_iter().chain(base.metrics).collect();
        if all.is_empty() {
            return Err(invalid(
                "metrics: are missing, and there is no layout that says them".into(),
            ));
        }
        let of_fields = fields.iter().flat_map(|(_, paths)| paths);
        let of_rules = all.iter().flat_map(Rule::paths);
        let paths = server.iter().chain(of_fields).chain(of_rules);
        let mut paths: Vec<String> = paths.cloned().collect();
        paths.sort_unstable();
        paths.dedup();
        let place = |path: &String| paths.binary_search(path).unwrap_or(usize::MAX);
        let places = |of: &[String]| of.iter().map(place).collect();
        let (mut rules, mut metrics) = (Vec::new(), Vec::<String>::new());
        for rule in all {
            let factor = match rule.unit {
                None => 1.0,
                Some(unit) => unit.factor_to(&rule.metric).ok_or_else(|| {
                    let metric = &rule.metric;
                    invalid(format!("metrics: `{metric}` is not measured in {unit:?}"))
                })?,
            };
            let condition = |condition: Condition| ReadyCondition {
                path: place(&condition.path),
                is: condition.is,
            };
            let known = metrics.iter().position(|name| *name == rule.metric);
            rules.push(Ready {
                metric: known.unwrap_or(metrics.len()),
                path: place(&rule.path),
                plus: places(&rule.plus),
                divide_by: rule.divide_by.as_ref().map(place),
                only: rule.only.map(condition),
                unless: rule.unless.map(condition),
                factor,
                merge: rule.merge,
            });
            if known.is_none() {
                metrics.push(rule.metric);
            }
        }
        Ok(Self {
            server: places(&server),
            fields: fields
                .iter()
                .map(|(name, paths)| (*name, places(paths)))
                .collect(),
            constants: config.constants,
            rules,
            metrics,
            parts: config.parts.or(base.parts).unwrap_or(false),
            paths,
        })
    }

    /// Every path that is looked at: what a database need send, and the first of the paths that [`apply`](Self::apply)
    /// wants read.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Fields that every record gets unless its document says otherwise.
    pub fn constants(&self) -> &BTreeMap<String, Value> {
        &self.constants
    }

    /// Names of the metrics that documents may hold.
    pub fn metrics(&self) -> &[String] {
        &self.metrics
    }

    /// What a document holds, whose values at [`paths`](Self::paths) were found; none where that is nothing of interest.
    ///
    /// # Errors
    /// What is wrong with it, to follow "document `ID` ".
    pub fn apply(&self, found: &Found<'_>) -> Result<Option<Mapped>, String> {
        let mut metrics: Vec<(usize, f64, Merge)> = Vec::new();
        for rule in &self.rules {
            // Most rules of a layout are for other documents.
            let Some(raw) = found.at(rule.path) else {
                continue;
            };
            let is_known = metrics.iter().any(|(known, ..)| *known == rule.metric);
            if !is_known && let Some(value) = self.value(rule, raw, found)? {
                if metrics.is_empty() {
                    metrics.reserve(self.metrics.len().min(16));
                }
                metrics.push((rule.metric, value * rule.factor, rule.merge));
            }
        }
        let mut fields = Vec::new();
        for (name, paths) in &self.fields {
            let first = paths.iter().find_map(|path| found.at(*path));
            fields.extend(first.map(|raw| (*name, raw.json().into())));
        }
        // A document of something else, and not a server's whose name is missing.
        let has_status = fields.iter().any(|(name, _)| *name == "status");
        if metrics.is_empty() && !has_status {
            return Ok(None);
        }
        Ok(Some(Mapped {
            server: self.server(found)?,
            metrics,
            fields,
        }))
    }

    fn server(&self, found: &Found<'_>) -> Result<String, String> {
        for &path in &self.server {
            if let Some(raw) = found.at(path) {
                let name = raw.text().ok_or_else(|| self.needs(path, raw, "text"))?;
                return Ok(name.into_owned());
            }
        }
        match self.constants.get("server_name").and_then(Value::as_str) {
            Some(constant) => Ok(constant.to_owned()),
            None => {
                let paths: Vec<_> = self.server.iter().map(|path| &*self.paths[*path]).collect();
                Err(format!(
                    "names no server: it has no `{}`",
                    paths.join("`, no `")
                ))
            }
        }
    }

    /// The value in its own unit, if the document has it; `raw` is what lies at the rule's path.
    fn value(&self, rule: &Ready, raw: Raw<'_>, found: &Found<'_>) -> Result<Option<f64>, String> {
        let is_for = rule.only.as_ref().is_none_or(|only| only.holds_for(found));
        let unless = rule.unless.as_ref();
        if !is_for || unless.is_some_and(|unless| unless.holds_for(found)) {
            return Ok(None);
        }
        let number = |path: usize, raw: Raw<'_>| {
            let number = raw.number();
            number.ok_or_else(|| self.needs(path, raw, "a number"))
        };
        let mut value = number(rule.path, raw)?;
        for &path in &rule.plus {
            if let Some(raw) = found.at(path) {
                value += number(path, raw)?;
            }
        }
        let Some(path) = rule.divide_by else {
            return Ok(Some(value));
        };
        let Some(raw) = found.at(path) else {
            return Ok(None);
        };
        let divisor = number(path, raw)?;
        Ok((divisor != 0.0).then(|| value / divisor))
    }

    fn needs(&self, path: usize, found: Raw<'_>, what: &str) -> String {
        let (found, path) = (found.shown(), &self.paths[path]);
        format!("has {found} at `{path}`, where {what} is needed")
    }
}

fn either(own: Vec<String>, base: Vec<String>) -> Vec<String> {
    if own.is_empty() { base } else { own }
}

impl Rule {
    fn paths(&self) -> impl Iterator<Item = &String> {
        let conditions = self.only.iter().chain(&self.unless);
        let conditions = conditions.map(|condition| &condition.path);
        let one = std::iter::once(&self.path);
        one.chain(&self.plus)
            .chain(&self.divide_by)
            .chain(conditions)
    }
}

impl ReadyCondition {
    fn holds_for(&self, found: &Found<'_>) -> bool {
        let text = found.at(self.path).and_then(Raw::text);
        text.is_some_and(|text| self.is.iter().any(|is| *is == text))
    }
}
