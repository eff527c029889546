//! The author's side, called like a daemon calls it: through the table, with pointers. Small enough for a sanitizer:
//! `RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p argus-connector-abi --features author --target …`
#![cfg(feature = "author")]
#![expect(unsafe_code, reason = "plays the daemon's part")]

use std::ffi::c_void;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use argus_connector_abi::author::{Answer, Connector, Cursor, Flow, Log, Page, Request, table};
use argus_connector_abi::{
    ACCEPTED, CLOSE_CURSOR, Error, FAILED, NEXT, Next, Opened, OwnedBuffer, PAGE, Reply, Settings,
    Slice, Table,
};

struct Rehearsal;

#[derive(serde::Deserialize)]
struct Config {
    panic: bool,
}

impl Connector for Rehearsal {
    type Config = Config;

    async fn open(settings: Settings<Config>, log: Log) -> Result<Self, Error> {
        log.info("opening");
        assert!(!settings.config.panic, "in open");
        Ok(Self)
    }

    async fn query(&self, request: Request) -> Result<Answer, Error> {
        match request.operation.as_str() {
            "panic" => panic!("in query"),
            "panic_any" => std::panic::panic_any(PanicsWhenDropped),
            "sleep" => {
                tokio::time::sleep(Duration::from_secs(1000)).await;
                Ok(Answer::empty())
            }
            "sleep_badly" => {
                let _witness = PanicsWhenDropped;
                tokio::time::sleep(Duration::from_secs(1000)).await;
                Ok(Answer::empty())
            }
            "block" => {
                thread::sleep(Duration::from_millis(300));
                Ok(Answer::empty())
            }
            "count" => Ok(Answer::cursor(Count(0))),
            _ => Ok(Answer::documents([request.body])),
        }
    }
}

/// What panics once more while a panic is cleaned up would abort; this one panics only where that can be caught.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        assert!(thread::panicking(), "in a destructor");
    }
}

struct Count(u32);

impl Cursor for Count {
    async fn fill(&mut self, page: &mut Page) -> Result<Flow, Error> {
        assert!(self.0 < 6, "in fill");
        while page.has_room() {
            page.push_line(self.0.to_string().as_bytes());
            self.0 += 1;
        }
        Ok(Flow::More)
    }
}

static TABLE: Table = table::<Rehearsal>("rehearsal", "1.0.0");

/// `ctx`, thread, status, cursor, body.
type Completion = (u64, ThreadId, u32, u64, Vec<u8>);

/// All completions. Numbers are unique over all tests of this process.
static DONE: Mutex<Vec<Completion>> = Mutex::new(Vec::new());
static NEXT_CTX: AtomicU64 = AtomicU64::new(1);

unsafe extern "C" fn done(ctx: u64, reply: Reply) {
    // SAFETY: the reply's body belongs to its receiver.
    let body = unsafe { OwnedBuffer::new(reply.body) };
    let thread = thread::current().id();
    let completion = (ctx, thread, reply.status, reply.cursor, body.to_vec());
    DONE.lock()
        .expect("no test panics with it")
        .push(completion);
}

struct Daemon(*mut c_void);

impl Daemon {
    fn open(settings: &str) -> Result<Self, String> {
        let mut opened = Opened::new();
        // SAFETY: as the contract of `OpenFn` says.
        unsafe {
            TABLE.open.expect("there")(
                Slice::new(settings.as_bytes()),
                std::ptr::null(),
                &raw mut opened,
            );
        }
        // SAFETY: the error belongs to the caller.
        let error = unsafe { OwnedBuffer::new(opened.error) };
        match opened.instance.is_null() {
            true => Err(String::from_utf8_lossy(&error).into_owned()),
            false => Ok(Self(opened.instance)),
        }
    }

    fn submit(&self, operation: &str, body: &[u8], deadline_ms: u64) -> u64 {
        let ctx = NEXT_CTX.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the contract of `SubmitFn` says.
        let status = unsafe {
            TABLE.submit.expect("there")(
                self.0,
                Slice::new(operation.as_bytes()),
                Slice::new(b""),
                Slice::new(body),
                deadline_ms,
                ctx,
                done,
            )
        };
        assert_eq!(status, ACCEPTED);
        ctx
    }

    fn cancel(&self, ctx: u64) {
        // SAFETY: as the contract of `CancelFn` says.
        unsafe { TABLE.cancel.expect("there")(self.0, ctx) };
    }

