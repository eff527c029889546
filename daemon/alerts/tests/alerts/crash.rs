//! What a crash, a failed write or a damaged file leaves behind.

use std::collections::BTreeMap;
use std::path::Path;

use crate::forecasts;
use crate::forecasts::{Fleet, MEM, STEP_MS, name, risk};
use argus_alerts::{
    AlertConfig, AlertError, AlertState, Alerts, Evaluation, HistoryQuery, SinkRoute,
    TransitionKind,
};
use proptest::prelude::*;
use rusqlite::Connection;

const LETTERS: &str = "chhhh-ccchhhcccccchhh";

/// The database with its write-ahead log as a crash would leave it.
fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let with = |path: &Path| format!("{}{suffix}", path.display());
        if Path::new(&with(from)).exists() {
            std::fs::copy(with(from), with(to)).expect("copied");
        }
    }
}

fn open(path: &Path) -> std::sync::Arc<Alerts> {
    let alerts = Alerts::open(path, AlertConfig::default()).expect("opens");
    alerts.set_sinks(vec![SinkRoute::all("one"), SinkRoute::all("two")]);
    alerts
}

/// Every firing and resolution in the history has its row for each sink, and every open alert its transition.
fn check_consistent(path: &Path) {
    let connection = Connection::open(path).expect("opens");
    let count = |sql: &str| -> i64 {
        connection
            .query_row(sql, [], |row| row.get(0))
            .expect("counts")
    };
    let told = count(
        "SELECT count(*) FROM history WHERE json_extract(body, '$.kind') IN ('firing', 'resolved')",
    );
    assert_eq!(count("SELECT count(*) FROM outbox"), 2 * told);
    assert_eq!(
        count(
            "SELECT count(*) FROM (SELECT 1 FROM alert WHERE state <> 'resolved' GROUP BY fingerprint HAVING count(*) > 1)"
        ),
        0
    );
    let orphans = "SELECT count(*) FROM alert WHERE id NOT IN (SELECT json_extract(body, '$.alert_id') FROM history)";
    assert_eq!(count(orphans), 0);
}

#[test]
fn a_crash_after_any_forecast_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let undisturbed: String = {
        let alerts = open(&dir.path().join("whole.sqlite"));
        let mut fleet = Fleet::new(&alerts);
        LETTERS
            .chars()
            .map(|letter| fleet.forecast(letter))
            .collect()
    };
    assert_eq!(undisturbed, ".p.F....Rp.F.....Rp.F");
    for crash_at in 0..LETTERS.len() {
        let (path, image) = (
            dir.path().join(format!("{crash_at}.sqlite")),
            dir.path().join(format!("{crash_at}-image.sqlite")),
        );
        let alerts = open(&path);
        let mut fleet = Fleet::new(&alerts);
        let before: String = LETTERS[..crash_at]
            .chars()
            .map(|letter| fleet.forecast(letter))
            .collect();
        copy(&path, &image);
        let (origin_ms, now_ms) = (fleet.origin_ms, fleet.now_ms);

        let recovered = open(&image);
        let mut fleet = Fleet::new(&recovered);
        (fleet.origin_ms, fleet.now_ms) = (origin_ms, now_ms);
        if crash_at > 0 {
            // The forecast loop does not know what was judged before the crash and starts with the newest origin.
            (fleet.origin_ms, fleet.now_ms) = (origin_ms - STEP_MS, now_ms - STEP_MS);
            assert_eq!(
                fleet.forecast('h'),
                '.',
                "an origin counted again after a crash at {crash_at}"
            );
        }
        let after: String = LETTERS[crash_at..]
            .chars()
            .map(|letter| fleet.forecast(letter))
            .collect();
        assert_eq!(before + &after, undisturbed, "crash at {crash_at}");
        check_consistent(&image);
    }
}

#[test]
fn a_failed_write_leaves_no_trace_and_can_be_repeated() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alerts.sqlite");
    let alerts = open(&path);
    let mut fleet = Fleet::new(&alerts);
    assert_eq!((fleet.forecast('h'), fleet.forecast('h')), ('p', '.'));
    let (active, stats) = (alerts.active(), alerts.stats());

    // The outbox is written last; by then alert and history are in the transaction.
    let saboteur = Connection::open(&path).expect("opens");
    saboteur.execute_batch("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'disk full'); END").expect("created");
    let (entity, third) = (name("ppdb001"), risk(&[(MEM, 'h')]));
    let evaluation = Evaluation {
        now_ms: 9,
        entity: &entity,
        profile: "database",
        origin_ms: 3 * STEP_MS,
        step_secs: 300,
        scheduled: true,
        risk: &third,
    };
    let error = alerts.evaluate(&[evaluation]).expect_err("sabotaged");
    assert!(
        matches!(error, AlertError::Database(_)) && error.to_string().contains("disk full"),
        "{error}"
    );
    assert_eq!((alerts.active(), alerts.stats()), (active, stats));
    assert_eq!(
        alerts
            .history(&HistoryQuery::default())
            .expect("history")
            .len(),
        1
    );

    saboteur
        .execute_batch("DROP TRIGGER full")
        .expect("dropped");
    let transitions = alerts.evaluate(&[evaluation]).expect("written");
    assert_eq!(
        transitions.iter().map(|t| t.kind).collect::<Vec<_>>(),
        [TransitionKind::Firing]
    );
    check_consistent(&path);
}

