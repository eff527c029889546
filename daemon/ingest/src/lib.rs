//! Wire formats into records: the JSON forms, Prometheus remote write.
