//! What an instance may allocate.

use wasmtime::ResourceLimiter;

use crate::config::Limits;
use crate::engine::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};

/// Bounds all memories together and all tables together, and remembers the most memory that was used.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_limit_bytes: usize,
    memory_bytes: usize,
    high_water_bytes: usize,
    memory_refused: bool,
    table_limit: usize,
    table_elements: usize,
}

impl Limiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            memory_limit_bytes: limits.memory_bytes,
            memory_bytes: 0,
            high_water_bytes: 0,
            memory_refused: false,
            table_limit: limits.table_elements,
            table_elements: 0,
        }
    }

    /// Most bytes of linear memory so far.
    pub(crate) fn high_water_bytes(&self) -> usize {
        self.high_water_bytes
    }

    /// Whether memory was asked for beyond the limit.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .memory_bytes
            .saturating_add(desired.saturating_sub(current));
        if total > self.memory_limit_bytes {
            // The program is told -1 and may cope; if it traps instead, the flag explains why.
            self.memory_refused = true;
            return Ok(false);
        }
        self.memory_bytes = total;
        self.high_water_bytes = self.high_water_bytes.max(total);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if total > self.table_limit {
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }
}
