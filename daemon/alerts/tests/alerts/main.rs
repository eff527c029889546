//! The alert engine and its delivery, on real databases and scripted sinks.

mod crash;
mod delivery;
mod forecasts;
mod routing;
mod speed;
mod states;
mod texts;
