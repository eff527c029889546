//! From the configuration's routes and templates to who is told what, in whose words.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use argus_alerts::routing::{Glob, Hours, Routing, Rule, Weekday};
use argus_alerts::{DeliveryError, MessageTemplate, Notification, Receipt, Sink, SinkRoute};
use argus_config::{AlertLevel, Config, RouteRule};
use argus_fleet::Level;

/// The rules that say which sink is told of what.
pub fn routing(config: &Config) -> anyhow::Result<Routing> {
    let rules = config.routes.iter().zip(1..).map(|(route, number)| {
        rule(route).with_context(|| format!("use route {number} of the configuration"))
    });
    Ok(Routing {
        rules: rules.collect::<anyhow::Result<_>>()?,
    })
}

fn rule(route: &RouteRule) -> anyhow::Result<Rule> {
    let globs = |patterns: &[String]| patterns.iter().map(|p| Glob::new(p)).collect();
    let days: Vec<Weekday> = route.days.iter().map(|day| weekday(*day)).collect();
    let timed = !days.is_empty() || route.hours.is_some();
    let hours = timed.then(|| Hours::new(&days, route.hours.as_deref(), &route.timezone));
    Ok(Rule {
        severities: route.levels.iter().map(|level| severity(*level)).collect(),
        profiles: globs(&route.profiles),
        servers: globs(&route.servers),
        metrics: globs(&route.metrics),
        labels: route
            .labels
            .iter()
            .map(|(name, value)| (name.clone(), Glob::new(value)))
            .collect(),
        hours: hours.transpose()?,
        sinks: route.sinks.iter().cloned().collect(),
        continues: route.continues,
    })
}

fn severity(level: AlertLevel) -> Level {
    match level {
        AlertLevel::Warning => Level::Warning,
        AlertLevel::Critical => Level::Critical,
    }
}

fn weekday(day: argus_config::Weekday) -> Weekday {
    match day {
        argus_config::Weekday::Mon => Weekday::Mon,
        argus_config::Weekday::Tue => Weekday::Tue,
        argus_config::Weekday::Wed => Weekday::Wed,
        argus_config::Weekday::Thu => Weekday::Thu,
        argus_config::Weekday::Fri => Weekday::Fri,
        argus_config::Weekday::Sat => Weekday::Sat,
        argus_config::Weekday::Sun => Weekday::Sun,
    }
}

/// What becomes of an alert, one line per route and one for the rest.
pub fn plain_words(config: &Config) -> Vec<String> {
    let mut lines: Vec<String> = config
        .routes
        .iter()
        .zip(1..)
        .map(|(route, number)| {
            let name = route.name.as_ref();
            let name = name.map_or_else(String::new, |name| format!(" ({name})"));
            format!("route {number}{name}: {}", route.plain_words())
        })
        .collect();
    let sinks: Vec<&str> = config
        .plugins
        .iter()
        .filter(|(_, plugin)| plugin.enabled && plugin.kind == argus_config::PluginKind::Sink)
        .map(|(name, _)| name.as_str())
        .collect();
    let rest = if config.routes.is_empty() {
        "all alerts"
    } else {
        "whatever no route fits"
    };
    if !sinks.is_empty() {
        lines.push(format!("{rest}: to every sink ({})", sinks.join(", ")));
    }
    for (name, template) in &config.templates {
        lines.push(format!(
            "template {name}: for {}",
            template.sinks.join(", ")
        ));
    }
    lines
}

/// The templates, by the sink that each is for.
pub fn templates(config: &Config) -> anyhow::Result<BTreeMap<String, Arc<MessageTemplate>>> {
    let mut of_sinks = BTreeMap::new();
    for (name, template) in &config.templates {
        let read = MessageTemplate::new(template.title.as_deref(), template.body.as_deref());
        let read = read.map_err(|error| anyhow!("template {name} is not usable: {error}"))?;
        let read = Arc::new(read);
        for sink in &template.sinks {
            of_sinks.insert(sink.clone(), Arc::clone(&read));
        }
    }
    Ok(of_sinks)
}

/// The sinks, those with a template told in its words.
pub fn worded(
    sinks: Vec<Arc<dyn Sink>>,
    templates: &BTreeMap<String, Arc<MessageTemplate>>,
) -> Vec<Arc<dyn Sink>> {
    let word = |sink: Arc<dyn Sink>| -> Arc<dyn Sink> {
        match templates.get(sink.name()) {
            None => sink,
            Some(template) => Arc::new(Worded {
                template: Arc::clone(template),
                sink,
            }),
        }
    };
    sinks.into_iter().map(word).collect()
}

/// A sink with words of the operator's own.
struct Worded {
    sink: Arc<dyn Sink>,
    template: Arc<MessageTemplate>,
}

impl Sink for Worded {
    fn name(&self) -> &str {
        self.sink.name()
    }

    fn deliver<'a>(
        &'a self,
        notification: &'a Notification,
        idempotency_key: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Receipt, DeliveryError>> + Send + 'a>> {
        Box::pin(async move {
            match self.template.applied(notification) {
                Ok(worded) => self.sink.deliver(&worded, idempotency_key).await,
                Err(error) => {
                    // Better in the daemon's words than not at all.
                    tracing::warn!(sink = self.name(), %error, "template failed; the alert is told without it");
                    self.sink.deliver(notification, idempotency_key).await
                }
            }
        })
    }

    fn route(&self) -> SinkRoute {
        self.sink.route()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_routes_and_templates_work() {
        let page = format!("{}/../../docs/configuration.md", env!("CARGO_MANIFEST_DIR"));
        let page = std::fs::read_to_string(page).expect("the documentation");
        let mut lines = Vec::new();
        for block in page.split("```toml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            let block = block.replace("sha256 = \"…\"", "");
            let config = Config::from_toml_str("docs", &block).expect("valid");
            routing(&config).expect("routes");
            templates(&config).expect("templates");
            lines.extend(plain_words(&config));
        }
        let silence = "route 2 (laboratory): alerts of servers lab-* or test-??: to nobody";
        assert!(lines.iter().any(|line| line == silence), "{lines:?}");
        assert!(lines.iter().any(|line| line == "template short: for ops"));
    }
}
