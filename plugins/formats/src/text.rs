//! Lengths that services refuse to exceed.

/// The text, or as much of it as `limit` allows with an ellipsis at the end. `size` says what a character counts (1 for
/// characters, its bytes, its UTF-16 units, its length once escaped).
pub fn cut(text: &str, limit: usize, size: impl Fn(char) -> usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += size(c);
        if used > limit {
            return &text[..at];
        }
    }
    text
}

/// Like [`cut`], with `…` in place of what is missing.
pub fn shortened(text: &str, limit: usize, size: impl Fn(char) -> usize) -> String {
    let whole = cut(text, limit, &size);
    if whole.len() == text.len() {
        return text.to_owned();
    }
    let kept = cut(text, limit.saturating_sub(size('…')), &size);
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_longer_than_its_limit() {
        let utf16 = char::len_utf16;
        assert_eq!(shortened("abc", 3, utf16), "abc");
        assert_eq!(shortened("abcd", 3, utf16), "ab…");
        assert_eq!(shortened("😀😀", 4, utf16), "😀😀");
        assert_eq!(shortened("😀😀😀", 4, utf16), "😀…");
        assert_eq!(shortened("äöü", 5, char::len_utf8), "ä…");
        assert_eq!(shortened("abc", 0, |_| 1), "…");
        assert_eq!(cut("", 0, |_| 1), "");
    }
}
