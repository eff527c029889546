//! Shapley values of a prediction: how much each metric, or each part of the past, adds to it.
//!
//! The game: a metric that is absent has, over the whole context, the typical values of the subject's profile. What all
//! of them add, added up, is the prediction minus the base, the prediction for a wholly typical window. Hour, status and
//! profile are the subject's own in both. With few players every coalition is tried and the values are exact; with more
//! they are sampled ([`sampling`]), with a standard error.

mod exact;
mod game;
mod report;
mod sampling;

use argus_asked::{Target, budget, count, word};
use argus_plugin::explainer::{Explanation, Subject};
use argus_plugin::{Error, Explainer, Host};
use serde::Deserialize;

use game::Game;
use report::{Found, Part};
use sampling::Plan;

/// Largest number of pairs that may be asked for.
const MOST_PAIRS: u32 = 5_000;

/// The `[plugins.NAME.config]` table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Config {
    evaluations: u32,
    precision: f64,
    drivers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            evaluations: 192,
            precision: 0.005,
            drivers: 14,
        }
    }
}

/// The explainer. Options: `by` (`metric` or `segment`), `method` (`auto`, `exact` or `sampling`), `samples` (pairs of
/// permutations, neither more nor less) and `seed`.
#[derive(Debug)]
struct Shap {
    config: Config,
}

impl Explainer for Shap {
    type Config = Config;

    fn new(config: Config) -> Result<Self, Error> {
        Ok(Self { config })
    }

    fn explain(&self, host: &Host, subject: &Subject) -> Result<Explanation, Error> {
        let by = word(subject, "by", &["metric", "segment"])?;
        let method = word(subject, "method", &["auto", "exact", "sampling"])?;
        let pairs = count(subject, "samples", MOST_PAIRS)?;
        let seed = u64::from(count(subject, "seed", u32::MAX)?.unwrap_or(1));
        let window = host.window(&subject.entity, &[])?;
        let shape = window.shape();
        let target = Target::of(subject, &shape)?;
        let players = match by {
            "segment" => game::segments(shape.context_steps, shape.step_secs),
            _ => game::metrics(&window)?,
        };
        if players.len() > game::MOST_PLAYERS {
            let message = format!(
                "{} metrics differ from typical, at most {} can be told apart",
                players.len(),
                game::MOST_PLAYERS
            );
            return Err(Error::new("too_many_metrics", message));
        }
        let mut game = Game::new(&window, &target, players);
        let (nobody, everybody) = (0, game.everybody());
        game.play(&[nobody, everybody])?;
        let (base, prediction) = (game.value(nobody), game.value(everybody));

        let players = game.players().len() as u32;
        let affordable = budget(host, self.config.evaluations);
        let exact = match method {
            "exact" => true,
            "sampling" => players < 2,
            _ => players < 2 || (pairs.is_none() && 1u64 << players <= u64::from(affordable)),
        };
        let (values, standard_errors, how) = if exact {
            let values = exact::shapley(&mut game).map_err(too_much)?;
            let errors = vec![0.0; values.len()];
            (values, errors, report::How::Exact)
        } else {
            let whole = target.whole.map_or((prediction - base).abs(), f64::from);
            let plan = Plan {
                seed,
                evaluations: affordable,
                pairs,
                precision: self.config.precision * whole,
            };
            let found = sampling::shapley(&mut game, &plan);
            let found = match pairs {
                Some(_) => found.map_err(too_much)?,
                None => found?,
            };
            let how = report::How::Sampled {
                permutations: found.permutations,
                stopped: found.stopped,
                seed,
            };
            (found.values, found.standard_errors, how)
        };
        let parts = game.players().iter().zip(values).zip(standard_errors);
        let parts = parts.map(|((player, value), standard_error)| Part {
            player: player.clone(),
            value,
            standard_error,
        });
        let found = Found {
            prediction,
            base,
            parts: parts.collect(),
            how,
            evaluations: game.evaluations(),
            by,
        };
        report::explanation(&window, subject, &target, found, self.config.drivers)
    }
}

/// What was asked for takes more runs of the model than a call has: that is for the asker to change.
fn too_much(error: Error) -> Error {
    match error.code.as_str() {
        "budget_exhausted" => Error::new("invalid_option", error.message),
        _ => error,
    }
}

argus_plugin::explainer!(Shap, config_schema = include_str!("../config.schema.json"));

#[cfg(test)]
mod tests;
