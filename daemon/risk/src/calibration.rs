//! From computed probabilities to observed frequencies; the layout of a model directory's `calibration.json`.
//!
//! ```json
//! {"kind": "identity", "note": "not yet fitted"}
//! {"kind": "isotonic", "x": [0, 0.1, 0.6, 1], "y": [0.01, 0.05, 0.7, 0.97], "note": "…"}
//! ```
//!
//! `x` are computed, `y` observed probabilities; between them the curve is linear, beyond them constant. `x_30m` and
//! `y_30m` may hold a curve of their own for the 30-minute probability. Each condition goes through the same curve as
//! its entity: the curve is monotone, so a condition is never more probable than the entity it belongs to.

use serde::{Deserialize, Serialize};

/// Most points of a curve.
const MAX_POINTS: usize = 10_000;

/// How a computed probability becomes the one that is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "Layout")]
pub enum Calibration {
    /// As computed.
    #[default]
    Identity,
    /// By a non-decreasing curve fitted on validation data.
    Isotonic {
        /// Computed probabilities, ascending.
        x: Vec<f64>,
        /// Observed ones, never falling, as many.
        y: Vec<f64>,
        /// The same for the 30-minute probability; empty: `x` and `y` serve for it too.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        x_30m: Vec<f64>,
        /// As many as `x_30m`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        y_30m: Vec<f64>,
        /// Where it comes from, for people.
        #[serde(skip_serializing_if = "String::is_empty")]
        note: String,
    },
}

/// Why a calibration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// Not JSON of the right shape.
    #[error("calibration is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// `x` and `y` do not make a curve.
    #[error("calibration curve {0}")]
    Curve(&'static str),
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Layout {
    Identity,
    Isotonic {
        x: Vec<f64>,
        y: Vec<f64>,
        #[serde(default)]
        x_30m: Vec<f64>,
        #[serde(default)]
        y_30m: Vec<f64>,
        #[serde(default)]
        note: String,
    },
}

impl TryFrom<Layout> for Calibration {
    type Error = CalibrationError;

    fn try_from(layout: Layout) -> Result<Self, CalibrationError> {
        let Layout::Isotonic {
            x,
            y,
            x_30m,
            y_30m,
            note,
        } = layout
        else {
            return Ok(Self::Identity);
        };
        check(&x, &y)?;
        if !x_30m.is_empty() || !y_30m.is_empty() {
            check(&x_30m, &y_30m)?;
        }
        Ok(Self::Isotonic {
            x,
            y,
            x_30m,
            y_30m,
            note,
        })
    }
}

fn check(x: &[f64], y: &[f64]) -> Result<(), CalibrationError> {
    let problem = if x.len() != y.len() {
        "has x and y of different lengths"
    } else if x.is_empty() || x.len() > MAX_POINTS {
        "needs 1 to 10000 points"
    } else if !x.iter().chain(y).all(|v| (0.0..=1.0).contains(v)) {
        "has values outside of 0 to 1"
    } else if !x.is_sorted() || !y.is_sorted() {
        "falls; x and y must not"
    } else {
        return Ok(());
    };
    Err(CalibrationError::Curve(problem))
}

impl Calibration {
    /// Reads `calibration.json`.
    ///
    /// # Errors
    /// When the text is not JSON of this layout, or the curve is empty, falls, or leaves 0 to 1.
    pub fn from_json(text: &str) -> Result<Self, CalibrationError> {
        let layout: Layout = serde_json::from_str(text)?;
        layout.try_into()
    }

    /// `identity` or `isotonic`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Isotonic { .. } => "isotonic",
        }
    }

    /// Calibrated probability over the horizon, 0 to 1.
    pub fn apply(&self, p: f64) -> f64 {
        match self {
            Self::Identity => p.clamp(0.0, 1.0),
            Self::Isotonic { x, y, .. } => interpolate(x, y, p),
        }
    }

    /// Calibrated probability within 30 minutes, 0 to 1.
    pub fn apply_30m(&self, p: f64) -> f64 {
        match self {
            Self::Isotonic { x_30m, y_30m, .. } if !x_30m.is_empty() => {
                interpolate(x_30m, y_30m, p)
            }
            _ => self.apply(p),
        }
    }
}

/// Linear between the points, constant beyond them. A vertical step counts with its upper end.
fn interpolate(x: &[f64], y: &[f64], p: f64) -> f64 {
    let after = x.partition_point(|x| *x <= p);
    let at = |i: usize| Some((*x.get(i)?, *y.get(i)?));
    match (after.checked_sub(1).and_then(at), at(after)) {
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (p - x0) / (x1 - x0),
        (Some((_, only)), None) | (None, Some((_, only))) => only,
        (None, None) => p.clamp(0.0, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_layouts() {
        let identity = Calibration::from_json(r#"{"kind":"identity","note":"not yet fitted"}"#)
            .expect("valid");
        assert_eq!(identity, Calibration::Identity);
        let text = r#"{"kind":"isotonic","x":[0.0,0.5,0.5,1.0],"y":[0.0,0.1,0.3,0.9],"note":"n"}"#;
        let curve = Calibration::from_json(text).expect("valid");
        assert_eq!(serde_json::to_string(&curve).expect("serialises"), text);
        assert_eq!(
            [0.0, 0.25, 0.5, 0.75, 1.0, 2.0, -1.0].map(|p| curve.apply(p)),
            [0.0, 0.05, 0.3, 0.6000000000000001, 0.9, 0.9, 0.0]
        );
        assert_eq!(curve.apply_30m(0.25), 0.05);
    }

    #[test]
    fn refuses_what_is_no_curve() {
        for (x, y, says) in [
            ("[0.1]", "[]", "different lengths"),
            ("[]", "[]", "1 to 10000"),
            ("[0.5,0.1]", "[0,1]", "falls"),
            ("[0,1]", "[0.5,0.1]", "falls"),
            ("[0,1]", "[0,1.5]", "outside"),
        ] {
            let text = format!(r#"{{"kind":"isotonic","x":{x},"y":{y}}}"#);
            let error = Calibration::from_json(&text).expect_err(&text).to_string();
            assert!(error.contains(says), "{error}");
        }
        Calibration::from_json(r#"{"kind":"platt"}"#).expect_err("unknown kind");
    }
}
