//! The networks of all real variables of one width, run together along a leading variable axis.
//!
//! A real variable is a scalar `x` per step. Its way through the selection network starts with the prescaler
//! `w·x + b`, and two things that follow are linear in it: the gated residual network's first layer, which becomes
//! `u·x + t`, and the interpolated residual, which becomes `r·x + s`. Layer norm of the latter has a closed form: its
//! variance is a quadratic in `x`. That quadratic is evaluated in double precision because it may cancel.

use tch::{Kind, TchError, Tensor};

use crate::network::grn::{Binding, double_sigmoid, index, interpolation};
use crate::network::{NORM_EPS, Torch};
use crate::weights::{BlockId, Init, Layout, Views};

/// Places of the prescalers of all real variables of one width.
#[derive(Debug)]
pub(crate) struct PrescalersSpec {
    pub(crate) size: i64,
    names: Vec<String>,
    weight: BlockId,
    bias: BlockId,
}

impl PrescalersSpec {
    pub(crate) fn register(layout: &mut Layout, names: Vec<String>, size: i64) -> Self {
        let named = |part: &str| {
            names
                .iter()
                .map(|name| format!("prescalers.{name}.{part}"))
                .collect()
        };
        let weight = layout.stack(named("weight"), &[size, 1], Init::torch_default(1));
        let bias = layout.stack(named("bias"), &[size], Init::torch_default(1));
        Self {
            size,
            names,
            weight,
            bias,
        }
    }

    /// Prescalers of `names`: weights and biases, each `[v, size]`.
    pub(crate) fn bind(
        &self,
        views: &Views,
        names: &[String],
        binding: Binding,
    ) -> Torch<Prescalers> {
        let select =
            |id: BlockId| pick(&views[id], &self.names, names, binding)?.f_view([-1, self.size]);
        Ok(Prescalers {
            weight: select(self.weight)?,
            bias: select(self.bias)?,
        })
    }
}

/// Prescalers of some variables, each `[v, size]`.
#[derive(Debug)]
pub(crate) struct Prescalers {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

/// The rows of `stacked` that belong to `wanted`; all of them without a copy where the lists are equal.
fn pick(stacked: &Tensor, have: &[String], wanted: &[String], binding: Binding) -> Torch<Tensor> {
    if have == wanted {
        return Ok(stacked.shallow_clone());
    }
    let position = |name: &String| {
        have.iter()
            .position(|other| other == name)
            .map(|p| p as i64)
    };
    let positions: Option<Vec<i64>> = wanted.iter().map(position).collect();
    let positions =
        positions.ok_or_else(|| TchError::Shape("a real variable has no parameters".to_owned()))?;
    stacked.f_index_select(0, &index(&positions, binding.device)?)
}

/// Places of the gated residual networks of real variables of one width.
#[derive(Debug)]
pub(crate) struct RealNetsSpec {
    names: Vec<String>,
    input: i64,
    hidden: i64,
    fc1: (BlockId, BlockId),
    fc2: (BlockId, BlockId),
    gate: (BlockId, BlockId),
    norm: (BlockId, BlockId),
    resample: Option<(BlockId, BlockId, BlockId)>,
}

impl RealNetsSpec {
    /// Networks called `{prefix}.{name}` from `input` to `hidden`.
    pub(crate) fn register(
        layout: &mut Layout,
        prefix: &str,
        names: Vec<String>,
        input: i64,
        hidden: i64,
    ) -> Self {
        let inner = input.min(hidden);
        let mut add = |part: &str, shape: &[i64], init: Init| {
            layout.stack(
                names
                    .iter()
                    .map(|name| format!("{prefix}.{name}.{part}"))
                    .collect(),
                shape,
                init,
            )
        };
        let mut linear = |part: &str, output: i64, input: i64, init: Init| {
            let weight = add(&format!("{part}.weight"), &[output, input], init);
            (weight, add(&format!("{part}.bias"), &[output], Init::Zeros))
        };
        let fc1 = linear("fc1", inner, input, Init::kaiming(input));
        let fc2 = linear("fc2", inner, inner, Init::kaiming(inner));
        let gate = linear(
            "gate_norm.glu.fc",
            2 * hidden,
            inner,
            Init::xavier(2 * hidden, inner),
        );
        let mut norm = |part: &str| {
            let weight = add(&format!("{part}.weight"), &[hidden], Init::Ones);
            (weight, add(&format!("{part}.bias"), &[hidden], Init::Zeros))
        };
        let (norm, resample) = (
            norm("gate_norm.add_norm.norm"),
            (input != hidden).then(|| norm("resample_norm.norm")),
        );
        let resample = resample.map(|(weight, bias)| {
            (
                add("resample_norm.mask", &[hidden], Init::Zeros),
                weight,
                bias,
            )
        });
        Self {
            names,
            input,
            hidden,
            fc1,
            fc2,
            gate,
            norm,
            resample,
        }
    }