    /// The one completion of a request.
    fn wait(ctx: u64) -> (u32, u64, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found: Vec<_> = completions(ctx);
            match found.as_slice() {
                [] => assert!(Instant::now() < deadline, "{ctx} is not completed"),
                [(_, thread, status, cursor, body)] => {
                    assert_ne!(*thread, thread::current().id(), "not inside submit");
                    return (*status, *cursor, String::from_utf8_lossy(body).into_owned());
                }
                more => panic!("completed {} times", more.len()),
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn ask(&self, operation: &str, body: &[u8]) -> (u32, u64, String) {
        Self::wait(self.submit(operation, body, 10_000))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: the instance is open, and nothing uses it any more.
        unsafe { TABLE.close.expect("there")(self.0) };
    }
}

fn completions(ctx: u64) -> Vec<Completion> {
    let done = DONE.lock().expect("no test panics with it");
    done.iter()
        .filter(|completion| completion.0 == ctx)
        .cloned()
        .collect()
}

const SETTINGS: &str = r#"{"name":"test","config":{"panic":false}}"#;

#[test]
fn panics_become_errors_and_complete_once() {
    let error = Daemon::open(r#"{"name":"test","config":{"panic":true}}"#).err();
    assert!(error.expect("panics").contains("in open"));
    assert!(Daemon::open("nonsense").is_err());
    let daemon = Daemon::open(SETTINGS).expect("opens");
    let (status, _, body) = daemon.ask("panic", b"");
    assert!(status == FAILED && body.contains("in query"), "{body}");
    let (status, _, body) = daemon.ask("panic_any", b"");
    assert!(
        status == FAILED && body.contains("the connector panicked"),
        "{body}"
    );

    let (status, cursor, _) = daemon.ask("count", b"");
    assert!(status == PAGE && cursor != 0);
    let next = Next {
        cursor,
        max_documents: 6,
        max_bytes: 1000,
        wait_ms: 5_000,
    };
    assert_eq!(daemon.ask(NEXT, &next.to_bytes()).2, "0\n1\n2\n3\n4\n5\n");
    let (status, _, body) = daemon.ask(NEXT, &next.to_bytes());
    assert!(status == FAILED && body.contains("in fill"), "{body}");
    assert_eq!(daemon.ask(NEXT, &next.to_bytes()).0, FAILED, "it is closed");
    assert_eq!(daemon.ask(CLOSE_CURSOR, &cursor.to_le_bytes()).0, PAGE);
    assert_eq!(daemon.ask(NEXT, b"short").0, FAILED);
}

#[test]
fn cancelled_late_and_closed_requests_complete_once() {
    let daemon = Daemon::open(SETTINGS).expect("opens");
    let cancelled = daemon.submit("sleep", b"", 100_000);
    let in_time = daemon.submit("sleep", b"", 20);
    let blocked = daemon.submit("block", b"", 20);
    let closed = daemon.submit("sleep", b"", 100_000);
    let badly_cancelled = daemon.submit("sleep_badly", b"", 100_000);
    let badly_in_time = daemon.submit("sleep_badly", b"", 20);
    let badly_closed = daemon.submit("sleep_badly", b"", 100_000);
    thread::sleep(Duration::from_millis(20));
    daemon.cancel(cancelled);
    daemon.cancel(cancelled);
    daemon.cancel(badly_cancelled);
    daemon.cancel(u64::MAX);
    assert!(Daemon::wait(cancelled).2.contains("cancelled"));
    assert!(Daemon::wait(in_time).2.contains("timed_out"));
    // What panics while it is dropped completes with that.
    assert!(Daemon::wait(badly_cancelled).2.contains("panicked"));
    assert!(Daemon::wait(badly_in_time).2.contains("panicked"));
    // Blocking code cannot be interrupted; it completes when it is done, whichever way.
    Daemon::wait(blocked);
    assert!(completions(closed).is_empty());
    drop(daemon);
    let all = [
        cancelled,
        in_time,
        blocked,
        closed,
        badly_cancelled,
        badly_in_time,
        badly_closed,
    ];
    assert_eq!(Daemon::wait(closed).0, FAILED);
    assert_eq!(Daemon::wait(badly_closed).0, FAILED);
    thread::sleep(Duration::from_millis(50));
    for ctx in all {
        assert_eq!(completions(ctx).len(), 1);
    }
}

#[test]
fn many_at_once_from_many_threads() {
    let daemon = Daemon::open(SETTINGS).expect("opens");
    // A daemon calls from one thread; the author's side does not rely on it.
    let at = daemon.0.expose_provenance();
    let askers: Vec<_> = (0..4_u8)
        .map(|asker| {
            thread::spawn(move || {
                let daemon =
                    std::mem::ManuallyDrop::new(Daemon(std::ptr::with_exposed_provenance_mut(at)));
                for i in 0..100_u8 {
                    let (status, cursor, _) = daemon.ask("echo", &[asker, i]);
                    assert!(status == PAGE && cursor != 0);
                    let next = Next {
                        cursor,
                        max_documents: 1,
                        max_bytes: 10,
                        wait_ms: 5_000,
                    };
                    let (_, rest, body) = daemon.ask(NEXT, &next.to_bytes());
                    assert_eq!(
                        (rest, body.len()),
                        (0, String::from_utf8_lossy(&[asker, i]).len())
                    );
                }
            })
        })
        .collect();
    for asker in askers {
        asker.join().expect("finds its answers");
    }
}
