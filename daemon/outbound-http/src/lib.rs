//! Outgoing HTTP with a pool, limits and address vetting.
