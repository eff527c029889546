//! Replays traces through the model and the whole alert chain, and judges both.
//!
//! A tour, in the direction of the data:
//!
//! - [`ServerBins`] bins one server's rows once, by the store's own window, so that every context is a slice;
//! - [`strided`] and [`listed`] say when the daemon would have forecast: the newest closed bin at each stroke;
//! - [`Replay`] runs the model over all strokes in large batches and computes risk, as the forecast loop does;
//! - `chain` feeds a server's risk to the daemon's alert engine in event time: strikes count scheduled forecasts;
//! - `scores` and `warnings` judge forecasts (beside three baselines) and alerts (against incidents);
//! - `reliability` judges risk (what was told, what came true), and fits calibrations for [`calibration_fit`];
//! - [`backtest`] does all of it, some servers at a time, and returns a [`Report`].
//!
//! `argus forecast` uses the first three. Nothing here answers in the model's place: baselines only judge it.

mod bins;
mod chain;
mod errors;
mod reliability;
mod replay;
mod report;
mod run;
mod schedule;
mod scores;
mod warnings;

pub use bins::ServerBins;
pub use chain::Alert;
pub use errors::BacktestError;
pub use reliability::{FitRequest, RiskScores, calibration_fit};
pub use replay::{Answer, Done, Replay};
pub use report::{AlertSummary, Report, Seconds};
pub use run::{Origins, Progress, Request, Truth, backtest, groups};
pub use schedule::{Stroke, listed, strided};
pub use scores::{HorizonScore, PointScore, Scores, deciles};
pub use warnings::{Warnings, judge};
