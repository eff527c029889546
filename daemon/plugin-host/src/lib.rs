//! Runs WebAssembly component plugins inside their limits.
