//! Good and bad bodies: every one has a status and a message, and none panics.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use argus_ingest::{BodyError, Decoded, decode_json, decompress};
use argus_schema::{Limits, Mapping, RecordParser, RejectCode, Schema};
use proptest::prelude::*;

/// 2026-11-21T12:00:00Z.
const NOW_MS: i64 = 1_795_262_400_000;
const MAX_RECORDS: usize = 100;

fn decode(body: impl AsRef<[u8]>) -> Result<Decoded, BodyError> {
    let parser = RecordParser::new(Schema::server(), Mapping::default(), Limits::default());
    decode_json(body.as_ref(), &parser, MAX_RECORDS, NOW_MS)
}

const GOOD: &str = r#"{"server_name":"a","timestamp":1795262400,"load":1}"#;
const BAD: &str = r#"{"server_name":"b","timestamp":1795262400,"load":-1}"#;

/// Positions of accepted records, and positions and codes of rejected ones.
#[track_caller]
fn check(body: &str, accepted: &[usize], rejected: &[(usize, RejectCode)]) {
    let decoded = decode(body).expect(body);
    let found: Vec<usize> = decoded.records.iter().map(|(index, _)| *index).collect();
    let refused: Vec<_> = decoded
        .rejected
        .iter()
        .map(|rejection| (rejection.index, rejection.code))
        .collect();
    assert_eq!(found, accepted, "{body}");
    assert_eq!(refused, rejected, "{body}");
    assert_eq!(decoded.received, accepted.len() + rejected.len(), "{body}");
}

#[track_caller]
fn check_refused(body: impl AsRef<[u8]>, status: u16, message: &str) {
    let shown = String::from_utf8_lossy(body.as_ref()).into_owned();
    let error = decode(body)
        .map(|decoded| decoded.received)
        .expect_err(&shown);
    assert_eq!(error.to_string(), message, "{shown}");
    assert_eq!(error.status(), status, "{shown}");
}

