//! Parts of the context that got more than little attention.

use std::ops::Range;

/// A part of the context and its share of the attention on the context.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    pub name: &'static str,
    pub steps: Range<usize>,
    pub attention: f64,
}

impl Period {
    pub fn importance(&self) -> &'static str {
        match self.attention {
            a if a > 0.5 => "VERY HIGH",
            a if a > 0.35 => "HIGH",
            a if a > 0.20 => "MEDIUM",
            _ => "LOW",
        }
    }
}

/// The parts that matter, most attention first. `weights` add up to 1, oldest step first.
pub fn important(weights: &[f64]) -> Vec<Period> {
    let steps = weights.len();
    let (early, recent) = (steps * 3 / 10, steps * 7 / 10);
    let period = |name, steps: Range<usize>| Period {
        name,
        attention: weights[steps.clone()].iter().sum(),
        steps,
    };
    let parts = [
        (period("Recent (last 30% of window)", recent..steps), 0.3),
        (period("Mid-range (middle 40%)", early..recent), 0.2),
        (period("Early (first 30%)", 0..early), 0.15),
    ];
    let matter = parts
        .into_iter()
        .filter(|(period, least)| period.attention > *least);
    let mut periods: Vec<Period> = matter.map(|(period, _)| period).collect();
    periods.sort_by(|a, b| b.attention.total_cmp(&a.attention));
    periods
}
