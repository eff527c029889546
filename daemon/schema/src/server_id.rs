//! The numeric label of an entity name.

use sha2::{Digest, Sha256};

/// Label of a server name: the first 8 hex digits of its SHA-256, modulo 1 000 000, in decimal without padding.
///
/// Existing clients show and join on it. It is a label and no key: two names of a large fleet may share one, so
/// everything inside keys on the full [`crate::EntityName`].
pub fn server_id(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    let head = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    (head % 1_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::server_id;

    #[test]
    fn known_vectors() {
        let vectors = [
            ("ppml0001", "921211"),
            ("ppml0002", "992077"),
            ("ppml0015", "286630"),
            ("ppdb001", "215733"),
            ("ppdb002", "847241"),
            ("ppweb001", "305220"),
            ("ppetl001", "356109"),
            ("pprisk001", "646137"),
            ("ppgen001", "229688"),
            ("newhost", "5476"),
            ("web-01.prod", "450190"),
            ("ppcon01", "285039"),
        ];
        for (name, id) in vectors {
            assert_eq!(server_id(name), id, "{name}");
        }
    }
}
