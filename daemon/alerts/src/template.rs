//! Message texts of the operator's own.
//!
//! A template is Jinja (minijinja): people know it, and half of a notification's facts may be missing, so that texts
//! need conditions, not only names to fill in. Names that do not exist are errors, not gaps; templates are tried on
//! made-up notifications when they are read, so that a mistake shows at the start and not with the first alert. What a
//! template may compute is bounded.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};

use crate::notification::Notification;
use crate::samples;

/// Instructions of one rendering; the longest sensible text takes a few hundred.
const FUEL: u64 = 20_000;
/// Characters that are kept of a title, and of a body.
const MAX_TITLE: usize = 1_000;
const MAX_BODY: usize = 20_000;
/// Where sinks look for the body.
const BODY_ANNOTATION: &str = "description";

/// A title, a body, or both.
#[derive(Debug)]
pub struct MessageTemplate {
    texts: Environment<'static>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}, line {line}: {reason}")]
pub struct TemplateError {
    /// `title` or `body`.
    pub part: &'static str,
    /// Line within it, from 1.
    pub line: usize,
    /// What minijinja said, and for which notification.
    pub reason: String,
}

const TITLE: &str = "title";
const BODY: &str = "body";

impl MessageTemplate {
    /// Reads a template and tries it.
    ///
    /// # Errors
    /// When it is malformed, or asks for what does not exist or may be missing.
    pub fn new(title: Option<&str>, body: Option<&str>) -> Result<Self, TemplateError> {
        let mut texts = Environment::new();
        // What is missing may be asked for in a condition, but not printed.
        texts.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        texts.set_fuel(Some(FUEL));
        // A line that only holds a block leaves no empty line behind.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        if let Ok(syntax) = syntax.build() {
            texts.set_syntax(syntax);
        }
        texts.add_filter("time", time);
        for (part, text) in [(TITLE, title), (BODY, body)] {
            if let Some(text) = text {
                texts
                    .add_template_owned(part, text.to_owned())
                    .map_err(|error| explain(part, &error, ""))?;
            }
        }
        let template = Self { texts };
        for (what, notification) in samples::all() {
            for part in [TITLE, BODY] {
                template
                    .render(part, &notification)
                    .map_err(|error| explain(part, &error, what))?;
            }
        }
        Ok(template)
    }

    /// The notification with the template's texts: the title is its summary, the body its annotation `description`.
    ///
    /// # Errors
    /// When the template cannot say this notification; the caller still has the daemon's own text.
    pub fn applied(&self, notification: &Notification) -> Result<Notification, TemplateError> {
        let render = |part| {
            let text = self.render(part, notification);
            text.map_err(|error| explain(part, &error, "this notification"))
        };
        let mut told = notification.clone();
        if let Some(title) = render(TITLE)? {
            let words: Vec<&str> = title.split_whitespace().collect();
            let title: String = words.join(" ").chars().take(MAX_TITLE).collect();
            told.annotations.insert("summary".to_owned(), title.clone());
            told.summary = title;
        }
        if let Some(body) = render(BODY)? {
            let body: String = body.trim().chars().take(MAX_BODY).collect();
            told.annotations.insert(BODY_ANNOTATION.to_owned(), body);
        }
        Ok(told)
    }

