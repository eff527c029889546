//! The network: parameters, binding, the forward pass.
//!
//! Shapes in comments use `n` for windows, `h` for the hidden size, `v` for variables. Names and tensor shapes of the
//! parameters are those of pytorch-forecasting's `TemporalFusionTransformer`.

mod attention;
mod embedding;
mod grn;
mod selection_reals;
mod sequence;
mod variable_selection;

use safetensors::SafeTensors;
use tch::{Kind, TchError, Tensor};

use self::attention::{Attention, AttentionSpec};
use self::embedding::{Embedding, EmbeddingsSpec};
use self::grn::{Binding, GateNorm, GateNormSpec, Grn, GrnSizes, GrnSpec, Linear};
use self::sequence::{Lstm, LstmSpec, State};
use self::variable_selection::{Rows, Selection, SelectionSpec, Shared};
use crate::architecture::Architecture;
use crate::device::Device;
use crate::errors::{ArchitectureError, TorchError, WeightsError};
use crate::inputs::{self, Inputs, Mode, Outputs, SelectionWeights, Want};
use crate::weights::{BlockId, Init, Layout, MAX_PARAMETERS};

/// Results of libtorch's fallible operations.
pub(crate) type Torch<T> = Result<T, TchError>;

/// The epsilon of every layer norm.
pub(crate) const NORM_EPS: f64 = 1e-5;

/// A Temporal Fusion Transformer with its parameters.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    layout: Layout,
    parts: Parts,
    parameters: Tensor,
    device: Device,
}

/// Where the parameters of each module lie.
#[derive(Debug)]
struct Parts {
    embeddings: EmbeddingsSpec,
    shared: Shared,
    statics: SelectionSpec,
    encoder: SelectionSpec,
    decoder: SelectionSpec,
    context_selection: GrnSpec,
    context_hidden: GrnSpec,
    context_cell: GrnSpec,
    context_enrichment: GrnSpec,
    lstm_encoder: LstmSpec,
    lstm_decoder: LstmSpec,
    post_lstm: GateNormSpec,
    enrichment: GrnSpec,
    attention: AttentionSpec,
    post_attention: GateNormSpec,
    position_wise: GrnSpec,
    pre_output: GateNormSpec,
    outputs: Vec<(BlockId, BlockId)>,
}

impl Parts {
    fn register(layout: &mut Layout, architecture: &Architecture) -> Self {
        let h = architecture.hidden_size;
        let embeddings = EmbeddingsSpec::register(layout, architecture);
        let shared = Shared::register(layout, architecture);
        let statics = SelectionSpec::register(
            layout,
            architecture,
            variable_selection::Role::Static,
            &shared,
        );
        let encoder = SelectionSpec::register(
            layout,
            architecture,
            variable_selection::Role::Encoder,
            &shared,
        );
        let decoder = SelectionSpec::register(
            layout,
            architecture,
            variable_selection::Role::Decoder,
            &shared,
        );
        let mut square = |name: &str| GrnSpec::register(layout, name, GrnSizes::square(h));
        let context_selection = square("static_context_variable_selection");
        let context_hidden = square("static_context_initial_hidden_lstm");
        let context_cell = square("static_context_initial_cell_lstm");
        let context_enrichment = square("static_context_enrichment");
        let position_wise = square("pos_wise_ff");
        let lstm_encoder = LstmSpec::register(layout, "lstm_encoder", h, architecture.lstm_layers);
        let lstm_decoder = LstmSpec::register(layout, "lstm_decoder", h, architecture.lstm_layers);
        let post_lstm = GateNormSpec::register(
            layout,
            "post_lstm_gate_encoder.fc",
            "post_lstm_add_norm_encoder.norm",
            h,
            h,
        );
        for part in ["weight", "bias"] {
            layout.alias(
                &format!("post_lstm_gate_encoder.fc.{part}"),
                format!("post_lstm_gate_decoder.fc.{part}"),
            );
            let norm = format!("post_lstm_add_norm_encoder.norm.{part}");
            layout.alias(&norm, format!("post_lstm_add_norm_decoder.norm.{part}"));
        }
        let enrichment = GrnSizes {
            context: Some(h),
            ..GrnSizes::square(h)
        };
        Self {
            embeddings,
            shared,
            statics,
            encoder,
            decoder,
            context_selection,
            context_hidden,
            context_cell,
            context_enrichment,
            lstm_encoder,
            lstm_decoder,
            post_lstm,
            enrichment: GrnSpec::register(layout, "static_enrichment", enrichment),
            attention: AttentionSpec::register(layout, "multihead_attn", architecture),
            post_attention: GateNormSpec::register_under(layout, "post_attn_gate_norm", h, h),
            position_wise,
            pre_output: GateNormSpec::register_under(layout, "pre_output_gate_norm", h, h),
            outputs: register_outputs(layout, architecture),
        }
    }
}

