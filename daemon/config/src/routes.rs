//! `[[routes]]`: which sinks are told of which alerts, and when.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::plugins::{Plugin, PluginKind};
use crate::suggest;

/// One rule. Rules are looked at in their order; the first that fits names the sinks. What a rule does not mention
/// fits every alert. Where no rule fits, every sink is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteRule {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Severities of alerts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<AlertLevel>,
    /// Profiles; `*` stands for any text, `?` for one character, here and below.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Names of servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<String>,
    /// Metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// Labels that an alert must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Days of the week; nights belong to the day they begin on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// Hours, as `"18:00-08:00"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<String>,
    /// Time zone of days and hours.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Who is told; empty for nobody.
    pub sinks: Vec<String>,
    /// Whether later rules may name more sinks.
    #[serde(default, rename = "continue")]
    pub continues: bool,
}

/// What an alert is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertLevel {
    /// A warning threshold is expected to be passed.
    Warning,
    /// A critical one is.
    Critical,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weekday {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl AlertLevel {
    fn as_str(self) -> &'static str {
        match self {
            AlertLevel::Warning => "warning",
            AlertLevel::Critical => "critical",
        }
    }
}

impl Weekday {
    fn as_str(self) -> &'static str {
        match self {
            Weekday::Mon => "Mon",
            Weekday::Tue => "Tue",
            Weekday::Wed => "Wed",
            Weekday::Thu => "Thu",
            Weekday::Fri => "Fri",
            Weekday::Sat => "Sat",
            Weekday::Sun => "Sun",
        }
    }
}

impl RouteRule {
    fn fits_everything(&self) -> bool {
        self.levels.is_empty()
            && self.profiles.is_empty()
            && self.servers.is_empty()
            && self.metrics.is_empty()
            && self.labels.is_empty()
            && self.days.is_empty()
            && self.hours.is_none()
    }

    /// The rule in one line of plain words, e.g. `critical alerts of servers db-*, Mon, Tue 18:00-08:00 (UTC): to pager`.
    pub fn plain_words(&self) -> String {
        let mut words = match self.levels.as_slice() {
            [] => "alerts".to_owned(),
            levels => {
                let levels: Vec<&str> = levels.iter().map(|l| l.as_str()).collect();
                format!("{} alerts", levels.join(" and "))
            }
        };
        let lists = [
            ("servers", &self.servers),
            ("profiles", &self.profiles),
            ("metrics", &self.metrics),
        ];
        for (what, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            words.push_str(&format!(" of {what} {}", list.join(" or ")));
        }
        for (name, value) in &self.labels {
            words.push_str(&format!(" with {name} = {value}"));
        }
        if !self.days.is_empty() || self.hours.is_some() {
            let days: Vec<&str> = self.days.iter().map(|d| d.as_str()).collect();
            let days = if days.is_empty() {
                "every day".to_owned()
            } else {
                days.join(", ")
            };
            let hours = self.hours.as_deref().unwrap_or("all day");
            words.push_str(&format!(", {days} {hours} ({})", self.timezone));
        }
        let sinks = if self.sinks.is_empty() {
            "nobody".to_owned()
        } else {
            self.sinks.join(", ")
        };
        let on = if self.continues {
            ", and later routes too"
        } else {
            ""
        };
        format!("{words}: to {sinks}{on}")
    }
}

pub(crate) fn check(routes: &[RouteRule], plugins: &BTreeMap<String, Plugin>, found: &mut Checker) {
    let sinks: Vec<&str> = sinks(plugins).collect();
    let mut catch_all = None;
    for (position, route) in routes.iter().enumerate() {
        let index = position.to_string();
        let path = |key: &'static str| ["routes", index.as_str(), key];
        for sink in &route.sinks {
            if !sinks.contains(&sink.as_str()) {
                found.report(
                    &path("sinks"),
                    format!("there is no sink `{sink}`"),
                    suggest::offer(sink, sinks.iter().copied()),
                );
            }
        }
        if let Some(hours) = &route.hours
            && !is_span(hours)
        {
            found.report(
                &path("hours"),
                format!("`{hours}` is no span of hours"),
                "write it as \"08:00-18:30\"; \"22:00-06:00\" lasts into the next day",
            );
        }
        if jiff::tz::TimeZone::get(&route.timezone).is_err() {
            found.report(
                &path("timezone"),
                format!("there is no time zone `{}`", route.timezone),
                "write one such as \"Europe/Berlin\" or \"UTC\"",
            );
        }
        if let Some(earlier) = catch_all {
            found.report(
                &path("sinks"),
                format!("this route is never reached: route {earlier} fits every alert"),
                "put it last, or let it go on with continue = true",
            );
        } else if route.fits_everything() && !route.continues {
            catch_all = Some(position + 1);
        }
    }
}

/// Names of the plugins that are sinks.
pub(crate) fn sinks(plugins: &BTreeMap<String, Plugin>) -> impl Iterator<Item = &str> {
    let sinks = plugins.iter().filter(|(_, p)| p.kind == PluginKind::Sink);
    sinks.map(|(name, _)| name.as_str())
}

fn is_span(span: &str) -> bool {
    let minutes = |time: &str| {
        let (hour, minute) = time.trim().split_once(':')?;
        let number = |text: &str| {
            (text.len() == 2)
                .then(|| text.parse::<u16>().ok())
                .flatten()
        };
        let (hour, minute) = (number(hour)?, number(minute)?);
        (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
    };
    let ends = span.split_once('-');
    ends.and_then(|(from, until)| Some((minutes(from)?, minutes(until)?)))
        .is_some_and(|(from, until)| from != until && from < 24 * 60)
}
