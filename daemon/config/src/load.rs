//! From files to a checked [`Config`].

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::DeTable;

use crate::check::Checker;
use crate::document::Document;
use crate::errors::{ConfigError, Problem};
use crate::{Config, suggest};

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
    let problems = checker
        .findings
        .into_iter()
        .map(|f| document.problem(document.locate(&f.path), f.message, f.help))
        .collect();
    Err(ConfigError::Invalid { problems })
}

fn check_syntax(document: &Document) -> Result<(), ConfigError> {
    let (_, errors) = DeTable::parse_recoverable(document.text());
    if errors.is_empty() {
        return Ok(());
    }
    let problems = errors
        .iter()
        .take(5)
        .map(|error| {
            document.problem(
                span_of(error),
                error.message().to_owned(),
                syntax_help(error.message()),
            )
        })
        .collect();
    Err(ConfigError::Invalid { problems })
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
            let problem = document.problem(offset..offset + content.len(), message, help);
            return Err(ConfigError::Invalid {
                problems: vec![problem],
            });
        }
        offset += line.len();
    }
    Ok(())
}

fn deserialize(document: &Document) -> Result<Config, ConfigError> {
    let invalid = |problem: Problem| ConfigError::Invalid {
        problems: vec![problem],
    };
    let deserializer = toml::Deserializer::parse(document.text())
        .map_err(|e| invalid(document.problem(span_of(&e), e.message().to_owned(), None)))?;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
    Config::deserialize(tracked).map_err(|error| {
        let path = track.path().to_string();
        let (message, help) = explain(error.message(), &path);
        invalid(document.problem(span_of(&error), message, help))
    })
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
    if message.starts_with("missing field") {
        let word = quoted.next().unwrap_or_default();
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
