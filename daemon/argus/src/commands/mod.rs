//! One file per verb, except `serve`.

pub mod backtest;
pub mod bench;
pub mod calibrate;
pub mod config;
pub mod forecast;
pub mod generate;
pub mod key;
pub mod model;
pub mod offline;
pub mod plugin;
pub mod replay;
pub mod train;
