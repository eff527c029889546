//! Linear layers, gates and the gated residual network.
//!
//! Every module comes as a pair: a `…Spec` knows where its parameters lie, and its `bind` gives the module itself,
//! whose tensors are ready to multiply. What can be folded is folded there. The folds are exact algebra and have
//! derivatives, so training runs through the same code.

use tch::{Device, Kind, Tensor};

use super::{NORM_EPS, Torch};
use crate::weights::{BlockId, Init, Layout, Views};

/// What binding needs to know beside the parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binding {
    /// Share of activations dropped; 0 in evaluation, where layers around a dropout can be folded.
    pub(crate) dropout: f64,
    /// Where constants are made.
    pub(crate) device: Device,
}

impl Binding {
    /// Dropout of this binding.
    pub(crate) fn drop(&self, x: Tensor) -> Torch<Tensor> {
        if self.dropout > 0.0 {
            x.f_dropout(self.dropout, true)
        } else {
            Ok(x)
        }
    }
}

/// Places of a layer norm's scale and shift.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormSpec {
    pub(crate) weight: BlockId,
    pub(crate) bias: BlockId,
    size: i64,
}

impl NormSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, size: i64) -> Self {
        Self {
            weight: layout.add(format!("{prefix}.weight"), &[size], Init::Ones),
            bias: layout.add(format!("{prefix}.bias"), &[size], Init::Zeros),
            size,
        }
    }

    pub(crate) fn bind(&self, views: &Views) -> Norm {
        Norm {
            weight: views[self.weight].shallow_clone(),
            bias: views[self.bias].shallow_clone(),
            size: self.size,
        }
    }
}

/// Layer norm over the last axis.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    size: i64,
}

impl Norm {
    pub(crate) fn forward(&self, x: &Tensor) -> Torch<Tensor> {
        x.f_layer_norm(
            [self.size],
            Some(&self.weight),
            Some(&self.bias),
            NORM_EPS,
            false,
        )
    }

    fn share(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.shallow_clone(),
            size: self.size,
        }
    }
}

/// Places of a linear layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinearSpec {
    pub(crate) weight: BlockId,
    pub(crate) bias: BlockId,
}

impl LinearSpec {
    /// `weight` is `[output, input]`; the bias starts at zero.
    pub(crate) fn register(
        layout: &mut Layout,
        prefix: &str,
        input: i64,
        output: i64,
        init: Init,
    ) -> Self {
        Self {
            weight: layout.add(format!("{prefix}.weight"), &[output, input], init),
            bias: layout.add(format!("{prefix}.bias"), &[output], Init::Zeros),
        }
    }

    pub(crate) fn bind(&self, views: &Views) -> Linear {
        Linear {
            weight: views[self.weight].shallow_clone(),
            bias: views[self.bias].shallow_clone(),
        }
    }
}

/// `x · weightᵀ + bias`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
}

impl Linear {
    pub(crate) fn forward(&self, x: &Tensor) -> Torch<Tensor> {
        x.f_linear(&self.weight, Some(&self.bias))
    }

    /// One layer that does this one and then `next`.
    fn then(&self, next: &Linear) -> Torch<Linear> {
        Ok(Linear {
            weight: next.weight.f_matmul(&self.weight)?,
            bias: next.bias.f_addmv(&next.weight, &self.bias)?,
        })
    }
}

/// Places of a gated linear unit followed by "add the residual, layer norm".
#[derive(Debug, Clone, Copy)]
pub(crate) struct GateNormSpec {
    pub(crate) linear: LinearSpec,
    pub(crate) norm: NormSpec,
}

impl GateNormSpec {
    /// `glu` and `norm` are the names of the gate's linear layer and of the layer norm.
    pub(crate) fn register(
        layout: &mut Layout,
        glu: &str,
        norm: &str,
        input: i64,
        output: i64,
    ) -> Self {
        let init = Init::xavier(2 * output, input);
        Self {
            linear: LinearSpec::register(layout, glu, input, 2 * output, init),
            norm: NormSpec::register(layout, norm, output),
        }
    }

