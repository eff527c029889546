//! The direct path: every target's own history, straight to its outputs.
//!
//! Beyond pytorch-forecasting's network. All targets share one hidden vector of a step, which is too narrow to carry
//! each one's value a day ago, its level and its spread exactly. So each target has a small residual network of its
//! own over summaries of its own history ([`crate::direct_inputs`]), with the decoder's output as context; its result
//! is added to the target's output layer. An average of simple forecasts, whose weights the network gives, is added to
//! both: what repeats to the percent is copied, which layers with norms and bent units are poor at. So that nothing blurs
//! such a copy, a gate (0 to 2, at first about 1) says how much of its own word the network adds. A model without [`crate::Architecture::direct`] has none of this.

use tch::Tensor;

use super::{NORM_EPS, Torch};
use crate::architecture::Architecture;
use crate::direct_inputs::{STEP_INPUTS, WINDOW_INPUTS};
use crate::inputs::DirectTensors;
use crate::simple_forecasts::{SIMPLE, SIMPLE_FORECASTS, Simple};
use crate::weights::{BlockId, Init, Layout, Views};

/// Where the parameters lie. Each block holds all targets' parameters, stacked along a leading axis of `m` targets;
/// `s` is the path's width.
#[derive(Debug)]
pub(crate) struct DirectSpec {
    /// `[m, s, step inputs]`.
    pub(crate) step: BlockId,
    /// `[m, s, window inputs]`.
    pub(crate) window: BlockId,
    /// `[m, s, time inputs]`.
    pub(crate) time: BlockId,
    /// `[m, s, h]`.
    pub(crate) context: BlockId,
    /// `[m, s]`.
    pub(crate) bias: BlockId,
    pub(crate) blocks: Vec<BlockSpec>,
    /// `[m, outputs + 1, s]`; the last row is the gate's.
    pub(crate) output: BlockId,
    /// `[m, SIMPLE_FORECASTS, s]`.
    pub(crate) blend: BlockId,
}

/// A residual block: `z + second(elu(first(norm(z))))`.
#[derive(Debug)]
pub(crate) struct BlockSpec {
    /// `[m, s]` each.
    pub(crate) norm: [BlockId; 2],
    /// `[m, s, s]`, `[m, s]`.
    pub(crate) first: [BlockId; 2],
    /// `[m, s, s]`, `[m, s]`.
    pub(crate) second: [BlockId; 2],
}

impl DirectSpec {
    pub(crate) fn register(layout: &mut Layout, architecture: &Architecture) -> Option<Self> {
        let direct = architecture.direct?;
        let outputs = architecture.targets.first()?.outputs;
        let targets = architecture.targets.len();
        let s = direct.hidden_size;
        let mut stack = |name: &str, shape: &[i64], init: Init| {
            let names = (0..targets).map(|target| format!("direct.{target}.{name}"));
            layout.stack(names.collect(), shape, init)
        };
        let inputs = direct.step_inputs + direct.window_inputs + direct.time_inputs;
        let init = Init::torch_default(inputs);
        let inner = Init::kaiming(s);
        Some(Self {
            step: stack("step.weight", &[s, direct.step_inputs], init),
            window: stack("window.weight", &[s, direct.window_inputs], init),
            time: stack("time.weight", &[s, direct.time_inputs], init),
            context: stack("context.weight", &[s, architecture.hidden_size], init),
            bias: stack("bias", &[s], Init::Zeros),
            blocks: (0..direct.blocks)
                .map(|block| BlockSpec {
                    norm: [
                        stack(&format!("blocks.{block}.norm.weight"), &[s], Init::Ones),
                        stack(&format!("blocks.{block}.norm.bias"), &[s], Init::Zeros),
                    ],
                    first: [
                        stack(&format!("blocks.{block}.first.weight"), &[s, s], inner),
                        stack(&format!("blocks.{block}.first.bias"), &[s], Init::Zeros),
                    ],
                    second: [
                        stack(
                            &format!("blocks.{block}.second.weight"),
                            &[s, s],
                            Init::torch_default(s),
                        ),
                        stack(&format!("blocks.{block}.second.bias"), &[s], Init::Zeros),
                    ],
                })
                .collect(),
            output: stack("output.weight", &[outputs + 1, s], Init::torch_default(s)),
            blend: stack(
                "blend.weight",
                &[SIMPLE_FORECASTS as i64, s],
                Init::torch_default(s),
            ),
        })
    }