/// A single target's layer is called `output_layer`, those of several `output_layer.0`, `output_layer.1`, …
fn register_outputs(layout: &mut Layout, architecture: &Architecture) -> Vec<(BlockId, BlockId)> {
    let h = architecture.hidden_size;
    let several = architecture.targets.len() > 1;
    let init = Init::torch_default(h);
    let mut register = |(index, outputs): (usize, i64)| {
        let prefix = if several {
            format!("output_layer.{index}")
        } else {
            "output_layer".to_owned()
        };
        let weight = layout.add(format!("{prefix}.weight"), &[outputs, h], init);
        (
            weight,
            layout.add(format!("{prefix}.bias"), &[outputs], init),
        )
    };
    architecture
        .targets
        .iter()
        .map(|target| target.outputs)
        .enumerate()
        .map(&mut register)
        .collect()
}

impl Network {
    /// A network to train, with the initial values of the original and the same ones for the same seed.
    ///
    /// # Errors
    /// When the architecture is impossible or libtorch refuses (say, for want of memory).
    pub fn new(
        architecture: &Architecture,
        device: Device,
        seed: u64,
    ) -> Result<Self, WeightsError> {
        let (layout, parts) = lay_out(architecture)?;
        let values = layout.initial(seed);
        Self::assemble(architecture, layout, parts, &values, device)
    }

    /// A network with the parameters of a state dict in safetensors form.
    ///
    /// # Errors
    /// When the bytes are not safetensors, or tensors are missing, unexpected, mis-shaped, NaN or infinite: all are
    /// named.
    pub fn load(
        architecture: &Architecture,
        state_dict: &[u8],
        device: Device,
    ) -> Result<Self, WeightsError> {
        let file = SafeTensors::deserialize(state_dict)
            .map_err(|e| WeightsError::Unreadable(e.to_string()))?;
        Self::load_from(architecture, &file, None, device)
    }

    /// The same from an opened file, without the tensors whose name starts with `skip`.
    pub(crate) fn load_from(
        architecture: &Architecture,
        file: &SafeTensors<'_>,
        skip: Option<&str>,
        device: Device,
    ) -> Result<Self, WeightsError> {
        let (layout, parts) = lay_out(architecture)?;
        let values = layout.read(file, skip)?;
        Self::assemble(architecture, layout, parts, &values, device)
    }

    fn assemble(
        architecture: &Architecture,
        layout: Layout,
        parts: Parts,
        values: &[f32],
        device: Device,
    ) -> Result<Self, WeightsError> {
        let parameters = Tensor::f_from_slice(values)?.f_to_device(device.torch())?;
        let parameters = parameters.f_set_requires_grad(true)?;
        Ok(Self {
            architecture: architecture.clone(),
            layout,
            parts,
            parameters,
            device,
        })
    }

    /// What it was built from.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// All parameters in one flat tensor `[p]`, the only leaf that a derivative is taken for: an optimiser steps on
    /// this tensor (in place, without gradient) and nothing else.
    pub fn parameters(&self) -> &Tensor {
        &self.parameters
    }

