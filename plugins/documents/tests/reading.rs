//! Every document once: against a collection in memory that grows, tears, orders ties at will and forgets to answer.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use argus_documents::{
    Collection, Document, Fields, Found, Mapping, MappingConfig, Reader, ReadingConfig, Span,
    Strays,
};
use argus_plugin::source::Options;
use argus_plugin::testing::Host;
use argus_plugin::{Error, Host as RealHost};
use proptest::prelude::*;
use serde_json::{Value, json};

const START_MS: i64 = 1_770_000_000_000;

/// Documents by time and id.
#[derive(Default)]
struct Shelf {
    documents: RefCell<BTreeMap<(i64, u32), Value>>,
    /// Whether documents of one time always come in the same order.
    has_ties: bool,
    /// A read ends early after so many documents, as when time is up.
    stops_after: Cell<Option<usize>>,
    /// Shuffles documents of one time differently in each read.
    turn: Cell<u32>,
    strays: Cell<u64>,
    looks_for_strays: Cell<u32>,
    reads: RefCell<Vec<u32>>,
}

impl Shelf {
    fn put(&self, time_ms: i64, id: u32) {
        let body = json!({ "server_name": format!("s{id}"), "mem_used_pct": f64::from(id % 100) });
        self.documents.borrow_mut().insert((time_ms, id), body);
    }

    fn ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.documents.borrow().keys().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

impl Collection for Shelf {
    fn name(&self) -> String {
        "connector `shelf`, collection `all`".into()
    }

