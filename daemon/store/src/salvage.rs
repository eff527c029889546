//! What can be read of a database that its engine cannot open.
//!
//! Every value is a frame that says on its own what it is (see [`crate::codec::frame`]), and the engine stores it in one
//! piece. So the raw file is scanned for frames, whatever is left of the structures around them. Pages that the engine
//! freed are found too; sequence numbers tell which state is the newest:
//!
//! - Of the states the one with the highest checkpoint counts.
//! - Of each entity the newest head whose blocks are all there, in just the states the head names.
//! - Log groups are applied to an entity where they are newer than its head, and to unknown entities where they are newer
//!   than the checkpoint.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::codec::frame::{self, HEADER_BYTES, Header, Kind, MAGIC};
use crate::codec::group::{self, Operation};
use crate::engine::Meta;
use crate::entities::{Entities, Entity};
use crate::window::{Block, BlockRef, WindowConfig};

const CHUNK_BYTES: usize = 1 << 20;

/// Where a frame lies in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    bytes: usize,
}

/// Frames found in a damaged file.
pub(crate) struct Salvage {
    file: File,
    metas: Vec<Meta>,
    heads: HashMap<u64, BTreeMap<u64, Place>>,
    blocks: HashMap<(u64, i64), BTreeMap<u64, Place>>,
    groups: BTreeMap<u64, Place>,
}

/// What came of it, in numbers.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Yield {
    pub(crate) newest_sequence: u64,
    pub(crate) checkpoint: u64,
    pub(crate) groups: u64,
    pub(crate) records: u64,
    /// Sequence numbers after the checkpoint without a readable group.
    pub(crate) missing_groups: u64,
    /// Heads and blocks that are gone.
    pub(crate) missing_windows: u64,
}

impl Salvage {
    /// Finds all frames whose checksums hold.
    pub(crate) fn scan(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut salvage = Self {
            file,
            metas: Vec::new(),
            heads: HashMap::new(),
            blocks: HashMap::new(),
            groups: BTreeMap::new(),
        };
        let length = salvage.file.metadata()?.len();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut start = 0u64;
        while start < length {
            let filled = read_up_to(&salvage.file, start, &mut chunk)?;
            for at in find_all(&chunk[..filled], &MAGIC) {
                salvage.look_at(start + at as u64)?;
            }
            if filled < chunk.len() {
                break;
            }
            // A magic may straddle the chunks.
            start += (filled - (MAGIC.len() - 1)) as u64;
        }
        Ok(salvage)
    }

    /// The newest state, if any was found.
    pub(crate) fn meta(&self) -> Option<&Meta> {
        self.metas.iter().max_by_key(|meta| meta.checkpoint)
    }

    fn look_at(&mut self, offset: u64) -> io::Result<()> {
        let mut head = [0; HEADER_BYTES];
        if read_up_to(&self.file, offset, &mut head)? < HEADER_BYTES {
            return Ok(());
        }
        let Ok((header, payload)) = frame::read_header(&head) else {
            return Ok(());
        };
        let place = Place {
            offset,
            bytes: frame::total_bytes(payload),
        };
        let Some(bytes) = self.read(place)? else {
            return Ok(());
        };
        if frame::open(&bytes).is_err() {
            return Ok(());
        }
        match header.kind {
            Kind::Log => drop(self.groups.insert(header.sequence, place)),
            Kind::Head => drop(
                self.heads
                    .entry(header.key)
                    .or_default()
                    .insert(header.sequence, place),
            ),
            Kind::Block => {
                self.blocks
                    .entry((header.key, header.block))
                    .or_default()
                    .insert(header.sequence, place);
            }
            Kind::Meta => self.metas.extend(Meta::open(&bytes)),
        }
        Ok(())
    }

    fn read(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        if place.offset + place.bytes as u64 > self.file.metadata()?.len() {
            return Ok(None);
        }
        let mut bytes = vec![0; place.bytes];
        self.file.read_exact_at(&mut bytes, place.offset)?;
        Ok(Some(bytes))
    }

