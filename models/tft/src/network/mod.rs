//! The network: parameters, binding, the forward pass.
//!
//! Shapes in comments use `n` for windows, `h` for the hidden size, `v` for variables. Names and tensor shapes of the
//! parameters are those of pytorch-forecasting's `TemporalFusionTransformer`.

pub(crate) mod attention;
pub(crate) mod direct;
pub(crate) mod embedding;
mod forward;
pub(crate) mod grn;
pub(crate) mod parts;
pub(crate) mod selection;
pub(crate) mod sequence;

use safetensors::SafeTensors;
use tch::{TchError, Tensor};

use self::grn::Binding;
use self::parts::Parts;
use crate::architecture::Architecture;
use crate::device::Device;
use crate::errors::{ArchitectureError, TorchError, WeightsError};
use crate::inputs::{Inputs, Mode, Outputs, Want};
use crate::weights::{Layout, MAX_PARAMETERS};

pub(crate) use self::forward::Bound;

/// Results of libtorch's fallible operations.
pub(crate) type Torch<T> = Result<T, TchError>;

/// The epsilon of every layer norm.
pub(crate) const NORM_EPS: f64 = 1e-5;

/// A Temporal Fusion Transformer with its parameters.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    pub(crate) layout: Layout,
    pub(crate) parts: Parts,
    parameters: Tensor,
    device: Device,
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
        Bound::new(
            &self.architecture,
            &self.parts,
            &self.layout.views(&self.parameters)?,
            binding,
        )
    }
}

pub(crate) fn lay_out(architecture: &Architecture) -> Result<(Layout, Parts), WeightsError> {
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
