//! Numbers of records: what counts as one, and what of it is stored.

use serde_json::Value;

use crate::rejection::rejection;
use crate::shown::shown;
use crate::{Metric, RejectCode, Rejection};

/// Reads the number in a field. Text that spells a number counts: log shippers with templates send such.
pub(crate) fn finite_number(field: &str, value: &Value) -> Result<f64, Rejection> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        _ => None,
    };
    let Some(number) = number else {
        let message = format!(
            "`{field}` is {}; a number is needed, or null where it is unknown",
            shown(value)
        );
        return Err(rejection(RejectCode::NotANumber, Some(field), message));
    };
    if number.is_finite() {
        return Ok(number);
    }
    let code = if number.is_nan() {
        RejectCode::Nan
    } else {
        RejectCode::Infinite
    };
    let message = format!(
        "`{field}` is {}; a finite number is needed, or null where it is unknown",
        shown(value)
    );
    Err(rejection(code, Some(field), message))
}

impl Metric {
    /// A number in the metric's unit as it is stored; `None` where it is not finite or outside the metric's range.
    ///
    /// The range is checked on the stored value: 100.00000000000001 % is a rounding error of the sender and is stored
    /// as 100 %.
    pub fn stored(&self, number: f64) -> Option<f32> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an overflow becomes infinite, which is refused below"
        )]
        let stored = number as f32;
        let is_above_min = self.min.is_none_or(|min| f64::from(stored) >= min);
        let is_below_max = self.max.is_none_or(|max| f64::from(stored) <= max);
        (stored.is_finite() && is_above_min && is_below_max).then_some(stored)
    }

    /// What [`Metric::stored`] takes, in words.
    pub(crate) fn allowed(&self) -> String {
        let unit = if self.unit.is_empty() {
            String::new()
        } else {
            format!(" {}", self.unit)
        };
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}{unit}"),
            (Some(min), None) => format!("{min} to {:e}{unit}", f32::MAX),
            (None, Some(max)) => format!("at most {max}{unit}"),
            (None, None) => format!("a magnitude of at most {:e}{unit}", f32::MAX),
        }
    }
}
