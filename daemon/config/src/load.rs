//! From files to a checked [`Config`].

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_path_to_error::Segment;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::check::Checker;
use crate::document::Document;
use crate::errors::ConfigError;
use crate::{Config, suggest};

/// Most problems of one kind that are told at once.
const MAX_PROBLEMS: usize = 20;

impl Config {
    /// Reads a file, or every `*.toml` of a directory in the order of their names. Beside a file `argus.toml`, the
    /// fragments in a directory `argus.d` are read too.
    ///
    /// # Errors
    /// When something cannot be read or is not valid; then all problems found are told with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (base, files) = files_of(path)?;
        let mut texts = Vec::with_capacity(files.len());
        for file in files {
            let text = fs::read_to_string(&file).map_err(|source| ConfigError::Read {
                path: file.clone(),
                source,
            })?;
            texts.push((file.display().to_string(), text));
        }
        let mut config = parse(&texts)?;
        config.base_dir = base;
        Ok(config)
    }

    /// Reads a text; `name` stands for the file in messages. Relative paths are left relative to the current
    /// directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_toml_str(name: &str, text: &str) -> Result<Self, ConfigError> {
        parse(&[(name.to_owned(), text.to_owned())])
    }
}

/// The directory that relative paths start from, and the files to read.
fn files_of(path: &Path) -> Result<(PathBuf, Vec<PathBuf>), ConfigError> {
    if path.is_dir() {
        return Ok((path.to_owned(), fragments(path)?));
    }
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    let mut files = vec![path.to_owned()];
    let beside = path.with_extension("d");
    if beside.is_dir() {
        files.extend(fragments(&beside)?);
    }
    Ok((base, files))
}

fn fragments(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let read_error = |source| ConfigError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(read_error)? {
        let file = entry.map_err(read_error)?.path();
        if file.extension().is_some_and(|e| e == "toml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn parse(files: &[(String, String)]) -> Result<Config, ConfigError> {
    let mut document = Document::default();
    for (position, (name, text)) in files.iter().enumerate() {
        let mut alone = Document::default();
        alone.push(name, text);
        check_syntax(&alone)?;
        if position > 0 {
            check_fragment(&alone)?;
        }
        document.push(name, text);
    }
    // Only joined files can still clash: two of them holding the same table.
    check_syntax(&document)?;
    let config = deserialize(&document)?;

    let mut checker = Checker::default();
    config.check(&mut checker);
    if checker.findings.is_empty() {
        return Ok(config);
    }
    let found = checker.findings.into_iter();
    let found = found.map(|f| (document.locate(&f.path), f.message, f.help));
    Err(invalid(&document, found.collect()))
}

/// A place in the text, what is wrong there, what to do.
type Mistake = (Range<usize>, String, Option<String>);

/// In the order of the text.
fn invalid(document: &Document, mut mistakes: Vec<Mistake>) -> ConfigError {
    mistakes.sort_by_key(|(span, ..)| span.start);
    let problems = (mistakes.into_iter())
        .map(|(span, message, help)| document.problem(span, message, help))
        .collect();
    ConfigError::Invalid { problems }
}

fn check_syntax(document: &Document) -> Result<(), ConfigError> {
    let (_, errors) = DeTable::parse_recoverable(document.text());
    if errors.is_empty() {
        return Ok(());
    }
    let mistakes = errors.iter().take(MAX_PROBLEMS).map(|error| {
        let message = error.message();
        (span_of(error), message.to_owned(), syntax_help(message))
    });
    Err(invalid(document, mistakes.collect()))
}

fn syntax_help(message: &str) -> Option<String> {
    let help = if message.contains("duplicate key") {
        "each key and each [table] may stand once, over all files"
    } else if message.contains("string") || message.contains("quote") {
        "texts stand in quotes: key = \"text\""
    } else {
        return None;
    };
    Some(help.to_owned())
}

/// A fragment is appended to what precedes it, so a key before its first `[table]` would land in another file's table.
fn check_fragment(document: &Document) -> Result<(), ConfigError> {
    let mut offset = 0;
    for line in document.text().split_inclusive('\n') {
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            if content.starts_with('[') {
                return Ok(());
            }
            let message = "a key stands before the first [table] of a fragment".to_owned();
            let help = Some("begin the fragment with the table that the key belongs to".to_owned());
            let place = offset..offset + content.len();
            return Err(invalid(document, vec![(place, message, help)]));
        }
        offset += line.len();
    }
    Ok(())
}

/// What has a wrong type or an unknown name is told and left out, until the rest fits: each mistake is found once, but for
/// those in a table, or list of tables, that cannot do without what was left out, and those beyond [`MAX_PROBLEMS`].
fn deserialize(document: &Document) -> Result<Config, ConfigError> {
    let (root, _) = DeTable::parse_recoverable(document.text());
    let (place, mut rest) = (root.span(), root.into_inner());
    let mut mistakes = Vec::new();
    let mut left_out = BTreeSet::new();
    loop {
        let deserializer = toml::Deserializer::from(Spanned::new(place.clone(), rest.clone()));
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        let error = match Config::deserialize(tracked) {
            Ok(config) if mistakes.is_empty() => return Ok(config),
            Ok(_) => break,
            Err(error) => error,
        };
        let path = track.path();
        let steps: Vec<Step> = (path.iter())
            .map_while(|segment| match segment {
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Seq { index } => Some(Step::Index(*index)),
                _ => None,
            })
            .collect();
        let is_missed = |field: &str| {
            let mut steps = steps.clone();
            steps.push(Step::Key(field.to_owned()));
            left_out.contains(&steps)
        };
        if !missing_field(error.message()).is_some_and(is_missed) {
            let (message, help) = explain(error.message(), &path.to_string());
            mistakes.push((span_of(&error), message, help));
        }
        let Some(removed) = leave_out(&mut rest, &steps) else {
            break;
        };
        left_out.insert(steps[..removed].to_vec());
        if mistakes.len() == MAX_PROBLEMS {
            break;
        }
    }
    Err(invalid(document, mistakes))
}

/// A step of a path into the text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// Removes what a path leads to; says how many of its steps lead to what was removed, `None` where nothing was there. An
/// item is not removed alone, but with its list: what comes after it would get its place.
fn leave_out(table: &mut DeTable<'_>, path: &[Step]) -> Option<usize> {
    let Some((Step::Key(key), rest)) = path.split_first() else {
        return None;
    };
    let inner = match (table.get_mut(key.as_str()).map(Spanned::get_mut), rest) {
        (Some(DeValue::Table(inner)), [_, ..]) => Some((inner, rest)),
        (Some(DeValue::Array(items)), [Step::Index(index), rest @ ..]) if !rest.is_empty() => {
            match items.get_mut(*index).map(Spanned::get_mut) {
                Some(DeValue::Table(inner)) => Some((inner, rest)),
                _ => None,
            }
        }
        _ => None,
    };
    match inner {
        Some((inner, rest)) => Some(path.len() - rest.len() + leave_out(inner, rest)?),
        None => table.remove(key.as_str()).map(|_| 1),
    }
}

/// The field that serde misses.
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.strip_suffix('`')
}

