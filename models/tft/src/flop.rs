//! How much arithmetic a window costs: what a time is to be divided by before two models are compared.
//!
//! Counted are the products of matrices as the paper lays the network out, two operations for each multiplication with
//! its addition; what can be folded away (prescalers into first layers, averages of heads) is counted unfolded, and
//! element-wise work is not counted at all.

use crate::architecture::{Architecture, Variables};
use crate::simple_forecasts::SIMPLE_FORECASTS;

impl Architecture {
    /// Floating-point operations of a forward pass for one window with the longest encoder.
    pub fn flop_per_window(&self) -> u64 {
        let hidden = wide(self.hidden_size);
        let (past, ahead) = (wide(self.max_encoder_length), wide(self.max_decoder_length));
        let steps = past + ahead;
        let heads = wide(self.attention_heads) * wide(self.head_size());
        let grn = gated_residual(hidden, hidden, hidden);
        let glu = 2 * hidden * hidden;
        let contexts = 4 * grn;
        let selection = self.selection(&self.static_variables, false)
            + past * self.selection(&self.encoder_variables, true)
            + ahead * self.selection(&self.decoder_variables, true);
        let lstm = steps * wide(self.lstm_layers) * 8 * hidden * hidden + steps * glu;
        let enrichment = steps * (grn + hidden * hidden);
        let projections =
            ahead * hidden * heads + steps * hidden * (heads + wide(self.head_size()));
        let attention = 2 * ahead * steps * heads + ahead * wide(self.head_size()) * hidden;
        let output = ahead * (glu + grn + glu + hidden * wide(self.total_outputs()));
        let direct = self.direct_paths(ahead);
        2 * (selection + contexts + lstm + enrichment + projections + attention + output + direct)
    }

    /// Multiplications of the targets' own paths.
    fn direct_paths(&self, ahead: u64) -> u64 {
        let Some(direct) = self.direct else { return 0 };
        let size = wide(direct.hidden_size);
        let inputs = wide(direct.step_inputs + direct.time_inputs + self.hidden_size);
        let layers = 2 * wide(direct.blocks) * size;
        let targets = self.targets.len() as u64;
        let weighed = targets * (SIMPLE_FORECASTS as u64 + 1);
        let outputs = weighed + wide(self.total_outputs());
        let windows = targets * size * wide(direct.window_inputs);
        windows + ahead * size * (targets * (inputs + layers) + outputs)
    }

    /// Multiplications of one step of a variable selection.
    fn selection(&self, variables: &Variables, with_context: bool) -> u64 {
        let hidden = wide(self.hidden_size);
        let sizes = variables
            .reals
            .iter()
            .map(|name| wide(self.continuous_size_of(name)));
        let single: u64 = sizes
            .clone()
            .map(|size| size + gated_residual(size, size.min(hidden), hidden))
            .sum();
        let embedded = variables
            .categoricals
            .iter()
            .filter_map(|name| self.embedding(name));
        let inputs: u64 = embedded.map(|(_, e)| wide(e.size)).sum::<u64>() + sizes.sum::<u64>();
        let count = variables.len() as u64;
        if count < 2 {
            return single;
        }
        let width = hidden.min(count);
        let context = if with_context { hidden * width } else { 0 };
        single + gated_residual(inputs, width, count) + context + count * hidden
    }
}

/// Multiplications of a gated residual network without context: two layers and the gate.
fn gated_residual(input: u64, width: u64, output: u64) -> u64 {
    input * width + width * width + width * 2 * output
}

fn wide(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::model_config::{ModelConfig, ModelOptions};
    use crate::schema_ref::SchemaRef;

    #[test]
    fn the_usual_model_costs_tens_of_megaflop() {
        let schema = SchemaRef::sized(14, 8, 7);
        let flop = |options: ModelOptions| {
            ModelConfig::for_schema(&schema, &options)
                .architecture
                .flop_per_window()
        };
        // Comparable nets have been measured at 40.8 million.
        let usual = flop(ModelOptions::default());
        assert!((20_000_000..60_000_000).contains(&usual), "{usual}");
        let wide = flop(ModelOptions {
            hidden_size: 64,
            ..ModelOptions::default()
        });
        assert!(wide > 2 * usual, "{usual} {wide}");
    }
}