    /// A `GateAddNorm` under `prefix`.
    pub(crate) fn register_under(
        layout: &mut Layout,
        prefix: &str,
        input: i64,
        output: i64,
    ) -> Self {
        let (glu, norm) = (
            format!("{prefix}.glu.fc"),
            format!("{prefix}.add_norm.norm"),
        );
        Self::register(layout, &glu, &norm, input, output)
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> GateNorm {
        GateNorm {
            linear: self.linear.bind(views),
            norm: self.norm.bind(views),
            binding,
        }
    }

    /// The same without dropout, as before the output layers.
    pub(crate) fn bind_without_dropout(&self, views: &Views, binding: Binding) -> GateNorm {
        self.bind(
            views,
            Binding {
                dropout: 0.0,
                ..binding
            },
        )
    }
}

/// `norm(glu(dropout(x)) + residual)`.
#[derive(Debug)]
pub(crate) struct GateNorm {
    linear: Linear,
    norm: Norm,
    binding: Binding,
}

impl GateNorm {
    pub(crate) fn forward(&self, x: Tensor, residual: &Tensor) -> Torch<Tensor> {
        let mut gated = self.linear.forward(&self.binding.drop(x)?)?.f_glu(-1)?;
        // In place: the derivative of a gated unit needs its input, not its output.
        self.norm.forward(&gated.f_add_(residual)?)
    }
}

/// Places of a resampling norm: linear interpolation to another width, trainable gates, layer norm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResampleSpec {
    pub(crate) mask: BlockId,
    pub(crate) norm: NormSpec,
    pub(crate) input: i64,
    pub(crate) output: i64,
}

impl ResampleSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, input: i64, output: i64) -> Self {
        Self {
            mask: layout.add(format!("{prefix}.mask"), &[output], Init::Zeros),
            norm: NormSpec::register(layout, &format!("{prefix}.norm"), output),
            input,
            output,
        }
    }

    pub(crate) fn bind(&self, views: &Views) -> Torch<Resample> {
        let gate = double_sigmoid(&views[self.mask])?;
        let matrix = interpolation(self.input, self.output, &gate)?.f_mul(&gate)?;
        Ok(Resample {
            matrix,
            norm: self.norm.bind(views),
        })
    }
}

/// `norm(x · matrix)`, the matrix being interpolation and gates in one.
#[derive(Debug)]
pub(crate) struct Resample {
    /// `[input, output]`.
    pub(crate) matrix: Tensor,
    pub(crate) norm: Norm,
}

impl Resample {
    pub(crate) fn forward(&self, x: &Tensor) -> Torch<Tensor> {
        self.norm.forward(&x.f_matmul(&self.matrix)?)
    }
}

/// `2 · sigmoid(mask)`, the gate of a resampling norm.
pub(crate) fn double_sigmoid(mask: &Tensor) -> Torch<Tensor> {
    mask.f_sigmoid()?.f_mul_scalar(2.0)
}

/// The matrix `[input, output]` of linear interpolation over the feature axis with aligned corners; the identity
/// where the sizes are equal. It has device and kind of `like`.
pub(crate) fn interpolation(input: i64, output: i64, like: &Tensor) -> Torch<Tensor> {
    let (rows, columns) = (input as usize, output as usize);
    let mut matrix = vec![0f32; rows * columns];
    // Single precision, like the operator whose effect this is.
    let step = if output > 1 {
        (input - 1) as f32 / (output - 1) as f32
    } else {
        0.0
    };
    for column in 0..columns {
        let position = step * column as f32;
        let lower = (position as usize).min(rows - 1);
        let share = position - lower as f32;
        matrix[lower * columns + column] += 1.0 - share;
        matrix[(lower + 1).min(rows - 1) * columns + column] += share;
    }
    Tensor::f_from_slice(&matrix)?
        .f_view([input, output])?
        .f_to_device(like.device())?
        .f_to_kind(like.kind())
}

/// Places of a gated residual network's second half: what follows its first layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrnTailSpec {
    pub(crate) fc2: LinearSpec,
    pub(crate) gate: GateNormSpec,
}

