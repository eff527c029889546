//! The game whose value is shared out: players are present, or replaced by what is typical.

use std::collections::BTreeMap;
use std::ops::Range;

use argus_asked::Target;
use argus_plugin::Error;
use argus_plugin::model::{EVERY_METRIC, Edit, Window};

/// A set of players, one bit each: set where the subject's own values are there.
pub type Coalition = u32;

/// So many players have a coalition each.
pub const MOST_PLAYERS: usize = 31;

/// A part of the window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Player {
    /// A metric's name, or a segment's.
    pub name: String,
    /// The metric, or [`EVERY_METRIC`].
    pub metric: u32,
    /// Its context steps.
    pub steps: Range<u32>,
}

/// The model over coalitions, each evaluated once.
pub struct Game<'a> {
    window: &'a Window,
    target: &'a Target,
    players: Vec<Player>,
    known: BTreeMap<Coalition, f64>,
    evaluations: u32,
}

impl<'a> Game<'a> {
    /// A game of at most [`MOST_PLAYERS`] that was not played yet.
    pub fn new(window: &'a Window, target: &'a Target, players: Vec<Player>) -> Self {
        Self {
            window,
            target,
            players,
            known: BTreeMap::new(),
            evaluations: 0,
        }
    }

    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// All players: the window as it is.
    pub fn everybody(&self) -> Coalition {
        (1 << self.players.len()) - 1
    }

    /// How often the model has run.
    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// How many of these coalitions would have to be evaluated.
    pub fn unknown(&self, coalitions: &[Coalition]) -> u32 {
        let mut new: Vec<&Coalition> = coalitions.iter().collect();
        new.retain(|coalition| !self.known.contains_key(coalition));
        new.sort_unstable();
        new.dedup();
        new.len() as u32
    }

    /// Evaluates what is not known yet of these, as one batch.
    ///
    /// # Errors
    /// The model's, or `no_prediction` where it gives no number.
    pub fn play(&mut self, coalitions: &[Coalition]) -> Result<(), Error> {
        let mut new = coalitions.to_vec();
        new.retain(|coalition| !self.known.contains_key(coalition));
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let mut edits = Vec::new();
        for (variant, coalition) in (0..).zip(&new) {
            let absent = (0..)
                .zip(&self.players)
                .filter(|(bit, _)| coalition & (1 << bit) == 0);
            edits.extend(absent.map(|(_, p)| Edit::typical(variant, p.metric, p.steps.clone())));
        }
        let variants = new.len() as u32;
        let outputs = [self.target.output.clone()];
        let values = self.window.predict(variants, &edits, &[], &outputs)?;
        if values.iter().any(|value| value.is_nan()) {
            return Err(self.target.not_given());
        }
        self.evaluations += variants;
        self.known
            .extend(new.into_iter().zip(values.into_iter().map(f64::from)));
        Ok(())
    }

    /// The value of a coalition that was played.
    pub fn value(&self, coalition: Coalition) -> f64 {
        self.known.get(&coalition).copied().unwrap_or(f64::NAN)
    }
}

/// Metrics whose context differs from what is typical; the others have nothing to add.
///
/// # Errors
/// The model's.
pub fn metrics(window: &Window) -> Result<Vec<Player>, Error> {
    let shape = window.shape();
    let mut players = Vec::new();
    for (metric, name) in (0..).zip(shape.metric_names()) {
        let (own, typical) = (window.values(metric)?, window.typical(metric)?);
        let differs = |(a, b): (&f32, &f32)| a != b && !(a.is_nan() && b.is_nan());
        if own.iter().zip(&typical).any(differs) {
            players.push(Player {
                name: name.to_owned(),
                metric,
                steps: 0..shape.context_steps,
            });
        }
    }
    Ok(players)
}

/// Parts of the context, newest first: the last 6 steps, the 6 before, then each as long as all after it.
pub fn segments(context_steps: u32, step_secs: u32) -> Vec<Player> {
    let mut players = Vec::new();
    let (mut newer, mut end) = (0, context_steps);
    while end > 0 {
        let length = if newer == 0 { 6 } else { newer };
        let start = end.saturating_sub(length);
        let reach = argus_asked::span(context_steps - start, step_secs);
        players.push(Player {
            name: match newer {
                0 => format!("last {reach}"),
                newer => format!("{} to {reach} ago", argus_asked::span(newer, step_secs)),
            },
            metric: EVERY_METRIC,
            steps: start..end,
        });
        (newer, end) = (context_steps - start, start);
    }
    players
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_double_and_cover_the_context() {
        let found = segments(288, 300);
        let told: Vec<(&str, Range<u32>)> = found
            .iter()
            .map(|p| (p.name.as_str(), p.steps.clone()))
            .collect();
        assert_eq!(
            told,
            [
                ("last 30 min", 282..288),
                ("30 min to 1 h ago", 276..282),
                ("1 h to 2 h ago", 264..276),
                ("2 h to 4 h ago", 240..264),
                ("4 h to 8 h ago", 192..240),
                ("8 h to 16 h ago", 96..192),
                ("16 h to 24 h ago", 0..96),
            ]
        );
        assert_eq!(segments(4, 300).len(), 1);
    }
}
