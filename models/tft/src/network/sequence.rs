//! The LSTMs of encoder and decoder.

use tch::{Device, Tensor};

use super::Torch;
use super::grn::{Binding, index};
use crate::weights::{BlockId, Init, Layout, Views};

/// Places of an LSTM's parameters.
#[derive(Debug)]
pub(crate) struct LstmSpec {
    /// Per layer: input weights, recurrent weights, both biases, in torch's order.
    pub(crate) parameters: Vec<BlockId>,
    layers: i64,
}

impl LstmSpec {
    pub(crate) fn register(layout: &mut Layout, prefix: &str, size: i64, layers: i64) -> Self {
        let init = Init::torch_default(size);
        let mut parameters = Vec::new();
        for layer in 0..layers {
            for kind in ["weight_ih", "weight_hh"] {
                parameters.push(layout.add(
                    format!("{prefix}.{kind}_l{layer}"),
                    &[4 * size, size],
                    init,
                ));
            }
            for kind in ["bias_ih", "bias_hh"] {
                parameters.push(layout.add(format!("{prefix}.{kind}_l{layer}"), &[4 * size], init));
            }
        }
        Self { parameters, layers }
    }

    pub(crate) fn bind(&self, views: &Views, binding: Binding) -> Lstm {
        Lstm {
            parameters: self
                .parameters
                .iter()
                .map(|id| views[*id].shallow_clone())
                .collect(),
            layers: self.layers,
            dropout: if self.layers > 1 {
                binding.dropout
            } else {
                0.0
            },
            device: binding.device,
        }
    }
}

/// A (possibly layered) LSTM.
#[derive(Debug)]
pub(crate) struct Lstm {
    parameters: Vec<Tensor>,
    layers: i64,
    dropout: f64,
    device: Device,
}

/// Hidden and cell state of every layer, each `[layers, n, size]`.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) hidden: Tensor,
    pub(crate) cell: Tensor,
}

impl State {
    /// The same state for each layer, from `[n, size]`.
    pub(crate) fn for_layers(hidden: &Tensor, cell: &Tensor, layers: i64) -> Torch<Self> {
        let spread = |x: &Tensor| {
            x.f_unsqueeze(0)?
                .f_expand([layers, -1, -1], false)?
                .f_contiguous()
        };
        Ok(Self {
            hidden: spread(hidden)?,
            cell: spread(cell)?,
        })
    }

    fn select(&self, order: &Tensor) -> Torch<Self> {
        Ok(Self {
            hidden: self.hidden.f_index_select(1, order)?,
            cell: self.cell.f_index_select(1, order)?,
        })
    }
}

impl Lstm {
    /// Runs over `x [n, steps, size]`. Outputs past a window's length are 0, and its final state is that after its
    /// last valid step. A window of length 0 keeps the state it started with.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        start: &State,
        lengths: &[i64],
    ) -> Torch<(Tensor, State)> {
        let steps = x.size()[1];
        let train = self.dropout > 0.0;
        if lengths.iter().all(|length| *length == steps) {
            let state = [&start.hidden, &start.cell];
            let (out, hidden, cell) = x.f_lstm(
                &state,
                &self.parameter_list(),
                true,
                self.layers,
                self.dropout,
                train,
                false,
                true,
            )?;
            return Ok((out, State { hidden, cell }));
        }
        // Packing wants windows sorted by falling length, none of them empty.
        let mut order: Vec<i64> = (0..lengths.len() as i64).collect();
        order.sort_by_key(|window| std::cmp::Reverse(lengths[*window as usize]));
        let mut back = vec![0i64; order.len()];
        for (position, window) in order.iter().enumerate() {
            back[*window as usize] = position as i64;
        }
        let packed_lengths: Vec<i64> = order
            .iter()
            .map(|window| lengths[*window as usize].max(1))
            .collect();
        let (order, back) = (index(&order, self.device)?, index(&back, self.device)?);
        let sorted = start.select(&order)?;
        let (data, batch_sizes) = x
            .f_index_select(0, &order)?
            .f_internal_pack_padded_sequence(&Tensor::f_from_slice(&packed_lengths)?, true)?;
        let (data, hidden, cell) = Tensor::f_lstm_data(
            &data,
            &batch_sizes,
            &[&sorted.hidden, &sorted.cell],
            &self.parameter_list(),
            true,
            self.layers,
            self.dropout,
            train,
            false,
        )?;
        let (out, _) =
            Tensor::f_internal_pad_packed_sequence(&data, &batch_sizes, true, 0.0, steps)?;
        let out = out.f_index_select(0, &back)?;
        let state = State { hidden, cell }.select(&back)?;
        if lengths.contains(&0) {
            self.keep_empty(out, state, start, lengths)
        } else {
            Ok((out, state))
        }
    }

    /// Undoes the one step that packing made windows of length 0 take.
    fn keep_empty(
        &self,
        out: Tensor,
        end: State,
        start: &State,
        lengths: &[i64],
    ) -> Torch<(Tensor, State)> {
        let empty: Vec<bool> = lengths.iter().map(|length| *length == 0).collect();
        let empty = Tensor::f_from_slice(&empty)?.f_to_device(self.device)?;
        let of_state = empty.f_view([1, -1, 1])?;
        let state = State {
            hidden: start.hidden.f_where_self(&of_state, &end.hidden)?,
            cell: start.cell.f_where_self(&of_state, &end.cell)?,
        };
        Ok((out.f_masked_fill(&empty.f_view([-1, 1, 1])?, 0.0)?, state))
    }

    fn parameter_list(&self) -> Vec<&Tensor> {
        self.parameters.iter().collect()
    }
}