    /// 1 for parameters that weight decay may pull to zero (matrices), 0 for biases, norms and masks; `[p]` f32 on
    /// the network's device.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn decay_mask(&self) -> Result<Tensor, TorchError> {
        let mut mask = Vec::with_capacity(self.layout.len());
        for entry in self.layout.entries() {
            mask.resize(mask.len() + entry.len, if entry.decay { 1f32 } else { 0.0 });
        }
        Ok(Tensor::f_from_slice(&mask)?.f_to_device(self.device.torch())?)
    }

    /// Names and shapes of the parameters, in the order in which they lie in [`Network::parameters`].
    pub fn parameter_shapes(&self) -> impl Iterator<Item = (&str, &[i64])> {
        self.layout.entries().map(|entry| (entry.name, entry.shape))
    }

    /// Cuts a flat tensor of the parameters' length (the parameters, their gradient, …) into named tensors on the
    /// processor.
    ///
    /// # Errors
    /// When the tensor has another length.
    pub fn name(&self, flat: &Tensor) -> Result<Vec<(String, Tensor)>, TorchError> {
        let flat = flat.f_detach()?.f_to_device(tch::Device::Cpu)?;
        let cut = |entry: crate::weights::Entry<'_>| {
            let part = flat
                .f_narrow(0, entry.offset as i64, entry.len as i64)?
                .f_view(entry.shape)?;
            Ok((entry.name.to_owned(), part))
        };
        self.layout.entries().map(cut).collect()
    }

    /// Runs a batch. Gradients flow to [`Network::parameters`] unless torch's gradient mode is off.
    ///
    /// # Errors
    /// When the inputs do not have the shapes the architecture asks for, or a category code is out of range.
    pub fn forward(&self, inputs: &Inputs, mode: Mode, want: Want) -> Result<Outputs, TorchError> {
        Ok(self.bind(mode)?.forward(inputs, want)?)
    }

    /// Everything that depends on the parameters alone, computed once for many batches.
    pub(crate) fn bind(&self, mode: Mode) -> Torch<Bound> {
        let dropout = if mode == Mode::Train {
            self.architecture.dropout
        } else {
            0.0
        };
        let binding = Binding {
            dropout,
            device: self.device.torch(),
        };
        let parts = &self.parts;
        let views = self.layout.views(&self.parameters)?;
        let embeddings = parts.embeddings.bind(&views, binding)?;
        let select = |spec: &SelectionSpec| spec.bind(&views, &parts.shared, &embeddings, binding);
        let grn = |spec: &GrnSpec| spec.bind(&views, binding);
        let (weights, biases): (Vec<_>, Vec<_>) = parts
            .outputs
            .iter()
            .map(|(weight, bias)| (&views[*weight], &views[*bias]))
            .unzip();
        Ok(Bound {
            statics: select(&parts.statics)?,
            encoder: select(&parts.encoder)?,
            decoder: select(&parts.decoder)?,
            context_selection: grn(&parts.context_selection)?,
            context_hidden: grn(&parts.context_hidden)?,
            context_cell: grn(&parts.context_cell)?,
            context_enrichment: grn(&parts.context_enrichment)?,
            lstm_encoder: parts.lstm_encoder.bind(&views, binding),
            lstm_decoder: parts.lstm_decoder.bind(&views, binding),
            post_lstm: parts.post_lstm.bind(&views, binding),
            enrichment: grn(&parts.enrichment)?,
            attention: parts.attention.bind(&views, binding)?,
            post_attention: parts.post_attention.bind(&views, binding),
            position_wise: grn(&parts.position_wise)?,
            pre_output: parts.pre_output.bind_without_dropout(&views, binding),
            output: Linear {
                weight: Tensor::f_cat(&weights, 0)?,
                bias: Tensor::f_cat(&biases, 0)?,
            },
            embeddings,
            target_outputs: self
                .architecture
                .targets
                .iter()
                .map(|t| t.outputs)
                .collect(),
            lstm_layers: self.architecture.lstm_layers,
            device: self.device,
        })
    }
}

fn lay_out(architecture: &Architecture) -> Result<(Layout, Parts), WeightsError> {
    architecture.check()?;
    let mut layout = Layout::default();
    let parts = Parts::register(&mut layout, architecture);
    if layout.len() > MAX_PARAMETERS {
        let problem = format!(
            "makes {} parameters; at most {MAX_PARAMETERS} are possible",
            layout.len()
        );
        return Err(ArchitectureError::Invalid {
            key: "hidden_size".to_owned(),
            problem,
        }
        .into());
    }
    Ok((layout, parts))
}

/// A network whose parameters are folded and ready to multiply.
#[derive(Debug)]
pub(crate) struct Bound {
    embeddings: Vec<Embedding>,
    statics: Selection,
    encoder: Selection,
    decoder: Selection,
    context_selection: Grn,
    context_hidden: Grn,
    context_cell: Grn,
    context_enrichment: Grn,
    lstm_encoder: Lstm,
    lstm_decoder: Lstm,
    post_lstm: GateNorm,
    enrichment: Grn,
    attention: Attention,
    post_attention: GateNorm,
    position_wise: Grn,
    pre_output: GateNorm,
    output: Linear,
    target_outputs: Vec<i64>,
    lstm_layers: i64,
    device: Device,
}