    /// The width of the variables' prescaled form.
    pub(crate) fn input(&self) -> i64 {
        self.input
    }

    /// Whether these networks serve the variable `name`.
    pub(crate) fn serves(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }

    /// The networks of `names`, whose prescalers are given.
    pub(crate) fn bind(
        &self,
        views: &Views,
        names: &[String],
        prescalers: &Prescalers,
        binding: Binding,
    ) -> Torch<RealNets> {
        let take = |id: BlockId| pick(&views[id], &self.names, names, binding);
        let (scale, shift) = (
            prescalers.weight.f_unsqueeze(2)?,
            prescalers.bias.f_unsqueeze(2)?,
        );
        let (fc1, fc1_bias) = (take(self.fc1.0)?, take(self.fc1.1)?.f_unsqueeze(2)?);
        let (fc2, fc2_bias) = (take(self.fc2.0)?, take(self.fc2.1)?.f_unsqueeze(2)?);
        let (gate, gate_bias) = (take(self.gate.0)?, take(self.gate.1)?.f_unsqueeze(2)?);
        // [v, out, in] · [v, in, 1] and back to rows: [v, 1, out].
        let row = |t: Tensor| t.f_transpose(1, 2)?.f_contiguous();
        let slope = row(fc1.f_bmm(&scale)?)?;
        let offset = row(fc1_bias.f_baddbmm(&fc1, &shift, 1.0, 1.0)?)?;
        let (fc2, gate, gate_bias) = if binding.dropout > 0.0 {
            (Some((row(fc2)?, row(fc2_bias)?)), gate, gate_bias)
        } else {
            (
                None,
                gate.f_bmm(&fc2)?,
                gate_bias.f_baddbmm(&gate, &fc2_bias, 1.0, 1.0)?,
            )
        };
        let norms = take(self.norm.0)?
            .f_unbind(0)?
            .into_iter()
            .zip(take(self.norm.1)?.f_unbind(0)?)
            .collect();
        Ok(RealNets {
            slope,
            offset,
            fc2,
            gate: row(gate)?,
            gate_bias: row(gate_bias)?,
            residual: self.residual(views, names, prescalers, binding)?,
            norms,
            hidden: self.hidden,
            binding,
        })
    }

