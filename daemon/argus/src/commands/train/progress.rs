//! Where a run is, for people and programs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use argus_tft::train::Progress;
use argus_training::Stage;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::output;

/// Least time between two replacements of the progress file.
const EVERY: Duration = Duration::from_secs(1);

/// Tells where a run is: a bar on a terminal, JSON lines elsewhere, and a JSON file where asked for.
pub struct Teller {
    bar: ProgressBar,
    max_steps: u64,
    stage: Option<&'static str>,
    file: Option<PathBuf>,
    written: Option<Instant>,
}

impl Teller {
    pub fn new(max_steps: u64, file: Option<PathBuf>) -> Self {
        Self {
            bar: ProgressBar::hidden(),
            max_steps,
            stage: None,
            file,
            written: None,
        }
    }

    pub fn tell(&mut self, stage: Stage<'_>) {
        match stage {
            Stage::Reading { rows, rows_total } => {
                self.enter("reading", rows_total, "rows");
                self.bar.set_position(rows);
                self.write(
                    false,
                    || json!({ "state": "reading", "rows": rows, "rows_total": rows_total }),
                );
            }
            Stage::Training(now) => {
                self.enter("training", self.max_steps, "steps");
                self.bar.set_position(now.step);
                self.bar.set_message(format!(
                    "{:.0} windows/s, loss {:.4}",
                    now.windows_per_sec(),
                    now.loss
                ));
                let facts = || facts(now);
                if now.is_milestone {
                    self.bar.suspend(|| output::note(facts()));
                }
                self.write(now.is_milestone, facts);
            }
            Stage::Scoring { trace } => {
                self.enter("scoring", 0, "");
                self.write(true, || json!({ "state": "scoring", "trace": trace }));
            }
        }
    }

    /// The run is over; `last` is the progress file's last content.
    pub fn end(&mut self, last: &Value) {
        self.bar.finish_and_clear();
        self.write(true, || last.clone());
    }

    fn enter(&mut self, stage: &'static str, total: u64, what: &str) {
        if self.stage != Some(stage) {
            self.stage = Some(stage);
            self.bar.finish_and_clear();
            self.bar = if total > 0 && output::is_terminal() {
                output::progress(total, what)
            } else {
                ProgressBar::hidden()
            };
        }
    }

    fn write(&mut self, at_once: bool, content: impl FnOnce() -> Value) {
        let Some(file) = &self.file else { return };
        if !at_once && self.written.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        self.written = Some(Instant::now());
        if let Err(error) = replace(file, &content()) {
            tracing::warn!(file = %file.display(), %error, "progress file could not be written");
            self.file = None;
        }
    }
}

fn facts(now: &Progress) -> Value {
    json!({
        "state": "training",
        "step": now.step, "steps": now.steps, "epoch": now.epoch, "windows": now.windows,
        "loss": now.loss, "validation_loss": now.validation_loss, "learning_rate": now.learning_rate,
        "windows_per_sec": now.windows_per_sec(),
        "elapsed_secs": now.elapsed.as_secs(), "remaining_secs": now.remaining().as_secs(),
    })
}

/// A reader sees the content before or this one, never half of it.
fn replace(file: &Path, content: &Value) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = file.with_file_name(name);
    std::fs::write(&partial, content.to_string())?;
    std::fs::rename(&partial, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_newest_stage_whole() {
        let dir = tempfile::tempdir().expect("is writable");
        let file = dir.path().join("progress.json");
        let mut teller = Teller::new(10, Some(file.clone()));
        let read = || -> Value {
            serde_json::from_slice(&std::fs::read(&file).expect("is written")).expect("is JSON")
        };
        teller.tell(Stage::Reading {
            rows: 5,
            rows_total: 50,
        });
        assert_eq!(read()["rows"], 5);
        let progress = Progress {
            step: 4,
            steps: 10,
            epoch: 1,
            windows: 128,
            loss: 0.5,
            is_milestone: true,
            validation_loss: Some(0.25),
            learning_rate: 1e-3,
            elapsed: Duration::from_secs(8),
        };
        teller.tell(Stage::Training(&progress));
        let told = read();
        assert_eq!(
            (&told["state"], &told["step"], &told["remaining_secs"]),
            (&json!("training"), &json!(4), &json!(12))
        );
        teller.end(&json!({ "state": "done" }));
        assert_eq!(read()["state"], "done");
        let left = std::fs::read_dir(dir.path()).expect("is readable").count();
        assert_eq!(left, 1);
    }
}
