//! The forward pass.

use tch::{Kind, TchError, Tensor};

use super::Torch;
use super::attention::Attention;
use super::direct::Direct;
use super::embedding::Embedding;
use super::grn::{Binding, GateNorm, Grn, GrnSpec, Linear};
use super::parts::Parts;
use super::selection::{Rows, Selection, SelectionSpec};
use super::sequence::{Lstm, State};
use crate::architecture::Architecture;
use crate::inputs::{self, Inputs, Outputs, SelectionWeights, Want};
use crate::weights::Views;

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
    direct: Option<Direct>,
    target_outputs: Vec<i64>,
    lstm_layers: i64,
    device: tch::Device,
}

impl Bound {
    pub(super) fn new(
        architecture: &Architecture,
        parts: &Parts,
        views: &Views,
        binding: Binding,
    ) -> Torch<Self> {
        let embeddings = parts.embeddings.bind(views, binding)?;
        let select = |spec: &SelectionSpec| spec.bind(views, &parts.shared, &embeddings, binding);
        let grn = |spec: &GrnSpec| spec.bind(views, binding);
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
            lstm_encoder: parts.lstm_encoder.bind(views, binding),
            lstm_decoder: parts.lstm_decoder.bind(views, binding),
            post_lstm: parts.post_lstm.bind(views, binding),
            enrichment: grn(&parts.enrichment)?,
            attention: parts.attention.bind(views, binding)?,
            post_attention: parts.post_attention.bind(views, binding),
            position_wise: grn(&parts.position_wise)?,
            pre_output: parts.pre_output.bind_without_dropout(views, binding),
            output: Linear {
                weight: Tensor::f_cat(&weights, 0)?,
                bias: Tensor::f_cat(&biases, 0)?,
            },
            direct: match &parts.direct {
                Some(spec) => Some(spec.bind(views)?),
                None => None,
            },
            embeddings,
            target_outputs: architecture.targets.iter().map(|t| t.outputs).collect(),
            lstm_layers: architecture.lstm_layers,
            device: binding.device,
        })
    }

    pub(crate) fn forward(&self, inputs: &Inputs, want: Want) -> Torch<Outputs> {
        let (n, encoder_steps, _) = inputs.encoder_reals.size3()?;
        let decoder_steps = inputs.decoder_reals.size3()?.1;
        check_lengths(inputs, n, encoder_steps, decoder_steps)?;
        let on_device = |t: &Tensor| t.f_to_device(self.device);
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
        let masks = self.attention.masks(
            (encoder_steps, &inputs.encoder_lengths),
            (decoder_steps, &inputs.decoder_lengths),
        )?;
        let (attended, attention) = self.attention.forward(&enriched, decoder_steps, &masks)?;
        let attended = self.post_attention.forward(attended, &last(&enriched)?)?;
        let positioned = self.position_wise.forward(&attended, None)?;
        let out = self.pre_output.forward(positioned, &last(&temporal)?)?;
        let mut raw = self.output.forward(&out)?;
        if let Some(direct) = &self.direct {
            let inputs = inputs.direct.as_ref().ok_or_else(|| {
                TchError::Shape(
                    "the architecture has direct paths; the inputs lack theirs".to_owned(),
                )
            })?;
            raw = direct.forward(inputs, &out, &raw)?;
        }

        let split = |attention: Tensor| {
            let by_horizon = attention.f_transpose(1, 2)?;
            Ok::<_, TchError>(inputs::Attention {
                encoder: by_horizon.f_narrow(3, 0, encoder_steps)?,
                decoder: by_horizon.f_narrow(3, encoder_steps, decoder_steps)?,
            })
        };
        Ok(Outputs {
            raw,
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