    pub(crate) fn bind(&self, views: &Views) -> Torch<Direct> {
        let weight = |id: BlockId| views[id].f_transpose(1, 2);
        let bias = |id: BlockId| views[id].f_unsqueeze(1);
        let layer = |ids: &[BlockId; 2]| Torch::Ok((weight(ids[0])?, bias(ids[1])?));
        let block = |spec: &BlockSpec| {
            Torch::Ok(Block {
                norm: (bias(spec.norm[0])?, bias(spec.norm[1])?),
                first: layer(&spec.first)?,
                second: layer(&spec.second)?,
            })
        };
        Ok(Direct {
            step: weight(self.step)?,
            window: weight(self.window)?,
            time: weight(self.time)?,
            context: weight(self.context)?,
            bias: bias(self.bias)?,
            blocks: self.blocks.iter().map(block).collect::<Torch<_>>()?,
            output: weight(self.output)?,
            blend: weight(self.blend)?,
        })
    }
}

/// Bound parameters: weights `[m, input, output]`, biases `[m, 1, output]`.
#[derive(Debug)]
pub(crate) struct Direct {
    step: Tensor,
    window: Tensor,
    time: Tensor,
    context: Tensor,
    bias: Tensor,
    blocks: Vec<Block>,
    output: Tensor,
    blend: Tensor,
}

#[derive(Debug)]
struct Block {
    norm: (Tensor, Tensor),
    first: (Tensor, Tensor),
    second: (Tensor, Tensor),
}

impl Direct {
    /// The outputs `[n, d, m · outputs]`, given those of the output layers, `raw`, and the decoder's output
    /// `out [n, d, h]` that they are from.
    pub(crate) fn forward(
        &self,
        inputs: &DirectTensors,
        out: &Tensor,
        raw: &Tensor,
    ) -> Torch<Tensor> {
        let (n, d, h) = out.size3()?;
        let m = self.step.size()[0];
        let s = self.step.size()[2];
        let device = out.device();
        let step = inputs.step.f_to_device(device)?.f_reshape([m, d * n, -1])?;
        let window = inputs.window.f_to_device(device)?;
        let time = inputs.time.f_to_device(device)?.f_reshape([1, d * n, -1])?;
        // Rows are time-major from here on, as the inputs come.
        let out = out.f_transpose(0, 1)?.f_reshape([1, d * n, h])?;
        let of_step = sum_of(STEP_INPUTS, |simple, input| simple.step == Some(input));
        let of_window = sum_of(WINDOW_INPUTS, |simple, input| simple.plus == Some(input))
            - sum_of(WINDOW_INPUTS, |simple, input| simple.minus == Some(input));
        let simple = step.f_matmul(&of_step.f_to_device(device)?)?;
        let simple = simple.f_view([m, d, n, -1])?.f_add(
            &window
                .f_matmul(&of_window.f_to_device(device)?)?
                .f_unsqueeze(1)?,
        )?;
        let window = window.f_matmul(&self.window)?.f_unsqueeze(1)?;
        let z = step
            .f_matmul(&self.step)?
            .f_add(&time.f_matmul(&self.time)?)?
            .f_add(&out.f_matmul(&self.context)?)?
            .f_add(&self.bias)?
            .f_view([m, d, n, s])?
            .f_add(&window)?;
        let mut z = z.f_view([m, d * n, s])?;
        for block in &self.blocks {
            let normal = z.f_layer_norm([s], None::<&Tensor>, None::<&Tensor>, NORM_EPS, false)?;
            let normal = normal.f_mul(&block.norm.0)?.f_add(&block.norm.1)?;
            let (weight, bias) = &block.first;
            let inner = normal.f_matmul(weight)?.f_add(bias)?.f_elu()?;
            let (weight, bias) = &block.second;
            z = z.f_add(&inner.f_matmul(weight)?.f_add(bias)?)?;
        }
        let z = z.f_elu()?;
        let weights = z.f_matmul(&self.blend)?.f_softmax(-1, tch::Kind::Float)?;
        let average = weights
            .f_view([m, d, n, -1])?
            .f_mul(&simple)?
            .f_sum_dim_intlist([-1].as_slice(), true, None)?;
        let own = z.f_matmul(&self.output)?.f_view([m, d, n, -1])?;
        let outputs = own.size()[3] - 1;
        let gate = own
            .f_narrow(3, outputs, 1)?
            .f_sigmoid()?
            .f_mul_scalar(2.0)?;
        let raw = raw.f_reshape([n, d, m, outputs])?.f_permute([2, 1, 0, 3])?;
        raw.f_add(&own.f_narrow(3, 0, outputs)?)?
            .f_mul(&gate)?
            .f_add(&average)?
            .f_permute([2, 1, 0, 3])?
            .f_reshape([n, d, -1])
    }
}

/// `[inputs, SIMPLE_FORECASTS]`, 1 where an input is part of a simple forecast.
fn sum_of(inputs: usize, is_part: impl Fn(&Simple, usize) -> bool) -> Tensor {
    let part = |input| SIMPLE.iter().map(move |simple| (simple, input));
    let parts = (0..inputs).flat_map(part);
    let ones: Vec<f32> = parts
        .map(|(simple, input)| f32::from(u8::from(is_part(simple, input))))
        .collect();
    Tensor::from_slice(&ones).view([inputs as i64, SIMPLE_FORECASTS as i64])
}
