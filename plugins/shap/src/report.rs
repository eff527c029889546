//! Shapley values as people and programs read them. The names of the fields are those that older clients know.

use argus_asked::{Target, mean, newest};
use argus_plugin::Error;
use argus_plugin::explainer::{Driver, Explanation, Subject};
use argus_plugin::model::{EVERY_METRIC, Window};
use serde_json::{Value, json};

use crate::game::Player;

/// What was found.
pub struct Found<'a> {
    pub prediction: f64,
    pub base: f64,
    pub parts: Vec<Part>,
    pub how: How,
    pub evaluations: u32,
    /// `metric` or `segment`.
    pub by: &'a str,
}

/// One player's share.
pub struct Part {
    pub player: Player,
    pub value: f64,
    pub standard_error: f64,
}

/// How the shares were computed.
pub enum How {
    Exact,
    Sampled {
        permutations: u32,
        stopped: &'static str,
        seed: u64,
    },
}

/// How a metric behaved over the context: for people, beside the shares, which owe nothing to it.
struct Course {
    current: Option<f32>,
    typical: Option<f32>,
    trend: f64,
    deviation: f64,
}

impl Course {
    fn of(own: &[f32], typical: &[f32]) -> Self {
        let part = (own.len() / 5).clamp(1, own.len().max(1));
        let middle = mean(own).unwrap_or(0.0);
        let squares = own.iter().filter(|v| !v.is_nan());
        let squares: Vec<f32> = squares
            .map(|v| (f64::from(*v) - middle).powi(2) as f32)
            .collect();
        let deviation = mean(&squares).unwrap_or(0.0).sqrt();
        let early = mean(&own[..part.min(own.len())]).unwrap_or(middle);
        let late = mean(&own[own.len().saturating_sub(part)..]).unwrap_or(middle);
        let current = newest(own);
        // A metric that was about zero has no meaningful relative change; its spread is the better yardstick then.
        let size = early.abs().max(deviation).max(1e-6);
        Self {
            current,
            typical: newest(typical),
            trend: (late - early) / size,
            deviation: current.map_or(0.0, |now| (f64::from(now) - middle) / (deviation + 1e-6)),
        }
    }

    fn direction(&self) -> &'static str {
        match self.trend {
            t if t > 0.05 => "increasing",
            t if t < -0.05 => "decreasing",
            _ => "stable",
        }
    }
}

/// The explanation.
///
/// # Errors
/// The model's.
pub fn explanation(
    window: &Window,
    subject: &Subject,
    target: &Target,
    mut found: Found<'_>,
    drivers: usize,
) -> Result<Explanation, Error> {
    let shape = window.shape();
    let whole = target.whole.map_or_else(
        || found.parts.iter().map(|part| part.value.abs()).sum(),
        f64::from,
    );
    let left_over =
        found.prediction - found.base - found.parts.iter().map(|part| part.value).sum::<f64>();
    let by_size = |a: &Part, b: &Part| b.value.abs().total_cmp(&a.value.abs());
    found.parts.sort_by(by_size);
    let mut told = Vec::new();
    let mut importance = Vec::new();
    for part in &found.parts {
        let (line, object) = tell(window, target, part, whole)?;
        told.push(Driver {
            name: part.player.name.clone(),
            impact: part.value as f32,
            standard_error: part.standard_error as f32,
            text: line,
        });
        importance.push(json!([part.player.name, object]));
    }
    if found.by == "metric" {
        for (metric, name) in (0..).zip(shape.metric_names()) {
            if found.parts.iter().all(|part| part.player.metric != metric) {
                let seen = newest(&window.values(metric)?);
                let why = seen.map_or("not observed", |_| "as usual");
                importance.push(json!([name, {
                    "impact": 0.0, "standard_error": 0.0, "direction": "stable", "stars": "", "explanation": why,
                    "trend": 0.0, "deviation": 0.0, "current": seen, "typical": seen,
                }]));
            }
        }
    }
    let summary = summary(target, &found, whole);
    let top = importance.first().filter(|_| !found.parts.is_empty()).map(|first| {
        json!({ "feature": first[0], "impact": first[1]["impact"], "direction": first[1]["direction"] })
    });
    let mut details = json!({
        "server_name": subject.entity,
        "prediction_value": found.prediction,
        "base_value": found.base,
        "feature_importance": importance,
        "top_driver": top,
        "summary": summary,
        "method": "shapley",
        "by": found.by,
        "exact": matches!(found.how, How::Exact),
        "left_over": left_over,
        "evaluations": found.evaluations,
        "background": "typical values of the profile at the same hours",
    });
    if let How::Sampled {
        permutations,
        stopped,
        seed,
    } = found.how
    {
        details["permutations"] = json!(permutations);
        details["stopped"] = json!(stopped);
        details["seed"] = json!(seed);
    }
    told.truncate(drivers);
    Ok(Explanation {
        summary,
        drivers: told,
        details: details.to_string(),
    })
}

