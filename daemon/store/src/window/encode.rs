//! A window as bytes: a head with everything but the folded bins, and one value per block.
//!
//! ```text
//! head := newest_bin open_from records changed_before_newest       (signed, signed, varint, varint)
//!         latest blocks open
//! latest := time status flags [profile time, profile] [cores time, cores], mask, (time, f32)…
//! blocks := count, (index, sequence of the checkpoint that wrote it)…
//! open   := count, bin…
//! bin    := number, written, status, status offset, seen, mask, cell…
//! seen   := count, (offset relative to the one before, hash u32)…
//! cell   := sum f64, count (0: that of the bin's records), max f32 unless the count is 1
//! block  := occupied u64, count and status of each occupied bin, present, columns, counted, columns
//! ```
//! Numbers are varints unless a type is named; times are relative to the newest record.

use super::block::{Block, column_of};
use super::open::{Cell, OpenBin, Seen};
use super::{BLOCK_BINS, Latest, Window, WindowConfig};
use crate::codec::{DecodeError, Put, Take};

/// A block that a head refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRef {
    pub(crate) index: i64,
    /// Checkpoint that wrote it.
    pub(crate) sequence: u64,
}

impl Window {
    /// Appends the head as it will be true once the checkpoint `sequence` is made: its blocks are saved, and history has
    /// the open bins that end before `written_before_ms`.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>, sequence: u64, written_before_ms: i64) {
        out.put_signed(self.newest_bin.unwrap_or(0));
        out.put_signed(self.open_from);
        out.put_varint(self.records);
        out.put_varint(self.changed_before_newest);
        self.latest.encode(out);
        out.put_varint(self.blocks.len() as u64);
        for block in &self.blocks {
            out.put_signed(block.index());
            out.put_varint(block.saved_at.unwrap_or(sequence));
        }
        out.put_varint(self.open.len() as u64);
        for open in &self.open {
            let written = open.written || self.is_due(open, written_before_ms);
            open.encode(out, written);
        }
    }

    /// Reads a head. Its blocks are still to come: they are returned, and [`Window::restore_block`] takes each.
    pub(crate) fn decode_head(
        take: &mut Take<'_>,
        config: WindowConfig,
    ) -> Result<(Self, Vec<BlockRef>), DecodeError> {
        let mut window = Self::new(config);
        window.newest_bin = Some(take.signed()?);
        window.open_from = take.signed()?;
        window.records = take.varint()?;
        window.changed_before_newest = take.varint()?;
        window.latest = Latest::decode(take, config.metrics)?;
        let blocks = (0..take.count(2)?)
            .map(|_| {
                Ok(BlockRef {
                    index: take.signed()?,
                    sequence: take.varint()?,
                })
            })
            .collect::<Result<Vec<_>, DecodeError>>()?;
        for _ in 0..take.count(5)? {
            let open = OpenBin::decode(take, config.metrics)?;
            if window.open.back().is_some_and(|last| last.bin >= open.bin)
                || open.bin < window.open_from
            {
                return Err(DecodeError("open bins are out of order"));
            }
            window.open.push_back(open);
        }
        Ok((window, blocks))
    }

    /// Puts a block back in its place.
    pub(crate) fn restore_block(&mut self, block: Block) {
        if let Err(at) = self.blocks.binary_search_by_key(&block.index, Block::index) {
            self.blocks.insert(at, block);
        }
    }

    /// Applies settings that changed since the head was written: folds and drops what is now outside.
    pub(crate) fn settle(&mut self) {
        if let Some(newest) = self.newest_bin {
            self.advance(newest);
        }
    }

    /// Blocks whose state on disk is older than in memory.
    pub(crate) fn unsaved_blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.saved_at.is_none())
    }

    /// Blocks that left the window and may still be on disk.
    pub(crate) fn expired_blocks(&self) -> &[i64] {
        &self.expired_blocks
    }

    /// Indices of all blocks that may be on disk.
    pub(crate) fn all_blocks(&self) -> impl Iterator<Item = i64> {
        self.blocks
            .iter()
            .map(Block::index)
            .chain(self.expired_blocks.iter().copied())
    }

    /// Marks everything as saved by a checkpoint.
    pub(crate) fn mark_saved(&mut self, sequence: u64) {
        self.expired_blocks.clear();
        for block in &mut self.blocks {
            block.saved_at.get_or_insert(sequence);
        }
    }
}

impl Latest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_signed(self.time_ms);
        out.put_u8(self.status);
        out.put_u8(u8::from(self.profile.is_some()) | u8::from(self.cores.is_some()) << 1);
        if let Some((time_ms, profile)) = self.profile {
            out.put_signed(self.time_ms.wrapping_sub(time_ms));
            out.put_u8(profile);
        }
        if let Some((time_ms, cores)) = self.cores {
            out.put_signed(self.time_ms.wrapping_sub(time_ms));
            out.put_f32(cores);
        }
        let present = self
            .values
            .iter()
            .enumerate()
            .filter(|(_, (_, value))| !value.is_nan());
        out.put_varint(mask_of(present.clone().map(|(metric, _)| metric)));
        for (_, &(time_ms, value)) in present {
            out.put_signed(self.time_ms.wrapping_sub(time_ms));
            out.put_f32(value);
        }
    }

    fn decode(take: &mut Take<'_>, metrics: usize) -> Result<Self, DecodeError> {
        let time_ms = take.signed()?;
        let status = take.u8()?;
        let flags = take.u8()?;
        let profile = if flags & 1 == 0 {
            None
        } else {
            Some((time_ms.wrapping_sub(take.signed()?), take.u8()?))
        };
        let cores = if flags & 2 == 0 {
            None
        } else {
            Some((time_ms.wrapping_sub(take.signed()?), take.f32()?))
        };
        let mask = metric_mask(take, metrics)?;
        let mut values = vec![(i64::MIN, f32::NAN); metrics].into_boxed_slice();
        for (_, kept) in values
            .iter_mut()
            .enumerate()
            .filter(|(metric, _)| mask & (1 << metric) != 0)
        {
            *kept = (time_ms.wrapping_sub(take.signed()?), take.f32()?);
        }
        Ok(Self {
            time_ms,
            status,
            values,
            profile,
            cores,
        })
    }
}

