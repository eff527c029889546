//! The sending side of remote write, as Prometheus does it, from the text that exporters serve.

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    #[prost(string, tag = "2")]
    pub family: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Label {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// The series of a text exposition such as `node_load1 0.5`, as scraped from an instance at a time.
pub fn scrape(text: &str, instance: &str, timestamp: i64) -> Vec<TimeSeries> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| series(line.trim(), instance, timestamp))
        .collect()
}

fn series(line: &str, instance: &str, timestamp: i64) -> TimeSeries {
    let (series, value) = line.rsplit_once(' ').expect("name and value");
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut all = vec![
        label("__name__", name),
        label("instance", instance),
        label("job", "node"),
    ];
    for pair in labels
        .trim_end_matches('}')
        .split(',')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').expect("label and value");
        all.push(label(name, value.trim_matches('"')));
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    let value = value.parse().expect("a number");
    TimeSeries {
        labels: all,
        samples: vec![Sample { value, timestamp }],
    }
}

/// A request's body.
pub fn body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let metadata = vec![Metadata {
        family: "node_load1".to_owned(),
    }];
    compress(
        &WriteRequest {
            timeseries,
            metadata,
        }
        .encode_to_vec(),
    )
}

/// Snappy block format.
pub fn compress(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(message)
        .expect("a small message")
}
