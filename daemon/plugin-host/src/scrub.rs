//! Blanks secrets out of what comes back from a far side.
//!
//! A far side that echoes what it was sent, or quotes it in an error, must not hand a plugin the secret that the host
//! filled in. Echoes come re-encoded and cut off, so an answer is searched in several *views* — as it is, with escapes
//! decoded once and twice, without white space — for the secret in every usual encoding, and for pieces of it. What is
//! found is blanked where it stands in the answer itself.
//!
//! This is a net for honest servers. One that helps a plugin on purpose can say a secret in ways nobody foresees, but
//! such a server has been given the secret anyway.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;

use crate::escape::{Escape, escaped};
use crate::unescape::{View, decoded, squeezed};

/// Stands where a secret stood.
pub(crate) const BLANK: &str = "[secret]";
/// Derived forms shorter than this would blank innocent text.
const SHORTEST_DERIVED: usize = 8;
/// So much of a secret in one piece is blanked, even where the rest is cut off.
const PIECE: usize = 12;

/// Finds secrets in any usual form.
#[derive(Default)]
pub(crate) struct Scrubber {
    /// Forms too short to be cut in pieces.
    short: Vec<Vec<u8>>,
    pieces: HashSet<[u8; PIECE]>,
    /// Which beginnings of pieces there are, to pass over text quickly.
    beginnings: Beginnings,
}

impl Scrubber {
    /// A scrubber for these secrets.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut scrubber = Self::default();
        let forms: HashSet<Vec<u8>> = values.flat_map(forms_of).collect();
        for form in forms {
            match form.len() {
                0 => {}
                1..PIECE => scrubber.short.push(form),
                _ => {
                    for piece in form.array_windows::<PIECE>() {
                        scrubber.beginnings.add(piece);
                        scrubber.pieces.insert(*piece);
                    }
                }
            }
        }
        scrubber
    }

    /// Blanks everything that is, or is a piece of, a secret. Letters match in either case.
    pub(crate) fn scrub<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.pieces.is_empty() && self.short.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut found = Vec::new();
        let raw = View::of(bytes);
        let once = decoded(&raw);
        let twice = once.as_ref().and_then(decoded);
        for view in [Some(&raw), once.as_ref(), twice.as_ref()]
            .into_iter()
            .flatten()
        {
            self.search(view, &mut found);
            if let Some(squeezed) = squeezed(view) {
                self.search(&squeezed, &mut found);
            }
        }
        if found.is_empty() {
            return Cow::Borrowed(bytes);
        }
        Cow::Owned(blanked(bytes, found))
    }

    /// Like [`scrub`](Scrubber::scrub), for text.
    pub(crate) fn scrub_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.scrub(text.as_bytes())).into_owned()
    }

    fn search(&self, view: &View, found: &mut Vec<Range<usize>>) {
        let text = view.bytes();
        for form in &self.short {
            found
                .extend(memmem::find_iter(text, form).map(|at| view.original(at..at + form.len())));
        }
        for (at, piece) in text.array_windows::<PIECE>().enumerate() {
            if self.beginnings.may_have(piece) && self.pieces.contains(piece) {
                found.push(view.original(at..at + PIECE));
            }
        }
    }
}

fn blanked(bytes: &[u8], mut found: Vec<Range<usize>>) -> Vec<u8> {
    found.sort_unstable_by_key(|range| (range.start, range.end));
    let mut clean = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    let mut ranges = found.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
            range.end = range.end.max(next.end);
        }
        clean.extend_from_slice(&bytes[copied..range.start.max(copied)]);
        clean.extend_from_slice(BLANK.as_bytes());
        copied = range.end;
    }
    clean.extend_from_slice(&bytes[copied..]);
    clean
}

