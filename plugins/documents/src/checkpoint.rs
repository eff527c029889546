//! What a reader remembers from poll to poll.
//!
//! # Shape
//! ```text
//!   checked_ms                              forward.time_ms
//!       │ slice │ slice │ slice │  …  │ slice │
//!       └── what was read of each is known ───┘──► read next, less what was read of this very millisecond
//! ```
//! Before `checked_ms` nothing is looked at any more. Between the two, it is known of each slice of time what was read:
//! the identities of its documents or, where those would be too many, how many they were. Slices that hold more now are
//! `rereads`, read again before anything else.
//!
//! # Encoding
//! One byte of version, then postcard. A version that is not known is an error, not a fresh start.

use std::collections::BTreeMap;

use argus_plugin::Error;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// Identities in all; at ten bytes each they stay below the 64 KiB that a checkpoint may have.
pub(crate) const MAX_IDENTITIES: usize = 6000;
/// Identities of documents of one millisecond.
pub(crate) const MAX_TIES: usize = 2500;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) forward: Position,
    pub(crate) checked_ms: i64,
    pub(crate) slice_ms: i64,
    pub(crate) slices: BTreeMap<i64, Seen>,
    /// Numbers of slices, ascending.
    pub(crate) rereads: Vec<i64>,
    /// Within the first of `rereads`, once it was begun.
    pub(crate) reread: Option<Reread>,
    /// Whether the newest poll found no more.
    pub(crate) caught_up: bool,
    /// Documents without a time that were told of.
    pub(crate) strays: u64,
    /// When to look for them next. Encoded behind all else; checkpoints of older sources end before it.
    #[serde(skip)]
    pub(crate) strays_due_ms: i64,
}

/// A place between documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Time of the newest document that was read.
    pub(crate) time_ms: i64,
    /// The documents of that time that were read; empty where the collection has an order among them.
    pub(crate) seen: Vec<u64>,
    /// The last of them in that order.
    pub(crate) tie: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reread {
    pub(crate) position: Position,
    /// Documents read so far.
    pub(crate) count: u64,
}

/// What was read of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Documents(Vec<u64>),
    Count(u64),
}

impl Seen {
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Documents(identities) => identities.len() as u64,
            Self::Count(count) => *count,
        }
    }

    fn identities(&self) -> usize {
        match self {
            Self::Documents(identities) => identities.len(),
            Self::Count(_) => 0,
        }
    }
}

impl Position {
    pub(crate) fn at(time_ms: i64) -> Self {
        Self {
            time_ms,
            ..Self::default()
        }
    }

    pub(crate) fn has_read(&self, time_ms: i64, identity: u64) -> bool {
        time_ms < self.time_ms || (time_ms == self.time_ms && self.seen.contains(&identity))
    }

    pub(crate) fn advance(&mut self, time_ms: i64, identity: u64, tie: Option<String>) {
        if time_ms > self.time_ms {
            self.time_ms = time_ms;
            self.seen.clear();
        }
        if tie.is_none() {
            self.seen.push(identity);
        }
        self.tie = tie;
    }
}

