//! Scrapes being put together from samples that arrive in any grouping.

use std::collections::{BTreeMap, HashMap};

use argus_schema::{EntityName, Record, Schema};

use super::RemoteWriteConfig;
use super::counters::Counters;
use super::node_exporter::{cores, server_reading};
use super::protobuf::Sample;
use super::scrape::{Reading, Scrape};

/// What the receiver holds, and what it did with samples since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Instances in memory.
    pub instances: usize,
    /// Scrapes that wait for their last samples.
    pub pending_scrapes: usize,
    /// Estimated memory of both, in bytes.
    pub held_bytes: usize,
    /// Samples that feed a metric.
    pub samples: u64,
    /// Samples of series that nothing maps.
    pub unmapped: u64,
    /// Stale markers, NaN and infinities.
    pub not_finite: u64,
    /// Samples of scrapes that had become records already, or older ones.
    pub late: u64,
    /// Samples too far ahead of the daemon's clock, or before 1970.
    pub out_of_time: u64,
    /// Samples beyond the bounds on instances and memory.
    pub over_bounds: u64,
}

/// All instances.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    instances: HashMap<EntityName, Instance>,
    stats: Stats,
}

#[derive(Debug, Default)]
struct Instance {
    pending: BTreeMap<i64, Pending>,
    counters: Counters,
    /// Time of the newest scrape that became a record.
    drained_ms: Option<i64>,
    /// When its last sample arrived, on the daemon's clock.
    seen_ms: i64,
}

#[derive(Debug, Default)]
struct Pending {
    scrape: Scrape,
    /// When its last sample arrived, on the daemon's clock.
    touched_ms: i64,
}

/// Estimated memory of an instance beside its scrapes and counters.
const INSTANCE_BYTES: usize = 512;

impl Assembly {
    /// Counts samples that were sorted out before they came here.
    pub(super) fn count_unmapped(&mut self, samples: u64) {
        self.stats.unmapped += samples;
    }

    /// Adds one sample to its scrape; false if it was ignored.
    pub(super) fn add(
        &mut self,
        entity: &EntityName,
        reading: &Reading,
        sample: &Sample,
        now_ms: i64,
        config: &RemoteWriteConfig,
    ) -> bool {
        let time_ms = sample.timestamp;
        // A stale marker is a NaN of a certain bit pattern.
        if !sample.value.is_finite() {
            self.stats.not_finite += 1;
            return false;
        }
        if time_ms < 0 || time_ms > now_ms.saturating_add(config.max_future_ms) {
            self.stats.out_of_time += 1;
            return false;
        }
        let is_known = self.instances.contains_key(entity);
        let has_room = self.stats.held_bytes < config.max_held_bytes
            && (is_known || self.instances.len() < config.max_instances);
        if !has_room {
            self.stats.over_bounds += 1;
            return false;
        }
        let held_bytes = &mut self.stats.held_bytes;
        let instance = self.instances.entry(entity.clone()).or_insert_with(|| {
            *held_bytes += INSTANCE_BYTES;
            Instance::default()
        });
        instance.seen_ms = now_ms;
        if instance
            .drained_ms
            .is_some_and(|drained_ms| time_ms <= drained_ms)
        {
            self.stats.late += 1;
            return false;
        }
        let pending = instance.pending.entry(time_ms).or_insert_with(|| {
            self.stats.pending_scrapes += 1;
            *held_bytes += Scrape::default().held_bytes();
            Pending::default()
        });
        let held_before = pending.scrape.held_bytes();
        pending.scrape.set(reading, sample.value);
        pending.touched_ms = now_ms;
        *held_bytes += pending.scrape.held_bytes() - held_before;
        self.stats.samples += 1;
        true
    }

    /// Takes out the records of all scrapes that are complete.
    pub(super) fn drain(
        &mut self,
        schema: &Schema,
        config: &RemoteWriteConfig,
        now_ms: i64,
    ) -> Vec<Record> {
        let records = self.take(schema, config, |instance| {
            instance.is_oldest_complete(config, now_ms)
        });
        let stats = &mut self.stats;
        self.instances.retain(|_, instance| {
            let is_kept = !instance.pending.is_empty()
                || now_ms.abs_diff(instance.seen_ms) < config.forget_after_ms;
            if !is_kept {
                stats.held_bytes -= INSTANCE_BYTES + instance.counters.held_bytes();
            }
            is_kept
        });
        records
    }

    /// Takes out the records of all scrapes.
    pub(super) fn flush(&mut self, schema: &Schema, config: &RemoteWriteConfig) -> Vec<Record> {
        self.take(schema, config, |_| true)
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            instances: self.instances.len(),
            ..self.stats
        }
    }

    fn take(
        &mut self,
        schema: &Schema,
        config: &RemoteWriteConfig,
        mut is_oldest_complete: impl FnMut(&Instance) -> bool,
    ) -> Vec<Record> {
        let mut records = Vec::new();
        for (entity, instance) in &mut self.instances {
            while is_oldest_complete(instance)
                && let Some((time_ms, pending)) = instance.pending.pop_first()
            {
                let counters_held = instance.counters.held_bytes();
                self.stats.pending_scrapes -= 1;
                self.stats.held_bytes -= pending.scrape.held_bytes() + counters_held;
                records.extend(instance.finish(entity, time_ms, pending.scrape, schema, config));
                self.stats.held_bytes += instance.counters.held_bytes();
            }
        }
        records
    }
}

impl Instance {
    fn is_oldest_complete(&self, config: &RemoteWriteConfig, now_ms: i64) -> bool {
        let Some((_, oldest)) = self.pending.first_key_value() else {
            return false;
        };
        let quiet_ms = now_ms.abs_diff(oldest.touched_ms);
        let has_newer = self.pending.len() > 1;
        quiet_ms >= config.settle_ms
            || (has_newer && quiet_ms >= config.settle_after_newer_ms)
            || self.pending.len() > config.max_pending_scrapes
    }

    /// The record of a scrape; `None` where it maps to no metric.
    fn finish(
        &mut self,
        entity: &EntityName,
        time_ms: i64,
        mut scrape: Scrape,
        schema: &Schema,
        config: &RemoteWriteConfig,
    ) -> Option<Record> {
        self.drained_ms = Some(time_ms);
        let cores = cores(&scrape);
        let rates = self
            .counters
            .advance(time_ms, &mut scrape, config.max_rate_gap_ms);
        let values = server_reading(&scrape, time_ms, &rates).values(schema)?;
        Some(Record {
            entity: entity.clone(),
            time_ms,
            status: 0,
            profile: None,
            cores,
            values,
        })
    }
}
