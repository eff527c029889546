//! How deep components lie in components.
//!
//! Translating a component takes time that grows with the square of its nesting: 20,000 levels, 400 kB, take minutes.
//! What tools emit has a handful of levels, so that much is looked at before anything is compiled. One pass over the
//! sections, in constant memory per level.

use crate::manifest::leb128;

/// Levels that are taken.
const MAX_LEVELS: usize = 64;
const HEADER_BYTES: usize = 8;
const COMPONENT: u8 = 4;

/// Whether components are nested deeper than anybody needs. A file that makes no sense is not: the compiler says so.
pub(crate) fn is_too_deep(wasm: &[u8]) -> bool {
    // Ends of the components that the place lies in, outermost first.
    let mut ends = vec![wasm.len()];
    let mut at = HEADER_BYTES;
    while let Some(&end) = ends.last() {
        if at >= end {
            ends.pop();
            continue;
        }
        let section = wasm.get(at + 1..end).and_then(leb128);
        let Some((size, content)) = section else {
            return false;
        };
        let start = end - content.len();
        let Some(section_end) = start
            .checked_add(size)
            .filter(|section_end| *section_end <= end)
        else {
            return false;
        };
        if wasm[at] == COMPONENT {
            if ends.len() >= MAX_LEVELS {
                return true;
            }
            ends.push(section_end);
            at = start + HEADER_BYTES;
        } else {
            at = section_end;
        }
        if at > section_end {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

    fn nested(levels: usize) -> Vec<u8> {
        let mut wasm = HEADER.to_vec();
        for _ in 0..levels {
            let mut outer = [HEADER, &[COMPONENT]].concat();
            let mut size = wasm.len();
            while size >= 0x80 {
                outer.push((size & 0x7f) as u8 | 0x80);
                size >>= 7;
            }
            outer.push(size as u8);
            outer.extend_from_slice(&wasm);
            wasm = outer;
        }
        wasm
    }

    #[test]
    fn levels_are_counted_and_siblings_are_not() {
        assert!(!is_too_deep(&nested(0)));
        assert!(!is_too_deep(&nested(MAX_LEVELS - 1)));
        assert!(is_too_deep(&nested(MAX_LEVELS)));
        let one = nested(1);
        let siblings = [HEADER, &one[HEADER_BYTES..].repeat(1000)].concat();
        assert!(!is_too_deep(&siblings));
        let after_siblings = [&siblings, &nested(MAX_LEVELS)[HEADER_BYTES..]].concat();
        assert!(is_too_deep(&after_siblings));
    }

    proptest! {
        #[test]
        fn garbage_is_survived(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = is_too_deep(&[HEADER, &tail].concat());
            let _ = is_too_deep(&tail);
        }
    }
}
