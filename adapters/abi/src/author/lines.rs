//! Documents that came and were not handed out yet.

use crate::Error;

/// Lines of text one after the other, for cursors that fetch more at once than a page has room for.
#[derive(Debug, Default)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
    taken: usize,
}

impl Lines {
    /// Adds a document that is one line of text, such as JSON.
    pub fn push(&mut self, line: &[u8]) {
        self.bytes.extend_from_slice(line);
        self.ends.push(self.bytes.len());
    }

    /// Adds a document whose JSON may be broken into lines between its values; within strings JSON has no line breaks.
    pub fn push_broken(&mut self, json: &[u8]) {
        let begin = self.bytes.len();
        self.push(json);
        for byte in &mut self.bytes[begin..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }

    /// Adds a value as JSON.
    ///
    /// # Errors
    /// When it has no JSON form; the lines are as before.
    pub fn push_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let before = self.bytes.len();
        if let Err(error) = serde_json::to_writer(&mut self.bytes, value) {
            self.bytes.truncate(before);
            return Err(Error::new("query_failed", error));
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.ends.len() - self.taken
    }

    /// Memory that they take, those included that were taken already.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.taken)?;
        let begin = match self.taken {
            0 => 0,
            taken => self.ends[taken - 1],
        };
        self.taken += 1;
        Some(&self.bytes[begin..end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in() {
        let mut lines = Lines::default();
        lines.push(b"one");
        lines.push_broken(b"{\"two\":\r\n2}");
        lines.push_json(&[3]).expect("JSON");
        assert_eq!(lines.len(), 3);
        assert_eq!(lines.take(), Some(&b"one"[..]));
        assert_eq!(lines.take(), Some(&b"{\"two\":  2}"[..]));
        assert_eq!(lines.take(), Some(&b"[3]"[..]));
        assert_eq!(lines.take(), None);
        assert!(lines.is_empty());
    }
}
