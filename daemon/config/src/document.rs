//! The text of one or several files as one TOML document, and the way from a path of keys to a place in a file.

use std::ops::Range;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};

use crate::errors::Problem;

/// One or several files joined into one text. Each file holds whole tables, so that joining keeps their meaning.
#[derive(Debug, Default)]
pub(crate) struct Document {
    text: String,
    files: Vec<(String, Range<usize>)>,
}

impl Document {
    /// Appends a file.
    pub fn push(&mut self, name: &str, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.text.push('\n');
        self.files.push((name.to_owned(), start..self.text.len()));
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// A problem at a place in the joined text. `hide` blanks the place in the text that is shown.
    pub fn problem(
        &self,
        span: Range<usize>,
        message: String,
        help: Option<String>,
        hide: bool,
    ) -> Problem {
        let (name, file) = self.file_at(span.start);
        let mut text = self.text.get(file.clone()).unwrap_or_default().to_owned();
        let start = span.start.clamp(file.start, file.end) - file.start;
        let end = span.end.clamp(file.start, file.end) - file.start;
        if hide && let Some(secret) = text.get(start..end) {
            let blanks: String = secret
                .chars()
                .map(|c| if c == '\n' { '\n' } else { '*' })
                .collect();
            text.replace_range(start..end, &blanks);
        }
        let before = text.get(..start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count()
            + 1;
        // A blank may be shorter in bytes than what it hides.
        let length = (end - start).min(text.len().saturating_sub(start));
        Problem {
            file: name.to_owned(),
            line,
            column,
            message,
            help,
            source: NamedSource::new(name, text).with_language("toml"),
            span: (start, length).into(),
        }
    }

    fn file_at(&self, offset: usize) -> (&str, Range<usize>) {
        let found = self
            .files
            .iter()
            .find(|(_, range)| range.contains(&offset))
            .or(self.files.last());
        found.map_or(("configuration", 0..self.text.len()), |(name, range)| {
            (name, range.clone())
        })
    }

    /// Place of the value at a path, or of its key where the value is a table; of the nearest table above it where
    /// the file does not mention it.
    pub fn locate(&self, path: &[String]) -> Range<usize> {
        let Ok(root) = DeTable::parse(&self.text) else {
            return 0..0;
        };
        let mut place = 0..0;
        let mut table = root.get_ref();
        for key in path {
            let Some((found, value)) = table.iter().find(|(k, _)| k.get_ref() == key) else {
                break;
            };
            match value.get_ref() {
                DeValue::Table(inner) => {
                    place = found.span();
                    table = inner;
                }
                _ => {
                    place = value.span();
                    break;
                }
            }
        }
        place
    }
}
