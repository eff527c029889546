//! The Elasticsearch source against real servers: both majors of Elasticsearch and of OpenSearch, one configuration.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

mod cluster;
mod failures;
mod flow;
mod speed;
mod streams;
