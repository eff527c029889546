//! The table that a library hands out, and the functions in it.

use std::ffi::{CStr, c_void};

use crate::bytes::{Buffer, Slice};

/// Name of the one symbol of a connector library; its type is [`EntryFn`].
pub const SYMBOL: &CStr = c"argus_connector_v1";

/// First bytes of every table.
pub const MAGIC: [u8; 8] = *b"ArgusCon";

/// Changes when an old daemon could not use a new connector, or the other way round.
pub const MAJOR: u16 = 1;

/// Grows when fields or operations are added.
pub const MINOR: u16 = 0;

/// [`SubmitFn`] took the request: `done` will be called.
pub const ACCEPTED: u32 = 0;
/// [`SubmitFn`] did not take the request: `done` will not be called.
pub const REFUSED: u32 = 1;

/// [`Reply::status`]: the body holds [`Reply::documents`] documents; more follow unless [`Reply::cursor`] is 0.
pub const PAGE: u32 = 0;
/// [`Reply::status`]: the body is an [`Error`](crate::Error) as JSON; the request's cursor, if it had one, is closed.
pub const FAILED: u32 = 1;

/// What every version of the table begins with. Read this much, and compare it, before anything else of a table.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Bytes of the whole table as its library was built: fields beyond do not exist.
    pub size: u32,
    /// [`MAJOR`] that the library was built with.
    pub major: u16,
    /// [`MINOR`] that the library was built with.
    pub minor: u16,
}

/// The table. It is static in its library, which is never unloaded. Fields are only ever appended, and a field beyond
/// [`Header::size`] is not there.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Identity, size and version.
    pub header: Header,
    /// What it is called, e.g. `mongodb`; UTF-8, static.
    pub name: Slice,
    /// Its own version; UTF-8, static.
    pub version: Slice,
    /// Never null; the option makes a null representable, so that a loader can refuse it.
    pub open: Option<OpenFn>,
    /// As `open`.
    pub submit: Option<SubmitFn>,
    /// As `open`.
    pub cancel: Option<CancelFn>,
    /// As `open`.
    pub close: Option<CloseFn>,
}

#[expect(unsafe_code, reason = "a table is shared by all threads")]
// SAFETY: a table is never written after the library was linked; `name` and `version` point to static bytes.
unsafe impl Sync for Table {}

/// Type of the symbol [`SYMBOL`]. Always returns the same table.
pub type EntryFn = extern "C" fn() -> *const Table;

/// Opens an instance. Blocking; called once, from the daemon's thread for this connector.
///
/// `settings` is a JSON object (see [`crate::settings`]), borrowed for the call. `host` stays valid for the life of the
/// process. `opened` points to an [`Opened`] with null and empty fields, which the function fills in.
pub type OpenFn = unsafe extern "C" fn(settings: Slice, host: *const Host, opened: *mut Opened);

/// Hands in a request and returns at once, [`ACCEPTED`] or [`REFUSED`].
///
/// `operation` (UTF-8), `options` (a JSON array of pairs of strings, or empty) and `body` are borrowed for the call.
/// `deadline_ms` is counted from the call. After [`ACCEPTED`], `done(ctx, reply)` is called exactly once, on any thread,
/// but never from inside `submit`; another thread may well call it before `submit` has returned. `ctx` is a number, not
/// a pointer, and unique.
///
/// An operation opens an answer: its reply is a [`PAGE`], usually without documents yet, whose `cursor` is then read by
/// the operation [`crate::NEXT`] and given up by [`crate::CLOSE_CURSOR`].
pub type SubmitFn = unsafe extern "C" fn(
    instance: *mut c_void,
    operation: Slice,
    options: Slice,
    body: Slice,
    deadline_ms: u64,
    ctx: u64,
    done: DoneFn,
) -> u32;

/// Says that nobody waits for that request any more. `done` is still called, soon; the request may have ended already.
pub type CancelFn = unsafe extern "C" fn(instance: *mut c_void, ctx: u64);

/// Ends an instance: requests that still run are completed with an error. Blocking; the instance is gone afterwards.
pub type CloseFn = unsafe extern "C" fn(instance: *mut c_void);

/// Takes a request's reply. May be called on any thread; never unwinds, never blocks for long.
pub type DoneFn = unsafe extern "C" fn(ctx: u64, reply: Reply);

/// What came of [`OpenFn`].
#[repr(C)]
#[derive(Debug)]
pub struct Opened {
    /// The instance, or null for a failure. Only ever given back to the functions of the same table.
    pub instance: *mut c_void,
    /// After a failure, an [`Error`](crate::Error) as JSON.
    pub error: Buffer,
}

impl Opened {
    /// Null and empty.
    pub const fn new() -> Self {
        Self {
            instance: std::ptr::null_mut(),
            error: Buffer::empty(),
        }
    }
}

impl Default for Opened {
    fn default() -> Self {
        Self::new()
    }
}

/// What came of a request. The receiver owns the body.
#[repr(C)]
#[derive(Debug)]
pub struct Reply {
    /// [`PAGE`] or [`FAILED`].
    pub status: u32,
    /// How many documents the body holds.
    pub documents: u32,
    /// Number of the cursor that has more documents, or 0: the answer ends here.
    pub cursor: u64,
    /// As `status` says.
    pub body: Buffer,
}

/// What the daemon offers to a connector. Fields are only ever appended.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Bytes of this table as the daemon was built.
    pub size: u32,
    /// 0.
    pub reserved: u32,
    /// To be given back to `log`.
    pub ctx: u64,
    /// Writes one line (UTF-8, borrowed for the call) into the daemon's log; `level` is one of the `LOG_` constants.
    pub log: Option<unsafe extern "C" fn(ctx: u64, level: u32, line: Slice)>,
}

/// A level of [`Host::log`].
pub const LOG_ERROR: u32 = 1;
/// A level of [`Host::log`].
pub const LOG_WARN: u32 = 2;
/// A level of [`Host::log`].
pub const LOG_INFO: u32 = 3;
/// A level of [`Host::log`].
pub const LOG_DEBUG: u32 = 4;

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// The layout that released daemons and connectors rely on. Only ever add lines at the end.
    #[test]
    fn layout_is_frozen() {
        assert_eq!(size_of::<Header>(), 16);
        assert_eq!(offset_of!(Header, size), 8);
        assert_eq!(offset_of!(Header, major), 12);
        assert_eq!(offset_of!(Header, minor), 14);
        let offsets = [
            offset_of!(Table, header),
            offset_of!(Table, name),
            offset_of!(Table, version),
            offset_of!(Table, open),
            offset_of!(Table, submit),
            offset_of!(Table, cancel),
            offset_of!(Table, close),
            size_of::<Table>(),
        ];
        assert_eq!(offsets, [0, 16, 32, 48, 56, 64, 72, 80]);
        let offsets = [
            offset_of!(Reply, status),
            offset_of!(Reply, cursor),
            offset_of!(Reply, body),
            size_of::<Reply>(),
        ];
        assert_eq!(offsets, [0, 8, 16, 48]);
        assert_eq!(size_of::<Buffer>(), 32);
        assert_eq!(size_of::<Slice>(), 16);
        assert_eq!(size_of::<Opened>(), 40);
        assert_eq!(size_of::<Host>(), 24);
    }
}
