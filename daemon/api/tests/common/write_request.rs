//! Remote write requests.

/// A request with one sample of one instance's `node_load1`.
pub fn load_of(instance: &str, time_ms: i64) -> Vec<u8> {
    let label = |name: &str, value: &str| {
        let content = [message(1, name.as_bytes()), message(2, value.as_bytes())];
        message(1, &content.concat())
    };
    let mut sample = vec![1 << 3 | 1];
    sample.extend(2.5f64.to_le_bytes());
    sample.push(2 << 3);
    let mut rest = u64::try_from(time_ms).expect("after 1970");
    while rest >= 128 {
        sample.push(rest.to_le_bytes()[0] | 128);
        rest >>= 7;
    }
    sample.push(rest.to_le_bytes()[0]);
    let series = [
        label("__name__", "node_load1"),
        label("instance", instance),
        message(2, &sample),
    ];
    snap::raw::Encoder::new()
        .compress_vec(&message(1, &series.concat()))
        .expect("compressed")
}

/// A field of protobuf that holds bytes, so few of them that their number fits one byte.
fn message(field: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(length < 128, "longer than a byte of varint tells");
    [&[field << 3 | 2, length], content].concat()
}
