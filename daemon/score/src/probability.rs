//! How good told probabilities are: the Brier score, and a reliability diagram as a table.
//!
//! The *Brier score* is the mean of `(p − came true)²` (Brier, 1950); always telling the share that comes true scores
//! [`ProbabilityScore::base`], and that is what a forecast has to beat. The table says, for each tenth of the scale,
//! what was told there on the mean and how often it came true: where both agree, "80 %" means what it says.

use serde::{Deserialize, Serialize};

use crate::round;

/// Parts of the scale.
const PARTS: usize = 10;

/// Sums over told probabilities, from which a score follows. Sums of parts can be merged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ProbabilitySums {
    parts: [Part; PARTS],
    square: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Part {
    count: u64,
    told: f64,
    came_true: u64,
}

/// How good probabilities were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbabilityScore {
    /// Probabilities that were scored.
    pub count: u64,
    /// Of these, what came true.
    pub came_true: u64,
    /// Brier score; lower is better, 0 is certain and right.
    pub brier: f64,
    /// Brier score of always telling the share that came true.
    pub base: f64,
    /// The tenths of the scale in which anything was told, ascending.
    pub tenths: Vec<Tenth>,
}

/// What was told within a tenth of the scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tenth {
    /// So many.
    pub count: u64,
    /// Mean of the told probabilities, 0 to 1.
    pub told: f64,
    /// Share of them that came true.
    pub came_true: f64,
}

impl ProbabilitySums {
    /// Adds a probability, 0 to 1, and whether it came true.
    pub fn add(&mut self, probability: f64, came_true: bool) {
        self.add_many(probability, 1, u64::from(came_true));
    }

    /// Adds a probability that was told so many times, of which so many came true.
    pub fn add_many(&mut self, probability: f64, count: u64, came_true: u64) {
        let place = (probability * PARTS as f64) as usize;
        let part = &mut self.parts[place.min(PARTS - 1)];
        part.count += count;
        part.told += count as f64 * probability;
        part.came_true += came_true;
        self.square += came_true as f64 * (1.0 - probability).powi(2)
            + (count - came_true) as f64 * probability.powi(2);
    }

    /// Takes other sums in.
    pub fn merge(&mut self, other: &Self) {
        self.square += other.square;
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            part.count += other.count;
            part.told += other.told;
            part.came_true += other.came_true;
        }
    }

    /// The score, in five significant digits; `None` without a probability.
    pub fn score(&self) -> Option<ProbabilityScore> {
        let count: u64 = self.parts.iter().map(|part| part.count).sum();
        let came_true: u64 = self.parts.iter().map(|part| part.came_true).sum();
        let base = came_true as f64 / count as f64;
        let tenth = |part: &Part| Tenth {
            count: part.count,
            told: round(part.told / part.count as f64),
            came_true: round(part.came_true as f64 / part.count as f64),
        };
        let told = self.parts.iter().filter(|part| part.count > 0);
        (count > 0).then(|| ProbabilityScore {
            count,
            came_true,
            brier: round(self.square / count as f64),
            base: round(base * (1.0 - base)),
            tenths: told.map(tenth).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_definition() {
        let (mut all, mut rest) = <(ProbabilitySums, ProbabilitySums)>::default();
        assert_eq!(all.score(), None);
        all.add(0.25, false);
        all.add(0.2, true);
        rest.add(1.0, true);
        rest.add(0.95, false);
        all.merge(&rest);
        let score = all.score().expect("four");
        let squares = 0.0625 + 0.64 + 0.0 + 0.9025;
        assert_eq!((score.count, score.came_true), (4, 2));
        assert_eq!((score.brier, score.base), (round(squares / 4.0), 0.25));
        let tenth = |count, told, came_true| Tenth {
            count,
            told,
            came_true,
        };
        assert_eq!(score.tenths, [tenth(2, 0.225, 0.5), tenth(2, 0.975, 0.5)]);
    }
}
