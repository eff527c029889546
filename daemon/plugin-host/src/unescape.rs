//! Views of a text: the same text decoded, with the way back from each byte to where it came from.

use std::ops::Range;

type Source = (u32, u32);

/// A text in lower case, and where each of its bytes stands in the original.
pub(crate) struct View {
    bytes: Vec<u8>,
    /// Start and end of each byte's source; none where the two are the same text.
    sources: Option<Vec<Source>>,
}

impl View {
    /// The text as it is.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_ascii_lowercase(),
            sources: None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where a part of the view stands in the original.
    pub(crate) fn original(&self, part: Range<usize>) -> Range<usize> {
        match &self.sources {
            Some(sources) if !part.is_empty() => {
                sources[part.start].0 as usize..sources[part.end - 1].1 as usize
            }
            _ => part,
        }
    }
}

impl View {
    fn source(&self, part: Range<usize>) -> Source {
        let Range { start, end } = self.original(part);
        // Bodies are capped far below 4 GiB.
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        (narrow(start), narrow(end))
    }

    /// A view to be filled from this one.
    fn next(&self) -> Self {
        Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            sources: Some(Vec::with_capacity(self.bytes.len())),
        }
    }

    /// Notes that a part of `from` says `bytes`.
    fn push(&mut self, bytes: &[u8], from: &View, part: Range<usize>) {
        let source = from.source(part);
        self.bytes.extend(bytes.iter().map(u8::to_ascii_lowercase));
        if let Some(sources) = &mut self.sources {
            sources.extend(std::iter::repeat_n(source, bytes.len()));
        }
    }
}

/// The text with percent-encodings, backslash escapes and HTML entities replaced by what they stand for; none where it
/// has none.
pub(crate) fn decoded(view: &View) -> Option<View> {
    let text = &view.bytes;
    memchr::memchr3(b'%', b'\\', b'&', text)?;
    let mut next = view.next();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let escape = match rest[0] {
            b'%' => percent(rest),
            b'\\' => backslash(rest),
            b'&' => entity(rest),
            _ => None,
        };
        let (meaning, length) = escape.unwrap_or((Meaning::Byte(rest[0]), 1));
        match meaning {
            Meaning::Byte(byte) => next.push(&[byte], view, at..at + length),
            Meaning::Char(c) => {
                next.push(c.encode_utf8(&mut [0; 4]).as_bytes(), view, at..at + length);
            }
        }
        at += length;
    }
    Some(next)
}

/// The text without what is put between the digits of encodings: white space, zeros of wide characters, colons; none
/// where it has none of it.
pub(crate) fn squeezed(view: &View) -> Option<View> {
    let is_filler = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0 | b':');
    let text = &view.bytes;
    if !text.iter().any(|byte| is_filler(*byte)) {
        return None;
    }
    let mut next = view.next();
    for (at, byte) in text.iter().enumerate() {
        if !is_filler(*byte) {
            next.push(&[*byte], view, at..at + 1);
        }
    }
    Some(next)
}

enum Meaning {
    Byte(u8),
    Char(char),
}

/// What an escape stands for and how long it is. The text is in lower case.
type Escape = Option<(Meaning, usize)>;

fn percent(rest: &[u8]) -> Escape {
    let byte = number(rest.get(1..3)?, 16)?;
    Some((Meaning::Byte(u8::try_from(byte).ok()?), 3))
}

fn backslash(rest: &[u8]) -> Escape {
    let byte = |byte| Some((Meaning::Byte(byte), 2));
    match rest.get(1)? {
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'x' => {
            let code = number(rest.get(2..4)?, 16)?;
            Some((Meaning::Byte(u8::try_from(code).ok()?), 4))
        }
        b'u' => unicode(rest),
        other @ (b'\\' | b'/' | b'"' | b'\'') => byte(*other),
        _ => None,
    }
}

/// `\uXXXX`, or two of them that are one character.
fn unicode(rest: &[u8]) -> Escape {
    let unit = |at: usize| {
        rest.get(at..at + 2).filter(|start| *start == b"\\u")?;
        number(rest.get(at + 2..at + 6)?, 16)
    };
    let high = unit(0)?;
    if let Some(c) = char::from_u32(high) {
        return Some((Meaning::Char(c), 6));
    }
    let low = unit(6).filter(|low| (0xdc00..0xe000).contains(low))?;
    let pair = 0x10000 + ((high & 0x3ff) << 10) + (low & 0x3ff);
    Some((Meaning::Char(char::from_u32(pair)?), 12))
}

fn entity(rest: &[u8]) -> Escape {
    const LONGEST: usize = 10;
    const NAMED: [(&[u8], char); 5] = [
        (b"amp", '&'),
        (b"lt", '<'),
        (b"gt", '>'),
        (b"quot", '"'),
        (b"apos", '\''),
    ];
    let end = rest.iter().take(LONGEST).position(|byte| *byte == b';')?;
    let c = match &rest[1..end] {
        [b'#', b'x', digits @ ..] => char::from_u32(number(digits, 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
        name => NAMED.iter().find(|(known, _)| *known == name)?.1,
    };
    Some((Meaning::Char(c), end + 1))
}

fn number(digits: &[u8], radix: u32) -> Option<u32> {
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    u32::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let view = decoded(&View::of(text.as_bytes())).expect("something to decode");
        assert_eq!(String::from_utf8_lossy(view.bytes()), expected, "{text}");
        let whole = view.original(0..view.bytes().len());
        assert_eq!(whole, 0..text.len());
    }

    #[test]
    fn escapes_are_decoded_and_lookalikes_kept() {
        check("A%2fb%2Fc", "a/b/c");
        check("100% %zz %4", "100% %zz %4");
        check(r#"a\"b\\c\/d\u0041\n"#, "a\"b\\c/da\n");
        check(r"\ud83d\ude00 \ud83d \uzzzz \q", "😀 \\ud83d \\uzzzz \\q");
        check("&amp;&lt;&#x41;&#66;&none;&", "&<ab&none;&");
    }

    #[test]
    fn places_lead_back_through_two_views() {
        let text = br"x\u0025411";
        let once = decoded(&View::of(text)).expect("once");
        assert_eq!(once.bytes(), b"x%411");
        let twice = decoded(&once).expect("twice");
        assert_eq!(twice.bytes(), b"xa1");
        assert_eq!(twice.original(1..2), 1..9);
        let squeezed = squeezed(&View::of(b"4 1:\r\n4")).expect("filler");
        assert_eq!(squeezed.bytes(), b"414");
        assert_eq!(squeezed.original(1..3), 2..7);
        assert_eq!(squeezed.original(0..2), 0..3);
    }
}
