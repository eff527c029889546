//! Windows, write-ahead log, and Parquet history.
