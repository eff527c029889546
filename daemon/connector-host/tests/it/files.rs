//! What is loaded, and what is not.

use std::fs;
use std::path::Path;

use argus_connector_host::{Connector, ConnectorError, ConnectorSpec, Failure};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::{library, query, spec};

async fn refusal(path: &Path) -> ConnectorError {
    let opened = Connector::open(ConnectorSpec::new("odd", path)).await;
    opened.expect_err("not a connector")
}

fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A copy of the good library whose table was changed.
fn with_table(dir: &Path, name: &str, change: impl Fn(&mut [u8])) -> std::path::PathBuf {
    let mut bytes = fs::read(library("memory")).unwrap();
    let is_table = |window: &[u8]| {
        // Magic, size 80, major 1.
        window.starts_with(b"ArgusCon\x50\0\0\0\x01\0")
    };
    let at = bytes.windows(16).position(is_table).expect("the table");
    change(&mut bytes[at..at + 16]);
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test]
async fn files_that_are_no_connector_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let error = refusal(&path("missing")).await;
    assert!(matches!(error.failure, Failure::Read { .. }), "{error}");

    fs::write(path("text"), "hello").unwrap();
    let error = refusal(&path("text")).await;
    assert!(
        error
            .to_string()
            .starts_with("connector odd: the file cannot be loaded"),
        "{error}"
    );
    assert!(!error.to_string().contains("/proc/"), "{error}");

    let whole = fs::read(library("memory")).unwrap();
    fs::write(path("torn"), &whole[..whole.len() / 3]).unwrap();
    assert!(matches!(
        refusal(&path("torn")).await.failure,
        Failure::Load(_)
    ));

    // Whole, but nothing that the linker would take: an executable.
    let error = refusal(&std::env::current_exe().unwrap()).await;
    let text = error.to_string();
    assert!(
        text.contains("cannot dynamically load") && !text.contains("/proc/"),
        "{text}"
    );

    // A library of somebody else: the C library that this test itself runs on.
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let foreign = maps
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .find(|path| path.contains("/libgcc_s") || path.contains("/libm.so"))
        .expect("a system library");
    let error = refusal(Path::new(foreign)).await;
    assert!(
        error
            .to_string()
            .contains("lacks the symbol argus_connector_v1"),
        "{error}"
    );
}

#[tokio::test]
async fn tables_of_other_times_are_refused_before_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let magic = with_table(dir.path(), "magic", |table| table[0] = b'a');
    let error = refusal(&magic).await;
    assert!(
        matches!(error.failure, Failure::NotAConnector(_)),
        "{error}"
    );
    let major = with_table(dir.path(), "major", |table| table[12] = 2);
    let error = refusal(&major).await;
    let expected = Failure::WrongVersion {
        found: "2.0".to_owned(),
        supported: "1.x".to_owned(),
    };
    assert_eq!(error.failure, expected);
    let small = with_table(dir.path(), "small", |table| table[8] = 72);
    let error = refusal(&small).await;
    assert!(error.to_string().contains("only 72 bytes"), "{error}");
    // Later connectors have more fields and a higher minor version: they are fine.
    let newer = with_table(dir.path(), "newer", |table| {
        table[8] = 120;
        table[14] = 7;
    });
    let newer = Connector::open(ConnectorSpec::new("newer", newer))
        .await
        .unwrap();
    query(&newer, "check", json!(null)).await.expect("works");
}

#[tokio::test]
async fn a_pin_must_match_and_is_checked_on_what_is_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pinned.so");
    fs::copy(library("memory"), &path).unwrap();
    let mut spec = ConnectorSpec::new("pinned", &path);
    spec.sha256 = Some(sha256(&path).to_uppercase());
    let pinned = Connector::open(spec.clone()).await.unwrap();
    // The file may change under a running connector: what runs is what was hashed.
    fs::write(&path, b"overwritten").unwrap();
    query(&pinned, "check", json!(null))
        .await
        .expect("still works");
    assert_eq!(pinned.status().sha256, sha256(&library("memory")));
    let error = Connector::open(spec).await.expect_err("another file");
    assert!(
        matches!(error.failure, Failure::WrongHash { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn settings_that_are_refused_say_why() {
    for (config, fragment) in [
        (
            json!({ "refuse": "the sky is too blue" }),
            "the sky is too blue (invalid_config)",
        ),
        (json!({ "colour": 1 }), "unknown field `colour`"),
        (json!({ "refuse": 7 }), "`config.refuse`: invalid type"),
        (
            json!({ "panic": true }),
            "I was told to panic while opening",
        ),
    ] {
        let error = Connector::open(spec("memory", config))
            .await
            .expect_err("refused");
        assert!(matches!(error.failure, Failure::Open(_)), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("connector memory (memory 0.1.0): failed to open: "),
            "{text}"
        );
        assert!(text.contains(fragment), "{text}");
    }
}

#[tokio::test]
async fn one_library_serves_several_connectors() {
    let (one, two) = (
        Connector::open(spec("memory", json!({}))).await.unwrap(),
        Connector::open(spec("memory", json!({}))).await.unwrap(),
    );
    drop(one);
    query(&two, "check", json!(null))
        .await
        .expect("the other lives");
}
