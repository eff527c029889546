//! How fast this machine multiplies matrices: what every speed is to be read against.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};

use crate::errors::{PredictError, TorchError};

/// Side of the square matrices: large enough that a product is arithmetic, small enough for second-level caches to help.
const SIDE: i64 = 1024;
/// How long a measurement runs.
const SPAN: Duration = Duration::from_millis(400);

/// Rate of single-precision products of 1024 × 1024 matrices in GFLOP/s, summed over `threads` threads of our own with
/// one torch thread each, as the model runs. Takes under a second.
///
/// # Errors
/// When libtorch fails.
pub fn sgemm_gflops(threads: usize) -> Result<f64, PredictError> {
    let rates: Vec<Result<f64, PredictError>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1))
            .map(|_| scope.spawn(|| one_thread().map_err(PredictError::from)))
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or(Err(PredictError::Worker)))
            .collect()
    });
    rates.into_iter().sum()
}

fn one_thread() -> Result<f64, TorchError> {
    let _no_grad = tch::no_grad_guard();
    tch::set_num_threads(1);
    let matrix = || Tensor::f_rand([SIDE, SIDE], (Kind::Float, Device::Cpu));
    let (a, b, mut product) = (matrix()?, matrix()?, matrix()?);
    let mut multiply = || {
        product = product.f_matmul_out(&a, &b)?;
        black_box(&product);
        Ok::<(), TorchError>(())
    };
    multiply()?;
    let started = Instant::now();
    let mut products = 0u32;
    while started.elapsed() < SPAN {
        multiply()?;
        products += 1;
    }
    let flop = 2.0 * (SIDE * SIDE * SIDE) as f64 * f64::from(products);
    Ok(flop / started.elapsed().as_secs_f64() / 1e9)
}
