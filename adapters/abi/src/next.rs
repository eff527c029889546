//! Reading on: the bodies of the operations that work on cursors.

/// Operation that asks for a cursor's next page; the body is a [`Next`].
pub const NEXT: &str = "@next";

/// Operation that closes a cursor; the body is its number, 8 bytes, little endian. An unknown one is no error.
pub const CLOSE_CURSOR: &str = "@close";

/// What the next page of a cursor may be: 20 bytes, each number little endian, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The cursor.
    pub cursor: u64,
    /// Most documents.
    pub max_documents: u32,
    /// Bytes after which no further document is added; the first one always is.
    pub max_bytes: u32,
    /// How long to wait for the first document; then the page is empty and not the last.
    pub wait_ms: u32,
}

impl Next {
    /// The wire form.
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..8].copy_from_slice(&self.cursor.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.max_documents.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.max_bytes.to_le_bytes());
        bytes[16..].copy_from_slice(&self.wait_ms.to_le_bytes());
        bytes
    }

    /// Reads the wire form; none for another number of bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 20] = bytes.try_into().ok()?;
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some(Self {
            cursor: u64::from(number(0)) | u64::from(number(4)) << 32,
            max_documents: number(8),
            max_bytes: number(12),
            wait_ms: number(16),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let next = Next {
            cursor: 0x0123_4567_89ab_cdef,
            max_documents: 1,
            max_bytes: u32::MAX,
            wait_ms: 70_000,
        };
        assert_eq!(Next::from_bytes(&next.to_bytes()), Some(next));
        assert_eq!(Next::from_bytes(&[0; 19]), None);
    }
}
