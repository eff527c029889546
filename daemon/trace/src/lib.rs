//! Reads and writes the Parquet traces that people exchange.
