//! Patterns for names: `*` stands for any text, `?` for one character, everything else for itself.

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// Every text is a pattern.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.chars().collect())
    }

    /// Whether the whole text fits. Takes time in proportion to pattern times text at worst.
    pub fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (&self.0, text.chars().collect::<Vec<_>>());
        let (mut p, mut t) = (0, 0);
        // Where the newest `*` stands, and how much of the text it stands for so far. A longer earlier one would not
        // fit where this one does not.
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some('*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(c) if *c == '?' || *c == text[t] => {
                    p += 1;
                    t += 1;
                }
                _ => match star {
                    Some((at, from)) => {
                        star = Some((at, from + 1));
                        (p, t) = (at + 1, from + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, fits, fits_not) in [
            ("db-*", &["db-", "db-01"][..], &["adb-1", "db"][..]),
            ("*db*", &["db", "ppdb01"], &["d-b"]),
            ("a?c", &["abc", "aüc"], &["ac", "abbc"]),
            ("*a*b", &["ab", "xaxbxb"], &["ba", "aba"]),
            ("*", &["", "x"], &[]),
            ("", &[""], &["x"]),
            ("[a]", &["[a]"], &["a"]),
        ] {
            for text in fits {
                assert!(Glob::new(pattern).fits(text), "{pattern} {text}");
            }
            for text in fits_not {
                assert!(!Glob::new(pattern).fits(text), "{pattern} {text}");
            }
        }
    }

    /// The definition, which takes exponential time.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['*', rest @ ..] => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            [c, rest @ ..] => {
                !text.is_empty() && (*c == '?' || *c == text[0]) && by_definition(rest, &text[1..])
            }
        }
    }

    proptest! {
        #[test]
        fn as_defined(pattern in "[ab?*]{0,7}", text in "[ab]{0,8}") {
            let definition = by_definition(
                &pattern.chars().collect::<Vec<_>>(),
                &text.chars().collect::<Vec<_>>(),
            );
            prop_assert_eq!(Glob::new(&pattern).fits(&text), definition);
        }
    }
}
