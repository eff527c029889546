use std::cell::Cell;

use super::*;

thread_local! {
    /// What [`Level::get`] answers on this thread.
    pub(super) static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// Runs a test on every instruction set that this machine has.
pub(in crate::kernel) fn on_every_level(test: impl Fn()) {
    for level in Level::all() {
        FORCED.set(Some(level));
        test();
    }
    FORCED.set(None);
}

/// Numbers that look random, in −1 .. 1.
pub(in crate::kernel) fn noise(len: usize, seed: u64) -> Vec<f32> {
    use rand::{Rng, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(seed);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Fails where two slices differ by more than `tolerance` of the greater of 1 and the expected value.
pub(in crate::kernel) fn assert_close(what: &str, ours: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(ours.len(), expected.len(), "{what}: lengths");
    for (index, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        let bound = tolerance * expected.abs().max(1.0);
        let off = (f64::from(*ours) - expected).abs();
        assert!(off <= bound, "{what}[{index}]: {ours}, expected {expected}");
    }
}

dispatched! {
    fn exps(x: &mut [f32]) = exps_body;
    fn sigmoids(x: &mut [f32]) = sigmoids_body;
    fn tanhs(x: &mut [f32]) = tanhs_body;
}

/// A body that applies a function of one vector to a slice.
macro_rules! in_place {
    ($($body:ident = $function:ident;)*) => {$(
        #[inline(always)]
        fn $body<S: Simd>(simd: S, x: &mut [f32]) {
            for at in (0..x.len()).step_by(LANES) {
                let v = $function(simd, get(simd, x, at));
                put(simd, x, at, v);
            }
        }
    )*};
}

in_place! {
    exps_body = exp;
    sigmoids_body = sigmoid;
    tanhs_body = tanh;
}

/// Greatest relative error of a function over a range, in a slice whose length is no multiple of the lanes.
fn worst(function: fn(&mut [f32]), expected: fn(f64) -> f64, from: f32, to: f32) -> f64 {
    let count = 200_003;
    let x: Vec<f32> = (0..count)
        .map(|i| from + (to - from) * i as f32 / (count - 1) as f32)
        .collect();
    let mut y = x.clone();
    function(&mut y);
    let errors = x.iter().zip(&y).map(|(x, y)| {
        let expected = expected(f64::from(*x));
        (f64::from(*y) - expected).abs() / expected.abs().max(1e-30)
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn elementary_functions_are_accurate() {
    on_every_level(|| {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let elu = |x: f64| if x > 0.0 { x } else { x.exp_m1() };
        assert!(worst(exps, f64::exp, -86.9, 87.9) < 2.5e-7);
        assert!(worst(sigmoids, sigmoid, -80.0, 80.0) < 3e-7);
        assert!(worst(tanhs, f64::tanh, -12.0, 12.0) < 3e-7);
        assert!(worst(elus, elu, -50.0, 50.0) < 3e-7);
        assert!(worst(elus, elu, -1e-3, 1e-3) < 3e-7);
    });
}

#[test]
fn extremes_saturate_and_nan_stays() {
    on_every_level(|| {
        let mut x = [
            f32::NEG_INFINITY,
            -1e30,
            -100.0,
            100.0,
            1e30,
            f32::INFINITY,
            f32::NAN,
        ];
        let run = |function: fn(&mut [f32])| {
            let mut y = x;
            function(&mut y);
            y
        };
        let y = run(sigmoids);
        assert!(y[..3].iter().all(|y| (0.0..1e-36).contains(y)) && y[3..6] == [1.0; 3]);
        let y = run(tanhs);
        assert!(y[..3] == [-1.0; 3] && y[3..6] == [1.0; 3]);
        let y = run(exps);
        assert!(y[..3].iter().all(|y| *y < 1e-37) && y[3..6].iter().all(|y| *y > 1e38));
        for function in [sigmoids, tanhs, exps, elus] {
            assert!(run(function)[6].is_nan());
        }
        elus(&mut x);
        assert_eq!(x[..6], [-1.0, -1.0, -1.0, 100.0, 1e30, f32::INFINITY]);
    });
}

/// Derivative of `Σ d · f(x)` with respect to `x[index]`, numerically and in double precision.
fn numeric(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], d: &[f64]) -> Vec<f64> {
    let total = |x: &[f64]| f(x).iter().zip(d).map(|(y, d)| y * d).sum::<f64>();
    let slope = |index: usize| {
        let mut x = x.to_vec();
        x[index] += 1e-5;
        let up = total(&x);
        x[index] -= 2e-5;
        (up - total(&x)) / 2e-5
    };
    (0..x.len()).map(slope).collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn norm_reference(x: &[f64], scale: &[f64], shift: &[f64]) -> Vec<f64> {
    let width = scale.len();
    let mut out = Vec::new();
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let rstd = 1.0 / (variance + 1e-5).sqrt();
        out.extend((0..width).map(|i| (row[i] - mean) * rstd * scale[i] + shift[i]));
    }
    out
}

#[test]
fn layer_norm_and_its_derivative() {
    on_every_level(|| {
        for width in [1, 3, 16, 32, 37] {
            let rows = 5;
            let (x, scale, shift) = (noise(rows * width, 1), noise(width, 2), noise(width, 3));
            let d = noise(rows * width, 4);
            let (mut normal, mut out) = (x.clone(), vec![0.0; rows * width]);
            let mut rstd = vec![0.0; rows];
            layer_norm(&mut normal, &scale, &shift, &mut out, &mut rstd);
            let expected = norm_reference(&wide(&x), &wide(&scale), &wide(&shift));
            assert_close("out", &out, &expected, 2e-6);
            let (mut d_x, mut d_scale, mut d_shift) =
                (d.clone(), vec![0.0; width], vec![0.0; width]);
            layer_norm_backward(&normal, &rstd, &scale, &mut d_x, &mut d_scale, &mut d_shift);
            let [x, scale, shift, d] = [&x, &scale, &shift, &d].map(|v| wide(v));
            let expected = numeric(|x| norm_reference(x, &scale, &shift), &x, &d);
            assert_close("d_x", &d_x, &expected, 2e-5);
            let expected = numeric(|scale| norm_reference(&x, scale, &shift), &scale, &d);
            assert_close("d_scale", &d_scale, &expected, 1e-5);
            let expected = numeric(|shift| norm_reference(&x, &scale, shift), &shift, &d);
            assert_close("d_shift", &d_shift, &expected, 1e-5);
        }
    });
}

#[test]
fn gated_units_and_their_derivative() {
    on_every_level(|| {
        for width in [1, 16, 21] {
            let (gates, residual) = (noise(3 * 2 * width, 1), noise(3 * width, 2));
            let d = noise(3 * width, 3);
            let reference = |gates: &[f64]| -> Vec<f64> {
                let unit = |row: &[f64], i: usize| row[i] / (1.0 + (-row[width + i]).exp());
                let rows = gates.chunks(2 * width);
                rows.flat_map(|row| (0..width).map(move |i| unit(row, i)))
                    .collect()
            };
            let mut out = vec![0.0; 3 * width];
            glu(width, &gates, None, &mut out);
            assert_close("glu", &out, &reference(&wide(&gates)), 1e-6);
            glu(width, &gates, Some(&residual), &mut out);
            let mut expected = reference(&wide(&gates));
            expected
                .iter_mut()
                .zip(&residual)
                .for_each(|(e, r)| *e += f64::from(*r));
            assert_close("glu and residual", &out, &expected, 1e-6);
            let mut d_gates = vec![0.0; gates.len()];
            glu_backward(width, &gates, &d, &mut d_gates);
            assert_close(
                "d_gates",
                &d_gates,
                &numeric(reference, &wide(&gates), &wide(&d)),
                1e-5,
            );
        }
    });
}

#[test]
fn sums_and_slopes() {
    on_every_level(|| {
        for width in [1, 16, 19] {
            let (mut x, bias) = (noise(4 * width, 1), noise(width, 2));
            let mut expected = wide(&x);
            add_bias(&mut x, &bias);
            for row in expected.chunks_mut(width) {
                row.iter_mut()
                    .zip(&bias)
                    .for_each(|(x, b)| *x += f64::from(*b));
            }
            assert_close("bias", &x, &expected, 1e-6);
            let mut sums = vec![1.0; width];
            column_sums(&x, &mut sums);
            let column = |i: usize| 1.0 + (0..4).map(|r| expected[r * width + i]).sum::<f64>();
            let expected: Vec<f64> = (0..width).map(column).collect();
            assert_close("sums", &sums, &expected, 1e-6);
            let mut d = vec![2.0; 4 * width];
            elu_backward(&x, &mut d);
            let slopes = x.iter().map(|y| {
                if *y > 0.0 {
                    2.0
                } else {
                    2.0 * f64::from(y + 1.0)
                }
            });
            assert_close("elu", &d, &slopes.collect::<Vec<_>>(), 1e-6);
        }
    });
}
