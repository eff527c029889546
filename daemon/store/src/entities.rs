//! All windows in memory, by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use argus_schema::{EntityName, Record};

use crate::codec::frame::{self, Header, Kind};
use crate::codec::group::Operation;
use crate::codec::{DecodeError, Put, Take};
use crate::cursor::Cursor;
use crate::engine::{Removed, Saved, Sink};
use crate::view::EntityView;
use crate::window::{Applied, BlockRef, Row, Window, WindowConfig};

/// One entity.
#[derive(Debug)]
pub(crate) struct Entity {
    pub(crate) id: u64,
    pub(crate) window: Window,
    /// Wall clock when its newest record arrived, ms since the epoch.
    pub(crate) arrived_ms: i64,
    /// Sequence number up to which its head on disk is true; groups up to it are not applied again.
    pub(crate) saved_at: u64,
    /// Whether memory differs from disk.
    dirty: bool,
}

/// All entities, and what of the retired ones may still be on disk.
#[derive(Debug)]
pub(crate) struct Entities {
    config: WindowConfig,
    by_name: BTreeMap<EntityName, Entity>,
    pub(crate) next_id: u64,
    cursors: BTreeMap<EntityName, Cursor>,
    removed: Removed,
    /// Rows of retired entities that history still lacks.
    orphans: Vec<(EntityName, Row)>,
    /// Rows that history lacks, all together.
    waiting_rows: usize,
}

impl Entities {
    pub(crate) fn new(config: WindowConfig) -> Self {
        Self {
            config,
            by_name: BTreeMap::new(),
            next_id: 1,
            cursors: BTreeMap::new(),
            removed: Removed::default(),
            orphans: Vec::new(),
            waiting_rows: 0,
        }
    }

    pub(crate) fn config(&self) -> &WindowConfig {
        &self.config
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, name: &EntityName) -> Option<&Entity> {
        self.by_name.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&EntityName, &Entity)> {
        self.by_name.iter()
    }

    /// Takes a recovered entity.
    pub(crate) fn restore(&mut self, name: EntityName, entity: Entity) {
        self.next_id = self.next_id.max(entity.id + 1);
        self.by_name.insert(name, entity);
    }

    /// Has the next checkpoint remove a head that is of no use.
    pub(crate) fn doom_head(&mut self, id: u64) {
        self.next_id = self.next_id.max(id + 1);
        self.removed.heads.push(id);
    }

    /// Has the next checkpoint remove a block that is of no use.
    pub(crate) fn doom_block(&mut self, id: u64, block: i64) {
        self.next_id = self.next_id.max(id + 1);
        self.removed.blocks.push((id, block));
    }

    /// Applies what a durable group says. `arrived_ms` is the wall clock when it was written.
    pub(crate) fn apply(
        &mut self,
        operation: &Operation,
        sequence: u64,
        arrived_ms: i64,
    ) -> Option<Applied> {
        match operation {
            Operation::Cursor(cursor) => {
                self.set_cursor(cursor.clone());
                None
            }
            Operation::Record(record) => self.apply_record(record, sequence, arrived_ms),
            Operation::Retire(name) => {
                if self
                    .by_name
                    .get(name)
                    .is_some_and(|entity| entity.saved_at < sequence)
                    && let Some(entity) = self.by_name.remove(name)
                {
                    self.bury(name, &entity);
                }
                None
            }
        }
    }

    /// Takes a source's newest position.
    pub(crate) fn set_cursor(&mut self, cursor: Cursor) {
        self.cursors.insert(cursor.source_name().clone(), cursor);
    }

    /// Newest position of a source.
    pub(crate) fn cursor(&self, source: &EntityName) -> Option<&Cursor> {
        self.cursors.get(source)
    }

