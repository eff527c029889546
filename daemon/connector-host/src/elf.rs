//! Whether a file is a whole library.
//!
//! The dynamic linker maps what the file's header promises. Where the file is shorter (a copy under way, a full disk), the
//! missing part faults when it is touched and takes the process with it; so that much is looked at before.

/// Offsets in the header of a 64-bit file.
const SEGMENTS_AT: usize = 0x20;
const SECTIONS_AT: usize = 0x28;
const SEGMENT_SIZE_AT: usize = 0x36;
const SEGMENT_COUNT_AT: usize = 0x38;
const SECTION_SIZE_AT: usize = 0x3a;
const SECTION_COUNT_AT: usize = 0x3c;
/// Offsets in a segment's header.
const OFFSET_AT: usize = 0x08;
const FILE_BYTES_AT: usize = 0x20;
/// Magic, 64 bits, little endian.
const IDENTITY: &[u8] = b"\x7fELF\x02\x01";

/// Says what is missing; a file that passes may still be refused by the linker.
pub(crate) fn check_whole(file: &[u8]) -> Result<(), &'static str> {
    if !file.starts_with(IDENTITY) {
        return Err("it is no 64-bit ELF file");
    }
    whole(file).ok_or("the file is torn: it is shorter than its header says")
}

fn whole(file: &[u8]) -> Option<()> {
    let segments = table(file, SEGMENTS_AT, SEGMENT_SIZE_AT, SEGMENT_COUNT_AT)?;
    let sections = table(file, SECTIONS_AT, SECTION_SIZE_AT, SECTION_COUNT_AT)?;
    // Section headers come last in a file: whoever has them has the rest.
    drop(sections.collect::<Option<Vec<_>>>()?);
    for segment in segments {
        let segment = segment?;
        let (offset, bytes) = (u64_at(segment, OFFSET_AT)?, u64_at(segment, FILE_BYTES_AT)?);
        let end = usize::try_from(offset.checked_add(bytes)?).ok()?;
        file.get(..end)?;
    }
    Some(())
}

/// The entries of one of the file's two tables; an entry beyond the file's end is none.
fn table(
    file: &[u8],
    offset_at: usize,
    size_at: usize,
    count_at: usize,
) -> Option<impl Iterator<Item = Option<&[u8]>>> {
    let start = usize::try_from(u64_at(file, offset_at)?).ok()?;
    let (size, count) = (u16_at(file, size_at)?, u16_at(file, count_at)?);
    Some((0..usize::from(count)).map(move |i| {
        let from = start.checked_add(i * usize::from(size))?;
        file.get(from..from.checked_add(size.into())?)
    }))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_torn_copy_is_seen() {
        // Any ELF file will do; this one is at hand.
        let whole = std::fs::read("/proc/self/exe").expect("Linux");
        assert_eq!(check_whole(&whole), Ok(()));
        let step = whole.len() / 97;
        for len in (0..whole.len())
            .step_by(step.max(1))
            .chain([whole.len() - 1])
        {
            assert!(
                check_whole(&whole[..len]).is_err(),
                "{len} of {}",
                whole.len()
            );
        }
    }

    #[test]
    fn odd_headers_are_survived() {
        assert!(check_whole(b"hello").is_err());
        let mut header = [IDENTITY, &[0xff; 100]].concat();
        assert!(check_whole(&header).is_err());
        header[6..].fill(0);
        assert!(
            check_whole(&header).is_ok(),
            "no tables; the linker has its own opinion"
        );
    }
}
