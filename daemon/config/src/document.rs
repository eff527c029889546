//! The text of one or several files as one TOML document, and the way from a path of keys to a place in a file.

use std::ops::Range;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};

use crate::errors::Problem;
use crate::target::SECRET_HEADERS;

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

    /// A problem at a place in the joined text.
    pub fn problem(&self, span: Range<usize>, message: String, help: Option<String>) -> Problem {
        let (name, file) = self.file_at(span.start);
        let shown = self.without_secrets();
        let text = shown.get(file.clone()).unwrap_or_default().to_owned();
        let start = span.start.clamp(file.start, file.end) - file.start;
        let end = span.end.clamp(file.start, file.end) - file.start;
        let before = text.get(..start).unwrap_or_default();
        Problem {
            file: name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count()
                + 1,
            message,
            help,
            text: NamedSource::new(name, text),
            span: (start, end - start).into(),
        }
    }

    /// The text with stars over values that may be secrets, offsets unchanged. A problem shows the lines around it, so
    /// a secret must be hidden even where the mistake is in another line.
    fn without_secrets(&self) -> String {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        let mut spans = Vec::new();
        collect_secrets(root.get_ref(), "", &mut spans);
        let mut shown = self.text.clone();
        for span in spans {
            if let Some(secret) = self.text.get(span.clone()) {
                let stars: String = secret
                    .chars()
                    .map(|c| {
                        if c == '\n' {
                            "\n".to_owned()
                        } else {
                            "*".repeat(c.len_utf8())
                        }
                    })
                    .collect();
                shown.replace_range(span, &stars);
            }
        }
        shown
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
        let mut keys = path.iter();
        while let Some(key) = keys.next() {
            let Some((found, value)) = table.iter().find(|(k, _)| k.get_ref() == key) else {
                break;
            };
            match value.get_ref() {
                DeValue::Table(inner) => {
                    place = found.span();
                    table = inner;
                }
                // `[[routes]]`: the next key is a position.
                DeValue::Array(items) => {
                    place = value.span();
                    let item = keys
                        .next()
                        .and_then(|at| items.get(at.parse::<usize>().ok()?));
                    let Some(item) = item else { break };
                    place = item.span();
                    let DeValue::Table(inner) = item.get_ref() else {
                        break;
                    };
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

/// Places of values that may be secrets: literals under `secrets`, headers made for secrets, URLs with credentials.
fn collect_secrets(table: &DeTable<'_>, parent: &str, spans: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let name = key.get_ref().to_ascii_lowercase();
        match value.get_ref() {
            DeValue::Table(inner) => collect_secrets(inner, key.get_ref(), spans),
            DeValue::String(text) => {
                let literal_header =
                    SECRET_HEADERS.contains(&name.as_str()) && !text.contains("{{secret:");
                let has_credentials = name == "url" && text.contains('@');
                if parent == "secrets" || literal_header || has_credentials {
                    spans.push(value.span());
                }
            }
            _ if parent == "secrets" => spans.push(value.span()),
            _ => {}
        }
    }
}
