//! Signatures over requests, made by the host so that a plugin never holds the key.
//!
//! What is signed is the time in seconds since the Unix epoch, in decimal, a dot, and the body: `1770091506.{"a":1}`.
//! A receiver computes HMAC-SHA256 over the same bytes with the shared key, compares in constant time, and refuses
//! times that are minutes away, so that a recorded request cannot be sent again. `v1=` leaves room for other ways.

use argus_outbound_http::{HeaderName, HeaderValue};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::target_spec::SignSpec;

/// Signs the requests of one target.
#[derive(Clone)]
pub(crate) struct Signer {
    keyed: Hmac<Sha256>,
    header: HeaderName,
    timestamp_header: HeaderName,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signer").field(&self.header).finish()
    }
}

impl Signer {
    /// Signs with `key`.
    pub(crate) fn new(spec: &SignSpec, key: &str) -> Result<Self, String> {
        let name = |name: &str| {
            HeaderName::try_from(name).map_err(|_| format!("{name:?} is no name of a header"))
        };
        Ok(Self {
            keyed: Hmac::new_from_slice(key.as_bytes()).map_err(|e| e.to_string())?,
            header: name(&spec.header)?,
            timestamp_header: name(&spec.timestamp_header)?,
        })
    }

    /// The headers of a request that is sent now.
    pub(crate) fn headers(&self, now_ms: i64, body: &[u8]) -> [(HeaderName, HeaderValue); 2] {
        let seconds = now_ms.div_euclid(1000);
        let mut mac = self.keyed.clone();
        mac.update(seconds.to_string().as_bytes());
        mac.update(b".");
        mac.update(body);
        let code = mac.finalize().into_bytes();
        let signature: String = code.iter().map(|b| format!("{b:02x}")).collect();
        let signature = HeaderValue::try_from(format!("v1={signature}"));
        [
            (
                self.header.clone(),
                signature.unwrap_or(HeaderValue::from_static("")),
            ),
            (self.timestamp_header.clone(), HeaderValue::from(seconds)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_another_implementation() {
        // printf '1770091506.{"a":1}' | openssl dgst -sha256 -hmac 'key of the far side'
        let signer = Signer::new(&SignSpec::new("key"), "key of the far side").expect("a signer");
        let [(name, value), (time_name, time)] = signer.headers(1_770_091_506_789, br#"{"a":1}"#);
        assert_eq!(name, "x-argus-signature");
        assert_eq!(
            value,
            "v1=32eb9996e17102a0f58ef32d81f690157573c2ae7c509f3ea3adf775d017360c"
        );
        assert_eq!(time_name, "x-argus-timestamp");
        assert_eq!(time, "1770091506");
    }
}
