//! Runs the model for all due entities in batches and publishes the newest forecasts.