#[test]
fn the_four_forms() {
    check(
        &format!(r#"{{"records":[{GOOD},{BAD},{GOOD}]}}"#),
        &[0, 2],
        &[(1, RejectCode::OutOfRange)],
    );
    check(
        &format!("[{BAD},{GOOD}]"),
        &[1],
        &[(0, RejectCode::OutOfRange)],
    );
    check(GOOD, &[0], &[]);
    check(BAD, &[], &[(0, RejectCode::OutOfRange)]);
    check(
        &format!("{GOOD}\n{BAD}\r\n\n{GOOD}\n"),
        &[0, 2],
        &[(1, RejectCode::OutOfRange)],
    );
}

#[test]
fn forms_at_the_edge() {
    check(r#"{"records":[]}"#, &[], &[]);
    check("[]", &[], &[]);
    check(&format!("\u{feff} [{GOOD}] "), &[0], &[]);
    check(
        &format!(r#"{{"source":{{"x":[1]}},"records":[{GOOD}],"sent":"now"}}"#),
        &[0],
        &[],
    );
    check(&format!(r#"{{"\u0072ecords":[{GOOD}]}}"#), &[0], &[]);
    check(&format!("{GOOD}{GOOD}"), &[0, 1], &[]);
    check(
        &format!("[{GOOD}]\n{{\"records\":[{GOOD}]}}\n{GOOD}"),
        &[0, 1, 2],
        &[],
    );
    check(
        "{\"load\":1}\n{\"load\":2}",
        &[],
        &[
            (0, RejectCode::MissingServer),
            (1, RejectCode::MissingServer),
        ],
    );
}

#[test]
fn a_bad_element_costs_only_itself() {
    let object = RejectCode::NotAnObject;
    let body = format!(r#"[1, "x", null, true, [{GOOD}], {GOOD}]"#);
    check(
        &body,
        &[5],
        &[
            (0, object),
            (1, object),
            (2, object),
            (3, object),
            (4, object),
        ],
    );
    let overflow = r#"{"server_name":"a","timestamp":1795262400,"load":1e999}"#;
    check(
        &format!("[{overflow},{GOOD}]"),
        &[1],
        &[(0, RejectCode::Infinite)],
    );
    let surrogate = r#"{"server_name":"\ud800","timestamp":1795262400,"load":1}"#;
    check(
        &format!("[{surrogate},{GOOD}]"),
        &[1],
        &[(0, RejectCode::Malformed)],
    );
    let key = r#"{"\udc00":1,"server_name":"a","timestamp":1795262400,"load":1}"#;
    check(key, &[], &[(0, RejectCode::Malformed)]);
    let deep = format!(
        r#"{{"server_name":"a","x":{}1{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    check(
        &format!("[{deep},{GOOD}]"),
        &[1],
        &[(0, RejectCode::Malformed)],
    );
    check(
        &format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000)),
        &[],
        &[(0, object)],
    );
}

#[test]
fn what_a_rejection_says() {
    let decoded = decode(format!("[{GOOD},7,{{\"x\":\"\\ud800\"}}]")).unwrap();
    let messages: Vec<String> = decoded.rejected.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "record 1: is a number; an object is needed",
            "record 2: cannot be read: unexpected end of hex escape"
        ]
    );
    let overflow =
        r#"{"server_name":"a","timestamp":1795262400,"load":-1e999,"host":{"name":"b"}}"#;
    let rejection = &decode(overflow).unwrap().rejected[0];
    assert_eq!(
        rejection.message,
        "`load` is \"-1e999\"; a finite number is needed, or null where it is unknown"
    );
    assert_eq!(rejection.server.as_deref(), Some("a"));
}

#[test]
fn what_is_counted() {
    let record = r#"{"host":"a","timestamp":"2026-11-21T11:00:00","load":1,"load_1min":2,"x":1,"y":2,"profile":"z"}"#;
    let decoded = decode(format!("{record}\n{record}\n{BAD}")).unwrap();
    let counts = [
        decoded.unknown_fields,
        decoded.shadowed_fields,
        decoded.zoneless_timestamps,
        decoded.unknown_profiles,
    ];
    assert_eq!(counts, [4, 2, 2, 2]);
}

#[test]
fn bodies_that_are_no_json() {
    check_refused("", 400, "the body is empty; send records as JSON");
    check_refused(" \n\t", 400, "the body is empty; send records as JSON");
    check_refused(
        b"[\"\xff\"]",
        400,
        "the body is not UTF-8 at byte 2; JSON is UTF-8",
    );
    check_refused(
        "records=1",
        400,
        "the body is not JSON at line 1, column 1: expected value",
    );
    check_refused(
        "{\"records\":[\n  {\"load\": NaN}\n]}",
        400,
        "the body is not JSON at line 2, column 12: expected value (NaN and Infinity are not JSON; send null)",
    );
    check_refused(
        r#"[{"load":-Infinity}]"#,
        400,
        "the body is not JSON at line 1, column 11: invalid number (NaN and Infinity are not JSON; send null)",
    );
    check_refused(
        "{'server_name':'a'}",
        400,
        "the body is not JSON at line 1, column 2: key must be a string",
    );
    check_refused(
        format!("{{\"records\":[{GOOD},]}}"),
        400,
        "the body is not JSON at line 1, column 65: expected value",
    );
    check_refused(
        r#"{"records":["#,
        400,
        "the body is not JSON at line 1, column 12: EOF while parsing a list",
    );
    check_refused(
        format!("{GOOD}\n{{oops\n{GOOD}"),
        400,
        "the body is not JSON at line 2, column 2: key must be a string",
    );
    check_refused(
        format!("[{GOOD}] x"),
        400,
        "the body is not JSON at line 1, column 55: expected value",
    );
    check_refused(
        "01",
        400,
        "the body is not JSON at line 1, column 2: invalid number",
    );
    for cut in 1..GOOD.len() {
        let error = decode(&GOOD[..cut]).unwrap_err();
        assert_eq!(error.status(), 400, "{}", &GOOD[..cut]);
    }
}

#[test]
fn json_that_holds_no_records() {
    let forms = "; send {\"records\":[…]}, an array of records, one record, or one record per line";
    check_refused("7", 422, &format!("the body holds a number{forms}"));
    check_refused("null", 422, &format!("the body holds null{forms}"));
    check_refused("\"x\"", 422, &format!("the body holds text{forms}"));
    check_refused(
        r#"{"records":{}}"#,
        422,
        &format!("the body holds an object under `records`{forms}"),
    );
    check_refused(
        r#"{"records":null}"#,
        422,
        &format!("the body holds null under `records`{forms}"),
    );
    check_refused(
        format!("{GOOD} 7"),
        422,
        &format!("the body holds a number{forms}"),
    );
    let nameless = "the object has no `records` and names no server (`server_name`); send {\"records\":[…]} or a record";
    check_refused("{}", 422, nameless);
    check_refused(r#"{"Records":[]}"#, 422, nameless);
    check_refused(
        format!(r#"{{"records":[{GOOD}],"records":[]}}"#),
        422,
        "the object has `records` more than once; send one array",
    );
}

#[test]
fn too_many_records() {
    let most = vec![GOOD; MAX_RECORDS];
    assert_eq!(
        decode(format!("[{}]", most.join(",")))
            .unwrap()
            .records
            .len(),
        MAX_RECORDS
    );
    let message = "the body holds more than 100 records; send smaller batches";
    let too_many = vec![GOOD; MAX_RECORDS + 1];
    check_refused(format!("[{}]", too_many.join(",")), 413, message);
    check_refused(
        format!("{{\"records\":[{}]}}", too_many.join(",")),
        413,
        message,
    );
    check_refused(too_many.join("\n"), 413, message);
    check_refused(format!("[{}]", vec!["1"; 200].join(",")), 413, message);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

#[test]
fn content_encodings() {
    for (encoding, body) in [
        (None, GOOD.as_bytes().to_vec()),
        (Some(""), GOOD.as_bytes().to_vec()),
        (Some("identity"), GOOD.as_bytes().to_vec()),
        (Some("gzip"), gzip(GOOD.as_bytes())),
        (Some(" X-GZIP "), gzip(GOOD.as_bytes())),
        (Some("zstd"), zstd(GOOD.as_bytes())),
        // Two members, as `cat a.gz b.gz` makes them.
        (
            Some("gzip"),
            [gzip(&GOOD.as_bytes()[..9]), gzip(&GOOD.as_bytes()[9..])].concat(),
        ),
        (
            Some("zstd"),
            [zstd(&GOOD.as_bytes()[..9]), zstd(&GOOD.as_bytes()[9..])].concat(),
        ),
    ] {
        let plain = decompress(encoding, &body, GOOD.len()).unwrap();
        assert_eq!(plain.as_ref(), GOOD.as_bytes(), "{encoding:?}");
        let error = decompress(encoding, &body, GOOD.len() - 1).unwrap_err();
        assert_eq!(
            error,
            BodyError::TooLarge {
                limit: GOOD.len() - 1
            }
        );
    }
}

#[test]
fn bodies_that_do_not_decompress() {
    let cut = |mut body: Vec<u8>| {
        body.truncate(body.len() - 4);
        body
    };
    for (encoding, body, status) in [
        ("gzip", GOOD.as_bytes().to_vec(), 400),
        ("zstd", GOOD.as_bytes().to_vec(), 400),
        ("gzip", cut(gzip(GOOD.as_bytes())), 400),
        ("zstd", cut(zstd(GOOD.as_bytes())), 400),
        ("gzip", Vec::new(), 400),
        ("br", Vec::new(), 415),
        ("gzip, zstd", Vec::new(), 415),
        (&"x".repeat(10_000), Vec::new(), 415),
    ] {
        let error = decompress(Some(encoding), &body, 1000)
            .map(|plain| plain.len())
            .expect_err(encoding);
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().len() < 200, "{error}");
    }
}

#[test]
fn bombs_are_refused_before_they_unfold() {
    let bomb = vec![b' '; 64 << 20];
    let limit = 10 << 20;
    for (encoding, body) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
        assert!(body.len() < 1 << 20);
        assert_eq!(
            decompress(Some(encoding), &body, limit).unwrap_err(),
            BodyError::TooLarge { limit }
        );
    }
    // A frame that wants a window of 128 MiB, however little it holds.
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&bomb).unwrap();
    let error = decompress(Some("zstd"), &encoder.finish().unwrap(), limit).unwrap_err();
    assert_eq!(error.status(), 400, "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(body in prop::collection::vec(any::<u8>(), 0..200), encoding in "gzip|zstd|identity|br") {
        let plain = decompress(Some(&encoding), &body, 1000);
        if let Ok(plain) = plain {
            let _ = decode(&plain);
        }
    }

    /// Pieces of JSON in any order come closer to the parser's corners than bytes do.
    #[test]
    fn any_pieces(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..24)) {
        match decode(pieces.concat()) {
            Ok(decoded) => prop_assert_eq!(decoded.received, decoded.records.len() + decoded.rejected.len()),
            Err(error) => prop_assert!(matches!(error.status(), 400 | 413 | 422)),
        }
    }

    /// One flipped byte anywhere in a good body.
    #[test]
    fn one_byte_off(position in 0..GOOD.len() + 14, byte in any::<u8>()) {
        let mut body = format!(r#"{{"records":[{GOOD}]}}"#).into_bytes();
        body[position] = byte;
        match decode(&body) {
            Ok(decoded) => prop_assert!(decoded.received <= 1),
            Err(error) => prop_assert!(matches!(error.status(), 400 | 422)),
        }
    }
}

const PIECES: [&str; 26] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    " ",
    "\"records\"",
    "\"server_name\"",
    "\"timestamp\"",
    "\"load\"",
    "\"host\"",
    "\"\\ud800\"",
    "\"web\"",
    "1795262400",
    "-1",
    "1e999",
    "-1e999",
    "1.5",
    "null",
    "true",
    "NaN",
    "\u{feff}",
    GOOD,
    "\"2026-11-21T11:00:00\"",
];