    fn render(
        &self,
        part: &str,
        notification: &Notification,
    ) -> Result<Option<String>, minijinja::Error> {
        match self.texts.get_template(part) {
            Ok(text) => text.render(names(notification)).map(Some),
            Err(error) if error.kind() == ErrorKind::TemplateNotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a template may name. Numbers are in the metric's unit, times in ms since the epoch for the filter `time`; the
/// annotations have numbers as texts with units.
fn names(n: &Notification) -> Value {
    context! {
        event => n.event.as_str(),
        severity => n.severity.as_str(),
        level => argus_fleet::Level::of(n.risk_score).as_str(),
        risk_score => n.risk_score,
        server => &n.entity,
        profile => &n.profile,
        metric => &n.metric,
        unit => &n.unit,
        threshold => n.threshold,
        current => n.current,
        predicted_peak => n.predicted_peak,
        probability => n.probability,
        in_breach => n.in_breach,
        minutes_ahead => n.minutes_ahead,
        expected_breach => n.expected_breach_ms,
        started_at => n.started_at_ms,
        updated_at => n.updated_at_ms,
        ends_at => n.ends_at_ms,
        flapping => n.flapping,
        acknowledged_by => &n.acknowledged_by,
        summary => &n.summary,
        link => &n.link,
        labels => &n.labels,
        annotations => &n.annotations,
        drivers => n.annotations.get("drivers"),
    }
}

/// `{{ expected_breach | time("%a %H:%M", "Europe/Berlin") }}`; the zone is UTC unless named.
fn time(at_ms: i64, format: &str, zone: Option<&str>) -> Result<String, minijinja::Error> {
    let refuse =
        |error: jiff::Error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string());
    let zone = TimeZone::get(zone.unwrap_or("UTC")).map_err(refuse)?;
    let at = Timestamp::from_millisecond(at_ms)
        .map_err(refuse)?
        .to_zoned(zone);
    jiff::fmt::strtime::format(format, &at).map_err(refuse)
}

fn explain(part: &'static str, error: &minijinja::Error, what: &str) -> TemplateError {
    let advice = match error.kind() {
        ErrorKind::UndefinedError => {
            "; guard what may be missing: {{ name | default(\"–\") }}".to_owned()
        }
        ErrorKind::OutOfFuel => "; it computes too much".to_owned(),
        _ => String::new(),
    };
    let detail = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let whose = if what.is_empty() {
        String::new()
    } else {
        format!(" for {what}")
    };
    TemplateError {
        part,
        line: error.line().unwrap_or(1),
        reason: format!("{detail}{whose}{advice}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_and_bodies_are_filled_in() {
        let template = MessageTemplate::new(
            Some("[{{ severity | upper }}] {{ server }}:\n  {{ metric }}"),
            Some(
                "{% if expected_breach is not none %}\nat {{ expected_breach | time(\"%H:%M %Z\", \"Europe/Berlin\") }}\n\
                 {% endif %}\nodds {{ annotations.probability }}, drivers {{ drivers or \"unknown\" }}",
            ),
        )
        .expect("good");
        let told = template.applied(&samples::full()).expect("rendered");
        assert_eq!(told.summary, "[CRITICAL] db-01: mem_used_pct");
        assert_eq!(told.annotations["summary"], told.summary);
        assert_eq!(
            told.annotations["description"],
            "at 07:05 CET\nodds 87 %, drivers swap_used_pct"
        );
        let only_title = MessageTemplate::new(Some("x"), None).expect("good");
        let told = only_title.applied(&samples::full()).expect("rendered");
        assert!(!told.annotations.contains_key("description"));
    }

    #[track_caller]
    fn check_refused(text: &str, line: usize, fragment: &str) {
        let error = MessageTemplate::new(None, Some(text)).expect_err(text);
        assert_eq!((error.part, error.line), ("body", line), "{error}");
        assert!(error.reason.contains(fragment), "{error}");
    }

    #[test]
    fn mistakes_show_at_the_start_with_their_line() {
        check_refused("a\n{{ serverr }}", 2, "undefined value");
        check_refused("{{ annotations.current }}", 1, "alert that is over");
        check_refused("{% if %}", 1, "unexpected");
        check_refused("{{ server", 1, "unexpected");
        check_refused("{{ started_at | time(\"%H\", \"Mars\") }}", 1, "Mars");
        check_refused("{{ server | uper }}", 1, "uper");
        check_refused("{{ current | time(\"%H\") }}", 1, "");
        check_refused(
            "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
            1,
            "computes too much",
        );
        check_refused("{% include \"/etc/passwd\" %}", 1, "");
    }

    #[test]
    fn nothing_from_outside_is_read_as_a_template() {
        let mut notification = samples::full();
        notification.entity = "{{ 7 * 7 }}".into();
        let template = MessageTemplate::new(Some("{{ server }}"), None).expect("good");
        let told = template.applied(&notification).expect("rendered");
        assert_eq!(told.summary, "{{ 7 * 7 }}");
    }
}
