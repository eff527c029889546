//! Rendered entities, kept until their state changes.

use std::collections::HashMap;
use std::sync::Arc;

use argus_fleet::{EntityState, Fleet};
use argus_schema::{EntityName, Schema};
use bytes::Bytes;
use parking_lot::Mutex;

use super::render::{Parts, members};

/// Most memory the cache takes; beyond it entities are rendered for each reader.
const MAX_BYTES: usize = 128 << 20;

/// JSON of entities, by the state it was made from. An unchanged entity is the same object in the next published fleet,
/// so that its text is made once per step, not once per reader.
#[derive(Debug, Default)]
pub(crate) struct EntityCache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<EntityName, (Arc<EntityState>, Bytes)>,
    bytes: usize,
    tick: u64,
}

impl EntityCache {
    /// The members of an entity's object, all metrics.
    pub fn members(&self, schema: &Schema, entity: &Arc<EntityState>) -> Bytes {
        if let Some((state, text)) = self.inner.lock().entries.get(&entity.name)
            && Arc::ptr_eq(state, entity)
        {
            return text.clone();
        }
        let text = Bytes::from(members(schema, entity, &Parts::default()));
        let mut inner = self.inner.lock();
        let replaced = inner
            .entries
            .remove(&entity.name)
            .map_or(0, |(_, old)| old.len());
        inner.bytes -= replaced;
        if inner.bytes + text.len() <= MAX_BYTES {
            inner.bytes += text.len();
            inner
                .entries
                .insert(entity.name.clone(), (Arc::clone(entity), text.clone()));
        }
        text
    }

    /// Forgets entities whose state is not the published one any more.
    pub fn keep_only(&self, fleet: &Fleet) {
        let mut inner = self.inner.lock();
        if inner.tick == fleet.tick {
            return;
        }
        inner.tick = fleet.tick;
        inner.entries.retain(|name, (state, _)| {
            fleet
                .entities
                .get(name)
                .is_some_and(|now| Arc::ptr_eq(now, state))
        });
        inner.bytes = inner.entries.values().map(|(_, text)| text.len()).sum();
    }
}
