//! Products of matrices of the sizes of this network: hundreds of rows, tens of columns.
//!
//! Matrices are row-major with a stride (`lda`, …) of at least their width between rows, so a block of columns is a matrix too. Nothing is
//! packed: at these sizes every operand is in cache. A tile of the result stays in registers while a product runs, so
//! each sum has one fixed order whatever the number of rows.

use super::simd::{LANES, Simd, dispatched, get, put};

/// Rows of `a` and `b` that a product over rows takes at a time, so that they stay in cache.
const DEPTH: usize = 128;

dispatched! {
    /// `c[m, n] = a[m, k] · b[k, n]`, or `c += …` if `add`.
    #[expect(clippy::too_many_arguments, reason = "the customary interface of a matrix product")]
    pub(super) fn gemm(
        add: bool, m: usize, n: usize, k: usize,
        a: &[f32], lda: usize, b: &[f32], ldb: usize, c: &mut [f32], ldc: usize,
    ) = gemm_body;
    /// `c[k, n] += a[m, k]ᵀ · b[m, n]`: the gradient of weights.
    #[expect(clippy::too_many_arguments, reason = "the customary interface of a matrix product")]
    pub(super) fn gemm_tn(
        m: usize, n: usize, k: usize,
        a: &[f32], lda: usize, b: &[f32], ldb: usize, c: &mut [f32], ldc: usize,
    ) = gemm_tn_body;
}

/// `dst[cols, rows] = src[rows, cols]ᵀ`.
pub(super) fn transpose(rows: usize, cols: usize, src: &[f32], dst: &mut [f32]) {
    const BLOCK: usize = 16;
    let (src, dst) = (&src[..rows * cols], &mut dst[..rows * cols]);
    for first in (0..rows).step_by(BLOCK) {
        let last = rows.min(first + BLOCK);
        for (col, to) in dst.chunks_exact_mut(rows).enumerate() {
            for (row, to) in (first..last).zip(&mut to[first..last]) {
                *to = src[row * cols + col];
            }
        }
    }
}

/// Runs `$tile` for every tile of `$rows` rows, of a size known to the compiler: as many as there are registers for.
macro_rules! row_tiles {
    ($simd:ident, $rows:expr, $tile:ident, $vectors:literal, [$($size:literal)+], $args:tt) => {{
        let (rows, mut row) = ($rows, 0);
        $(
            for _ in 0..(rows - row) / $size {
                tile!($tile, $size, $vectors, $simd, row, $args);
                row += $size;
            }
        )+
    }};
}

/// One tile.
macro_rules! tile {
    ($tile:ident, $size:literal, $vectors:literal, $simd:ident, $row:ident, ($($arg:expr),*)) => {
        $tile::<S, $size, $vectors>($simd, $row, $($arg),*)
    };
}

/// Runs `$tile` for all tiles of a result. Where a vector is two registers of sixteen, a tile of six rows by one vector
/// takes twelve and leaves four for its factors.
macro_rules! tiles {
    ($simd:ident, $rows:expr, $columns:expr, $tile:ident, ($($arg:expr),*)) => {{
        let (columns, mut column) = ($columns, 0);
        while S::WIDE && column + LANES < columns {
            row_tiles!($simd, $rows, $tile, 2, [8 4 1], (column, $($arg),*));
            column += 2 * LANES;
        }
        while column < columns {
            if S::WIDE {
                row_tiles!($simd, $rows, $tile, 1, [8 4 1], (column, $($arg),*));
            } else {
                row_tiles!($simd, $rows, $tile, 1, [6 4 2 1], (column, $($arg),*));
            }
            column += LANES;
        }
    }};
}

/// A matrix and the stride of its rows.
#[derive(Clone, Copy)]
struct Strided<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Strided<'a> {
    /// The first rows, each from a column on.
    #[inline(always)]
    fn lines(self, rows: usize, column: usize) -> impl Iterator<Item = &'a [f32]> {
        let from = self.values.get(column..).unwrap_or_default();
        assert!(
            rows == 0 || (rows - 1) * self.stride < from.len(),
            "rows are missing"
        );
        from.chunks(self.stride).take(rows)
    }
}

/// A line as vectors, with zeros past its end.
#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(simd: S, line: &[f32]) -> [S::V; VECTORS] {
    let mut vectors = [simd.splat(0.0); VECTORS];
    if let Some(whole) = line.as_chunks().0.first_chunk::<VECTORS>() {
        for (vector, lanes) in vectors.iter_mut().zip(whole) {
            *vector = simd.load(lanes);
        }
    } else {
        for (index, vector) in vectors.iter_mut().enumerate() {
            *vector = get(simd, line, index * LANES);
        }
    }
    vectors
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the customary interface of a matrix product"
)]
fn gemm_body<S: Simd>(
    simd: S,
    add: bool,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
) {
    let a = Strided {
        values: a,
        stride: lda,
    };
    let b = Strided {
        values: b,
        stride: ldb,
    };
    tiles!(simd, m, n, gemm_tile, (n, k, a, b, add, c, ldc));
}