impl Checkpoint {
    pub(crate) fn new(start_ms: i64, slice_ms: i64) -> Self {
        Self {
            forward: Position::at(start_ms),
            // From the first whole slice on: what lies before the start is not wanted.
            checked_ms: start_ms + (-start_ms).rem_euclid(slice_ms),
            slice_ms,
            slices: BTreeMap::new(),
            rereads: Vec::new(),
            reread: None,
            caught_up: false,
            strays: 0,
            strays_due_ms: 0,
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let unreadable = || {
            let message = "the checkpoint was not written by this version of the source; remove the source's state to \
                           start anew";
            Error::new("bad_checkpoint", message)
        };
        let Some((&VERSION, rest)) = bytes.split_first() else {
            return Err(unreadable());
        };
        let (mut checkpoint, rest): (Self, _) =
            postcard::take_from_bytes(rest).map_err(|_| unreadable())?;
        if !rest.is_empty() {
            checkpoint.strays_due_ms = postcard::from_bytes(rest).map_err(|_| unreadable())?;
        }
        Ok(checkpoint)
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        postcard::to_extend(&(self, self.strays_due_ms), vec![VERSION])
            .map_err(|error| Error::new("bad_checkpoint", error.to_string()))
    }

    pub(crate) fn slice_of(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(self.slice_ms)
    }

    /// Documents whose identity is kept.
    pub(crate) fn identities(&self) -> usize {
        let reread = self
            .reread
            .as_ref()
            .map_or(0, |reread| reread.position.seen.len());
        let slices: usize = self.slices.values().map(Seen::identities).sum();
        self.forward.seen.len() + reread + slices
    }

    /// Whether it is sure that a document was read before.
    pub(crate) fn knows(&self, time_ms: i64, identity: u64) -> bool {
        match self.slices.get(&self.slice_of(time_ms)) {
            Some(Seen::Documents(known)) => known.contains(&identity),
            _ => false,
        }
    }

    /// Notes that a document was read.
    pub(crate) fn note(&mut self, time_ms: i64, identity: u64) {
        let slice = self.slice_of(time_ms);
        let fresh = || Seen::Documents(Vec::new());
        match self.slices.entry(slice).or_insert_with(fresh) {
            Seen::Documents(identities) => identities.push(identity),
            Seen::Count(count) => *count += 1,
        }
    }

    /// Forgets what is not looked at any more, and who was read where those are too many: of the fullest slices only
    /// how many.
    pub(crate) fn prune(&mut self) {
        let first = self.slice_of(self.checked_ms);
        let rereads = &self.rereads;
        self.slices
            .retain(|slice, _| *slice >= first || rereads.contains(slice));
        let mut excess = self.identities().saturating_sub(MAX_IDENTITIES);
        while excess > 0 {
            let fullest = self
                .slices
                .values_mut()
                .max_by_key(|seen| seen.identities());
            let Some(fullest) = fullest.filter(|seen| seen.identities() > 0) else {
                break;
            };
            excess = excess.saturating_sub(fullest.identities());
            *fullest = Seen::Count(fullest.count());
        }
    }
}

/// Who a document is, for ever: FNV-1a over its id, its bits mixed so that similar ids lie far apart.
pub(crate) fn identity(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_checkpoint_fits_and_comes_back() {
        let mut checkpoint = Checkpoint::new(1_770_000_000_000, 10_000);
        for n in 0..20_000_u64 {
            let time_ms = 1_770_000_000_000 + i64::try_from(n / 20).expect("small") * 1000;
            let identity = identity(&format!("index/{n}"));
            checkpoint.note(time_ms, identity);
            if n < MAX_TIES as u64 {
                checkpoint.forward.seen.push(identity);
            }
        }
        checkpoint.reread = Some(Reread {
            position: checkpoint.forward.clone(),
            count: 5000,
        });
        checkpoint.prune();
        assert!(checkpoint.identities() <= MAX_IDENTITIES);
        let total: u64 = checkpoint.slices.values().map(Seen::count).sum();
        assert_eq!(total, 20_000, "who is forgotten, how many is not");
        let bytes = checkpoint.encode().expect("encodes");
        assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
        assert_eq!(Checkpoint::decode(&bytes).expect("decodes"), checkpoint);
    }

    #[test]
    fn older_checkpoints_are_read() {
        let checkpoint = Checkpoint {
            strays: 3,
            strays_due_ms: 7,
            ..Checkpoint::new(1_770_000_000_000, 10_000)
        };
        let mut bytes = checkpoint.encode().expect("encodes");
        assert_eq!(Checkpoint::decode(&bytes).expect("decodes"), checkpoint);
        bytes.pop();
        let older = Checkpoint::decode(&bytes).expect("decodes");
        assert_eq!((older.strays, older.strays_due_ms), (3, 0));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        for bytes in [&b""[..], b"\x02", b"\x01", b"{}"] {
            let error = Checkpoint::decode(bytes).expect_err("no checkpoint");
            assert_eq!(error.code, "bad_checkpoint");
        }
    }

    #[test]
    fn identities_differ() {
        let mut all: Vec<u64> = (0..100_000)
            .map(|n| identity(&format!("logs-000001/{n}")))
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 100_000);
    }
}
