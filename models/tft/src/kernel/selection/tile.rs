//! Tiles: sixteen rows, feature by feature, so that a row is a lane of every vector.
//!
//! Everything that a selection network does to a row is then plain arithmetic on vectors: sums over features (layer
//! norm, softmax) need no shuffling, and weights are single numbers that all lanes share.

use crate::kernel::simd::{LANES, Lanes, Simd};

/// A vector of zeros.
pub(super) const ZERO: Lanes = [0.0; LANES];

/// Number of tiles that hold `rows` rows.
pub(super) fn tiles(rows: usize) -> usize {
    rows.div_ceil(LANES)
}

/// Copies some columns of up to sixteen rows `[rows, width]` into a tile; lanes without a row get zeros.
pub(super) fn gather(rows: &[f32], width: usize, columns: &[usize], tile: &mut [Lanes]) {
    for (column, to) in columns.iter().zip(tile) {
        *to = ZERO;
        for (row, to) in rows.chunks_exact(width).zip(to) {
            *to = row[*column];
        }
    }
}

/// Copies up to sixteen rows into a tile; lanes without a row get zeros.
pub(super) fn to_tile(rows: &[f32], tile: &mut [Lanes]) {
    tile.fill(ZERO);
    for (lane, row) in rows.chunks_exact(tile.len()).enumerate() {
        for (from, to) in row.iter().zip(&mut *tile) {
            to[lane] = *from;
        }
    }
}

/// Copies a tile's first lanes into up to sixteen rows.
pub(super) fn from_tile(tile: &[Lanes], rows: &mut [f32]) {
    for (lane, row) in rows.chunks_exact_mut(tile.len()).enumerate() {
        for (to, from) in row.iter_mut().zip(tile) {
            *to = from[lane];
        }
    }
}

/// `out = matrix · x + bias` in every lane; the matrix is `[out, x]`, row-major. No bias counts as zeros.
#[inline(always)]
pub(super) fn product<S: Simd>(
    simd: S,
    matrix: &[f32],
    bias: Option<&[f32]>,
    x: &[Lanes],
    out: &mut [Lanes],
) {
    const ROWS: usize = 8;
    let depth = x.len();
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    let done = blocks.len() * ROWS;
    for (index, out) in blocks.iter_mut().enumerate() {
        let rows = &matrix[index * ROWS * depth..][..ROWS * depth];
        let bias = bias.and_then(|bias| bias[index * ROWS..].first_chunk());
        product_rows(simd, rows, bias.unwrap_or(&[0.0; ROWS]), x, out);
    }
    for (index, out) in rest.iter_mut().enumerate() {
        let row = &matrix[(done + index) * depth..][..depth];
        let bias = bias.map_or(0.0, |bias| bias[done + index]);
        product_rows(simd, row, &[bias], x, std::array::from_mut(out));
    }
}

#[inline(always)]
fn product_rows<S: Simd, const ROWS: usize>(
    simd: S,
    matrix: &[f32],
    bias: &[f32; ROWS],
    x: &[Lanes],
    out: &mut [Lanes; ROWS],
) {
    let depth = x.len();
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    for (index, row) in rows.iter_mut().enumerate() {
        *row = &matrix[index * depth..][..depth];
    }
    let mut sums = [simd.splat(0.0); ROWS];
    for (sum, bias) in sums.iter_mut().zip(bias) {
        *sum = simd.splat(*bias);
    }
    for (index, x) in x.iter().enumerate() {
        let x = simd.load(x);
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = simd.fma(x, simd.splat(row[index]), *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        simd.store(out, sum);
    }
}

/// Features of several tiles: tile `i` has them at `i · stride + first`.
#[derive(Clone, Copy)]
pub(super) struct Features<'a> {
    pub(super) values: &'a [Lanes],
    pub(super) stride: usize,
    pub(super) first: usize,
    pub(super) count: usize,
}

/// `sums[a, b] += ` the sum over all rows of feature `a` times feature `b`: a gradient of weights.
#[inline(always)]
pub(super) fn outer<S: Simd>(
    simd: S,
    tiles: usize,
    a: Features<'_>,
    b: Features<'_>,
    sums: &mut [f32],
) {
    let mut row = 0;
    while row + 4 <= a.count {
        outer_rows::<S, 4>(simd, tiles, a, b, row, sums);
        row += 4;
    }
    while row < a.count {
        outer_rows::<S, 1>(simd, tiles, a, b, row, sums);
        row += 1;
    }
}

#[inline(always)]
fn outer_rows<S: Simd, const ROWS: usize>(
    simd: S,
    tiles: usize,
    a: Features<'_>,
    b: Features<'_>,
    row: usize,
    sums: &mut [f32],
) {
    let mut column = 0;
    while column + 4 <= b.count {
        outer_cells::<S, ROWS, 4>(simd, tiles, a, b, (row, column), sums);
        column += 4;
    }
    while column < b.count {
        outer_cells::<S, ROWS, 1>(simd, tiles, a, b, (row, column), sums);
        column += 1;
    }
}

#[inline(always)]
fn outer_cells<S: Simd, const ROWS: usize, const COLUMNS: usize>(
    simd: S,
    tiles: usize,
    a: Features<'_>,
    b: Features<'_>,
    (row, column): (usize, usize),
    sums: &mut [f32],
) {
    let mut cells = [[simd.splat(0.0); COLUMNS]; ROWS];
    for tile in 0..tiles {
        let left = &a.values[tile * a.stride + a.first + row..][..ROWS];
        let lanes = &b.values[tile * b.stride + b.first + column..][..COLUMNS];
        let mut right = [simd.splat(0.0); COLUMNS];
        for (right, lanes) in right.iter_mut().zip(lanes) {
            *right = simd.load(lanes);
        }
        for (cells, left) in cells.iter_mut().zip(left) {
            let left = simd.load(left);
            for (cell, right) in cells.iter_mut().zip(right) {
                *cell = simd.fma(left, right, *cell);
            }
        }
    }
    for (index, cells) in cells.iter().enumerate() {
        let sums = &mut sums[(row + index) * b.count + column..][..COLUMNS];
        for (sum, cell) in sums.iter_mut().zip(cells) {
            *sum += simd.sum(*cell);
        }
    }
}

/// `sum ← sum + value`, in memory.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(simd: S, sum: &mut Lanes, value: S::V) {
    let total = simd.add(simd.load(sum), value);
    simd.store(sum, total);
}

/// `−log₂ e`: what the gates' layers are multiplied with, so that [`open`] needs no product of its own.
pub(super) const GATE_SCALE: f32 = -std::f32::consts::LOG2_E;

/// `1 / (1 + 2ˣ)`, the sigmoid of `x / GATE_SCALE`.
#[inline(always)]
pub(super) fn open<S: Simd>(simd: S, x: S::V) -> S::V {
    /// Chebyshev's approximation of 2ˣ for |x| up to one half, highest power first, to 1e-7.
    const POWER: [f32; 6] = [
        1.339_086_3e-3,
        9.676_032e-3,
        5.550_357e-2,
        2.402_210_7e-1,
        6.931_472e-1,
        1.0,
    ];
    let x = simd.min(simd.splat(120.0), simd.max(simd.splat(-120.0), x));
    let whole = simd.round(x);
    let part = simd.sub(x, whole);
    let mut sum = simd.splat(POWER[0]);
    for coefficient in &POWER[1..] {
        sum = simd.fma(sum, part, simd.splat(*coefficient));
    }
    simd.recip(simd.add(simd.scale(sum, whole), simd.splat(1.0)))
}