/// The forms a far side is likely to say a secret in, in lower case.
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let plain = value.as_bytes().to_vec();
    let mut derived = vec![
        escaped(value, Escape::Json).into_bytes(),
        escaped(value, Escape::Form).into_bytes(),
        escaped(value, Escape::Path).into_bytes(),
        // A form's space.
        value.replace(' ', "+").into_bytes(),
        value.bytes().rev().collect(),
        hexadecimal(value.as_bytes()).into_bytes(),
    ];
    derived.extend(base64_forms(value.as_bytes()));
    derived.extend(credentials(value));
    // Where the value itself looks escaped, decoding the answer decodes the value with it.
    let unescaped: Vec<_> = derived
        .iter()
        .chain([&plain])
        .filter_map(|form| Some(decoded(&View::of(form))?.bytes().to_vec()))
        .collect();
    derived.extend(unescaped);
    let unspaced: Vec<_> = derived
        .iter()
        .chain([&plain])
        .filter_map(|form| Some(squeezed(&View::of(form))?.bytes().to_vec()))
        .collect();
    derived.extend(unspaced);
    derived.retain(|form| form.len() >= SHORTEST_DERIVED);
    derived.push(plain);
    for form in &mut derived {
        form.make_ascii_lowercase();
    }
    derived
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Base64 at each of the three alignments, as in `Basic` credentials, where a user name stands before the secret.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for offset in 0..3 {
        let padded = [&[0_u8; 2][..offset], value].concat();
        // Characters that also depend on the neighbours are cut off.
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            forms.extend(
                encoded
                    .get(first..last)
                    .map(|form| form.as_bytes().to_vec()),
            );
        }
    }
    forms
}