#[test]
fn a_damaged_file_is_set_aside() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alerts.sqlite");
    std::fs::write(&path, "this was a database once, and is longer than a header of one hundred bytes would be, honestly").expect("written");
    assert!(open(&path).active().is_empty());
    assert!(dir.path().join("alerts.sqlite.corrupt-1").exists());

    // A row that is no alert, in an otherwise sound file.
    let mut fleet_alerts = open(&path);
    Fleet::new(&fleet_alerts).forecast('h');
    drop(fleet_alerts);
    Connection::open(&path)
        .expect("opens")
        .execute("UPDATE alert SET body = '{'", [])
        .expect("damaged");
    fleet_alerts = open(&path);
    assert!(fleet_alerts.active().is_empty());
    assert!(dir.path().join("alerts.sqlite.corrupt-2").exists());
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alerts.sqlite");
    drop(open(&path));
    Connection::open(&path)
        .expect("opens")
        .pragma_update(None, "user_version", 99)
        .expect("set");
    let error = Alerts::open(&path, AlertConfig::default())
        .err()
        .expect("refused");
    assert!(
        matches!(error, AlertError::NewerFormat { found: 99, .. }),
        "{error}"
    );
    assert!(!dir.path().join("alerts.sqlite.corrupt-1").exists());
}

/// One thing that happens to the engine.
#[derive(Debug, Clone)]
enum Act {
    /// A forecast: entity, steps since its last one (0: the same origin again), letter, scheduled.
    Forecast(usize, i64, char, bool),
    Restart,
    Retire(usize),
    Upkeep,
}

fn any_act() -> impl Strategy<Value = Act> {
    let letter = prop_oneof![4 => Just('h'), 1 => Just('-'), 3 => Just('c'), 1 => Just('n')];
    prop_oneof![
        20 => (0_usize..2, 0_i64..3, letter, proptest::bool::weighted(0.9)).prop_map(|(e, s, l, b)| Act::Forecast(e, s, l, b)),
        1 => Just(Act::Restart),
        1 => (0_usize..2).prop_map(Act::Retire),
        1 => Just(Act::Upkeep),
    ]
}

/// What the rules say, told in another way: the letters of the forecasts that counted.
#[derive(Default)]
struct Expected {
    origin_ms: Option<i64>,
    counted: String,
    firing: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happens, restarts included: at most one open alert per fingerprint, firing exactly by the strike rules.
    #[test]
    fn strikes_are_counted_exactly(acts in proptest::collection::vec(any_act(), 1..120)) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("alerts.sqlite");
        let config = AlertConfig { flap_window_secs: 0, ..AlertConfig::default() };
        let mut alerts = Alerts::open(&path, config.clone()).expect("opens");
        let names = [name("a"), name("b")];
        let mut origins = [0_i64; 2];
        let mut expected: [Expected; 2] = Default::default();
        for (now_ms, act) in (0_i64..).zip(acts) {
            match act {
                Act::Restart => {
                    drop(alerts);
                    alerts = Alerts::open(&path, config.clone()).expect("opens");
                }
                Act::Retire(e) => {
                    alerts.retire(&names[e], "test", now_ms).expect("written");
                    expected[e] = Expected::default();
                }
                Act::Upkeep => prop_assert_eq!(alerts.upkeep(now_ms).expect("written").len(), 0),
                Act::Forecast(e, steps, letter, scheduled) => {
                    origins[e] += steps * STEP_MS;
                    forecasts::evaluate(&alerts, &names[e], origins[e], now_ms, scheduled, &risk(&[(MEM, letter)]));
                    let rules = &mut expected[e];
                    if scheduled && rules.origin_ms.is_none_or(|o| origins[e] > o) {
                        rules.origin_ms = Some(origins[e]);
                        rules.counted.push(if letter == 'n' { 'h' } else { letter });
                        let all = rules.counted.clone();
                        if !rules.firing && all.ends_with("hhh") {
                            rules.firing = true;
                            rules.counted.clear();
                        } else if rules.firing && all.ends_with("ccc") {
                            rules.firing = false;
                            rules.counted.clear();
                        }
                    }
                }
            }
            let open = alerts.active();
            let mut per_print = BTreeMap::new();
            open.iter().for_each(|a| *per_print.entry(a.fingerprint.clone()).or_insert(0) += 1);
            prop_assert!(per_print.values().all(|n| *n == 1));
            for (entity, rules) in names.iter().zip(&expected) {
                let state = open.iter().find(|a| a.entity == *entity).map(|a| a.state);
                let wanted = match (rules.firing, rules.counted.ends_with('h')) {
                    (true, _) => Some(AlertState::Firing),
                    (false, true) => Some(AlertState::Pending),
                    (false, false) => None,
                };
                prop_assert_eq!(state, wanted);
            }
        }
    }
}
