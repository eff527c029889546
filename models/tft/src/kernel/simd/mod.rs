//! Vectors of sixteen floats, and functions compiled once for each instruction set.
//!
//! [`Simd`] is what generic code is written against: every instruction set gives the same sixteen lanes, as one
//! register (AVX-512), two (AVX2) or an array. [`dispatched`] makes a plain function out of a generic body. It picks
//! the instruction set at run time, so it belongs around loops over many rows, never inside them.
//!
//! A body and whatever it calls with a [`Simd`] must be `#[inline(always)]`, and operations on vectors must not stand
//! in closures: an instruction set is a property of the function that the code ends up in.

mod math;
mod portable;
mod slices;
#[cfg(test)]
pub(super) mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

pub(super) use self::math::{elu, exp, sigmoid, tanh};
pub(crate) use self::portable::Portable;
pub(super) use self::slices::{
    add, add_bias, column_sums, elu_backward, elu_slope, elus, get, glu, glu_backward, layer_norm,
    layer_norm_backward, put,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use self::x86::{Avx2, Avx512};

/// Floats in a vector.
pub(crate) const LANES: usize = 16;

/// A vector in memory.
pub(crate) type Lanes = [f32; LANES];

/// Operations on sixteen floats. A value of an implementing type proves that the processor has the instructions.
pub(crate) trait Simd: Copy {
    /// Sixteen floats.
    type V: Copy;
    /// Whether there are 32 registers of sixteen floats, rather than eight or so.
    const WIDE: bool;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, from: &Lanes) -> Self::V;
    fn store(self, to: &mut Lanes, v: Self::V);
    /// Up to sixteen floats, zeros after them.
    fn load_part(self, from: &[f32]) -> Self::V;
    /// As many lanes as the slice takes, at most sixteen.
    fn store_part(self, to: &mut [f32], v: Self::V);
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once where the processor can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c − a · b`.
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The lesser; `b` where one is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The greater; `b` where one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    fn abs(self, a: Self::V) -> Self::V;
    /// The magnitude of `a` with the sign of `b`.
    fn copy_sign(self, a: Self::V, b: Self::V) -> Self::V;
    /// `1 / a` to within two units in the last place, for |a| in 1e-37 ..= 1e37.
    fn recip(self, a: Self::V) -> Self::V;
    /// `1 / √a` to within two units in the last place, for a in 1e-37 ..= 1e37.
    fn rsqrt(self, a: Self::V) -> Self::V;
    /// The nearest whole number, for |a| up to a million.
    fn round(self, a: Self::V) -> Self::V;
    /// `a · 2ⁿ` for whole n in −126 ..= 127 and a normal result.
    fn scale(self, a: Self::V, n: Self::V) -> Self::V;
    /// `yes` in the lanes where `a > b`, else `no`.
    fn select_greater(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// Sum of the lanes, in a fixed order.
    fn sum(self, a: Self::V) -> f32;
    /// The same of four vectors at once.
    fn sums(self, four: [Self::V; 4]) -> [f32; 4];
    /// The greatest lane.
    fn greatest(self, a: Self::V) -> f32;
}

/// The instruction sets that code is compiled for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable,
}

impl Level {
    /// The best of this processor.
    #[inline]
    pub(crate) fn get() -> Self {
        #[cfg(test)]
        if let Some(level) = tests::FORCED.get() {
            return level;
        }
        #[cfg(target_arch = "x86_64")]
        {
            static BEST: OnceLock<Level> = OnceLock::new();
            *BEST.get_or_init(|| Self::all()[0])
        }
        #[cfg(not(target_arch = "x86_64"))]
        Self::Portable
    }

    /// All that this processor has, best first.
    pub(super) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx512::detect().map(Self::Avx512));
            all.extend(Avx2::detect().map(Self::Avx2));
        }
        all.push(Self::Portable);
        all
    }
}

/// Makes functions that run a generic body, `fn body<S: Simd>(simd: S, …)`, compiled for the processor at hand.
macro_rules! dispatched {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $body:path;)*) => {$(
        $(#[$meta])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "calls functions compiled for instructions found at run time")
        )]
        $vis fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512(simd: $crate::kernel::simd::Avx512, ($($arg),*,): ($($ty),*,)) {
                $body(simd, $($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2(simd: $crate::kernel::simd::Avx2, ($($arg),*,): ($($ty),*,)) {
                $body(simd, $($arg),*)
            }
            match $crate::kernel::simd::Level::get() {
                // SAFETY: the token proves that the processor has the instructions.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::simd::Level::Avx512(simd) => unsafe { avx512(simd, ($($arg),*,)) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::kernel::simd::Level::Avx2(simd) => unsafe { avx2(simd, ($($arg),*,)) },
                $crate::kernel::simd::Level::Portable => {
                    $body($crate::kernel::simd::Portable, $($arg),*)
                }
            }
        }
    )*};
}
pub(crate) use dispatched;