impl Bound {
    pub(crate) fn forward(&self, inputs: &Inputs, want: Want) -> Torch<Outputs> {
        let (n, encoder_steps, _) = inputs.encoder_reals.size3()?;
        let decoder_steps = inputs.decoder_reals.size3()?.1;
        check_lengths(inputs, n, encoder_steps, decoder_steps)?;
        let on_device = |t: &Tensor| t.f_to_device(self.device.torch());
        let past = Rows::new(
            &on_device(&inputs.encoder_reals)?,
            &on_device(&inputs.encoder_categories)?,
        )?;
        let future = Rows::new(
            &on_device(&inputs.decoder_reals)?,
            &on_device(&inputs.decoder_categories)?,
        )?;

        let (statics, static_weights) =
            self.statics
                .forward(&past.first_step()?, None, &self.embeddings)?;
        let context = self.context_selection.forward(&statics, None)?;
        let (encoder_input, encoder_weights) =
            self.encoder
                .forward(&past, Some(&context), &self.embeddings)?;
        let (decoder_input, decoder_weights) =
            self.decoder
                .forward(&future, Some(&context), &self.embeddings)?;

        let start = State::for_layers(
            &self.context_hidden.forward(&statics, None)?,
            &self.context_cell.forward(&statics, None)?,
            self.lstm_layers,
        )?;
        let (encoder_out, state) =
            self.lstm_encoder
                .forward(&encoder_input, &start, &inputs.encoder_lengths)?;
        let (decoder_out, _) =
            self.lstm_decoder
                .forward(&decoder_input, &state, &inputs.decoder_lengths)?;

        // From here on encoder and decoder are one sequence: [n, encoder + decoder, h].
        let lstm_out = Tensor::f_cat(&[encoder_out, decoder_out], 1)?;
        let temporal = self.post_lstm.forward(
            lstm_out,
            &Tensor::f_cat(&[encoder_input, decoder_input], 1)?,
        )?;
        let context = self
            .enrichment
            .project(&self.context_enrichment.forward(&statics, None)?)?;
        let context = context.map(|context| context.f_unsqueeze(1)).transpose()?;
        let enriched = self.enrichment.forward(&temporal, context.as_ref())?;

        let last = |x: &Tensor| x.f_narrow(1, encoder_steps, decoder_steps);
        let mask = self.attention.mask(
            (encoder_steps, &inputs.encoder_lengths),
            (decoder_steps, &inputs.decoder_lengths),
        )?;
        let (attended, attention) = self.attention.forward(&enriched, decoder_steps, &mask)?;
        let attended = self.post_attention.forward(attended, &last(&enriched)?)?;
        let positioned = self.position_wise.forward(&attended, None)?;
        let out = self.pre_output.forward(positioned, &last(&temporal)?)?;

        let split = |attention: Tensor| {
            let by_horizon = attention.f_transpose(1, 2)?;
            Ok::<_, TchError>(inputs::Attention {
                encoder: by_horizon.f_narrow(3, 0, encoder_steps)?,
                decoder: by_horizon.f_narrow(3, encoder_steps, decoder_steps)?,
            })
        };
        Ok(Outputs {
            raw: self.output.forward(&out)?,
            target_outputs: self.target_outputs.clone(),
            attention: want.attention.then(|| split(attention)).transpose()?,
            weights: want.weights.then(|| SelectionWeights {
                statics: static_weights,
                encoder: encoder_weights,
                decoder: decoder_weights,
            }),
        })
    }
}

fn check_lengths(inputs: &Inputs, n: i64, encoder_steps: i64, decoder_steps: i64) -> Torch<()> {
    let fits = |lengths: &[i64], steps: i64| {
        lengths.len() as i64 == n && lengths.iter().all(|length| (0..=steps).contains(length))
    };
    if n == 0 || encoder_steps == 0 || decoder_steps == 0 {
        return Err(TchError::Shape(
            "a batch needs a window, an encoder step and a decoder step".to_owned(),
        ));
    }
    if !fits(&inputs.encoder_lengths, encoder_steps)
        || !fits(&inputs.decoder_lengths, decoder_steps)
    {
        return Err(TchError::Shape(
            "lengths must be one per window and within the tensors".to_owned(),
        ));
    }
    if inputs.encoder_reals.kind() != Kind::Float || inputs.encoder_categories.kind() != Kind::Int64
    {
        return Err(TchError::Kind(
            "reals must be f32 and categories i64".to_owned(),
        ));
    }
    Ok(())
}
