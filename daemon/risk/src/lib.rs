//! Risk and breaches from the quantiles of a forecast.
