//! The transformations that pytorch-forecasting's normalisers put before scaling, and their ways back.

use serde::{Deserialize, Serialize};

/// What a double resolves beside 1; it keeps the inverse softplus of 0 finite (−36.04).
const EPSILON: f64 = f64::EPSILON;
/// From here on softplus changes nothing.
const LINEAR_FROM: f64 = 20.0;

/// How a value gets into the space in which it is scaled, and back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transformation {
    /// As it is.
    #[default]
    None,
    /// Logarithm there, exponential back.
    Log,
    /// Logarithm of 1 + y there; back by the plain exponential, as in the original.
    Log1p,
    /// Log-odds there, logistic back.
    Logit,
    /// 1 + y there; back by softplus, as in the original.
    Count,
    /// Inverse softplus there, softplus back.
    Softplus,
    /// As it is there, cut off at 0 on the way back.
    Relu,
    /// Square root there, square back.
    Sqrt,
}

impl Transformation {
    /// By the name that pytorch-forecasting gives it.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "" | "none" | "identity" => Self::None,
            "log" => Self::Log,
            "log1p" => Self::Log1p,
            "logit" => Self::Logit,
            "count" => Self::Count,
            "softplus" => Self::Softplus,
            "relu" => Self::Relu,
            "sqrt" => Self::Sqrt,
            _ => return None,
        })
    }

    /// Into the space of scaling.
    pub(crate) fn forward(self, y: f64) -> f64 {
        match self {
            Self::None | Self::Relu => y,
            Self::Log => y.ln().max(-1.0 / EPSILON),
            Self::Log1p => y.ln_1p(),
            Self::Logit => {
                let y = y.clamp(EPSILON, 1.0 - EPSILON);
                y.ln() - (-y).ln_1p()
            }
            Self::Count => y + 1.0,
            Self::Softplus if y > LINEAR_FROM => y,
            Self::Softplus => y + (-(-(y + EPSILON)).exp_m1()).ln(),
            Self::Sqrt => y.sqrt(),
        }
    }

    /// Out of it.
    pub(crate) fn reverse(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Log | Self::Log1p => x.exp(),
            Self::Logit => 1.0 / (1.0 + (-x).exp()),
            Self::Count | Self::Softplus if f64::from(x) > LINEAR_FROM => x,
            Self::Count | Self::Softplus => x.exp().ln_1p(),
            Self::Relu => x.max(0.0),
            Self::Sqrt => x * x,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_undoes_the_way_there() {
        let both = [
            Transformation::None,
            Transformation::Log,
            Transformation::Softplus,
            Transformation::Sqrt,
        ];
        for transformation in both {
            for y in [0.001, 0.5, 3.0, 19.0, 20.5, 80.0] {
                let there = transformation.forward(y) as f32;
                let back = f64::from(transformation.reverse(there));
                assert!(
                    (back - y).abs() <= 1e-5 * y.max(1.0),
                    "{transformation:?} {y} {back}"
                );
            }
        }
        // 0 becomes the logarithm of the least resolvable number, not minus infinity.
        assert!((Transformation::Softplus.forward(0.0) + 36.04).abs() < 0.01);
        assert_eq!(Transformation::Relu.reverse(-1.0), 0.0);
        assert_eq!(Transformation::from_name("sinh"), None);
    }
}
