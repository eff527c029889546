//! Sixteen floats in an array: what processors without the instruction sets that we know use.

use super::{LANES, Lanes, Simd};

/// Needs no particular instructions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

/// Whether a fused multiplication is an instruction here; as a library call it would be far too slow.
const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Applies an expression to every lane.
macro_rules! lanes {
    ($i:ident => $value:expr) => {{
        let mut out = [0f32; LANES];
        for $i in 0..LANES {
            out[$i] = $value;
        }
        out
    }};
}

impl Simd for Portable {
    type V = Lanes;
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes, v: Lanes) {
        *to = v;
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Lanes {
        let mut out = [0f32; LANES];
        let len = from.len().min(LANES);
        out[..len].copy_from_slice(&from[..len]);
        out
    }

    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: Lanes) {
        let len = to.len().min(LANES);
        to[..len].copy_from_slice(&v[..len]);
    }

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => a[i] * b[i])
    }

    #[inline(always)]
    fn fma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        lanes!(i => fused(a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn fnma(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        lanes!(i => fused(-a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn abs(self, a: Lanes) -> Lanes {
        lanes!(i => a[i].abs())
    }

    #[inline(always)]
    fn copy_sign(self, a: Lanes, b: Lanes) -> Lanes {
        lanes!(i => a[i].copysign(b[i]))
    }

    #[inline(always)]
    fn recip(self, a: Lanes) -> Lanes {
        lanes!(i => 1.0 / a[i])
    }

    #[inline(always)]
    fn rsqrt(self, a: Lanes) -> Lanes {
        lanes!(i => 1.0 / a[i].sqrt())
    }

    #[inline(always)]
    fn round(self, a: Lanes) -> Lanes {
        // Adding 1.5 · 2²³ leaves no bits for a fraction.
        const SHIFT: f32 = 12_582_912.0;
        lanes!(i => (a[i] + SHIFT) - SHIFT)
    }

    #[inline(always)]
    fn scale(self, a: Lanes, n: Lanes) -> Lanes {
        lanes!(i => a[i] * f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }

    #[inline(always)]
    fn select_greater(self, a: Lanes, b: Lanes, yes: Lanes, no: Lanes) -> Lanes {
        lanes!(i => if a[i] > b[i] { yes[i] } else { no[i] })
    }

    #[inline(always)]
    fn sum(self, a: Lanes) -> f32 {
        let mut width = LANES / 2;
        let mut sums = a;
        while width > 0 {
            for i in 0..width {
                sums[i] += sums[i + width];
            }
            width /= 2;
        }
        sums[0]
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [Lanes; 4]) -> [f32; 4] {
        [self.sum(a), self.sum(b), self.sum(c), self.sum(d)]
    }

    #[inline(always)]
    fn greatest(self, a: Lanes) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
