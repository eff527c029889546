//! The frame around every value in the database.
//!
//! ```text
//! offset  bytes
//!      0      8  magic
//!      8      1  kind: L log group, H head of an entity, B block of an entity, M meta
//!      9      3  0
//!     12      8  key: entity id (H, B), else 0
//!     20      8  block: block index (B), else 0
//!     28      8  sequence: of the group (L), of the checkpoint that wrote it (H, B, M)
//!     36      4  length of the payload
//!     40      4  CRC-32 of bytes 0 to 39
//!     44      n  payload
//! 44 + n      4  CRC-32 of the payload
//! ```
//! A frame says on its own what it is, so that whatever happens to the engine's structures around it, a scan of the raw
//! file finds it again (see [`crate::salvage`]).

use super::{DecodeError, Put, Take};

/// Chosen so that no text and no run of one byte looks like it.
pub(crate) const MAGIC: [u8; 8] = *b"\xA7argus\x1A\n";
pub(crate) const HEADER_BYTES: usize = 44;
const TRAILER_BYTES: usize = 4;
/// Larger than any value written; a longer one in a header is damage.
const MAX_PAYLOAD_BYTES: u32 = 256 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Log = b'L',
    Head = b'H',
    Block = b'B',
    Meta = b'M',
}

/// What a frame is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) key: u64,
    pub(crate) block: i64,
    pub(crate) sequence: u64,
}

/// Builds a frame around a payload that `write` appends.
pub(crate) fn seal(header: Header, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    write(&mut bytes);
    let length = u32::try_from(bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
    debug_assert!(
        length <= MAX_PAYLOAD_BYTES,
        "groups and blocks are bounded far below"
    );
    let mut head = Vec::with_capacity(HEADER_BYTES);
    head.put_bytes(&MAGIC);
    head.put_bytes(&[header.kind as u8, 0, 0, 0]);
    head.put_u64(header.key);
    head.put_u64(header.block as u64);
    head.put_u64(header.sequence);
    head.put_u32(length);
    let checksum = crc32fast::hash(&head);
    head.put_u32(checksum);
    bytes[..HEADER_BYTES].copy_from_slice(&head);
    let checksum = crc32fast::hash(&bytes[HEADER_BYTES..]);
    bytes.put_u32(checksum);
    bytes
}

/// Reads a header; the length of its payload comes with it.
pub(crate) fn read_header(bytes: &[u8]) -> Result<(Header, usize), DecodeError> {
    let mut take = Take::new(bytes);
    let covered = take.bytes(HEADER_BYTES - 4)?;
    if take.u32()? != crc32fast::hash(covered) {
        return Err(DecodeError("header fails its checksum"));
    }
    let mut take = Take::new(covered);
    if take.bytes(MAGIC.len())? != MAGIC {
        return Err(DecodeError("header has another magic"));
    }
    let kind = match take.u8()? {
        b'L' => Kind::Log,
        b'H' => Kind::Head,
        b'B' => Kind::Block,
        b'M' => Kind::Meta,
        _ => return Err(DecodeError("header has an unknown kind")),
    };
    take.bytes(3)?;
    let (key, block, sequence, length) =
        (take.u64()?, take.u64()? as i64, take.u64()?, take.u32()?);
    if length > MAX_PAYLOAD_BYTES {
        return Err(DecodeError("header has an impossible length"));
    }
    Ok((
        Header {
            kind,
            key,
            block,
            sequence,
        },
        length as usize,
    ))
}

/// Bytes of a whole frame with a payload of this length.
pub(crate) fn total_bytes(payload: usize) -> usize {
    HEADER_BYTES + payload + TRAILER_BYTES
}

/// Checks a whole frame; its payload.
pub(crate) fn open(bytes: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
    let (header, length) = read_header(bytes)?;
    let mut take = Take::new(bytes);
    take.bytes(HEADER_BYTES)?;
    let payload = take.bytes(length)?;
    if take.u32()? != crc32fast::hash(payload) {
        return Err(DecodeError("payload fails its checksum"));
    }
    take.finish()?;
    Ok((header, payload))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(payload in proptest::collection::vec(any::<u8>(), 0..64), at: usize, bit in 0u8..8) {
            let header = Header { kind: Kind::Block, key: 7, block: -3, sequence: 12 };
            let mut bytes = seal(header, |out| out.put_bytes(&payload));
            prop_assert_eq!(bytes.len(), total_bytes(payload.len()));
            prop_assert_eq!(open(&bytes), Ok((header, payload.as_slice())));
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(open(&bytes).is_err());
        }
    }
}
