//! From what a source fetched to records, judged like a feed.

use argus_ingest::{BodyError, Decoded, decode_json};
use argus_schema::{RecordParser, RejectCode, Rejection};
use argus_store::Refusal;

/// Content that is understood.
const RECORDS: &str = "records";

/// Reads the records of a batch. A line that cannot be read is one bad record; a batch that is none at all is an error.
pub(crate) fn decode(
    content: &str,
    items: &[u8],
    parser: &RecordParser,
    max_records: usize,
    now_ms: i64,
) -> Result<Decoded, String> {
    if content != RECORDS {
        let content: String = content.chars().take(64).collect();
        return Err(format!(
            "it fetched {content:?}; only {RECORDS:?} are understood"
        ));
    }
    match decode_json(items, parser, max_records, now_ms) {
        Ok(decoded) => Ok(decoded),
        Err(BodyError::Empty) => Ok(Decoded::default()),
        Err(error @ (BodyError::TooManyRecords { .. } | BodyError::TooLarge { .. })) => {
            Err(format!("its batch is unusable: {error}"))
        }
        // The fault is in one line; the others are fine.
        Err(_) => decode_lines(items, parser, max_records, now_ms),
    }
}

fn decode_lines(
    items: &[u8],
    parser: &RecordParser,
    max_records: usize,
    now_ms: i64,
) -> Result<Decoded, String> {
    let mut all = Decoded::default();
    let lines = items
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty());
    for line in lines {
        let index = all.received;
        if index >= max_records {
            return Err(format!("its batch has more than {max_records} records"));
        }
        match decode_json(line, parser, 1, now_ms) {
            Ok(decoded) => {
                all.received += 1;
                let of_all = decoded
                    .records
                    .into_iter()
                    .map(|(_, record)| (index, record));
                all.records.extend(of_all);
                let rejected = decoded.rejected.into_iter();
                all.rejected
                    .extend(rejected.map(|bad| Rejection { index, ..bad }));
            }
            Err(error) => {
                all.received += 1;
                all.rejected.push(Rejection {
                    index,
                    code: RejectCode::Malformed,
                    server: None,
                    field: None,
                    message: format!("line {}: {error}", index + 1),
                });
            }
        }
    }
    Ok(all)
}

/// The store's reasons in the words of the records' contract, as a feed says them.
pub(crate) fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Duplicate { .. } => RejectCode::DuplicateTimestamp.as_str(),
        Refusal::TooOld { .. } => RejectCode::TooOld.as_str(),
        Refusal::InFuture { .. } => RejectCode::FutureTimestamp.as_str(),
        Refusal::TooManyEntities { .. } => RejectCode::TooManyServers.as_str(),
        Refusal::TooManyInBin { .. } => RejectCode::TooManyInBin.as_str(),
        other => other.code(),
    }
}

#[cfg(test)]
mod tests {
    use argus_schema::{Limits, Mapping, Schema};

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn decode_records(items: &str) -> Result<Decoded, String> {
        let parser = RecordParser::new(Schema::server(), Mapping::default(), Limits::default());
        decode("records", items.as_bytes(), &parser, 3, NOW_MS)
    }

    fn good(name: &str) -> String {
        format!(r#"{{"server_name":"{name}","timestamp":1800000000,"mem_used_pct":50}}"#)
    }

    #[test]
    fn one_bad_line_costs_one_record() {
        let text = format!("{}\n{{\"torn\n\n{}\n", good("a"), good("b"));
        let decoded = decode_records(&text).expect("a batch");
        let names: Vec<_> = decoded
            .records
            .iter()
            .map(|(index, record)| (*index, record.entity.as_str().to_owned()))
            .collect();
        assert_eq!(names, [(0, "a".to_owned()), (2, "b".to_owned())]);
        let [bad] = decoded.rejected.as_slice() else {
            panic!("{:?}", decoded.rejected);
        };
        assert_eq!((bad.index, bad.code), (1, RejectCode::Malformed));
        assert_eq!(decoded.received, 3);
    }

    #[test]
    fn nothing_is_fine_and_too_much_is_not() {
        assert_eq!(decode_records("").expect("nothing").received, 0);
        assert_eq!(decode_records("\n \n").expect("nothing").received, 0);
        let four = vec![good("a"); 4].join("\n");
        assert!(decode_records(&four).is_err_and(|why| why.contains('3')));
        assert!(decode_records(&format!("{four}\n{{")).is_err());
    }

    #[test]
    fn unknown_content_is_refused() {
        let parser = RecordParser::new(Schema::server(), Mapping::default(), Limits::default());
        let error = decode("events", b"", &parser, 3, NOW_MS).expect_err("unknown");
        assert!(error.contains("\"events\""), "{error}");
    }
}
