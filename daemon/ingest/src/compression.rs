//! Content encodings, with a bound on what comes out.

use std::borrow::Cow;
use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::BodyError;

/// Largest zstd window that is honoured, as a power of two: 8 MiB, what RFC 9659 allows over HTTP. It bounds the memory
/// of the decompressor, which a frame header may otherwise push to 2 GiB.
const ZSTD_MAX_WINDOW_LOG: u32 = 23;

/// Undoes a `Content-Encoding`; `None`, an empty one and `identity` borrow the body.
///
/// # Errors
/// [`BodyError::TooLarge`] where more than `max_bytes` come out (found without producing more than that),
/// [`BodyError::UnsupportedEncoding`], [`BodyError::BadCompression`].
pub fn decompress<'a>(
    encoding: Option<&str>,
    body: &'a [u8],
    max_bytes: usize,
) -> Result<Cow<'a, [u8]>, BodyError> {
    let encoding = encoding.unwrap_or_default().trim().to_ascii_lowercase();
    match encoding.as_str() {
        "" | "identity" if body.len() > max_bytes => Err(BodyError::TooLarge { limit: max_bytes }),
        "" | "identity" => Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => {
            read_bounded("gzip", MultiGzDecoder::new(body), max_bytes).map(Cow::Owned)
        }
        "zstd" => {
            let decoder = zstd_decoder(body).map_err(|error| bad("zstd", &error))?;
            read_bounded("zstd", decoder, max_bytes).map(Cow::Owned)
        }
        _ => Err(BodyError::UnsupportedEncoding {
            encoding: encoding.chars().take(64).collect(),
            supported: "gzip, zstd or identity",
        }),
    }
}

fn zstd_decoder(body: &[u8]) -> io::Result<zstd::stream::read::Decoder<'static, BufReader<&[u8]>>> {
    let mut decoder = zstd::stream::read::Decoder::new(body)?;
    decoder.window_log_max(ZSTD_MAX_WINDOW_LOG)?;
    Ok(decoder)
}

fn read_bounded(
    encoding: &'static str,
    decoder: impl Read,
    max_bytes: usize,
) -> Result<Vec<u8>, BodyError> {
    let mut output = Vec::new();
    let one_too_many = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    decoder
        .take(one_too_many)
        .read_to_end(&mut output)
        .map_err(|error| bad(encoding, &error))?;
    if output.len() > max_bytes {
        return Err(BodyError::TooLarge { limit: max_bytes });
    }
    Ok(output)
}

fn bad(encoding: &'static str, error: &io::Error) -> BodyError {
    BodyError::BadCompression {
        encoding,
        problem: error.to_string(),
    }
}