    fn residual(
        &self,
        views: &Views,
        names: &[String],
        prescalers: &Prescalers,
        binding: Binding,
    ) -> Torch<Residual> {
        let (slope, offset) = (
            prescalers.weight.f_unsqueeze(1)?,
            prescalers.bias.f_unsqueeze(1)?,
        );
        let Some((mask, weight, bias)) = self.resample else {
            return Ok(Residual {
                matrix: Tensor::f_cat(&[&slope, &offset], 1)?,
                variance: None,
            });
        };
        let take = |id: BlockId| pick(&views[id], &self.names, names, binding)?.f_unsqueeze(1);
        let gate = double_sigmoid(&take(mask)?)?;
        let matrix = interpolation(self.input, self.hidden, &gate)?;
        let centred = |row: Tensor| {
            let row = row.f_matmul(&matrix)?.f_mul(&gate)?;
            row.f_sub(&row.f_mean_dim(-1, true, None::<Kind>)?)
        };
        let (slope, offset) = (centred(slope)?, centred(offset)?);
        let moment = |a: &Tensor, b: &Tensor| {
            a.f_to_kind(Kind::Double)?
                .f_mul(&b.f_to_kind(Kind::Double)?)?
                .f_mean_dim(-1, false, None::<Kind>)
        };
        let variance = [
            moment(&slope, &slope)?,
            moment(&slope, &offset)?.f_mul_scalar(2.0)?,
            moment(&offset, &offset)?,
        ];
        let norm = take(weight)?;
        let rows = [slope.f_mul(&norm)?, offset.f_mul(&norm)?, take(bias)?];
        Ok(Residual {
            matrix: Tensor::f_cat(&rows, 1)?,
            variance: Some(variance),
        })
    }
}

/// The networks of `v` real variables.
#[derive(Debug)]
pub(crate) struct RealNets {
    /// `u`, `[v, 1, inner]`.
    slope: Tensor,
    /// `t`, `[v, 1, inner]`.
    offset: Tensor,
    /// Second layer `[v, inner, inner]` and bias, where it is not folded into the gate.
    fc2: Option<(Tensor, Tensor)>,
    /// `[v, inner, 2 h]`.
    gate: Tensor,
    /// `[v, 1, 2 h]`.
    gate_bias: Tensor,
    residual: Residual,
    /// Scale and shift of the last layer norm of each variable, `[h]`.
    norms: Vec<(Tensor, Tensor)>,
    hidden: i64,
    binding: Binding,
}

/// The residual path: a product of per-row coefficients with a small matrix.
#[derive(Debug)]
struct Residual {
    /// Rows that the coefficients multiply: slope, offset and, with a norm, its shift; `[v, 2 or 3, h]`.
    matrix: Tensor,
    /// Coefficients of x², x and 1 in the variance, each `[v, 1]` in double precision; `None` without resampling.
    variance: Option<[Tensor; 3]>,
}

impl Residual {
    /// Coefficients `[v, rows, 2 or 3]` for `x [v, rows]`.
    fn coefficients(&self, x: &Tensor) -> Torch<Tensor> {
        let Some([quadratic, linear, constant]) = &self.variance else {
            return Tensor::f_stack(&[x, &x.f_ones_like()?], 2);
        };
        let wide = x.f_to_kind(Kind::Double)?;
        let variance = wide
            .f_mul(quadratic)?
            .f_add(linear)?
            .f_mul(&wide)?
            .f_add(constant)?;
        // Rounding may leave a tiny negative number where the residual is constant.
        let inverse = variance
            .f_clamp_min(0.0)?
            .f_add_scalar(NORM_EPS)?
            .f_rsqrt()?
            .f_to_kind(x.kind())?;
        Tensor::f_stack(&[&inverse.f_mul(x)?, &inverse, &x.f_ones_like()?], 2)
    }
}

impl RealNets {
    /// Adds each variable's output, times its weight, to `sum`.
    ///
    /// `x` is `[v, rows]`; a weight is `[rows, 1]`; the sum is `[rows, h]`. Without weights outputs are added as they
    /// are.
    pub(crate) fn accumulate(
        &self,
        x: &Tensor,
        weights: &[&Tensor],
        mut sum: Option<Tensor>,
    ) -> Torch<Tensor> {
        let outputs = self.before_norm(x)?.f_unbind(0)?;
        for (variable, (output, (scale, shift))) in outputs.iter().zip(&self.norms).enumerate() {
            let output =
                output.f_layer_norm([self.hidden], Some(scale), Some(shift), NORM_EPS, false)?;
            sum = Some(add_weighted(sum, output, weights.get(variable).copied())?);
        }
        sum.ok_or_else(|| TchError::Shape("a group of real variables is empty".to_owned()))
    }

    /// `glu + residual`, `[v, rows, h]`.
    fn before_norm(&self, x: &Tensor) -> Torch<Tensor> {
        let mut active = self
            .offset
            .f_addcmul(&x.f_unsqueeze(2)?, &self.slope)?
            .f_elu_()?;
        if let Some((fc2, bias)) = &self.fc2 {
            active = self.binding.drop(bias.f_baddbmm(&active, fc2, 1.0, 1.0)?)?;
        }
        let mut gated = self
            .gate_bias
            .f_baddbmm(&active, &self.gate, 1.0, 1.0)?
            .f_glu(-1)?;
        gated.f_baddbmm_(&self.residual.coefficients(x)?, &self.residual.matrix)
    }
}

/// `sum + output · weight`; starts the sum where there is none. Derivatives need none of the overwritten values.
pub(crate) fn add_weighted(
    sum: Option<Tensor>,
    output: Tensor,
    weight: Option<&Tensor>,
) -> Torch<Tensor> {
    match (sum, weight) {
        (None, None) => Ok(output),
        (None, Some(weight)) => output.f_mul(weight),
        (Some(mut sum), None) => sum.f_add_(&output),
        (Some(mut sum), Some(weight)) => sum.f_addcmul_(&output, weight),
    }
}
