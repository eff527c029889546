//! `argus plugin bench`: what a call costs.
