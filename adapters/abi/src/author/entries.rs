//! The four functions of the table, for any connector.
//!
//! Each runs in `catch_unwind`. An instance's pointer is a leaked box of [`Instance`]; it is turned into a reference by
//! `submit` and `cancel` and back into a box by `close`, which the daemon calls last.

use std::ffi::c_void;
use std::time::{Duration, Instant};

use crate::author::completion::Completion;
use crate::author::instance::Instance;
use crate::author::unwind::caught;
use crate::author::{Connector, Log, Request};
use crate::table::{ACCEPTED, DoneFn, Header, Host, MAGIC, MAJOR, MINOR, Opened, REFUSED, Table};
use crate::{Buffer, Error, Slice};

/// The table of a connector; what [`export_connector!`](crate::export_connector) exports.
pub const fn table<C: Connector>(name: &'static str, version: &'static str) -> Table {
    Table {
        header: Header {
            magic: MAGIC,
            #[expect(clippy::cast_possible_truncation, reason = "a table has 80 bytes")]
            size: size_of::<Table>() as u32,
            major: MAJOR,
            minor: MINOR,
        },
        name: Slice::new(name.as_bytes()),
        version: Slice::new(version.as_bytes()),
        open: Some(open::<C>),
        submit: Some(submit::<C>),
        cancel: Some(cancel::<C>),
        close: Some(close::<C>),
    }
}

/// A deadline this far away is none.
const MAX_DEADLINE: Duration = Duration::from_secs(24 * 3600);

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn open<C: Connector>(settings: Slice, host: *const Host, opened: *mut Opened) {
    let result = caught(|| {
        // SAFETY: the daemon passes bytes that live for the call, and a host table that lives for ever.
        let (settings, log) = unsafe { (settings.bytes(), Log::new(host)) };
        let settings = settings.ok_or_else(|| Error::new("invalid_config", "no settings"))?;
        Instance::<C>::open(settings, log).map(Box::new)
    });
    let answer = match result {
        Ok(Ok(instance)) => Opened {
            instance: Box::into_raw(instance).cast(),
            error: Buffer::empty(),
        },
        Ok(Err(error)) | Err(error) => Opened {
            error: Buffer::from_vec(error.to_json()),
            ..Opened::new()
        },
    };
    // SAFETY: the daemon passes a place for the answer; what was there is plain data.
    unsafe { opened.write(answer) };
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn submit<C: Connector>(
    instance: *mut c_void,
    operation: Slice,
    options: Slice,
    body: Slice,
    deadline_ms: u64,
    ctx: u64,
    done: DoneFn,
) -> u32 {
    let submitted = caught(|| {
        // SAFETY: `open` of the same type made the instance, and it is not closed while it is used.
        let instance = unsafe { &*instance.cast::<Instance<C>>() };
        // SAFETY: the daemon passes bytes that live for the call; they are copied before it ends.
        let (operation, options, body) =
            unsafe { (operation.bytes()?, options.bytes()?, body.bytes()?) };
        let options = match options {
            [] => Vec::new(),
            json => serde_json::from_slice(json).ok()?,
        };
        let request = Request {
            operation: std::str::from_utf8(operation).ok()?.to_owned(),
            options,
            body: body.to_vec(),
            deadline: Instant::now() + Duration::from_millis(deadline_ms).min(MAX_DEADLINE),
        };
        Some(instance.submit(Completion::new(ctx, done), request))
    });
    match submitted {
        Ok(Some(true)) => ACCEPTED,
        Ok(Some(false) | None) | Err(_) => REFUSED,
    }
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn cancel<C: Connector>(instance: *mut c_void, ctx: u64) {
    let cancelled = caught(|| {
        // SAFETY: as in `submit`.
        let instance = unsafe { &*instance.cast::<Instance<C>>() };
        instance.cancel(ctx);
    });
    // There is nobody to tell.
    drop(cancelled);
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn close<C: Connector>(instance: *mut c_void) {
    let closed = caught(|| {
        // SAFETY: `open` of the same type leaked this box; the daemon closes once, and uses the instance no more.
        drop(unsafe { Box::from_raw(instance.cast::<Instance<C>>()) });
    });
    // There is nobody to tell.
    drop(closed);
}
