//! Lines in the daemon's log.

use crate::Slice;
use crate::table::{Host, LOG_DEBUG, LOG_ERROR, LOG_INFO, LOG_WARN};

/// Writes into the daemon's log under the connector's name. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    host: Option<&'static Host>,
}

impl Log {
    /// A log that forgets, for tests.
    pub const fn silent() -> Self {
        Self { host: None }
    }

    /// # Safety
    /// `host` is null or points to a table that stays valid for the life of the process.
    #[expect(unsafe_code, reason = "the daemon's table comes as a pointer")]
    pub(super) unsafe fn new(host: *const Host) -> Self {
        Self {
            // SAFETY: promised by the caller.
            host: unsafe { host.as_ref() },
        }
    }

    /// Something an operator has to do something about.
    pub fn error(self, line: impl AsRef<str>) {
        self.write(LOG_ERROR, line.as_ref());
    }

    /// Something an operator may want to do something about.
    pub fn warn(self, line: impl AsRef<str>) {
        self.write(LOG_WARN, line.as_ref());
    }

    /// Something worth knowing.
    pub fn info(self, line: impl AsRef<str>) {
        self.write(LOG_INFO, line.as_ref());
    }

    /// Something for those who look for a fault.
    pub fn debug(self, line: impl AsRef<str>) {
        self.write(LOG_DEBUG, line.as_ref());
    }

    fn write(self, level: u32, line: &str) {
        let Some(host) = self.host else { return };
        let is_there = host.size as usize >= size_of::<Host>();
        if let Some(log) = host.log.filter(|_| is_there) {
            #[expect(unsafe_code, reason = "calls the daemon")]
            // SAFETY: the function and its `ctx` come from one table, and the line lives for the call.
            unsafe {
                log(host.ctx, level, Slice::new(line.as_bytes()));
            }
        }
    }
}
