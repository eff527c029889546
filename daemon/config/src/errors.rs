//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
    SourceSpan,
};

/// Why there is no usable configuration.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigError {
    /// A file or directory cannot be read.
    #[error("cannot read configuration `{}`: {source}", path.display())]
    #[diagnostic(help("give the path of a TOML file, or of a directory of them"))]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is there, but something in it is wrong.
    #[error("{}", list(problems))]
    Invalid {
        /// What one gate found, in the order of the text.
        #[related]
        problems: Vec<Problem>,
    },
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::one_line).collect();
    lines.join("\n")
}

impl ConfigError {
    /// Everything drawn for people: the lines themselves, marks, advice. For a terminal; logs get [`Display`].
    ///
    /// [`Display`]: fmt::Display
    pub fn drawing(&self, colored: bool) -> String {
        let theme = if colored {
            GraphicalTheme::unicode()
        } else {
            GraphicalTheme::unicode_nocolor()
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(110);
        let mut drawing = String::new();
        for problem in self.problems() {
            // Writing into a String cannot fail.
            let _ = handler.render_report(&mut drawing, problem);
        }
        if drawing.is_empty() {
            self.to_string()
        } else {
            drawing
        }
    }

    /// What is wrong in the text; empty when it could not be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid { problems } => problems,
            Self::Read { .. } => &[],
        }
    }
}

/// One thing that is wrong, with its place. As a [`Diagnostic`] it shows the line itself, secrets blanked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    pub(crate) text: NamedSource<String>,
    pub(crate) span: SourceSpan,
}

impl Problem {
    /// The file's name as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// Column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// `file:line:column: message; help`, for logs.
    pub fn one_line(&self) -> String {
        let help = self
            .help
            .as_ref()
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        format!(
            "{}:{}:{}: {}{help}",
            self.file, self.line, self.column, self.message
        )
    }
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            Some("here".to_owned()),
            self.span,
        ))))
    }
}
