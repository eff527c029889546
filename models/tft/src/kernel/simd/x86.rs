//! AVX-512 and AVX2.
#![expect(
    unsafe_code,
    reason = "vector instructions; whoever holds a token has checked for them, and memory is reached through \
              references of the right size or masks of the right length"
)]

use std::arch::is_x86_feature_detected as has;
use std::arch::x86_64::*;

use super::{LANES, Lanes, Simd};

/// Proves that the processor has AVX-512 (F, VL, BW, DQ), AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512(());

/// Proves that the processor has AVX2 and FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx512 {
    /// The proof, if it is true.
    pub(super) fn detect() -> Option<Self> {
        let wide = has!("avx512f") && has!("avx512vl") && has!("avx512bw") && has!("avx512dq");
        (wide && has!("avx2") && has!("fma")).then_some(Self(()))
    }
}

impl Avx2 {
    /// The proof, if it is true.
    pub(super) fn detect() -> Option<Self> {
        (has!("avx2") && has!("fma")).then_some(Self(()))
    }
}

/// The mask of the first `len` lanes.
#[inline(always)]
fn first(len: usize) -> __mmask16 {
    ((1u32 << len.min(LANES)) - 1) as __mmask16
}

// SAFETY of all blocks below: the token proves the instructions; loads and stores stay within their references.
impl Simd for Avx512 {
    type V = __m512;
    const WIDE: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> __m512 {
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes, v: __m512) {
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(first(from.len()), from.as_ptr()) }
    }

    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: __m512) {
        unsafe { _mm512_mask_storeu_ps(to.as_mut_ptr(), first(to.len()), v) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }

    #[inline(always)]
    fn copy_sign(self, a: __m512, b: __m512) -> __m512 {
        unsafe {
            let sign = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b))
        }
    }

    #[inline(always)]
    fn recip(self, a: __m512) -> __m512 {
        // An estimate of 14 bits and a step of Newton's; a division would take five times as long.
        unsafe {
            let estimate = _mm512_rcp14_ps(a);
            let error = _mm512_fnmadd_ps(a, estimate, _mm512_set1_ps(1.0));
            _mm512_fmadd_ps(error, estimate, estimate)
        }
    }

    #[inline(always)]
    fn rsqrt(self, a: __m512) -> __m512 {
        unsafe {
            let estimate = _mm512_rsqrt14_ps(a);
            let square = _mm512_mul_ps(a, estimate);
            let error = _mm512_fnmadd_ps(square, estimate, _mm512_set1_ps(1.0));
            let half = _mm512_mul_ps(estimate, _mm512_set1_ps(0.5));
            _mm512_fmadd_ps(error, half, estimate)
        }
    }

    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }

    #[inline(always)]
    fn scale(self, a: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, n) }
    }

    #[inline(always)]
    fn select_greater(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), no, yes) }
    }

    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }

    #[inline(always)]
    fn sums(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // Interleaving adds four vectors up together, for the price of one: first pairs of lanes within each quarter,
        // then the quarters.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
            let quarters = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            let halves = _mm256_add_ps(
                _mm512_castps512_ps256(quarters),
                _mm512_extractf32x8_ps::<1>(quarters),
            );
            let sums = _mm_add_ps(
                _mm256_castps256_ps128(halves),
                _mm256_extractf128_ps::<1>(halves),
            );
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        }
    }

    #[inline(always)]
    fn greatest(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }
}

/// The masks of the first `len` lanes, eight lanes each.
#[inline(always)]
fn first_halves(len: usize) -> [__m256i; 2] {
    /// As many set lanes as there are, then as many others: a mask is sixteen in a row.
    const SET: [i32; 2 * LANES] = {
        let mut set = [0; 2 * LANES];
        let mut lane = 0;
        while lane < LANES {
            set[lane] = -1;
            lane += 1;
        }
        set
    };
    let mask = &SET[LANES - len.min(LANES)..][..LANES];
    // SAFETY: sixteen numbers lie there.
    unsafe {
        [
            _mm256_loadu_si256(mask.as_ptr().cast()),
            _mm256_loadu_si256(mask.as_ptr().add(8).cast()),
        ]
    }
}

/// Applies an instruction to both halves.
macro_rules! halves {
    ($op:ident($($arg:expr),*)) => {
        // SAFETY: the token proves the instruction.
        unsafe { [$op($($arg[0]),*), $op($($arg[1]),*)] }
    };
}

