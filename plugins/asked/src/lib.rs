//! What an explainer is asked for: which number, and how to tell of it. Shared by the shipped explainers.

use argus_plugin::explainer::Subject;
use argus_plugin::model::{Output, Shape};
use argus_plugin::{Error, Host};

/// The number to explain.
#[derive(Debug, Clone)]
pub struct Target {
    /// For people, e.g. `the risk`.
    pub label: String,
    /// What the model is asked for.
    pub output: Output,
    /// Size that counts as all of it: 100 for a risk, 1 for a probability; none for a metric.
    pub whole: Option<f32>,
}

impl Target {
    /// Understands `risk` (before the floor that holds in breach), `breach:METRIC` (probability of passing the critical
    /// threshold within the subject's steps) and `METRIC` (its median at the subject's step).
    ///
    /// # Errors
    /// `unknown_target` for another name, or a step that the horizon does not have.
    pub fn of(subject: &Subject, shape: &Shape) -> Result<Self, Error> {
        if subject.target == "risk" {
            return Ok(Self {
                label: "the risk".to_owned(),
                output: Output::risk_unclamped(),
                whole: Some(100.0),
            });
        }
        let unknown = |message: String| Error::new("unknown_target", message);
        let breach = subject.target.strip_prefix("breach:");
        let name = breach.unwrap_or(&subject.target);
        let metric = shape.metric(name).ok_or_else(|| {
            let known = shape.metric_names().join(", ");
            unknown(format!(
                "{name:?} is neither `risk` nor a metric; there are: {known}"
            ))
        })?;
        let step = subject.step;
        if !(1..=shape.horizon_steps).contains(&step) {
            let most = shape.horizon_steps;
            return Err(unknown(format!("step {step} is not 1 to {most}")));
        }
        let minutes = u64::from(step) * u64::from(shape.step_secs) / 60;
        Ok(match breach {
            Some(_) => Self {
                label: format!("the odds that {name} breaches within {minutes} min"),
                output: Output::breach_probability(metric, step),
                whole: Some(1.0),
            },
            None => Self {
                label: format!("{name} in {minutes} min"),
                output: Output::quantile(metric, step, 0.5),
                whole: None,
            },
        })
    }

    /// The error for a target that the model gives no number for.
    pub fn not_given(&self) -> Error {
        let message = format!(
            "the model gives no number for {}: the metric was not observed, or has no threshold",
            self.label
        );
        Error::new("no_prediction", message)
    }
}

/// One of the caller's wishes as a whole number.
///
/// # Errors
/// `invalid_option` where it is no whole number from 1 to `most`.
pub fn count(subject: &Subject, name: &str, most: u32) -> Result<Option<u32>, Error> {
    let Some(text) = subject.option(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if (1..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Error::new(
            "invalid_option",
            format!("option {name} is {text:?}, wanted is a whole number from 1 to {most}"),
        )),
    }
}

/// One of the caller's wishes out of a few words, the first of which is the default.
///
/// # Errors
/// `invalid_option` for another word.
pub fn word<'a>(subject: &'a Subject, name: &str, words: &[&'a str]) -> Result<&'a str, Error> {
    match subject.option(name) {
        None => Ok(words[0]),
        Some(asked) if words.contains(&asked) => Ok(asked),
        Some(asked) => Err(Error::new(
            "invalid_option",
            format!(
                "option {name} is {asked:?}, wanted is one of {}",
                words.join(", ")
            ),
        )),
    }
}

/// A span of steps in words, e.g. `30 min` or `8 h`.
pub fn span(steps: u32, step_secs: u32) -> String {
    let minutes = u64::from(steps) * u64::from(step_secs) / 60;
    match minutes {
        0 => format!("{} s", u64::from(steps) * u64::from(step_secs)),
        m if m.is_multiple_of(60) => format!("{} h", m / 60),
        m if m < 120 => format!("{m} min"),
        m => format!("{:.1} h", m as f64 / 60.0),
    }
}

/// Newest observed value.
pub fn newest(values: &[f32]) -> Option<f32> {
    values.iter().rev().copied().find(|value| !value.is_nan())
}

/// Mean of the observed values.
pub fn mean(values: &[f32]) -> Option<f64> {
    let seen = values.iter().filter(|value| !value.is_nan());
    let (count, sum) = seen.fold((0u32, 0.0), |(n, sum), v| (n + 1, sum + f64::from(*v)));
    (count > 0).then(|| sum / f64::from(count))
}

/// How often this call may still run the model, at most `wanted`.
pub fn budget(host: &Host, wanted: u32) -> u32 {
    host.evaluations_left().min(wanted)
}
