//! Reading a collection: every document once, whatever comes between.
//!
//! A poll does one of two things. It reads **forward** from where the newest document was, or, if documents have appeared
//! behind that, it reads the slices of time again that hold more than was read of them, and gives those that it does not
//! know. Where a slice had too many documents to remember each, it gives all of them: the daemon tells records that it
//! has by server and time, and [`ReadingConfig::lateness_secs`] is bounded so that it surely does. Once a minute a poll
//! only looks for documents without a time.
//!
//! Everything follows from the checkpoint, which the daemon stores together with the records.

use std::collections::BTreeMap;

use argus_plugin::source::{Batch, Options};
use argus_plugin::{Error, Host};

use crate::checkpoint::{Checkpoint, MAX_IDENTITIES, MAX_TIES, Position, Reread, Seen, identity};
use crate::collection::{Collection, Document, Span};
use crate::config::{ReadingConfig, Start};
use crate::fault::{self, Fault};
use crate::mapping::{Mapped, Mapping};
use crate::records::Records;

/// Slices that the lateness is divided into.
const SLICES: i64 = 60;
/// Documents of one poll: their identities have to fit into a checkpoint.
const MAX_DOCUMENTS: u32 = 5000;
/// How often documents without a time are looked for: no index of time leads a server to them.
const STRAYS_EVERY_MS: i64 = 60_000;

/// Reads collections for a source.
#[derive(Debug)]
pub struct Reader {
    mapping: Mapping,
    config: ReadingConfig,
    start: Start,
}

impl Reader {
    /// A reader with these settings.
    ///
    /// # Errors
    /// `invalid_config`, naming the setting.
    pub fn new(mapping: Mapping, config: ReadingConfig) -> Result<Self, Error> {
        let start = config.start()?;
        Ok(Self {
            mapping,
            config,
            start,
        })
    }

    /// How documents are mapped.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// One poll of a source.
    ///
    /// # Errors
    /// The collection's; `bad_checkpoint`; `too_many_ties` if more documents share a millisecond than can be told apart.
    pub fn poll(
        &self,
        host: &Host,
        collection: &dyn Collection,
        checkpoint: Option<&[u8]>,
        options: &Options,
    ) -> Result<Batch, Error> {
        let told_apart = options.get("told-apart-secs");
        let told_apart = told_apart.and_then(|secs| secs.parse().ok());
        let lateness_ms = i64::from(self.config.lateness_secs(told_apart)?) * 1000;
        let mut poll = Poll {
            reader: self,
            host,
            collection,
            limit: options.max_records.clamp(1, MAX_DOCUMENTS),
            lateness_ms,
            checkpoint: self.checkpoint(host, checkpoint, lateness_ms)?,
            faults: Vec::new(),
        };
        if poll.checkpoint.rereads.is_empty() {
            if poll.looks_for_strays() {
                // Nothing else in this poll: a slow server may take all of its time for it, and holds up nothing so.
                poll.look_for_strays()?;
                return poll.batch(Vec::new());
            }
            if poll.looks_back() {
                poll.look_back()?;
            }
        }
        let read = match poll.checkpoint.rereads.first() {
            Some(&slice) => poll.read_again(slice)?,
            None => poll.read_forward()?,
        };
        poll.batch(read)
    }

    fn checkpoint(
        &self,
        host: &Host,
        bytes: Option<&[u8]>,
        lateness_ms: i64,
    ) -> Result<Checkpoint, Error> {
        let slice_ms = (lateness_ms / SLICES).max(1000);
        let Some(bytes) = bytes else {
            return Ok(Checkpoint::new(self.start.ms(host.now_ms()), slice_ms));
        };
        let mut checkpoint = Checkpoint::decode(bytes)?;
        if checkpoint.slice_ms != slice_ms {
            // The operator changed the lateness: what was read of slices of another length cannot be compared.
            let position = std::mem::take(&mut checkpoint.forward);
            let (strays, strays_due_ms) = (checkpoint.strays, checkpoint.strays_due_ms);
            checkpoint = Checkpoint::new(position.time_ms + 1, slice_ms);
            checkpoint.forward = position;
            (checkpoint.strays, checkpoint.strays_due_ms) = (strays, strays_due_ms);
        }
        Ok(checkpoint)
    }
}