/// What stands behind a secret that is itself `user:password` in base64.
fn credentials(value: &str) -> Vec<Vec<u8>> {
    let encoded = value.strip_prefix("Basic ").unwrap_or(value);
    let Some(text) = STANDARD
        .decode(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .filter(|text| !text.chars().any(char::is_control))
    else {
        return Vec::new();
    };
    let password = text
        .split_once(':')
        .map(|(_, password)| password.to_owned());
    [Some(text), password]
        .into_iter()
        .flatten()
        .map(String::into_bytes)
        .collect()
}

/// A set of the first four bytes of pieces; may say yes where it should say no.
struct Beginnings(Vec<u64>);

const BITS: u32 = 16;

impl Default for Beginnings {
    fn default() -> Self {
        Self(vec![0; (1 << BITS) / 64])
    }
}

impl Beginnings {
    fn bit(piece: &[u8; PIECE]) -> usize {
        let [a, b, c, d, ..] = *piece;
        // Multiplicative hashing: the high bits of a product with 2^32 divided by the golden ratio.
        let hash = u32::from_le_bytes([a, b, c, d]).wrapping_mul(0x9e37_79b9);
        (hash >> (32 - BITS)) as usize
    }

    fn add(&mut self, piece: &[u8; PIECE]) {
        let bit = Self::bit(piece);
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn may_have(&self, piece: &[u8; PIECE]) -> bool {
        let bit = Self::bit(piece);
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "s3cr3t/v@lue+\"mo re\"&<100%25>";

    fn scrub(value: &str, text: &str) -> String {
        Scrubber::new([value].into_iter()).scrub_text(text)
    }

    #[track_caller]
    fn check_blanked(value: &str, echo: &str) {
        let scrubbed = scrub(value, &format!("before {echo} after"));
        assert!(scrubbed.contains(BLANK), "{echo} -> {scrubbed}");
        assert!(
            scrubbed.starts_with("before ") && scrubbed.ends_with(" after"),
            "{scrubbed}"
        );
        let rest = scrubbed.replace(BLANK, "");
        for piece in value.as_bytes().windows(6) {
            let piece = String::from_utf8_lossy(piece);
            assert!(!rest.contains(&*piece), "{piece} of {echo} -> {scrubbed}");
        }
    }

    fn percent_all(text: &str) -> String {
        text.bytes().map(|b| format!("%{b:02x}")).collect()
    }

    fn html(text: &str) -> String {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&#x3E;")
            .replace('"', "&#34;")
    }

    fn json(text: &str) -> String {
        escaped(text, Escape::Json)
    }

    #[test]
    fn every_usual_encoding_is_seen_through() {
        let unicode: String = VALUE
            .chars()
            .map(|c| format!("\\u{:04X}", c as u32))
            .collect();
        let wide: String = VALUE.chars().flat_map(|c| [c, '\0']).collect();
        let spaced: String = VALUE.bytes().map(|b| format!("{b:02X} ")).collect();
        for echo in [
            VALUE.to_owned(),
            VALUE.to_uppercase(),
            VALUE.chars().rev().collect(),
            percent_all(VALUE),
            escaped(VALUE, Escape::Form),
            escaped(VALUE, Escape::Form).replace("%20", "+"),
            escaped(&escaped(VALUE, Escape::Form), Escape::Form),
            json(VALUE),
            json(VALUE).replace('/', "\\/"),
            json(&json(VALUE)),
            json(&escaped(VALUE, Escape::Form)),
            unicode,
            html(VALUE),
            html(&json(VALUE)),
            wide,
            hexadecimal(VALUE.as_bytes()),
            spaced.trim_end().to_owned(),
            spaced.trim_end().replace(' ', ":"),
        ] {
            check_blanked(VALUE, &echo);
        }
    }

    #[test]
    fn base64_is_seen_through_wherever_the_secret_stands_in_it() {
        for user in ["", "u", "us", "use", "user:", "longer:"] {
            for (before, after) in [(user, ""), (user, ":after"), (user, "\nand more")] {
                let text = format!("{before}{VALUE}{after}");
                check_blanked(VALUE, &STANDARD_NO_PAD.encode(&text));
                check_blanked(VALUE, &URL_SAFE_NO_PAD.encode(&text));
                let lines: Vec<String> = STANDARD
                    .encode(&text)
                    .as_bytes()
                    .chunks(20)
                    .map(|line| String::from_utf8_lossy(line).into_owned())
                    .collect();
                check_blanked(VALUE, &lines.join("\r\n"));
                check_blanked(VALUE, &lines.join("\\n"));
            }
        }
    }

    #[test]
    fn what_a_basic_credential_says_is_secret_too() {
        let login = STANDARD.encode("argus:open sesame now");
        for secret in [login.clone(), format!("Basic {login}")] {
            let told = scrub(&secret, "wrong password \"open sesame now\" of argus");
            assert_eq!(told, "wrong password \"[secret]\" of argus");
        }
    }

    #[test]
    fn pieces_are_blanked_and_lookalikes_are_not() {
        let token = "xoxb-17053216-2384751-kzvQzGh1wRcXtn8eUyPa";
        let cut = scrub(token, "you sent Bearer xoxb-17053216-2384…, which is wrong");
        assert_eq!(cut, "you sent Bearer [secret]…, which is wrong");
        let tail = scrub(token, "…1-kzvQzGh1wRcXtn8eUyPa");
        assert_eq!(tail, "…[secret]");
        let short = "a token that begins with xoxb-17053 or so";
        assert_eq!(scrub(token, short), short);
        assert_eq!(scrub("abc", "xabcx"), "x[secret]x");
        assert_eq!(scrub(token, "nothing here"), "nothing here");
    }

    #[test]
    fn a_megabyte_takes_milliseconds() {
        let scrubber = Scrubber::new(["xoxb-17053216-2384751-kzvQzGh1wRcXtn8eUyPa"].into_iter());
        let text = r#"{"message":"a line of an answer, \"quoted\" and %41 more"},"#.repeat(20_000);
        let started = std::time::Instant::now();
        assert!(matches!(scrubber.scrub(text.as_bytes()), Cow::Borrowed(_)));
        // Unoptimised and on a busy machine; a quadratic search would take minutes.
        assert!(started.elapsed() < std::time::Duration::from_secs(10));
    }

    proptest! {
        #[test]
        fn no_plain_secret_survives(before in ".{0,20}", value in "[ -~]{1,24}", after in ".{0,20}") {
            let scrubbed = scrub(&value, &format!("{before}{value}{after}"));
            // The blank itself may hold a very short secret.
            prop_assert!(!scrubbed.replace(BLANK, "").contains(&value) || value.len() < 4);
        }

        #[test]
        fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), value in ".{1,30}") {
            let scrubber = Scrubber::new([value.as_str()].into_iter());
            let _ = scrubber.scrub(&bytes);
        }
    }
}
