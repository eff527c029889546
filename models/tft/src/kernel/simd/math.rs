//! Exponentials and what is made of them, sixteen at a time, to about two units in the last place.

use super::Simd;

/// `ln 2` in two parts, the first with trailing zeros so that its multiples are exact.
const LN_2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// Chebyshev's approximation of `(eʳ − 1 − r) / r²` for |r| up to half of ln 2, highest power first.
const EXP: [f32; 5] = [
    1.392_625_1e-3,
    8.363_233e-3,
    4.166_655_4e-2,
    1.666_657_7e-1,
    0.5,
];

/// The same of `(tanh x / x − 1) / x²`, in x² up to 0.625².
const TANH: [f32; 5] = [
    -6.096_714e-3,
    2.099_718e-2,
    -5.385_091e-2,
    1.333_276_7e-1,
    -3.333_332_8e-1,
];

/// `x` as `r + n · ln 2`, |r| at most half of ln 2.
#[inline(always)]
fn reduce<S: Simd>(simd: S, x: S::V) -> (S::V, S::V) {
    let n = simd.round(simd.mul(x, simd.splat(std::f32::consts::LOG2_E)));
    let r = simd.fnma(n, simd.splat(LN_2.0), x);
    (simd.fnma(n, simd.splat(LN_2.1), r), n)
}

/// Horner's scheme.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, coefficients: &[f32; N], x: S::V) -> S::V {
    let mut sum = simd.splat(coefficients[0]);
    for coefficient in &coefficients[1..] {
        sum = simd.fma(sum, x, simd.splat(*coefficient));
    }
    sum
}

/// `eˣ`; below −87 that of −87, above 88 that of 88. NaN stays NaN.
#[inline(always)]
pub(in crate::kernel) fn exp<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.min(simd.splat(88.0), simd.max(simd.splat(-87.0), x));
    let (r, n) = reduce(simd, x);
    let one = simd.splat(1.0);
    let sum = simd.fma(polynomial(simd, &EXP, r), r, one);
    simd.scale(simd.fma(sum, r, one), n)
}

/// `eˣ − 1` for x up to 88, accurate near 0 too.
#[inline(always)]
pub(in crate::kernel) fn expm1<S: Simd>(simd: S, x: S::V) -> S::V {
    let x = simd.min(simd.splat(88.0), simd.max(simd.splat(-87.0), x));
    let (r, n) = reduce(simd, x);
    let one = simd.splat(1.0);
    let less = simd.fma(simd.mul(r, r), polynomial(simd, &EXP, r), r);
    let power = simd.scale(one, n);
    simd.fma(less, power, simd.sub(power, one))
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(in crate::kernel) fn sigmoid<S: Simd>(simd: S, x: S::V) -> S::V {
    let exponential = exp(simd, simd.sub(simd.splat(0.0), x));
    // Stays within what `recip` takes: e⁸⁷ is 6e37. Beyond, a sigmoid is 0 for every purpose.
    simd.recip(simd.add(simd.splat(1.0), simd.min(simd.splat(1e37), exponential)))
}

/// Hyperbolic tangent.
#[inline(always)]
pub(in crate::kernel) fn tanh<S: Simd>(simd: S, x: S::V) -> S::V {
    let magnitude = simd.abs(x);
    let square = simd.mul(x, x);
    let small = simd.fma(
        simd.mul(square, magnitude),
        polynomial(simd, &TANH, square),
        magnitude,
    );
    let one = simd.splat(1.0);
    // tanh is 1 to the last bit from 9.1 on.
    let double = exp(
        simd,
        simd.min(simd.splat(20.0), simd.add(magnitude, magnitude)),
    );
    let large = simd.fnma(simd.splat(2.0), simd.recip(simd.add(double, one)), one);
    simd.copy_sign(
        simd.select_greater(magnitude, simd.splat(0.625), large, small),
        x,
    )
}

/// `x` where positive, else `eˣ − 1`.
#[inline(always)]
pub(in crate::kernel) fn elu<S: Simd>(simd: S, x: S::V) -> S::V {
    simd.select_greater(x, simd.splat(0.0), x, expm1(simd, x))
}
