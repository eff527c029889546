//! A seeded synthetic fleet with ground-truth incidents.