fn span_of(error: &toml::de::Error) -> Range<usize> {
    error.span().unwrap_or(0..0)
}

/// Serde's message in the words of the file's author, and what to do about it.
fn explain(message: &str, path: &str) -> (String, Option<String>) {
    let place = path.rsplit_once('.').map_or(path, |(table, _)| table);
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") {
        let word = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let table = if path.contains('.') {
            format!(" in [{place}]")
        } else {
            String::new()
        };
        let what = if table.is_empty() {
            "section or key"
        } else {
            "key"
        };
        return (
            format!("unknown {what} `{word}`{table}"),
            Some(suggest::offer(word, known)),
        );
    }
    if message.starts_with("unknown variant") {
        let word = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        return (
            format!("`{path}` cannot be `{word}`"),
            Some(suggest::offer(word, known)),
        );
    }
    if let Some(word) = missing_field(message) {
        return (
            format!("`{path}` lacks `{word}`"),
            Some(format!("add `{word} = …`")),
        );
    }
    if let Some((found, expected)) = message
        .strip_prefix("invalid ")
        .and_then(|m| m.split_once(", expected "))
    {
        let found = found
            .trim_start_matches("type: ")
            .trim_start_matches("value: ")
            .trim_start_matches("length ");
        let help = unit_help(found, path);
        return (
            format!("`{path}` cannot be {found}: expected {}", plain(expected)),
            help,
        );
    }
    (message.to_owned(), None)
}

/// Rust's names of types in plain words.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "a text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        other => other,
    }
}

/// People write `"5m"`; the unit is in the key's name.
fn unit_help(found: &str, path: &str) -> Option<String> {
    let unit = match path.rsplit('_').next()? {
        "secs" => "seconds",
        "bytes" => "bytes",
        "days" => "days",
        "mb" => "megabytes",
        _ => return None,
    };
    found
        .starts_with("string")
        .then(|| format!("the unit is in the name: write the number of {unit}, without quotes"))
}
