//! All windows in memory, by name.

use std::collections::BTreeMap;

use argus_schema::{EntityName, Record};

use crate::codec::frame::{self, Header, Kind};
use crate::codec::group::Operation;
use crate::codec::{DecodeError, Put, Take};
use crate::engine::Changes;
use crate::view::EntityView;
use crate::window::{Applied, BlockRef, Window, WindowConfig};

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
    doomed_heads: Vec<u64>,
    doomed_blocks: Vec<(u64, i64)>,
}

impl Entities {
    pub(crate) fn new(config: WindowConfig) -> Self {
        Self {
            config,
            by_name: BTreeMap::new(),
            next_id: 1,
            doomed_heads: Vec::new(),
            doomed_blocks: Vec::new(),
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
        self.doomed_heads.push(id);
    }

    /// Has the next checkpoint remove a block that is of no use.
    pub(crate) fn doom_block(&mut self, id: u64, block: i64) {
        self.next_id = self.next_id.max(id + 1);
        self.doomed_blocks.push((id, block));
    }

    /// Applies what a durable group says. `arrived_ms` is the wall clock when it was written.
    pub(crate) fn apply(
        &mut self,
        operation: &Operation,
        sequence: u64,
        arrived_ms: i64,
    ) -> Option<Applied> {
        match operation {
            Operation::Record(record) => self.apply_record(record, sequence, arrived_ms),
            Operation::Retire(name) => {
                if self
                    .by_name
                    .get(name)
                    .is_some_and(|entity| entity.saved_at < sequence)
                    && let Some(entity) = self.by_name.remove(name)
                {
                    self.doomed_heads.push(entity.id);
                    self.doomed_blocks
                        .extend(entity.window.all_blocks().map(|block| (entity.id, block)));
                }
                None
            }
        }
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
        Some(entity.window.apply(record))
    }

    /// What a checkpoint has to write. `written_before_ms`: open bins that end before it are in history by then.
    pub(crate) fn changes(&self, sequence: u64, written_before_ms: i64) -> Changes {
        let mut changes = Changes::default();
        for (name, entity) in &self.by_name {
            if !entity.is_dirty(written_before_ms) {
                continue;
            }
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
            changes.heads.push((entity.id, head));
            for block in entity.window.unsaved_blocks() {
                let header = Header {
                    kind: Kind::Block,
                    key: entity.id,
                    block: block.index(),
                    sequence,
                };
                changes.blocks.push((
                    (entity.id, block.index()),
                    frame::seal(header, |out| block.encode(out)),
                ));
            }
            changes.removed_blocks.extend(
                entity
                    .window
                    .expired_blocks()
                    .iter()
                    .map(|&block| (entity.id, block)),
            );
        }
        changes.removed_heads.extend(&self.doomed_heads);
        changes.removed_blocks.extend(&self.doomed_blocks);
        changes
    }

    /// Whether a checkpoint would write anything.
    pub(crate) fn has_changes(&self, written_before_ms: i64) -> bool {
        let doomed = !self.doomed_heads.is_empty() || !self.doomed_blocks.is_empty();
        doomed
            || self
                .by_name
                .values()
                .any(|entity| entity.is_dirty(written_before_ms))
    }

    /// Marks what [`Entities::changes`] gave as saved.
    pub(crate) fn mark_saved(&mut self, sequence: u64, written_before_ms: i64) {
        self.doomed_heads.clear();
        self.doomed_blocks.clear();
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
