//! How long the selection networks take at the shipped shape, beside what this machine multiplies.
//!
//! `cargo test --release -p argus-tft --lib selection_speed -- --ignored --nocapture`
#![expect(clippy::print_stderr, reason = "a measurement is read by people")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use super::super::matrix::gemm;
use super::super::simd::tests::noise;
use super::*;
use crate::network::Network;
use crate::{Device, ModelConfig, ModelOptions, SchemaRef};

const WINDOWS: usize = 8;
const ROUNDS: u32 = 40;

/// How long this thread has been on a processor, where the system tells; else, since the first call.
fn busy() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let nanos = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = nanos.and_then(|text| text.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// The mean of some rounds: the system counts in milliseconds.
fn mean(rounds: u32, mut work: impl FnMut()) -> Duration {
    work();
    let start = busy();
    for _ in 0..rounds {
        work();
    }
    (busy() - start) / rounds
}

/// Products a row of a selection network takes, in floating point operations.
fn flops(architecture: &Architecture, role: Role) -> f64 {
    let (reals, count) = {
        let variables = role.variables(architecture);
        (variables.reals.len() as f64, variables.len() as f64)
    };
    let hidden = architecture.hidden_size as f64;
    let (inner, weigh) = (architecture.continuous_size as f64, hidden.min(count));
    2.0 * (reals * inner * 2.0 * hidden + reals * weigh + weigh * 2.0 * count)
}

#[test]
#[ignore = "a measurement, for an idle machine and a release build"]
fn selection_speed() {
    let schema = SchemaRef::sized(14, 8, 7);
    // Lags make it 35 real variables in the encoder, 20 in the decoder.
    let options = ModelOptions {
        hidden_size: 32,
        attention_heads: 4,
        continuous_size: 8,
        lags: vec![288],
        ..ModelOptions::default()
    };
    let architecture = ModelConfig::for_schema(&schema, &options).architecture;
    let network = Network::new(&architecture, Device::Cpu, 1).expect("a possible architecture");
    let params = Vec::<f32>::try_from(network.parameters().detach()).expect("floats");
    let hidden = architecture.hidden_size as usize;

    let (a, b) = (noise(768 * 32, 1), noise(32 * 32, 2));
    let mut c = vec![0.0; 768 * 32];
    let product = mean(100 * ROUNDS, || {
        gemm(false, 768, 32, 32, &a, 32, &b, 32, &mut c, 32)
    });
    let machine = 2.0 * 768.0 * 32.0 * 32.0 / product.as_secs_f64() / 1e9;
    eprintln!("gemm {machine:.0} GFLOP/s");

    for (role, steps) in [(Role::Static, 1), (Role::Encoder, 288), (Role::Decoder, 96)] {
        let mut selection = Selection::new(&architecture, &network.layout, role).expect("usual");
        selection.bind(&params);
        let len = steps * WINDOWS;
        let reals = noise(len * architecture.real_columns.len(), 3);
        let codes = vec![1; len * architecture.categorical_columns.len()];
        let rows = Rows {
            windows: WINDOWS,
            reals: &reals,
            codes: &codes,
            len,
        };
        let (context, d_out) = (noise(WINDOWS * hidden, 4), noise(len * hidden, 5));
        let context = (role != Role::Static).then_some(context.as_slice());
        let (mut out, mut saved) = (vec![0.0; len * hidden], Saved::default());
        let mut grads = vec![0.0; params.len()];
        let forward = mean(ROUNDS, || {
            selection.forward(&rows, context, &mut out, &mut saved, false, None)
        });
        let both = mean(ROUNDS, || {
            selection.forward(&rows, context, &mut out, &mut saved, true, None);
            selection.backward(&rows, context, &mut saved, &d_out, &mut grads, None);
        });
        let rate = flops(&architecture, role) * len as f64 / forward.as_secs_f64() / 1e9;
        let millis = |time: Duration| time.as_secs_f64() * 1e3 / WINDOWS as f64;
        eprintln!(
            "{role:?}: forward {:.3} ms a window ({rate:.0} GFLOP/s in products), there and back {:.3} ms",
            millis(forward),
            millis(both)
        );
        // Gates, norms and interpolation take as long as the products; more than that is lost to something else.
        if role == Role::Encoder {
            assert!(rate > machine / 5.0, "{rate:.0} of {machine:.0} GFLOP/s");
        }
    }
}
