//! Tiles: sixteen rows, feature by feature, so that a row is a lane of every vector.
//!
//! Everything that a selection network does to a row is then plain arithmetic on vectors: sums over features (layer
//! norm, softmax) need no shuffling, and weights are single numbers that all lanes share.

use std::ops::{Deref, DerefMut};

use crate::kernel::simd::{LANES, Simd};

/// A vector in memory that does not straddle cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Lanes(pub(super) [f32; LANES]);

impl Deref for Lanes {
    type Target = [f32; LANES];

    #[inline(always)]
    fn deref(&self) -> &[f32; LANES] {
        &self.0
    }
}

impl DerefMut for Lanes {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32; LANES] {
        &mut self.0
    }
}

/// A vector of zeros.
pub(super) const ZERO: Lanes = Lanes([0.0; LANES]);
/// A vector of ones.
pub(super) const ONES: Lanes = Lanes([1.0; LANES]);

/// Number of tiles that hold `rows` rows.
pub(super) fn tiles(rows: usize) -> usize {
    rows.div_ceil(LANES)
}

/// Copies some columns of up to sixteen rows `[rows, width]` into a tile; lanes without a row get zeros.
pub(super) fn gather(rows: &[f32], width: usize, columns: &[usize], tile: &mut [Lanes]) {
    for (column, to) in columns.iter().zip(tile) {
        *to = ZERO;
        for (row, to) in rows.chunks_exact(width).zip(to.iter_mut()) {
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

/// Rows of a matrix that a product takes together.
const ROWS: usize = 8;

/// A matrix `[rows, depth]` and a bias as [`product`] reads them: for every eight rows the bias, then column after
/// column; after that the same for single rows.
#[derive(Debug, Default)]
pub(super) struct Packed {
    blocks: Vec<[f32; ROWS]>,
    rest: Vec<f32>,
    depth: usize,
}

impl Packed {
    /// Packs the matrix whose cell in some row and column is given, and the bias of each row.
    pub(super) fn pack(
        &mut self,
        (rows, depth): (usize, usize),
        cell: impl Fn(usize, usize) -> f32,
        bias: impl Fn(usize) -> f32,
    ) {
        self.depth = depth;
        self.blocks.clear();
        self.rest.clear();
        let whole = rows / ROWS * ROWS;
        for first in (0..whole).step_by(ROWS) {
            self.blocks
                .push(std::array::from_fn(|row| bias(first + row)));
            let line = |column| std::array::from_fn(|row| cell(first + row, column));
            self.blocks.extend((0..depth).map(line));
        }
        for row in whole..rows {
            self.rest.push(bias(row));
            self.rest.extend((0..depth).map(|column| cell(row, column)));
        }
    }
}

/// `out = matrix · x + bias` in every lane.
#[inline(always)]
pub(super) fn product<S: Simd>(simd: S, matrix: &Packed, x: &[Lanes], out: &mut [Lanes]) {
    let depth = matrix.depth;
    let x = &x[..depth];
    let (blocks, rest) = out.as_chunks_mut::<ROWS>();
    for (columns, out) in matrix.blocks.chunks_exact(depth + 1).zip(blocks) {
        if S::WIDE {
            product_rows::<S, ROWS>(simd, columns, 0, x, out);
        } else {
            // Sixteen registers hold the sums of four rows, not of eight.
            product_rows::<S, 4>(simd, columns, 0, x, out);
            product_rows::<S, 4>(simd, columns, 4, x, out);
        }
    }
    for (row, out) in matrix.rest.chunks_exact(depth + 1).zip(rest) {
        let mut sum = simd.splat(row[0]);
        for (cell, x) in row[1..].iter().zip(x) {
            sum = simd.fma(simd.load(x), simd.splat(*cell), sum);
        }
        simd.store(out, sum);
    }
}

/// Some rows of a block of [`Packed`].
#[inline(always)]
fn product_rows<S: Simd, const COUNT: usize>(
    simd: S,
    columns: &[[f32; ROWS]],
    first: usize,
    x: &[Lanes],
    out: &mut [Lanes; ROWS],
) {
    let mut sums = [simd.splat(0.0); COUNT];
    for (sum, bias) in sums.iter_mut().zip(&columns[0][first..]) {
        *sum = simd.splat(*bias);
    }
    for (column, x) in columns[1..].iter().zip(x) {
        let x = simd.load(x);
        for (sum, cell) in sums.iter_mut().zip(&column[first..]) {
            *sum = simd.fma(x, simd.splat(*cell), *sum);
        }
    }
    for (sum, out) in sums.into_iter().zip(&mut out[first..]) {
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
    while S::WIDE && row + 4 <= a.count {
        outer_rows::<S, 4>(simd, tiles, a, b, row, sums);
        row += 4;
    }
    while row + 2 <= a.count {
        outer_rows::<S, 2>(simd, tiles, a, b, row, sums);
        row += 2;
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
    while S::WIDE && column + 4 <= b.count {
        outer_cells::<S, ROWS, 4>(simd, tiles, a, b, (row, column), sums);
        column += 4;
    }
    while !S::WIDE && column + 2 <= b.count {
        outer_cells::<S, ROWS, 2>(simd, tiles, a, b, (row, column), sums);
        column += 2;
    }
    match b.count - column {
        1 => outer_cells::<S, ROWS, 1>(simd, tiles, a, b, (row, column), sums),
        2 => outer_cells::<S, ROWS, 2>(simd, tiles, a, b, (row, column), sums),
        3 => outer_cells::<S, ROWS, 3>(simd, tiles, a, b, (row, column), sums),
        _ => {}
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
        let mut four = [simd.splat(0.0); 4];
        four[..COLUMNS].copy_from_slice(cells);
        for (sum, total) in sums.iter_mut().zip(simd.sums(four)) {
            *sum += total;
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
