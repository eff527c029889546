//! Trains the model on Parquet traces and a synthetic fleet.
