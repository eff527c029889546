//! Parity with pytorch-forecasting.

use std::path::{Path, PathBuf};

use argus_tft::parity;

fn fixture_a() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/tft-A");
    dir.is_dir().then_some(dir)
}

#[test]
fn fixture_a_holds() {
    let Some(dir) = fixture_a() else {
        eprintln!("skipped: ../shared/fixtures/tft-A is absent");
        return;
    };
    let report = parity::check(&dir).unwrap();
    eprintln!("{report}");
    assert!(report.passes(), "{report}");
    assert_eq!(report.differences.len(), 7);
}
