//! `docs/ingest.md` lists every name and every code.

use argus_schema::{Mapping, ProfileRules, RejectCode, Schema};

const DOCS: &str = include_str!("../../../docs/ingest.md");

/// Whether a table of the document has a row that begins with `first` and names `second` in a later column.
#[track_caller]
fn check_row(first: &str, second: &str) {
    let names = |cell: &str, name: &str| cell.contains(&format!("`{name}`"));
    let is_row = |line: &str| {
        let cells: Vec<&str> = line.split('|').skip(1).collect();
        cells.split_first().is_some_and(|(head, rest)| {
            names(head, first) && rest.iter().any(|cell| names(cell, second))
        })
    };
    assert!(
        DOCS.lines().any(is_row),
        "docs/ingest.md has no row of `{first}` and `{second}`"
    );
}

#[test]
fn names() {
    for alias in Mapping::default().aliases {
        check_row(&alias.name, &alias.metric);
    }
    for name in ["hostname", "host.name", "host.hostname", "host"] {
        check_row(name, "server_name");
    }
    for name in ["@timestamp", "collection_time"] {
        check_row(name, "timestamp");
    }
    let schema = Schema::server();
    for status in &schema.statuses {
        check_row("status", status);
    }
    for profile in &schema.profiles {
        check_row("profile", &profile.id);
    }
    for metric in &schema.metrics {
        assert!(
            DOCS.contains(&format!("`{}`", metric.name)),
            "{}",
            metric.name
        );
    }
    for (prefix, profile) in ProfileRules::default().iter() {
        check_row(profile, prefix);
    }
}

#[test]
fn codes() {
    for code in RejectCode::ALL {
        assert!(
            DOCS.contains(&format!("| `{code}` |")),
            "docs/ingest.md does not explain `{code}`"
        );
    }
}