    fn read(
        &self,
        _: &RealHost,
        span: &Span<'_>,
        take: &mut dyn FnMut(Document<'_>) -> bool,
    ) -> Result<bool, Error> {
        let flat = reader(json!({ "layout": "flat" }), json!({}));
        let fields = Fields::new(flat.mapping().paths());
        self.turn.set(self.turn.get() + 1);
        self.reads.borrow_mut().push(span.limit);
        let documents = self.documents.borrow();
        let mut found: Vec<_> = documents
            .range((span.from_ms, 0)..(span.until_ms, 0))
            .filter(|((time_ms, id), _)| {
                let is_behind = |after: &str| format!("{id:010}").as_str() > after;
                *time_ms > span.from_ms || span.after.is_none_or(is_behind)
            })
            .collect();
        if !self.has_ties {
            let turn = self.turn.get();
            found.sort_by_key(|((time_ms, id), _)| {
                (*time_ms, id.wrapping_mul(turn * 2 + 1).reverse_bits())
            });
        }
        for (n, ((time_ms, id), body)) in found.into_iter().enumerate() {
            if self.stops_after.get() == Some(n) {
                return Ok(false);
            }
            let (text, mut found) = (body.to_string(), Found::default());
            fields.read(&text, &mut found)?;
            let tie = format!("{id:010}");
            let wanted = take(Document {
                id: &format!("all/{id}"),
                time_ms: *time_ms,
                tie: self.has_ties.then_some(tie.as_str()),
                body: &found,
            });
            if !wanted {
                return Ok(false);
            }
            assert!(n + 1 < span.limit as usize, "more was wanted than was said");
        }
        Ok(true)
    }

    fn counts(
        &self,
        _: &RealHost,
        from_ms: i64,
        until_ms: i64,
        slice_ms: i64,
    ) -> Result<Vec<(i64, u64)>, Error> {
        assert_eq!(from_ms % slice_ms, 0, "whole slices");
        let mut counts = BTreeMap::new();
        for (time_ms, _) in self
            .documents
            .borrow()
            .range((from_ms, 0)..(until_ms, 0))
            .map(|(k, _)| k)
        {
            *counts.entry(time_ms.div_euclid(slice_ms)).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    fn strays(&self, _: &RealHost) -> Result<Option<Strays>, Error> {
        self.looks_for_strays.set(self.looks_for_strays.get() + 1);
        let count = self.strays.get();
        let examples = (0..count.min(3))
            .map(|n| format!("all/stray-{n}"))
            .collect();
        Ok(Some(Strays { count, examples }))
    }
}

fn reader(mapping: Value, reading: Value) -> Reader {
    let mapping: MappingConfig = serde_json::from_value(mapping).expect("a mapping");
    let reading: ReadingConfig = serde_json::from_value(reading).expect("reading");
    Reader::new(Mapping::new(mapping).expect("fits"), reading).expect("fits")
}

/// A source with its daemon: it stores records and checkpoint together.
struct Daemon<'a> {
    shelf: &'a Shelf,
    reader: Reader,
    host: Host,
    checkpoint: Option<Vec<u8>>,
    stored: Vec<(u32, i64)>,
    max_records: u32,
    skipped: u32,
}

impl<'a> Daemon<'a> {
    fn new(shelf: &'a Shelf, lateness_secs: u32, max_records: u32) -> Self {
        let reading = json!({ "start": "oldest", "lateness_secs": lateness_secs });
        Self {
            shelf,
            reader: reader(json!({ "layout": "flat" }), reading),
            host: Host::new().at(START_MS + 100 * 86_400_000),
            checkpoint: None,
            stored: Vec::new(),
            max_records,
            skipped: 0,
        }
    }

    /// Polls; a crash comes before anything is stored. Whether there is more.
    fn poll(&mut self, crashes: bool) -> bool {
        let options = Options {
            max_records: self.max_records,
            ..Options::default()
        };
        let batch = self
            .reader
            .poll(&self.host, self.shelf, self.checkpoint.as_deref(), &options)
            .expect("a batch");
        assert!(batch.checkpoint.len() < 64 << 10);
        let lines: Vec<&[u8]> = batch
            .items
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .collect();
        assert!(lines.len() <= self.max_records as usize);
        let has_moved = self.checkpoint.as_deref() != Some(batch.checkpoint.as_slice());
        assert!(
            !batch.more || has_moved || !lines.is_empty(),
            "more, but no progress"
        );
        if crashes {
            return true;
        }
        self.skipped += batch.skipped;
        for line in lines {
            let record: Value = serde_json::from_slice(line).expect("a record");
            let name = record["server_name"].as_str().expect("a name");
            let id = name[1..].parse().expect("an id");
            self.stored
                .push((id, record["timestamp"].as_i64().expect("a time")));
        }
        self.checkpoint = Some(batch.checkpoint);
        batch.more
    }

    fn drain(&mut self) {
        // Once more after it has nothing: that poll looks back.
        for _ in 0..3 {
            let mut polls = 0;
            while self.poll(false) {
                polls += 1;
                assert!(polls < 10_000, "no end");
            }
        }
    }

    fn stored_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.stored.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// So many documents of one time, so many steps of 100 ms after the newest.
    Put {
        count: u32,
        after: i64,
    },
    /// One, so many milliseconds behind the newest.
    Late {
        behind_ms: i64,
    },
    Poll,
    Crash,
    /// A poll that gets only so many documents.
    Slow(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40_u32, 0..80_i64).prop_map(|(count, after)| Step::Put { count, after }),
        1 => (1..30_u32, 600..9_000_i64).prop_map(|(count, after)| Step::Put { count, after }),
        4 => (0..60_000_i64).prop_map(|behind_ms| Step::Late { behind_ms }),
        6 => Just(Step::Poll),
        1 => Just(Step::Crash),
        1 => (1..20_usize).prop_map(Step::Slow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Documents that come within the lateness are given once each, whatever happens between polls. None relies on the
    /// daemon's telling duplicates here: all identities fit.
    #[test]
    fn every_document_once(
        steps in prop::collection::vec(step(), 1..120),
        has_ties: bool,
        max_records in 1..60_u32,
    ) {
        let shelf = Shelf { has_ties, ..Shelf::default() };
        let mut daemon = Daemon::new(&shelf, 60, max_records);
        let (mut newest, mut next) = (START_MS, 0);
        for step in steps {
            match step {
                Step::Put { count, after } => {
                    newest += after * 100;
                    for _ in 0..count {
                        shelf.put(newest, next);
                        next += 1;
                    }
                }
                // Nothing is late in an empty collection.
                Step::Late { behind_ms } if next > 0 => {
                    shelf.put(newest - behind_ms, next);
                    next += 1;
                }
                Step::Late { .. } => {}
                Step::Poll => drop(daemon.poll(false)),
                Step::Crash => drop(daemon.poll(true)),
                Step::Slow(documents) => {
                    shelf.stops_after.set(Some(documents));
                    // Unordered ties are read again with each poll, so that the rest needs more than the ties.
                    if has_ties {
                        daemon.poll(false);
                    }
                    shelf.stops_after.set(None);
                }
            }
        }
        daemon.drain();
        prop_assert_eq!(daemon.stored_ids(), shelf.ids());
    }
}

/// A thousand documents of one time and pages much smaller: all are given, once.
#[test]
fn a_thousand_documents_share_a_time() {
    for has_ties in [false, true] {
        let shelf = Shelf {
            has_ties,
            ..Shelf::default()
        };
        for n in 0..3000 {
            shelf.put(START_MS + i64::from(n / 1000) * 10_000, n);
        }
        let mut daemon = Daemon::new(&shelf, 60, 64);
        daemon.drain();
        assert_eq!(daemon.stored_ids(), shelf.ids());
        let most = shelf.reads.borrow().iter().copied().max();
        assert!(most <= Some(64 + 1000 + 1), "{most:?} were asked for");
    }
}

/// Too many documents to remember each: late ones come all the same, and what is given twice is the same record, which
/// the daemon knows.
#[test]
fn late_documents_among_very_many() {
    let shelf = Shelf::default();
    for n in 0..20_000 {
        shelf.put(START_MS + i64::from(n / 1000) * 1000, n);
    }
    let mut daemon = Daemon::new(&shelf, 60, 5000);
    daemon.drain();
    for n in 20_000..20_050 {
        shelf.put(START_MS + i64::from(n % 15) * 1000 + 7, n);
    }
    let reads = shelf.reads.borrow().len();
    daemon.drain();
    let reads = shelf.reads.borrow().len() - reads;
    assert!(reads < 10, "{reads} for 15 slices that follow one another");
    let given = daemon.stored.len();
    let mut distinct = daemon.stored.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 20_050, "each is there, under one time");
    assert!(
        given < 2 * 20_050,
        "{given} were given: only what changed is read again"
    );
    let before = daemon.stored.len();
    daemon.drain();
    assert_eq!(daemon.stored.len(), before, "then it is quiet");
}

/// While catching up, looking back comes before too much lies behind.
#[test]
fn late_documents_while_catching_up() {
    let shelf = Shelf::default();
    for n in 0..2000 {
        shelf.put(START_MS + i64::from(n) * 1000, n);
    }
    let mut daemon = Daemon::new(&shelf, 60, 50);
    for _ in 0..20 {
        daemon.poll(false);
        // Behind what was read, but not by more than the lateness.
        let read_ms = daemon
            .stored
            .iter()
            .map(|(_, ms)| *ms)
            .max()
            .unwrap_or(START_MS);
        let id = 10_000 + u32::try_from(daemon.stored.len()).expect("few");
        shelf.put(read_ms - 59_500, id);
    }
    daemon.drain();
    assert_eq!(daemon.stored_ids(), shelf.ids());
}

#[test]
fn deleted_documents_do_not_hide_late_ones() {
    let shelf = Shelf::default();
    for n in 0..100 {
        shelf.put(START_MS + i64::from(n) * 100, n);
    }
    let mut daemon = Daemon::new(&shelf, 60, 5000);
    daemon.drain();
    shelf.documents.borrow_mut().remove(&(START_MS + 500, 5));
    daemon.drain();
    shelf.put(START_MS + 501, 777);
    daemon.drain();
    assert!(daemon.stored_ids().contains(&777));
}

#[test]
fn bad_documents_are_told_and_the_rest_goes_on() {
    let shelf = Shelf::default();
    for n in 0..20 {
        shelf.put(START_MS + i64::from(n) * 100, n);
    }
    let mut documents = shelf.documents.borrow_mut();
    documents.insert(
        (START_MS + 1, 900),
        json!({ "server_name": "s900", "mem_used_pct": "high" }),
    );
    documents.insert((START_MS + 2, 901), json!({ "mem_used_pct": 5 }));
    documents.insert(
        (START_MS + 3, 902),
        json!({ "server_name": 7, "mem_used_pct": 5 }),
    );
    documents.insert(
        (START_MS + 4, 903),
        json!({ "message": "of something else" }),
    );
    drop(documents);
    shelf.strays.set(2);
    let mut daemon = Daemon::new(&shelf, 60, 5000);
    daemon.drain();
    assert_eq!(daemon.stored.len(), 20);
    assert_eq!(daemon.skipped, 5);
    let lines: Vec<String> = daemon
        .host
        .lines()
        .into_iter()
        .map(|(_, line)| line)
        .collect();
    for expected in [
        "connector `shelf`, collection `all`: document `all/900` has \"high\" at `mem_used_pct`, where a number is needed",
        "document `all/901` names no server: it has no `server_name`",
        "document `all/902` has 7 at `server_name`, where text is needed",
        "document `all/stray-0` has no time",
        "documents without a time, which cannot be read: 2",
    ] {
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{expected}: {lines:#?}"
        );
    }
    // Told once, and not looked for with every poll.
    let before = daemon.host.lines().len();
    daemon.drain();
    assert_eq!(shelf.looks_for_strays.get(), 1);
    daemon.host.advance_ms(60_000);
    daemon.drain();
    assert_eq!(shelf.looks_for_strays.get(), 2);
    assert_eq!(daemon.host.lines().len(), before);
}

#[test]
fn documents_ahead_of_the_clock_wait() {
    let shelf = Shelf::default();
    shelf.put(START_MS, 1);
    shelf.put(START_MS + 400 * 86_400_000, 2);
    let mut daemon = Daemon::new(&shelf, 60, 100);
    daemon.drain();
    assert_eq!(daemon.stored_ids(), [1]);
    shelf.put(START_MS + 1000, 3);
    daemon.drain();
    assert_eq!(
        daemon.stored_ids(),
        [1, 3],
        "one clock that is wrong holds up nobody"
    );
    daemon.host.advance_ms(400 * 86_400_000);
    daemon.drain();
    assert_eq!(daemon.stored_ids(), [1, 2, 3]);
}

#[test]
fn too_many_of_one_time_is_said() {
    let shelf = Shelf::default();
    shelf.put(START_MS - 1, 9999);
    for n in 0..2600 {
        shelf.put(START_MS, n);
    }
    let mut daemon = Daemon::new(&shelf, 60, 5000);
    assert!(daemon.poll(false), "what lies before is given");
    let error = daemon
        .reader
        .poll(
            &daemon.host,
            &shelf,
            daemon.checkpoint.as_deref(),
            &Options {
                max_records: 5000,
                ..Options::default()
            },
        )
        .expect_err("too many");
    assert_eq!(error.code, "too_many_ties");
    assert!(
        error.message.contains("2026-02-02T02:40:00.000Z"),
        "{}",
        error.message
    );
}

/// A changed lateness forgets what was compared, and nothing else.
#[test]
fn the_lateness_may_change() {
    let shelf = Shelf::default();
    for n in 0..500 {
        shelf.put(START_MS + i64::from(n) * 100, n);
    }
    let mut daemon = Daemon::new(&shelf, 60, 100);
    daemon.poll(false);
    daemon.reader = reader(
        json!({ "layout": "flat" }),
        json!({ "lateness_secs": 1200 }),
    );
    daemon.drain();
    assert_eq!(daemon.stored_ids(), shelf.ids());
}
