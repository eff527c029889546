//! The Temporal Fusion Transformer: network, windows, training, files.