impl OpenBin {
    fn encode(&self, out: &mut Vec<u8>, written: bool) {
        out.put_signed(self.bin);
        out.put_u8(u8::from(written));
        out.put_u8(self.status);
        out.put_varint(u64::from(self.status_offset_ms));
        out.put_varint(self.seen.len() as u64);
        let mut previous = 0;
        for seen in &self.seen {
            out.put_varint(u64::from(seen.offset_ms - previous));
            out.put_u32(seen.hash);
            previous = seen.offset_ms;
        }
        let present = self
            .cells
            .iter()
            .enumerate()
            .filter(|(_, cell)| cell.count > 0);
        out.put_varint(mask_of(present.clone().map(|(metric, _)| metric)));
        for (_, cell) in present {
            out.put_f64(cell.sum);
            out.put_varint(if cell.count == self.records() {
                0
            } else {
                u64::from(cell.count)
            });
            if cell.count > 1 {
                out.put_f32(cell.max);
            }
        }
    }

    fn decode(take: &mut Take<'_>, metrics: usize) -> Result<Self, DecodeError> {
        let mut open = Self::new(take.signed()?, metrics);
        open.written = take.u8()? != 0;
        open.status = take.u8()?;
        open.status_offset_ms = take.small()?;
        let count = take.count(5)?;
        open.seen.reserve_exact(count);
        let mut previous = 0u32;
        for _ in 0..count {
            let offset_ms = previous
                .checked_add(take.small()?)
                .ok_or(DecodeError("an offset is too large"))?;
            open.seen.push(Seen {
                offset_ms,
                hash: take.u32()?,
            });
            previous = offset_ms;
        }
        let mask = metric_mask(take, metrics)?;
        let records = open.records();
        for (_, cell) in open
            .cells
            .iter_mut()
            .enumerate()
            .filter(|(metric, _)| mask & (1 << metric) != 0)
        {
            let sum = take.f64()?;
            let count = match take.small()? {
                0 => records,
                count => count,
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the sum of one value is that value"
            )]
            let max = if count > 1 { take.f32()? } else { sum as f32 };
            *cell = Cell { sum, count, max };
        }
        Ok(open)
    }
}

impl Block {
    /// Appends the block.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.occupied);
        for slot in self.slots() {
            out.put_varint(u64::from(self.records[slot]));
            out.put_u8(self.status[slot]);
        }
        out.put_varint(self.present);
        for column in self.means.chunks_exact(BLOCK_BINS) {
            self.slots().for_each(|slot| out.put_f32(column[slot]));
        }
        out.put_varint(self.counted);
        for column in self.counts.chunks_exact(BLOCK_BINS) {
            self.slots()
                .for_each(|slot| out.put_varint(u64::from(column[slot])));
        }
    }

    /// Reads a block that the checkpoint `sequence` wrote.
    pub(crate) fn decode(
        payload: &[u8],
        at: BlockRef,
        metrics: usize,
    ) -> Result<Self, DecodeError> {
        let mut take = Take::new(payload);
        let mut block = Self::new(at.index);
        block.saved_at = Some(at.sequence);
        block.occupied = take.u64()?;
        let slots: Vec<usize> = block.slots().collect();
        for &slot in &slots {
            block.records[slot] = take.small()?;
            block.status[slot] = take.u8()?;
        }
        block.present = metric_mask(&mut take, metrics)?;
        block.means = vec![f32::NAN; block.present.count_ones() as usize * BLOCK_BINS];
        for column in block.means.chunks_exact_mut(BLOCK_BINS) {
            for &slot in &slots {
                column[slot] = take.f32()?;
            }
        }
        block.counted = metric_mask(&mut take, metrics)?;
        block.counts = vec![0; block.counted.count_ones() as usize * BLOCK_BINS];
        for column in block.counts.chunks_exact_mut(BLOCK_BINS) {
            for &slot in &slots {
                column[slot] = take.small()?;
            }
        }
        take.finish()?;
        if (0..metrics)
            .any(|m| column_of(block.counted, m).is_some() && column_of(block.present, m).is_none())
        {
            return Err(DecodeError("a metric has counts but no means"));
        }
        Ok(block)
    }

    fn slots(&self) -> impl Iterator<Item = usize> {
        let occupied = self.occupied;
        (0..BLOCK_BINS).filter(move |slot| occupied >> slot & 1 == 1)
    }
}

fn mask_of(metrics: impl Iterator<Item = usize>) -> u64 {
    metrics.fold(0, |mask, metric| mask | 1 << (metric & 63))
}

fn metric_mask(take: &mut Take<'_>, metrics: usize) -> Result<u64, DecodeError> {
    let mask = take.varint()?;
    if metrics < 64 && mask >> metrics != 0 {
        return Err(DecodeError("more metrics than the schema has"));
    }
    Ok(mask)
}
