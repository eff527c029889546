//! Antithetic permutation sampling (Castro, Gómez, Tejada 2009; Mitchell et al. 2022).
//!
//! Players join in a random order, and then in the reverse of it; what each adds when it joins is one look at its
//! Shapley value. The two orders of a pair err in opposite directions for most models, so that pairs vary little. For
//! each order the gains add up to the prediction minus the base, so the estimates do too.
//!
//! **Standard error.** Both the spread of the pairs' means and that of single orders, as if they were independent, are
//! estimates of it; the larger one is told. Few pairs underestimate a spread, so each player's variance is drawn towards
//! that of all players by the weight of one pair, and the error is widened such that three of it hold as much as three
//! standard deviations of a normal distribution (the Cornish–Fisher expansion of Student's quantile).

use argus_plugin::Error;

use crate::game::{Coalition, Game};

/// Pairs in the first round; a spread needs a few.
const FIRST_PAIRS: u32 = 4;
/// Pairs in each further round.
const MORE_PAIRS: u32 = 2;
/// Pairs at most where none are asked for: of few players all coalitions are soon known and cost nothing.
const MOST_PAIRS: u32 = 1_000;

/// When sampling ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Where the random orders come from.
    pub seed: u64,
    /// The model is not run more often, but for the first round.
    pub evaluations: u32,
    /// This many pairs, whatever the precision.
    pub pairs: Option<u32>,
    /// Enough, in the target's unit: no standard error is larger.
    pub precision: f64,
}

/// What sampling found.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    pub values: Vec<f64>,
    pub standard_errors: Vec<f64>,
    /// Orders that were tried, two a pair.
    pub permutations: u32,
    /// `precision`, `evaluations` or `samples`.
    pub stopped: &'static str,
}

/// Estimates of the Shapley values of two or more players.
///
/// # Errors
/// As [`Game::play`].
pub fn shapley(game: &mut Game<'_>, plan: &Plan) -> Result<Estimates, Error> {
    let mut random = Random(plan.seed);
    let mut sums = Sums::new(game.players().len());
    loop {
        let round = match (sums.pairs, plan.pairs) {
            (done, Some(wanted)) => (wanted - done).min(64),
            (0, None) => FIRST_PAIRS,
            (_, None) => MORE_PAIRS,
        };
        let pairs: Vec<[Vec<usize>; 2]> = (0..round)
            .map(|_| {
                let order = random.order(game.players().len());
                let reverse = order.iter().rev().copied().collect();
                [order, reverse]
            })
            .collect();
        let met: Vec<Coalition> = pairs
            .iter()
            .flatten()
            .flat_map(|order| joining(order))
            .collect();
        let costs = game.unknown(&met);
        if sums.pairs > 0 && plan.pairs.is_none() && game.evaluations() + costs > plan.evaluations {
            return Ok(sums.estimates("evaluations"));
        }
        game.play(&met)?;
        for pair in &pairs {
            sums.add(pair.each_ref().map(|order| gains(game, order)));
        }
        let found = sums.estimates("precision");
        match plan.pairs {
            Some(wanted) if sums.pairs >= wanted => return Ok(sums.estimates("samples")),
            Some(_) => {}
            None if sums.pairs >= MOST_PAIRS => return Ok(sums.estimates("samples")),
            None if found.standard_errors.iter().all(|e| *e <= plan.precision) => return Ok(found),
            None => {}
        }
    }
}

/// The coalitions on the way from nobody to everybody.
fn joining(order: &[usize]) -> Vec<Coalition> {
    let mut present = 0;
    let mut met = vec![present];
    for player in order {
        present |= 1 << player;
        met.push(present);
    }
    met
}

/// What each player adds when it joins in this order, by player.
fn gains(game: &Game<'_>, order: &[usize]) -> Vec<f64> {
    let mut gains = vec![0.0; order.len()];
    for (player, step) in order.iter().zip(joining(order).windows(2)) {
        gains[*player] = game.value(step[1]) - game.value(step[0]);
    }
    gains
}

/// Running sums by player.
struct Sums {
    pairs: u32,
    sum: Vec<f64>,
    /// Squares of the pairs' means.
    pair_squares: Vec<f64>,
    /// Squares of single gains.
    single_squares: Vec<f64>,
}

impl Sums {
    fn new(players: usize) -> Self {
        Self {
            pairs: 0,
            sum: vec![0.0; players],
            pair_squares: vec![0.0; players],
            single_squares: vec![0.0; players],
        }
    }

    fn add(&mut self, [there, back]: [Vec<f64>; 2]) {
        self.pairs += 1;
        for (player, (a, b)) in there.into_iter().zip(back).enumerate() {
            let mean = (a + b) / 2.0;
            self.sum[player] += mean;
            self.pair_squares[player] += mean * mean;
            self.single_squares[player] += a * a + b * b;
        }
    }

    fn estimates(&self, stopped: &'static str) -> Estimates {
        let pairs = f64::from(self.pairs);
        let values: Vec<f64> = self.sum.iter().map(|sum| sum / pairs).collect();
        // Squared standard error of the mean from n looks.
        let of_mean = |squares: f64, value: f64, n: f64| {
            (squares / n - value * value).max(0.0) / (n - 1.0).max(1.0)
        };
        let looks = self
            .pair_squares
            .iter()
            .zip(&self.single_squares)
            .zip(&values);
        let squared: Vec<f64> = looks
            .map(|((pair, single), value)| {
                of_mean(*pair, *value, pairs).max(of_mean(*single, *value, 2.0 * pairs))
            })
            .collect();
        let usual = squared.iter().sum::<f64>() / squared.len().max(1) as f64;
        let widened = widening(pairs - 1.0);
        let error = |own: &f64| widened * ((own * (pairs - 1.0) + usual) / pairs).sqrt();
        Estimates {
            standard_errors: squared.iter().map(error).collect(),
            values,
            permutations: 2 * self.pairs,
            stopped,
        }
    }
}

/// Student's quantile at three normal standard deviations, over three.
fn widening(freedom: f64) -> f64 {
    let f = freedom.max(1.0);
    1.0 + 2.5 / f + 5.75 / (f * f) + 10.07 / (f * f * f)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A random order (Fisher–Yates). The modulo's bias is 2⁻⁵⁹ for 31 players.
    fn order(&mut self, players: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..players).collect();
        for last in (1..players).rev() {
            let chosen = self.next() % (last as u64 + 1);
            order.swap(last, chosen as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widening_is_students() {
        // t quantiles at 0.99865 from tables, over 3.
        for (freedom, expected) in [(5.0, 1.836), (9.0, 1.362), (15.0, 1.196), (30.0, 1.090)] {
            let found = widening(freedom);
            assert!((found - expected).abs() < 0.03, "{freedom}: {found}");
        }
    }

    #[test]
    fn every_order_is_as_likely() {
        let mut random = Random(7);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(random.order(3)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        // 1000 each, five standard deviations of 29.
        assert!(
            counts.values().all(|n| (855..1145).contains(n)),
            "{counts:?}"
        );
    }
}