/// `ROWS` rows by `VECTORS` vectors of columns of the result.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the product's, and a place")]
fn gemm_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    row: usize,
    column: usize,
    n: usize,
    k: usize,
    a: Strided<'_>,
    b: Strided<'_>,
    add: bool,
    c: &mut [f32],
    ldc: usize,
) {
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    for (index, slot) in rows.iter_mut().enumerate() {
        *slot = &a.values[(row + index) * a.stride..][..k];
    }
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    let width = (n - column).min(VECTORS * LANES);
    for (depth, line) in b.lines(k, column).enumerate() {
        let right = vectors::<S, VECTORS>(simd, &line[..width]);
        for (sums, row) in sums.iter_mut().zip(rows) {
            let left = simd.splat(row[depth]);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.fma(left, right, *sum);
            }
        }
    }
    write(simd, &sums, add, &mut c[row * ldc + column..], ldc, width);
}

#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "the customary interface of a matrix product"
)]
fn gemm_tn_body<S: Simd>(
    simd: S,
    m: usize,
    n: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    ldb: usize,
    c: &mut [f32],
    ldc: usize,
) {
    for first in (0..m).step_by(DEPTH) {
        let depth = DEPTH.min(m - first);
        let a = Strided {
            values: &a[first * lda..],
            stride: lda,
        };
        let b = Strided {
            values: &b[first * ldb..],
            stride: ldb,
        };
        tiles!(simd, k, n, gemm_tn_tile, (n, depth, a, b, c, ldc));
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the product's, and a place")]
fn gemm_tn_tile<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    row: usize,
    column: usize,
    n: usize,
    depth: usize,
    a: Strided<'_>,
    b: Strided<'_>,
    c: &mut [f32],
    ldc: usize,
) {
    let mut sums = [[simd.splat(0.0); VECTORS]; ROWS];
    let width = (n - column).min(VECTORS * LANES);
    for (left, line) in a.lines(depth, row).zip(b.lines(depth, column)) {
        let right = vectors::<S, VECTORS>(simd, &line[..width]);
        for (sums, left) in sums.iter_mut().zip(&left[..ROWS]) {
            let left = simd.splat(*left);
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = simd.fma(left, right, *sum);
            }
        }
    }
    write(simd, &sums, true, &mut c[row * ldc + column..], ldc, width);
}

/// Puts a tile where `c` starts.
#[inline(always)]
fn write<S: Simd, const ROWS: usize, const VECTORS: usize>(
    simd: S,
    sums: &[[S::V; VECTORS]; ROWS],
    add: bool,
    c: &mut [f32],
    ldc: usize,
    width: usize,
) {
    for (index, sums) in sums.iter().enumerate() {
        let to = &mut c[index * ldc..][..width];
        for (index, sum) in sums.iter().enumerate() {
            let at = index * LANES;
            let sum = if add {
                simd.add(*sum, get(simd, to, at))
            } else {
                *sum
            };
            put(simd, to, at, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::tests::{assert_close, noise, on_every_level};
    use super::*;

    /// `[m, k] · [k, n]` in double precision, with strides as given.
    fn reference(
        m: usize,
        n: usize,
        k: usize,
        a: &[f32],
        lda: usize,
        b: &[f32],
        ldb: usize,
    ) -> Vec<f64> {
        let term =
            |r: usize, c: usize, i: usize| f64::from(a[r * lda + i]) * f64::from(b[i * ldb + c]);
        let cell = |r: usize, c: usize| (0..k).map(|i| term(r, c, i)).sum::<f64>();
        (0..m)
            .flat_map(|r| (0..n).map(move |c| (r, c)))
            .map(|(r, c)| cell(r, c))
            .collect()
    }

    #[test]
    fn products_of_any_size() {
        on_every_level(|| {
            for (m, n, k) in [
                (1, 1, 1),
                (8, 32, 8),
                (13, 47, 5),
                (300, 98, 33),
                (9, 16, 0),
                (4, 17, 129),
            ] {
                let (lda, ldb, ldc) = (k + 3, n + 1, n + 2);
                let (a, b) = (noise(m * lda, 1), noise(k.max(1) * ldb, 2));
                let start = noise(m * ldc, 3);
                let expected = reference(m, n, k, &a, lda, &b, ldb);
                for add in [false, true] {
                    let mut c = start.clone();
                    gemm(add, m, n, k, &a, lda, &b, ldb, &mut c, ldc);
                    for (row, (ours, before)) in c.chunks(ldc).zip(start.chunks(ldc)).enumerate() {
                        let expected: Vec<f64> = (0..n)
                            .map(|i| {
                                expected[row * n + i] + if add { f64::from(before[i]) } else { 0.0 }
                            })
                            .collect();
                        assert_close("gemm", &ours[..n], &expected, 3e-6);
                        assert_eq!(ours[n..], before[n..], "the gap between rows stays");
                    }
                }
                let mut turned = vec![0.0; lda * m];
                transpose(m, lda, &a, &mut turned);
                let mut c = start.clone();
                // aᵀ comes as [k, m], so the product over its rows is the same again.
                gemm_tn(k, n, m, &turned, m, &b, ldb, &mut c, ldc);
                for (row, (ours, before)) in c.chunks(ldc).zip(start.chunks(ldc)).enumerate() {
                    let sum = |i: usize| expected[row * n + i] + f64::from(before[i]);
                    assert_close(
                        "gemm_tn",
                        &ours[..n],
                        &(0..n).map(sum).collect::<Vec<_>>(),
                        3e-6,
                    );
                }
            }
        });
    }
}
