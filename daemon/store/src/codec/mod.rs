//! Bytes of the store's own formats: bounded reading, compact writing, and the frame around every stored value.

pub(crate) mod frame;
pub(crate) mod group;

use std::str;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stored bytes are damaged: {0}")]
pub(crate) struct DecodeError(pub(crate) &'static str);

/// Writing of primitives, little-endian.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_bytes(&mut self, bytes: &[u8]);

    fn put_u32(&mut self, value: u32) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_f32(&mut self, value: f32) {
        self.put_bytes(&value.to_le_bytes());
    }

    fn put_f64(&mut self, value: f64) {
        self.put_bytes(&value.to_le_bytes());
    }

    /// 7 bits a byte, least significant first.
    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    /// A number that is small on either side of 0.
    fn put_signed(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)) as u64);
    }

    /// Length, then text.
    fn put_text(&mut self, text: &str) {
        self.put_varint(text.len() as u64);
        self.put_bytes(text.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reading of what [`Put`] wrote; never past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Take<'a>(&'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(DecodeError("bytes after the end"))
        }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(DecodeError("ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(DecodeError("ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn f32(&mut self) -> Result<f32, DecodeError> {
        self.array().map(f32::from_le_bytes)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError("a number is too long"))
    }

    /// A varint that must fit 32 bits.
    pub(crate) fn small(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.varint()?).map_err(|_| DecodeError("a number is too large"))
    }

    /// A count of things that take at least `least_bytes` each, so that no length is believed that cannot be there.
    pub(crate) fn count(&mut self, least_bytes: usize) -> Result<usize, DecodeError> {
        let count =
            usize::try_from(self.varint()?).map_err(|_| DecodeError("a count is too large"))?;
        if count > self.len() / least_bytes.max(1) {
            return Err(DecodeError("a count is larger than what follows"));
        }
        Ok(count)
    }

    pub(crate) fn signed(&mut self) -> Result<i64, DecodeError> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.count(1)?;
        str::from_utf8(self.bytes(length)?).map_err(|_| DecodeError("text is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_survive(unsigned: u64, signed: i64, text in ".{0,40}") {
            let mut bytes = Vec::new();
            bytes.put_varint(unsigned);
            bytes.put_signed(signed);
            bytes.put_text(&text);
            let mut take = Take::new(&bytes);
            prop_assert_eq!(take.varint(), Ok(unsigned));
            prop_assert_eq!(take.signed(), Ok(signed));
            prop_assert_eq!(take.text(), Ok(text.as_str()));
            prop_assert_eq!(take.finish(), Ok(()));
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        let mut bytes = Vec::new();
        bytes.put_varint(u64::MAX);
        assert!(Take::new(&bytes).count(1).is_err());
        assert!(Take::new(&[0xff; 11]).varint().is_err());
    }
}
