//! All coalitions: Shapley's formula as it stands,
//! φ(i) = Σ over S without i of |S|! (n − |S| − 1)! / n! · (v(S ∪ i) − v(S)).

use argus_plugin::Error;

use crate::game::{Coalition, Game};

/// Shapley values of all players; exact.
///
/// # Errors
/// As [`Game::play`].
pub fn shapley(game: &mut Game<'_>) -> Result<Vec<f64>, Error> {
    let players = game.players().len();
    let all: Vec<Coalition> = (0..=game.everybody()).collect();
    game.play(&all)?;
    let weights = weights(players);
    let value_of = |player: usize| {
        let own = 1 << player;
        let without = all.iter().filter(|coalition| *coalition & own == 0);
        let terms = without.map(|coalition| {
            let gain = game.value(coalition | own) - game.value(*coalition);
            weights[coalition.count_ones() as usize] * gain
        });
        terms.sum()
    };
    Ok((0..players).map(value_of).collect())
}

/// `|S|! (n − |S| − 1)! / n!` by `|S|`.
fn weights(players: usize) -> Vec<f64> {
    // 1 / (n · C(n − 1, s)), with the binomial built up step by step.
    let mut binomial = 1.0;
    let weight = |size: usize| {
        let weight = 1.0 / (players as f64 * binomial);
        binomial *= (players - 1 - size) as f64 / (size + 1) as f64;
        weight
    };
    (0..players).map(weight).collect()
}