impl GrnTailSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, hidden: i64, output: i64) -> Self {
        let fc2 = LinearSpec::register(
            layout,
            &format!("{prefix}.fc2"),
            hidden,
            hidden,
            Init::kaiming(hidden),
        );
        Self {
            fc2,
            gate: GateNormSpec::register_under(
                layout,
                &format!("{prefix}.gate_norm"),
                hidden,
                output,
            ),
        }
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> Torch<GrnTail> {
        let (fc2, gate) = (self.fc2.bind(views), self.gate.bind(views, binding));
        if binding.dropout > 0.0 {
            return Ok(GrnTail {
                fc2: Some(fc2),
                gate,
            });
        }
        let linear = fc2.then(&gate.linear)?;
        Ok(GrnTail {
            fc2: None,
            gate: GateNorm {
                linear,
                norm: gate.norm.share(),
                binding,
            },
        })
    }
}

/// `norm(glu(dropout(fc2(elu(a)))) + residual)`; `fc2` is folded into the gate where no dropout lies between.
#[derive(Debug)]
pub(crate) struct GrnTail {
    fc2: Option<Linear>,
    gate: GateNorm,
}

impl GrnTail {
    pub(crate) fn forward(&self, mut first_layer: Tensor, residual: &Tensor) -> Torch<Tensor> {
        let active = first_layer.f_elu_()?;
        let second = match &self.fc2 {
            Some(fc2) => fc2.forward(&active)?,
            None => active,
        };
        self.gate.forward(second, residual)
    }
}

/// Places of a gated residual network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrnSpec {
    pub(crate) fc1: LinearSpec,
    pub(crate) context: Option<BlockId>,
    pub(crate) resample: Option<ResampleSpec>,
    pub(crate) tail: GrnTailSpec,
}

/// Widths of a gated residual network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GrnSizes {
    pub(crate) input: i64,
    pub(crate) hidden: i64,
    pub(crate) output: i64,
    /// Width of the context, if it takes one.
    pub(crate) context: Option<i64>,
}

impl GrnSizes {
    /// All widths the same, no context.
    pub(crate) fn square(size: i64) -> Self {
        Self {
            input: size,
            hidden: size,
            output: size,
            context: None,
        }
    }
}

impl GrnSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, sizes: GrnSizes) -> Self {
        let GrnSizes {
            input,
            hidden,
            output,
            context,
        } = sizes;
        let fc1 = LinearSpec::register(
            layout,
            &format!("{prefix}.fc1"),
            input,
            hidden,
            Init::kaiming(input),
        );
        let context = context.map(|size| {
            layout.add(
                format!("{prefix}.context.weight"),
                &[hidden, size],
                Init::xavier(hidden, size),
            )
        });
        let resample = (input != output).then(|| {
            ResampleSpec::register(layout, &format!("{prefix}.resample_norm"), input, output)
        });
        Self {
            fc1,
            context,
            resample,
            tail: GrnTailSpec::register(layout, prefix, hidden, output),
        }
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> Torch<Grn> {
        Ok(Grn {
            fc1: self.fc1.bind(views),
            context: self.context.map(|id| views[id].shallow_clone()),
            resample: self.resample.map(|spec| spec.bind(views)).transpose()?,
            tail: self.tail.bind(views, binding)?,
        })
    }
}

/// A gated residual network.
#[derive(Debug)]
pub(crate) struct Grn {
    pub(crate) fc1: Linear,
    context: Option<Tensor>,
    pub(crate) resample: Option<Resample>,
    pub(crate) tail: GrnTail,
}

impl Grn {
    /// The context `[n, context]` as the first layer adds it, `[n, hidden]`; `None` for a network without one.
    pub(crate) fn project(&self, context: &Tensor) -> Torch<Option<Tensor>> {
        self.context
            .as_ref()
            .map(|weight| context.f_linear(weight, None::<&Tensor>))
            .transpose()
    }

    /// `x` is `[…, input]`; `projected` is added to the first layer's output and must broadcast to it.
    pub(crate) fn forward(&self, x: &Tensor, projected: Option<&Tensor>) -> Torch<Tensor> {
        let first = self.fc1.forward(x)?;
        let first = match projected {
            Some(context) => first.f_add(context)?,
            None => first,
        };
        match &self.resample {
            Some(resample) => self.tail.forward(first, &resample.forward(x)?),
            None => self.tail.forward(first, x),
        }
    }
}

/// An index tensor.
pub(crate) fn index(values: &[i64], device: Device) -> Torch<Tensor> {
    Tensor::f_from_slice(values)?
        .f_to_device(device)?
        .f_to_kind(Kind::Int64)
}
