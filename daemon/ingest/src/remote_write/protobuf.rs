//! The wire: headers, snappy block format, and the few messages of remote write 1.0 that matter here.
//!
//! The outer message is walked by hand and each series decoded by itself, so that a request of millions of empty
//! series costs no more memory than its bytes. Metadata, exemplars and histograms are skipped.

use std::fmt;

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::BodyError;

/// One series: its labels and one or more samples.
#[derive(Clone, PartialEq, Message)]
pub(super) struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub(super) samples: Vec<Sample>,
}

/// One label of a series; the metric's name is the label `__name__`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Label {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

/// One observation.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

impl TimeSeries {
    /// Value of a label; `None` where the series lacks it or it is empty, which Prometheus takes for the same.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let label = self.labels.iter().find(|label| label.name == name)?;
        (!label.value.is_empty()).then_some(label.value.as_str())
    }
}

/// Field numbers of `prometheus.WriteRequest`, and of its successor's message.
const TIMESERIES: u32 = 1;
const V2_SYMBOLS: u32 = 4;
const V2_TIMESERIES: u32 = 5;
/// A longer series is no scrape; it bounds what decoding one allocates.
const MAX_SERIES_BYTES: usize = 1 << 20;

/// Refuses what the headers already tell: another message than `prometheus.WriteRequest`, another encoding than snappy.
/// Absent headers are fine, the body then tells.
///
/// # Errors
/// [`BodyError::UnsupportedMessage`], [`BodyError::UnsupportedEncoding`].
pub fn check_headers(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
) -> Result<(), BodyError> {
    let lowercase = |header: Option<&str>| header.unwrap_or_default().trim().to_ascii_lowercase();
    let content_type = lowercase(content_type);
    let mut parts = content_type.split(';').map(str::trim);
    let is_protobuf = matches!(parts.next(), None | Some("" | "application/x-protobuf"));
    let names_v1 = |part: &str| {
        part.strip_prefix("proto=")
            .is_none_or(|proto| proto == "prometheus.writerequest")
    };
    if !is_protobuf || !parts.all(names_v1) {
        return Err(BodyError::UnsupportedMessage {
            content_type: content_type.chars().take(64).collect(),
        });
    }
    let encoding = lowercase(content_encoding);
    if !matches!(encoding.as_str(), "" | "snappy") {
        let encoding = encoding.chars().take(64).collect();
        return Err(BodyError::UnsupportedEncoding {
            encoding,
            supported: "snappy",
        });
    }
    Ok(())
}

/// Undoes the snappy block format, whose header tells the size before anything is allocated.
pub(super) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, BodyError> {
    let bad = |error: snap::Error| BodyError::BadCompression {
        encoding: "snappy",
        problem: error.to_string(),
    };
    if snap::raw::decompress_len(body).map_err(bad)? > max_bytes {
        return Err(BodyError::TooLarge { limit: max_bytes });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(bad)
}

/// Decodes the series of a `prometheus.WriteRequest` one after the other.
pub(super) fn for_each_series(
    mut message: &[u8],
    mut take: impl FnMut(TimeSeries),
) -> Result<(), BodyError> {
    let bad = |problem: &dyn fmt::Display| BodyError::BadProtobuf {
        problem: problem.to_string(),
    };
    while !message.is_empty() {
        let (field, wire_type) = decode_key(&mut message).map_err(|error| bad(&error))?;
        if matches!(field, V2_SYMBOLS | V2_TIMESERIES) {
            return Err(BodyError::UnsupportedMessage {
                content_type: "io.prometheus.write.v2.Request".to_owned(),
            });
        }
        if field != TIMESERIES {
            skip_field(wire_type, field, &mut message, DecodeContext::default())
                .map_err(|error| bad(&error))?;
            continue;
        }
        if wire_type != WireType::LengthDelimited {
            return Err(bad(&"a series is no message"));
        }
        let length = decode_varint(&mut message).map_err(|error| bad(&error))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_SERIES_BYTES {
            return Err(bad(&format_args!(
                "a series of {length} bytes; at most {MAX_SERIES_BYTES} are taken"
            )));
        }
        let Some((series, rest)) = message.split_at_checked(length) else {
            return Err(bad(&"a series ends past the end of the message"));
        };
        message = rest;
        take(TimeSeries::decode(series).map_err(|error| bad(&error))?);
    }
    Ok(())
}
