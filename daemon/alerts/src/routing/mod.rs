//! Who is told: rules over an alert's severity, profile, server, metric and labels, and over the time.
//!
//! Rules are looked at in order. The first that fits names the sinks; one that goes on lets later rules add theirs.
//! Where no rule fits everybody is told: an alert that nobody hears of is worse than one too many. A rule without
//! sinks keeps what it fits to itself.
//!
//! A rule decides who *begins* to hear of an alert. Who has heard of it hears the rest too, its end above all, even if
//! the hour or the severity has changed meanwhile; and an alert that still fires when somebody's hours begin is told
//! then.

mod glob;
mod hours;

use std::collections::{BTreeMap, BTreeSet};

use argus_fleet::Level;

pub use glob::Glob;
pub use hours::{Hours, HoursError, Weekday};

/// All rules, in order; none tells everybody.
#[derive(Debug, Clone, Default)]
pub struct Routing {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule. What is empty or none fits everything.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Severities that fit.
    pub severities: Vec<Level>,
    /// Profiles, one of which must fit.
    pub profiles: Vec<Glob>,
    /// Names of servers, one of which must fit.
    pub servers: Vec<Glob>,
    /// Metrics, one of which must fit.
    pub metrics: Vec<Glob>,
    /// Labels, all of which must be there and fit.
    pub labels: BTreeMap<String, Glob>,
    /// When the rule holds.
    pub hours: Option<Hours>,
    /// Who is told.
    pub sinks: BTreeSet<String>,
    /// Whether later rules are looked at too.
    pub continues: bool,
}

/// What rules look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub severity: Level,
    pub server: &'a str,
    pub profile: &'a str,
    pub metric: &'a str,
    pub labels: &'a BTreeMap<String, String>,
}

/// Who is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recipients<'a> {
    Everybody,
    Only(BTreeSet<&'a str>),
}

impl Recipients<'_> {
    pub(crate) fn include(&self, sink: &str) -> bool {
        match self {
            Recipients::Everybody => true,
            Recipients::Only(sinks) => sinks.contains(sink),
        }
    }
}

impl Routing {
    /// Who is to be told of `subject` at a time.
    pub(crate) fn recipients(&self, subject: Subject<'_>, now_ms: i64) -> Recipients<'_> {
        let mut told = BTreeSet::new();
        let mut fits = false;
        for rule in self.rules.iter().filter(|rule| rule.fits(subject, now_ms)) {
            fits = true;
            told.extend(rule.sinks.iter().map(String::as_str));
            if !rule.continues {
                break;
            }
        }
        if fits {
            Recipients::Only(told)
        } else {
            Recipients::Everybody
        }
    }
}

impl Rule {
    fn fits(&self, subject: Subject<'_>, now_ms: i64) -> bool {
        let one_of =
            |globs: &[Glob], text: &str| globs.is_empty() || globs.iter().any(|g| g.fits(text));
        let has_label = |(name, glob): (&String, &Glob)| {
            let value = subject.labels.get(name);
            value.is_some_and(|value| glob.fits(value))
        };
        (self.severities.is_empty() || self.severities.contains(&subject.severity))
            && one_of(&self.profiles, subject.profile)
            && one_of(&self.servers, subject.server)
            && one_of(&self.metrics, subject.metric)
            && self.labels.iter().all(has_label)
            && self.hours.as_ref().is_none_or(|h| h.contain(now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(patterns: &[&str]) -> Vec<Glob> {
        patterns.iter().map(|p| Glob::new(p)).collect()
    }

    fn to(sinks: &[&str]) -> Rule {
        Rule {
            sinks: sinks.iter().map(|s| (*s).to_owned()).collect(),
            ..Rule::default()
        }
    }

    #[track_caller]
    fn check(rules: Vec<Rule>, severity: Level, server: &str, expected: Option<&[&str]>) {
        let labels = BTreeMap::from([("team".to_owned(), "ops-eu".to_owned())]);
        let subject = Subject {
            severity,
            server,
            profile: "database",
            metric: "mem_used_pct",
            labels: &labels,
        };
        let routing = Routing { rules };
        let expected = expected.map_or(Recipients::Everybody, |sinks| {
            Recipients::Only(sinks.iter().copied().collect())
        });
        assert_eq!(routing.recipients(subject, 0), expected);
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_none_means_everybody() {
        let rules = || {
            vec![
                Rule {
                    severities: vec![Level::Critical],
                    servers: globs(&["db-*", "ppdb?01"]),
                    ..to(&["pager"])
                },
                Rule {
                    profiles: globs(&["data*"]),
                    ..to(&["chat"])
                },
            ]
        };
        check(rules(), Level::Critical, "db-01", Some(&["pager"]));
        check(rules(), Level::Critical, "ppdb101", Some(&["pager"]));
        check(rules(), Level::Critical, "web-01", Some(&["chat"]));
        check(rules(), Level::Warning, "db-01", Some(&["chat"]));
        check(rules()[..1].to_vec(), Level::Warning, "db-01", None);
        check(vec![], Level::Warning, "db-01", None);
    }

    #[test]
    fn rules_that_go_on_add_up_and_one_without_sinks_is_silence() {
        let on = Rule {
            continues: true,
            ..to(&["log"])
        };
        check(
            vec![on.clone(), to(&["chat"]), to(&["never"])],
            Level::Warning,
            "a",
            Some(&["chat", "log"]),
        );
        check(vec![on], Level::Warning, "a", Some(&["log"]));
        check(vec![to(&[]), to(&["chat"])], Level::Warning, "a", Some(&[]));
    }

    #[test]
    fn labels_and_metrics_must_fit() {
        let labelled = |name: &str, glob: &str| Rule {
            labels: BTreeMap::from([(name.to_owned(), Glob::new(glob))]),
            ..to(&["chat"])
        };
        check(
            vec![labelled("team", "ops-*")],
            Level::Warning,
            "a",
            Some(&["chat"]),
        );
        check(vec![labelled("team", "dev")], Level::Warning, "a", None);
        check(vec![labelled("tema", "*")], Level::Warning, "a", None);
        let metrics = Rule {
            metrics: globs(&["cpu_*"]),
            ..to(&["chat"])
        };
        check(vec![metrics], Level::Warning, "a", None);
    }
}