/// A part in a line and as an object.
fn tell(
    window: &Window,
    target: &Target,
    part: &Part,
    whole: f64,
) -> Result<(String, Value), Error> {
    let name = &part.player.name;
    let share = if whole > 0.0 {
        part.value.abs() / whole
    } else {
        0.0
    };
    let stars = match share {
        s if s > 0.20 => "⭐⭐⭐",
        s if s > 0.10 => "⭐⭐",
        s if s > 0.05 => "⭐",
        _ => "",
    };
    let verb = if part.value < 0.0 { "takes" } else { "adds" };
    let preposition = if part.value < 0.0 { "from" } else { "to" };
    let what = format!(
        "{verb} {} {preposition} {}",
        amount(part.value.abs()),
        target.label
    );
    let mut object = json!({
        "impact": part.value, "standard_error": part.standard_error, "stars": stars,
    });
    if part.player.metric == EVERY_METRIC {
        let line = format!("the {name} {what}");
        object["direction"] = json!(if part.value < 0.0 {
            "decreasing"
        } else {
            "increasing"
        });
        object["explanation"] = json!(line);
        object["steps"] = json!([part.player.steps.start, part.player.steps.end]);
        return Ok((line, object));
    }
    let metric = part.player.metric;
    let course = Course::of(&window.values(metric)?, &window.typical(metric)?);
    let at = match (course.current, course.typical) {
        (Some(now), Some(usual)) => {
            format!(
                " at {} (usually {})",
                amount(now.into()),
                amount(usual.into())
            )
        }
        (Some(now), None) => format!(" at {}", amount(now.into())),
        (None, _) => " (not observed)".to_owned(),
    };
    let line = format!("{name}{at} {what}");
    object["direction"] = json!(course.direction());
    object["explanation"] = json!(line);
    object["trend"] = json!(course.trend);
    object["deviation"] = json!(course.deviation);
    object["current"] = json!(course.current);
    object["typical"] = json!(course.typical);
    Ok((line, object))
}

fn summary(target: &Target, found: &Found<'_>, whole: f64) -> String {
    let (prediction, base) = (amount(found.prediction), amount(found.base));
    let Some(first) = found.parts.first() else {
        return format!("{} is {prediction}, as for a typical window", target.label);
    };
    let strength = match first.value.abs() / whole.max(f64::MIN_POSITIVE) {
        s if s > 0.20 => "Primary",
        s if s > 0.10 => "Key",
        _ => "Minor",
    };
    let named = |part: &Part| {
        let sign = if part.value < 0.0 { "−" } else { "+" };
        format!("{} {sign}{}", part.player.name, amount(part.value.abs()))
    };
    let second = found
        .parts
        .get(1)
        .filter(|second| second.value.abs() > 0.1 * whole);
    let second = second.map_or_else(String::new, |second| format!(", {}", named(second)));
    format!(
        "{strength} driver: {}{second}; {} is {prediction}, {base} for a typical window",
        named(first),
        target.label
    )
}

/// Three significant digits are what people compare.
fn amount(number: f64) -> String {
    match number.abs() {
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 1.0 || n == 0.0 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}
