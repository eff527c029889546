//! An open bin: full precision, and every accepted timestamp.

use argus_schema::Record;

use super::{Row, WindowConfig};

/// Sum, count and maximum of one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub(super) sum: f64,
    pub(super) count: u32,
    pub(super) max: f32,
}

/// One accepted record: when within the bin, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) offset_ms: u32,
    pub(super) hash: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenBin {
    pub(super) bin: i64,
    pub(super) status: u8,
    /// Offset of the record that gave the status.
    pub(super) status_offset_ms: u32,
    /// Whether history has this bin as it is.
    pub(super) written: bool,
    pub(super) cells: Box<[Cell]>,
    /// Sorted by offset. A time that stood in the open range before may come twice after the range moved away and back;
    /// it cannot, because the range only moves forward, so offsets are distinct.
    pub(super) seen: Vec<Seen>,
}

/// Offset of a time within its bin; a bin is at most a day long.
pub(super) fn offset_in_bin(config: &WindowConfig, time_ms: i64) -> u32 {
    u32::try_from(time_ms.rem_euclid(config.step_ms)).unwrap_or(u32::MAX)
}

/// Hash of everything a record says but its time and entity.
pub(super) fn content_hash(record: &Record) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for value in &record.values {
        // All NaNs mean missing.
        let bits = if value.is_nan() {
            f32::NAN.to_bits()
        } else {
            value.to_bits()
        };
        hasher.update(&bits.to_le_bytes());
    }
    hasher.update(&[
        record.status,
        u8::from(record.profile.is_some()),
        record.profile.unwrap_or(0),
    ]);
    hasher.update(&record.cores.unwrap_or(f32::NAN).to_bits().to_le_bytes());
    hasher.finalize()
}

impl OpenBin {
    pub(super) fn new(bin: i64, metrics: usize) -> Self {
        let cells = vec![
            Cell {
                sum: 0.0,
                count: 0,
                max: f32::NAN
            };
            metrics
        ]
        .into();
        Self {
            bin,
            status: 0,
            status_offset_ms: 0,
            written: false,
            cells,
            seen: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, config: &WindowConfig, record: &Record) {
        let offset_ms = offset_in_bin(config, record.time_ms);
        let at = self.seen.partition_point(|seen| seen.offset_ms < offset_ms);
        self.seen.insert(
            at,
            Seen {
                offset_ms,
                hash: content_hash(record),
            },
        );
        self.written = false;
        if record.status != 0 && (self.status == 0 || offset_ms >= self.status_offset_ms) {
            (self.status, self.status_offset_ms) = (record.status, offset_ms);
        }
        for (cell, &value) in self.cells.iter_mut().zip(&record.values) {
            if !value.is_nan() {
                cell.sum += f64::from(value);
                cell.count += 1;
                cell.max = cell.max.max(value);
            }
        }
    }

    pub(super) fn bin(&self) -> i64 {
        self.bin
    }

    pub(super) fn end_ms(&self, step_ms: i64) -> i64 {
        (self.bin + 1).saturating_mul(step_ms)
    }

    pub(super) fn records(&self) -> u32 {
        u32::try_from(self.seen.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn status(&self) -> u8 {
        self.status
    }

    pub(super) fn mean(&self, metric: usize) -> f32 {
        match self.cells.get(metric) {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "windows hold single precision"
            )]
            Some(cell) if cell.count > 0 => (cell.sum / f64::from(cell.count)) as f32,
            _ => f32::NAN,
        }
    }

    pub(super) fn count(&self, metric: usize) -> u32 {
        self.cells.get(metric).map_or(0, |cell| cell.count)
    }

    pub(super) fn hash_at(&self, offset_ms: u32) -> Option<u32> {
        let at = self
            .seen
            .binary_search_by_key(&offset_ms, |seen| seen.offset_ms)
            .ok()?;
        self.seen.get(at).map(|seen| seen.hash)
    }

    pub(super) fn row(&self) -> Row {
        Row {
            bin: self.bin,
            records: self.records(),
            status: self.status,
            mean: (0..self.cells.len())
                .map(|metric| self.mean(metric))
                .collect(),
            max: self.cells.iter().map(|cell| cell.max).collect(),
        }
    }

    pub(super) fn is_written(&self) -> bool {
        self.written
    }

    pub(super) fn mark_written(&mut self) {
        self.written = true;
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.len() * size_of::<Cell>()
            + self.seen.capacity() * size_of::<Seen>()
            + size_of::<Self>()
    }
}