struct Poll<'a> {
    reader: &'a Reader,
    host: &'a Host,
    collection: &'a dyn Collection,
    limit: u32,
    lateness_ms: i64,
    checkpoint: Checkpoint,
    faults: Vec<Fault>,
}

/// A document that was read, and what it is for a record.
struct Read {
    time_ms: i64,
    identity: u64,
    tie: Option<String>,
    mapped: Result<Option<Mapped>, Fault>,
}

impl Poll<'_> {
    /// Whether it is time to look for documents that came late: when there is nothing else to do and, while catching up,
    /// before too much lies behind.
    fn looks_back(&self) -> bool {
        let lateness_ms = self.lateness_ms;
        let behind_ms = self.checkpoint.forward.time_ms - self.checkpoint.checked_ms;
        lateness_ms > 0 && (self.checkpoint.caught_up || behind_ms > 2 * lateness_ms)
    }

    /// Finds the slices that hold more than was read of them.
    fn look_back(&mut self) -> Result<(), Error> {
        let checkpoint = &mut self.checkpoint;
        let (from_ms, until_ms) = (checkpoint.checked_ms, until_of(&checkpoint.forward));
        if from_ms < until_ms {
            let counts =
                self.collection
                    .counts(self.host, from_ms, until_ms, checkpoint.slice_ms)?;
            // Of the very last millisecond, reading forward finds what is new.
            let last = checkpoint.slice_of(checkpoint.forward.time_ms);
            let at_last = checkpoint.forward.seen.len() as u64;
            let beyond = |slice: i64| if slice == last { at_last } else { 0 };
            for &(slice, count) in &counts {
                let read = checkpoint.slices.get(&slice).map_or(0, Seen::count);
                let now = count + beyond(slice);
                if now > read {
                    checkpoint.rereads.push(slice);
                } else if now < read {
                    // Some were deleted, nobody knows which; more to come would hide behind them.
                    checkpoint.slices.insert(slice, Seen::Count(now));
                }
            }
            checkpoint.rereads.sort_unstable();
            checkpoint.rereads.dedup();
        }
        let lateness_ms = self.lateness_ms;
        let final_ms = checkpoint.forward.time_ms - lateness_ms;
        let final_ms = final_ms - final_ms.rem_euclid(checkpoint.slice_ms);
        checkpoint.checked_ms = checkpoint.checked_ms.max(final_ms);
        checkpoint.prune();
        Ok(())
    }

    fn looks_for_strays(&self) -> bool {
        self.checkpoint.caught_up && self.host.now_ms() >= self.checkpoint.strays_due_ms
    }

    fn look_for_strays(&mut self) -> Result<(), Error> {
        let found = self.collection.strays(self.host)?;
        self.checkpoint.strays_due_ms = self.host.now_ms() + STRAYS_EVERY_MS;
        let Some(strays) = found else {
            return Ok(());
        };
        let known = std::mem::replace(&mut self.checkpoint.strays, strays.count);
        let new = strays.count.saturating_sub(known);
        for document in strays
            .examples
            .into_iter()
            .take(usize::try_from(new).unwrap_or(0))
        {
            self.faults.push(Fault {
                document,
                what: "has no time".to_owned(),
            });
        }
        if new > 0 {
            let message = format!(
                "{}: documents without a time, which cannot be read: {}",
                self.collection.name(),
                strays.count
            );
            self.host.warn(&message);
        }
        Ok(())
    }

    fn read_forward(&mut self) -> Result<Vec<Read>, Error> {
        let position = self.checkpoint.forward.clone();
        let settle_ms = i64::from(self.reader.config.settle_secs) * 1000;
        let until_ms = self.host.now_ms() - settle_ms;
        let (mut records, is_all) = self.read(&position, until_ms, true)?;
        if let Some(first) = records.first()
            && self.checkpoint.slices.is_empty()
        {
            // Nothing was read before; from here on there is something to compare with.
            let from_ms = first.time_ms - self.lateness_ms;
            let slice_ms = self.checkpoint.slice_ms;
            let from_ms = from_ms - from_ms.rem_euclid(slice_ms);
            self.checkpoint.checked_ms = self.checkpoint.checked_ms.max(from_ms);
        }
        // Looking back may have been here already, where it saw the newest time too.
        records.retain_mut(|read| {
            let is_known = read.time_ms == position.time_ms
                && self.checkpoint.knows(read.time_ms, read.identity);
            let forward = &mut self.checkpoint.forward;
            forward.advance(read.time_ms, read.identity, read.tie.take());
            if !is_known && self.lateness_ms > 0 {
                self.checkpoint.note(read.time_ms, read.identity);
            }
            !is_known
        });
        self.checkpoint.caught_up = is_all;
        Ok(records)
    }

    /// Reads slices again, as many as follow one another, and gives what is not known of them.
    fn read_again(&mut self, first: i64) -> Result<Vec<Read>, Error> {
        let slice_ms = self.checkpoint.slice_ms;
        let following = self.checkpoint.rereads.iter().zip(first..);
        let end = following
            .take_while(|(slice, next)| *slice == next)
            .fold(first, |_, (slice, _)| slice + 1);
        let until_ms = (end * slice_ms).min(until_of(&self.checkpoint.forward));
        let mut reread = self.checkpoint.reread.take().unwrap_or_else(|| Reread {
            position: Position::at(first * slice_ms),
            count: 0,
        });
        let (mut records, is_all) = self.read(&reread.position.clone(), until_ms, false)?;
        let mut counts = BTreeMap::from([(first, reread.count)]);
        for read in &mut records {
            *counts.entry(read.time_ms.div_euclid(slice_ms)).or_default() += 1;
            reread
                .position
                .advance(read.time_ms, read.identity, read.tie.take());
        }
        let slices = &mut self.checkpoint.slices;
        records.retain(|read| {
            let slice = slices.entry(read.time_ms.div_euclid(slice_ms));
            match slice.or_insert_with(|| Seen::Documents(Vec::new())) {
                Seen::Documents(known) if known.contains(&read.identity) => false,
                Seen::Documents(known) => {
                    known.push(read.identity);
                    true
                }
                Seen::Count(_) => true,
            }
        });
        let stopped = reread.position.time_ms.div_euclid(slice_ms);
        let done = if is_all { end } else { stopped };
        let last = self.checkpoint.slice_of(self.checkpoint.forward.time_ms);
        let at_last = self.checkpoint.forward.seen.len() as u64;
        for slice in first..done {
            if let Some(Seen::Count(count)) = self.checkpoint.slices.get_mut(&slice) {
                let read = counts.get(&slice).copied().unwrap_or(0);
                *count = read + if slice == last { at_last } else { 0 };
            }
        }
        self.checkpoint.rereads.retain(|slice| *slice >= done);
        if !is_all {
            reread.count = counts.get(&stopped).copied().unwrap_or(0);
            self.checkpoint.reread = Some(reread);
        }
        Ok(records)
    }

    /// Documents behind a position and whether these are all; never a part of those that share a time, where all of them
    /// are needed at once.
    fn read(
        &mut self,
        position: &Position,
        until_ms: i64,
        forward: bool,
    ) -> Result<(Vec<Read>, bool), Error> {
        let mut records: Vec<Read> = Vec::new();
        if until_ms <= position.time_ms {
            return Ok((records, true));
        }
        let seen = u32::try_from(position.seen.len()).unwrap_or(u32::MAX);
        let span = Span {
            from_ms: position.time_ms,
            until_ms,
            after: position.tie.as_deref(),
            limit: self.limit.saturating_add(seen),
            known: if position.tie.is_none() { seen } else { 0 },
            // What looking back cost is not taken from it.
            began_ns: self.host.monotonic_ns(),
            poll_secs: self.reader.config.poll_secs,
        };
        let (limit, mapping) = (self.limit as usize, &self.reader.mapping);
        let kept = self.checkpoint.identities();
        let far_ms = self.checkpoint.checked_ms + 3 * self.lateness_ms;
        let mut take = |document: Document<'_>| {
            let Document {
                id,
                time_ms,
                tie,
                body,
            } = document;
            let identity = identity(id);
            if position.has_read(time_ms, identity) {
                return true;
            }
            // Beyond this, the daemon might not recognise records that only their number is known of.
            let is_far = forward && kept + records.len() >= MAX_IDENTITIES && time_ms > far_ms;
            if is_far && !records.is_empty() {
                return false;
            }
            let mapped = mapping.apply(body).map_err(|what| Fault {
                document: id.to_owned(),
                what,
            });
            records.push(Read {
                time_ms,
                identity,
                tie: tie.map(str::to_owned),
                mapped,
            });
            // Whether there are more, the next poll finds: a server would be asked once more for it here.
            records.len() < limit
        };
        let is_all = self.collection.read(self.host, &span, &mut take)?;
        let is_cut = self.cut(position, &mut records, is_all)?;
        Ok((records, is_all && !is_cut))
    }

    /// Leaves the last time's documents for the next poll if they are not all there and should be, or if they are too
    /// many to remember; whether it did.
    fn cut(
        &self,
        position: &Position,
        records: &mut Vec<Read>,
        is_all: bool,
    ) -> Result<bool, Error> {
        let Some(Read {
            time_ms: last_ms,
            tie,
            ..
        }) = records.last()
        else {
            return Ok(false);
        };
        let last_ms = *last_ms;
        let whole = records.partition_point(|read| read.time_ms < last_ms);
        let before = if position.time_ms == last_ms {
            position.seen.len()
        } else {
            0
        };
        let is_too_many = tie.is_none() && before + records.len() - whole > MAX_TIES;
        let is_torn = !is_all && self.reader.mapping.parts;
        if whole > 0 && (is_torn || is_too_many) {
            records.truncate(whole);
            return Ok(true);
        }
        if is_too_many {
            let message = format!(
                "{}: more than {MAX_TIES} documents share the time {}; give `tiebreaker`, a field that orders them",
                self.collection.name(),
                argus_plugin::time::rfc3339(last_ms),
            );
            return Err(Error::new("too_many_ties", message));
        }
        Ok(false)
    }

    fn batch(mut self, read: Vec<Read>) -> Result<Batch, Error> {
        let mapping = &self.reader.mapping;
        let mut records = Records::new(mapping);
        for Read {
            time_ms, mapped, ..
        } in read
        {
            match mapped {
                Ok(Some(mapped)) => records.add(time_ms, mapped),
                Ok(None) => {}
                Err(fault) => self.faults.push(fault),
            }
        }
        fault::tell(self.host, &self.collection.name(), &self.faults);
        self.checkpoint.prune();
        let mut batch = Batch::new(self.checkpoint.encode()?);
        records.write(&mut batch.items)?;
        batch.skipped = u32::try_from(self.faults.len()).unwrap_or(u32::MAX);
        batch.more = !self.checkpoint.rereads.is_empty() || !self.checkpoint.caught_up;
        Ok(batch)
    }
}

/// Where looking back ends. Of the newest time, documents without order are found by reading forward.
fn until_of(position: &Position) -> i64 {
    position.time_ms + i64::from(position.tie.is_some())
}