// SAFETY of all blocks below: as for AVX-512.
impl Simd for Avx2 {
    type V = [__m256; 2];
    const WIDE: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [__m256; 2] {
        unsafe { [_mm256_set1_ps(x); 2] }
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> [__m256; 2] {
        let from = from.as_ptr();
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    fn store(self, to: &mut Lanes, v: [__m256; 2]) {
        let to = to.as_mut_ptr();
        unsafe {
            _mm256_storeu_ps(to, v[0]);
            _mm256_storeu_ps(to.add(8), v[1]);
        }
    }

    // Copies by way of an array would be calls, and no register survives a call.
    #[inline(always)]
    fn load_part(self, from: &[f32]) -> [__m256; 2] {
        let masks = first_halves(from.len());
        let from = from.as_ptr();
        unsafe {
            [
                _mm256_maskload_ps(from, masks[0]),
                _mm256_maskload_ps(from.wrapping_add(8), masks[1]),
            ]
        }
    }

    #[inline(always)]
    fn store_part(self, to: &mut [f32], v: [__m256; 2]) {
        let (len, masks) = (to.len(), first_halves(to.len()));
        let to = to.as_mut_ptr();
        // A masked store takes many times as long as a plain one.
        unsafe {
            if len < 8 {
                _mm256_maskstore_ps(to, masks[0], v[0]);
                return;
            }
            _mm256_storeu_ps(to, v[0]);
            if len > 8 {
                _mm256_maskstore_ps(to.add(8), masks[1], v[1]);
            }
        }
    }

    #[inline(always)]
    fn add(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn fnma(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn min(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        halves!(_mm256_max_ps(a, b))
    }

    #[inline(always)]
    fn abs(self, a: [__m256; 2]) -> [__m256; 2] {
        let sign = self.splat(-0.0);
        halves!(_mm256_andnot_ps(sign, a))
    }

    #[inline(always)]
    fn copy_sign(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        let mask = self.splat(-0.0);
        let (magnitude, sign) = (self.abs(a), halves!(_mm256_and_ps(mask, b)));
        halves!(_mm256_or_ps(magnitude, sign))
    }

    #[inline(always)]
    fn recip(self, a: [__m256; 2]) -> [__m256; 2] {
        let one = self.splat(1.0);
        halves!(_mm256_div_ps(one, a))
    }

    #[inline(always)]
    fn rsqrt(self, a: [__m256; 2]) -> [__m256; 2] {
        self.recip(halves!(_mm256_sqrt_ps(a)))
    }

    #[inline(always)]
    fn round(self, a: [__m256; 2]) -> [__m256; 2] {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe {
            [
                _mm256_round_ps::<NEAREST>(a[0]),
                _mm256_round_ps::<NEAREST>(a[1]),
            ]
        }
    }

    #[inline(always)]
    fn scale(self, a: [__m256; 2], n: [__m256; 2]) -> [__m256; 2] {
        // A power of two is its exponent, biased by 127, in the bits above the 23 of the fraction.
        let bias = self.splat(127.0);
        let n = self.add(n, bias);
        let whole = halves!(_mm256_cvtps_epi32(n));
        let bits = unsafe {
            [
                _mm256_slli_epi32::<23>(whole[0]),
                _mm256_slli_epi32::<23>(whole[1]),
            ]
        };
        let power = halves!(_mm256_castsi256_ps(bits));
        self.mul(a, power)
    }

    #[inline(always)]
    fn select_greater(
        self,
        a: [__m256; 2],
        b: [__m256; 2],
        yes: [__m256; 2],
        no: [__m256; 2],
    ) -> [__m256; 2] {
        let mask = unsafe {
            [
                _mm256_cmp_ps::<_CMP_GT_OQ>(a[0], b[0]),
                _mm256_cmp_ps::<_CMP_GT_OQ>(a[1], b[1]),
            ]
        };
        halves!(_mm256_blendv_ps(no, yes, mask))
    }

    #[inline(always)]
    fn sum(self, a: [__m256; 2]) -> f32 {
        unsafe {
            let eight = _mm256_add_ps(a[0], a[1]);
            let four = _mm_add_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn sums(self, four: [[__m256; 2]; 4]) -> [f32; 4] {
        unsafe {
            let [a, b, c, d] = [
                _mm256_add_ps(four[0][0], four[0][1]),
                _mm256_add_ps(four[1][0], four[1][1]),
                _mm256_add_ps(four[2][0], four[2][1]),
                _mm256_add_ps(four[3][0], four[3][1]),
            ];
            let halves = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
            let sums = _mm_add_ps(
                _mm256_castps256_ps128(halves),
                _mm256_extractf128_ps::<1>(halves),
            );
            let mut out = [0.0; 4];
            _mm_storeu_ps(out.as_mut_ptr(), sums);
            out
        }
    }

    #[inline(always)]
    fn greatest(self, a: [__m256; 2]) -> f32 {
        unsafe {
            let eight = _mm256_max_ps(a[0], a[1]);
            let four = _mm_max_ps(
                _mm256_castps256_ps128(eight),
                _mm256_extractf128_ps::<1>(eight),
            );
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        }
    }
}
