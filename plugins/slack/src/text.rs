//! Text as Slack wants it: `&`, `<` and `>` escaped, so that no server's name becomes a link or a mention; limits in
//! characters *after* escaping.

use argus_formats::text::shortened;

/// A text object's content, never empty, at most `limit` long, without control characters other than line breaks.
pub fn escaped(text: &str, limit: usize) -> String {
    let clean: String = text
        .chars()
        .filter(|c| !c.is_control() || *c == '\n')
        .collect();
    let clean = match clean.trim() {
        "" => "–",
        clean => clean,
    };
    let mut escaped = String::with_capacity(clean.len());
    for c in shortened(clean, limit, size).chars() {
        match entity(c) {
            Some(entity) => escaped.push_str(entity),
            None => escaped.push(c),
        }
    }
    escaped
}

/// The same on one line.
pub fn one_line(text: &str, limit: usize) -> String {
    escaped(&text.replace('\n', " "), limit)
}

/// A time that Slack shows in each reader's own zone.
pub fn local_time(ms: i64, otherwise: &str) -> String {
    let seconds = ms.div_euclid(1000);
    format!(
        "<!date^{seconds}^{{date_short_pretty}} {{time}}|{}>",
        escaped(otherwise, 100)
    )
}

fn entity(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    }
}

/// Slack counts characters; counting UTF-16 units is on the safe side of whatever it means by that.
fn size(c: char) -> usize {
    entity(c).map_or(c.len_utf16(), str::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            escaped("<!channel> a&b <https://evil|x>", 100),
            "&lt;!channel&gt; a&amp;b &lt;https://evil|x&gt;"
        );
        assert_eq!(one_line("a\nb\u{7}\r", 100), "a b");
        assert_eq!(escaped("\u{0} \n", 100), "–");
    }

    #[test]
    fn limits_hold_after_escaping_and_no_entity_is_cut() {
        assert_eq!(escaped("&&&&", 12), "&amp;&amp;…");
        assert_eq!(escaped(&"<".repeat(5000), 3000).len() / 4, 749);
        let long = escaped(&"😀".repeat(100), 150);
        assert!(long.encode_utf16().count() <= 150, "{long}");
    }
}