    /// Newest positions of all sources.
    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        self.cursors.values().cloned().collect()
    }

    /// Leaves of a retired entity what a checkpoint has to remove, and what history still lacks.
    fn bury(&mut self, name: &EntityName, entity: &Entity) {
        self.removed.heads.push(entity.id);
        let blocks = entity.window.all_blocks().map(|block| (entity.id, block));
        self.removed.blocks.extend(blocks);
        let rows = entity.window.unwritten_rows(i64::MAX).map(Cow::into_owned);
        self.orphans.extend(rows.map(|row| (name.clone(), row)));
    }

    fn apply_record(&mut self, record: &Record, sequence: u64, arrived_ms: i64) -> Option<Applied> {
        if record.values.len() != self.config.metrics {
            return None;
        }
        if !self.by_name.contains_key(&record.entity) {
            let window = Window::new(self.config);
            let entity = Entity {
                id: self.next_id,
                window,
                arrived_ms,
                saved_at: 0,
                dirty: true,
            };
            self.next_id += 1;
            self.by_name.insert(record.entity.clone(), entity);
        }
        let entity = self.by_name.get_mut(&record.entity)?;
        if sequence <= entity.saved_at {
            return None;
        }
        entity.dirty = true;
        entity.arrived_ms = entity.arrived_ms.max(arrived_ms);
        let rows_before = entity.window.folded_rows();
        let applied = entity.window.apply(record);
        self.waiting_rows += entity.window.folded_rows() - rows_before;
        Some(applied)
    }

    /// Gives a checkpoint what it has to write. `written_before_ms`: open bins that end before it are in history by then.
    pub(crate) fn save(
        &self,
        sequence: u64,
        written_before_ms: i64,
        sink: Sink<'_>,
    ) -> Result<(), redb::Error> {
        let dirty = self.by_name.iter();
        for (name, entity) in dirty.filter(|(_, entity)| entity.is_dirty(written_before_ms)) {
            let header = Header {
                kind: Kind::Head,
                key: entity.id,
                block: 0,
                sequence,
            };
            let head = frame::seal(header, |out| {
                out.put_text(name.as_str());
                out.put_signed(entity.arrived_ms);
                entity.window.encode_head(out, sequence, written_before_ms);
            });
            sink(Saved::Head(entity.id, &head))?;
            for block in entity.window.unsaved_blocks() {
                let header = Header {
                    kind: Kind::Block,
                    block: block.index(),
                    ..header
                };
                let frame = frame::seal(header, |out| block.encode(out));
                sink(Saved::Block((entity.id, block.index()), &frame))?;
            }
        }
        Ok(())
    }

    /// What a checkpoint has to remove.
    pub(crate) fn removed(&self) -> Removed {
        let expired = self.by_name.values().flat_map(|entity| {
            entity
                .window
                .expired_blocks()
                .iter()
                .map(|&block| (entity.id, block))
        });
        let blocks = self.removed.blocks.iter().copied().chain(expired).collect();
        Removed {
            heads: self.removed.heads.clone(),
            blocks,
        }
    }

    /// Rows that a checkpoint has to add to history.
    pub(crate) fn unwritten_rows(
        &self,
        written_before_ms: i64,
    ) -> impl Iterator<Item = (&EntityName, Cow<'_, Row>)> {
        let orphans = self
            .orphans
            .iter()
            .map(|(name, row)| (name, Cow::Borrowed(row)));
        let known = self.by_name.iter().flat_map(move |(name, entity)| {
            entity
                .window
                .unwritten_rows(written_before_ms)
                .map(move |row| (name, row))
        });
        orphans.chain(known)
    }

    /// Rows of an entity from bin `first` to `last` that history may lack or have in an older state; oldest first.
    pub(crate) fn rows_in(&self, name: &EntityName, first: i64, last: i64) -> Vec<Row> {
        let orphans = self
            .orphans
            .iter()
            .filter(|(of, row)| of == name && (first..=last).contains(&row.bin));
        let mut rows: Vec<Row> = orphans.map(|(_, row)| row.clone()).collect();
        rows.extend(
            self.by_name
                .get(name)
                .into_iter()
                .flat_map(|entity| entity.window.rows_in(first, last)),
        );
        rows
    }

    /// Rows in memory only because no checkpoint was made since.
    pub(crate) fn waiting_rows(&self) -> usize {
        self.waiting_rows + self.orphans.len()
    }

    /// Whether a checkpoint would write anything.
    pub(crate) fn has_changes(&self, written_before_ms: i64) -> bool {
        let removed = !self.removed.heads.is_empty() || !self.removed.blocks.is_empty();
        removed
            || self
                .by_name
                .values()
                .any(|entity| entity.is_dirty(written_before_ms))
    }

    /// Marks what a checkpoint wrote as saved.
    pub(crate) fn mark_saved(&mut self, sequence: u64, written_before_ms: i64) {
        self.removed = Removed::default();
        self.orphans.clear();
        self.waiting_rows = 0;
        for entity in self.by_name.values_mut() {
            if entity.is_dirty(written_before_ms) {
                entity.window.mark_saved(sequence);
                entity.window.clear_rows(written_before_ms);
                entity.saved_at = sequence;
                entity.dirty = false;
            }
        }
    }

    /// Ids of all entities, ascending.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.by_name.values().map(|entity| entity.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Entities whose newest record arrived before a moment.
    pub(crate) fn silent_since(&self, before_ms: i64) -> Vec<EntityName> {
        self.by_name
            .iter()
            .filter(|(_, entity)| entity.arrived_ms < before_ms)
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Estimate of the heap bytes of all windows.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.by_name
            .values()
            .map(|entity| entity.window.heap_bytes() + size_of::<Entity>())
            .sum()
    }
}

impl Entity {
    /// Reads a head; its blocks are still to come.
    pub(crate) fn decode_head(
        id: u64,
        sequence: u64,
        payload: &[u8],
        config: WindowConfig,
    ) -> Result<(EntityName, Self, Vec<BlockRef>), DecodeError> {
        let mut take = Take::new(payload);
        let name = EntityName::new(take.text()?)
            .map_err(|_| DecodeError("an entity has an impossible name"))?;
        let arrived_ms = take.signed()?;
        let (window, blocks) = Window::decode_head(&mut take, config)?;
        take.finish()?;
        Ok((
            name,
            Self {
                id,
                window,
                arrived_ms,
                saved_at: sequence,
                dirty: false,
            },
            blocks,
        ))
    }

    /// Makes the next checkpoint write it in full.
    pub(crate) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    fn is_dirty(&self, written_before_ms: i64) -> bool {
        self.dirty
            || self
                .window
                .unwritten_rows(written_before_ms)
                .next()
                .is_some()
    }

    /// What readers see.
    pub(crate) fn view(
        &self,
        name: &EntityName,
        context_steps: u32,
        now_ms: i64,
        grace_ms: i64,
    ) -> EntityView {
        let window = &self.window;
        let closed_bin = window.closed_bin(now_ms, grace_ms);
        EntityView {
            name: name.clone(),
            profile: window.profile(),
            cores: window.cores(),
            latest: window.latest_values(context_steps),
            latest_ms: window.latest_ms().unwrap_or(0),
            latest_status: window.latest_status(),
            newest_bin: window.newest_bin().unwrap_or(0),
            closed_bin,
            closed_bins: closed_bin.map_or(0, |last| {
                window.count_bins(last - i64::from(context_steps) + 1, last)
            }),
            closed_revision: window.closed_revision(now_ms, grace_ms),
            records: window.records(),
        }
    }
}