    /// Puts the windows together again.
    pub(crate) fn restore(&self, config: WindowConfig) -> io::Result<(Entities, Yield)> {
        let mut entities = Entities::new(config);
        let checkpoint = self.meta().map_or(0, |meta| meta.checkpoint);
        let mut yielded = Yield {
            checkpoint,
            newest_sequence: checkpoint,
            ..Yield::default()
        };
        if let Some(meta) = self.meta() {
            entities.next_id = meta.next_id;
            meta.cursors
                .iter()
                .for_each(|cursor| entities.set_cursor(cursor.clone()));
        }
        for (&id, heads) in &self.heads {
            let retired = self
                .meta()
                .is_some_and(|meta| meta.entities.binary_search(&id).is_err());
            if retired && heads.keys().all(|&sequence| sequence <= checkpoint) {
                continue;
            }
            self.restore_entity(id, heads, config, &mut entities, &mut yielded)?;
        }
        if let Some(meta) = self.meta() {
            yielded.missing_windows += meta
                .entities
                .iter()
                .filter(|id| !self.heads.contains_key(id))
                .count() as u64;
        }
        self.replay(config, &mut entities, &mut yielded)?;
        Ok((entities, yielded))
    }

    fn restore_entity(
        &self,
        id: u64,
        heads: &BTreeMap<u64, Place>,
        config: WindowConfig,
        entities: &mut Entities,
        yielded: &mut Yield,
    ) -> io::Result<()> {
        let mut newest = None;
        for (&sequence, &place) in heads.iter().rev() {
            let Some(bytes) = self.read(place)? else {
                continue;
            };
            let Ok((_, payload)) = frame::open(&bytes) else {
                continue;
            };
            let Ok((name, entity, blocks)) = Entity::decode_head(id, sequence, payload, config)
            else {
                continue;
            };
            let complete = blocks.iter().all(|at| self.block_place(id, *at).is_some());
            if complete || newest.is_none() {
                newest = Some((name, entity, blocks));
            }
            if complete {
                break;
            }
        }
        let Some((name, mut entity, blocks)) = newest else {
            return Ok(());
        };
        for at in blocks {
            match self.read_block(id, at, config)? {
                Some(block) => entity.window.restore_block(block.unsaved()),
                None => yielded.missing_windows += 1,
            }
        }
        entity.window.settle();
        entity.mark_dirty();
        yielded.newest_sequence = yielded.newest_sequence.max(entity.saved_at);
        entities.restore(name, entity);
        Ok(())
    }

    fn block_place(&self, id: u64, at: BlockRef) -> Option<Place> {
        self.blocks.get(&(id, at.index))?.get(&at.sequence).copied()
    }

    fn read_block(&self, id: u64, at: BlockRef, config: WindowConfig) -> io::Result<Option<Block>> {
        let Some(place) = self.block_place(id, at) else {
            return Ok(None);
        };
        let Some(bytes) = self.read(place)? else {
            return Ok(None);
        };
        Ok(frame::open(&bytes)
            .ok()
            .and_then(|(_, payload)| Block::decode(payload, at, config.metrics).ok()))
    }

    fn replay(
        &self,
        config: WindowConfig,
        entities: &mut Entities,
        yielded: &mut Yield,
    ) -> io::Result<()> {
        let mut expected = yielded.checkpoint + 1;
        for (&sequence, &place) in &self.groups {
            let Some(bytes) = self.read(place)? else {
                continue;
            };
            let Ok((
                Header {
                    kind: Kind::Log, ..
                },
                payload,
            )) = frame::open(&bytes)
            else {
                continue;
            };
            let Ok((written_ms, operations)) = group::decode(payload, config.metrics) else {
                continue;
            };
            yielded.newest_sequence = yielded.newest_sequence.max(sequence);
            if sequence > yielded.checkpoint {
                yielded.missing_groups += sequence.saturating_sub(expected);
                expected = sequence + 1;
                yielded.groups += 1;
            }
            for operation in &operations {
                let known = matches!(operation, Operation::Record(record) if entities.get(&record.entity).is_some());
                if sequence > yielded.checkpoint || known {
                    yielded.records +=
                        u64::from(entities.apply(operation, sequence, written_ms).is_some());
                }
            }
        }
        Ok(())
    }
}

fn read_up_to(file: &File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(&mut into[filled..], offset + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn find_all<'a>(haystack: &'a [u8], needle: &'a [u8; 8]) -> impl Iterator<Item = usize> + 'a {
    let starts = haystack.len().saturating_sub(needle.len() - 1);
    (0..starts)
        .filter(move |&at| haystack[at] == needle[0] && haystack[at..at + needle.len()] == *needle)
}
