//! A connector that breaks its contract as told.
//!
//! It is written against the bare C interface, because the author's side of `argus-connector-abi` makes all this
//! impossible. `[connectors.NAME.config] behaviour` says what `open` does; the operation says what a request does. What
//! no loader can survive (wild pointers, unwinding across the border, freeing twice) is not here.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use argus_connector_abi::table::{DoneFn, Header, Host, MAGIC, MAJOR, MINOR};
use argus_connector_abi::{
    ACCEPTED, Buffer, Error, FAILED, Opened, PAGE, REFUSED, Reply, Settings, Slice, Table,
};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Config {
    behaviour: String,
}

/// What an instance's pointer points to.
struct Instance {
    /// Bytes handed out and not freed yet, over all requests.
    lent: AtomicU64,
    hangs_in_cancel: bool,
    hangs_in_close: bool,
}

const FOR_EVER: Duration = Duration::from_secs(100_000);
/// Later than the tests' patience.
const LATE: Duration = Duration::from_millis(800);

/// The table.
#[expect(unsafe_code, reason = "the one exported symbol")]
// SAFETY: no other function of a connector library has this name.
#[unsafe(no_mangle)]
pub extern "C" fn argus_connector_v1() -> *const Table {
    static TABLE: Table = Table {
        header: Header {
            magic: MAGIC,
            #[expect(clippy::cast_possible_truncation, reason = "a table has 80 bytes")]
            size: size_of::<Table>() as u32,
            major: MAJOR,
            minor: MINOR,
        },
        name: Slice::new(b"hostile"),
        version: Slice::new(b"6.6.6"),
        open: Some(open),
        submit: Some(submit),
        cancel: Some(cancel),
        close: Some(close),
    };
    &raw const TABLE
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn open(settings: Slice, _host: *const Host, opened: *mut Opened) {
    // SAFETY: the daemon's settings live for the call.
    let settings = unsafe { settings.bytes() }.unwrap_or_default();
    let behaviour = read_behaviour(settings);
    let failed = |error: Vec<u8>| Opened {
        error: Buffer::from_vec(error),
        ..Opened::new()
    };
    let answer = match behaviour.as_str() {
        "open_says_nothing" => Opened::new(),
        "open_talks_nonsense" => failed(b"\xff\xfe nonsense".to_vec()),
        "open_says_too_much" => failed(vec![b'x'; 10 << 20]),
        "open_hangs" => {
            thread::sleep(FOR_EVER);
            Opened::new()
        }
        other => Opened {
            instance: Box::into_raw(Box::new(Instance {
                lent: AtomicU64::new(0),
                hangs_in_cancel: other == "cancel_hangs",
                hangs_in_close: other == "close_hangs",
            }))
            .cast(),
            error: Buffer::empty(),
        },
    };
    // SAFETY: the daemon passes a place for the answer.
    unsafe { opened.write(answer) };
}

fn read_behaviour(settings: &[u8]) -> String {
    let settings: Result<Settings<Config>, _> = argus_connector_abi::settings::read(settings);
    settings.map_or_else(|_| String::new(), |settings| settings.config.behaviour)
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn submit(
    instance: *mut c_void,
    operation: Slice,
    _options: Slice,
    _body: Slice,
    _deadline_ms: u64,
    ctx: u64,
    done: DoneFn,
) -> u32 {
    // SAFETY: `open` leaked the instance, and the daemon closes it last; tests that end it never complete afterwards.
    let instance: &'static Instance = unsafe { &*instance.cast::<Instance>() };
    // SAFETY: the daemon's bytes live for the call.
    let operation = unsafe { operation.bytes() }.unwrap_or_default();
    let call = Call {
        instance,
        ctx,
        done,
    };
    match operation {
        b"behave" => in_a_thread(move || call.page(b"fine".to_vec())),
        b"inside" => call.page(b"too early".to_vec()),
        b"twice" => in_a_thread(move || {
            call.page(b"first".to_vec());
            call.page(b"second".to_vec());
        }),
        b"twice_at_once" => {
            for _ in 0..2 {
                in_a_thread(move || call.page(b"either".to_vec()));
            }
        }
        b"late" => in_a_thread(move || {
            thread::sleep(LATE);
            call.page(b"late".to_vec());
        }),
        b"late_and_twice" => in_a_thread(move || {
            thread::sleep(LATE);
            call.page(b"late".to_vec());
            call.page(b"late again".to_vec());
        }),
        b"never" => {}
        b"hang" => thread::sleep(FOR_EVER),
        b"refuse" => return REFUSED,
        b"refuse_oddly" => return 77,
        b"refuse_and_complete" => {
            call.page(b"after all".to_vec());
            return REFUSED;
        }
        b"wrong_ctx" => in_a_thread(move || {
            for wrong in [
                0,
                1,
                call.ctx ^ (1 << 40),
                call.ctx | (0xffff << 48),
                u64::MAX,
            ] {
                Call { ctx: wrong, ..call }.page(b"for nobody".to_vec());
            }
            call.page(b"for somebody".to_vec());
        }),
        b"odd_status" => in_a_thread(move || call.reply(99, Buffer::from_vec(b"?".to_vec()))),
        b"no_memory" => in_a_thread(move || {
            let nowhere = Buffer {
                len: 100,
                ..Buffer::empty()
            };
            call.reply(PAGE, nowhere);
        }),
        b"too_long" => in_a_thread(move || {
            let endless = Buffer {
                ptr: std::ptr::dangling_mut(),
                len: usize::MAX,
                ..Buffer::empty()
            };
            call.reply(PAGE, endless);
        }),
        b"malformed_error" => in_a_thread(move || {
            call.reply(FAILED, Buffer::from_vec(b"{\"code\": 5".to_vec()));
        }),
        b"ugly_error" => in_a_thread(move || {
            let error = Error::new("bad\u{1b}[31m", "line one\nline two\u{7}");
            call.reply(FAILED, Buffer::from_vec(error.to_json()));
        }),
        b"many" => in_a_thread(move || call.reply_full(PAGE, u32::MAX, Buffer::empty(), 5)),
        b"@next" => in_a_thread(move || call.page(vec![b'x'; 3 << 20])),
        b"lent" => in_a_thread(move || {
            let lent = call.instance.lent.load(Ordering::SeqCst);
            let error = Error::new("lent", lent);
            call.reply(FAILED, Buffer::from_vec(error.to_json()));
        }),
        _ => in_a_thread(move || call.reply(PAGE, Buffer::empty())),
    }
    ACCEPTED
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn cancel(instance: *mut c_void, _ctx: u64) {
    // SAFETY: as in `submit`.
    let instance = unsafe { &*instance.cast::<Instance>() };
    if instance.hangs_in_cancel {
        thread::sleep(FOR_EVER);
    }
}

#[expect(unsafe_code, reason = "an entry of the table")]
unsafe extern "C" fn close(instance: *mut c_void) {
    // SAFETY: as in `submit`. It is leaked: threads may still use it.
    let instance = unsafe { &*instance.cast::<Instance>() };
    if instance.hangs_in_close {
        thread::sleep(FOR_EVER);
    }
}

fn in_a_thread(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

/// A request, to be completed any number of times.
#[derive(Clone, Copy)]
struct Call {
    instance: &'static Instance,
    ctx: u64,
    done: DoneFn,
}

impl Call {
    /// Completes with a page whose memory is counted.
    fn page(self, bytes: Vec<u8>) {
        let len = bytes.len();
        self.instance.lent.fetch_add(len as u64, Ordering::SeqCst);
        let lent = Box::new(Lent {
            bytes,
            instance: self.instance,
        });
        let lent = Box::into_raw(lent);
        #[expect(unsafe_code, reason = "a buffer of our own")]
        // SAFETY: just leaked, and nobody else has it.
        let ptr = unsafe { (*lent).bytes.as_mut_ptr() };
        let buffer = Buffer {
            ptr,
            len,
            owner: lent.expose_provenance(),
            free: Some(give_back),
        };
        self.reply_full(PAGE, 1, buffer, 0);
    }

    fn reply(self, status: u32, body: Buffer) {
        self.reply_full(status, 0, body, 0);
    }

    fn reply_full(self, status: u32, documents: u32, body: Buffer, cursor: u64) {
        let reply = Reply {
            status,
            documents,
            cursor,
            body,
        };
        #[expect(unsafe_code, reason = "breaks the contract as told")]
        // SAFETY: none is claimed for the number of calls, their time and their `ctx`: that they do no harm is what the
        // tests are about. Every buffer is passed once.
        unsafe {
            (self.done)(self.ctx, reply);
        }
    }
}

struct Lent {
    bytes: Vec<u8>,
    instance: &'static Instance,
}

#[expect(unsafe_code, reason = "frees a buffer of `Call::page`")]
unsafe extern "C" fn give_back(_: *mut u8, len: usize, owner: usize) {
    // SAFETY: `owner` is the leaked box of the one buffer that this function belongs to.
    let lent = unsafe { Box::from_raw(std::ptr::with_exposed_provenance_mut::<Lent>(owner)) };
    lent.instance.lent.fetch_sub(len as u64, Ordering::SeqCst);
}
