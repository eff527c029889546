//! A page that is being filled.

/// Documents for one page, in the order they were added.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    /// Where each document ends.
    ends: Vec<usize>,
    max_documents: usize,
    max_bytes: usize,
}

impl Page {
    pub(super) fn new(max_documents: u32, max_bytes: u32) -> Self {
        Self {
            max_documents: (max_documents as usize).max(1),
            max_bytes: (max_bytes as usize).max(1),
            ..Self::default()
        }
    }

    /// Whether another document fits. The first one always does, however large.
    pub fn has_room(&self) -> bool {
        self.ends.is_empty()
            || (self.ends.len() < self.max_documents && self.bytes.len() < self.max_bytes)
    }

    /// How many more documents are wanted, for drivers that fetch in batches.
    pub fn missing_documents(&self) -> usize {
        self.max_documents.saturating_sub(self.ends.len())
    }

    /// Documents so far.
    pub fn documents(&self) -> usize {
        self.ends.len()
    }

    /// Adds a document in a format that knows where it ends, such as BSON. What no longer has room is kept for the
    /// next page.
    pub fn push(&mut self, document: &[u8]) {
        self.bytes.extend_from_slice(document);
        self.ends.push(self.bytes.len());
    }

    /// Adds a document that is one line of text, such as JSON.
    pub fn push_line(&mut self, document: &[u8]) {
        self.bytes.extend_from_slice(document);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    /// Adds a value as a line of JSON.
    ///
    /// # Errors
    /// When it has no JSON form; the page is as before.
    pub fn push_json<T: serde::Serialize + ?Sized>(
        &mut self,
        value: &T,
    ) -> Result<(), crate::Error> {
        let before = self.bytes.len();
        if let Err(error) = serde_json::to_writer(&mut self.bytes, value) {
            self.bytes.truncate(before);
            return Err(crate::Error::new("query_failed", error));
        }
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Takes what another asker may have: documents from the front, and how many.
    pub(super) fn take(&mut self, max_documents: u32, max_bytes: u32) -> (Vec<u8>, u32) {
        let wanted = Self::new(max_documents, max_bytes);
        let mut count = 0;
        let mut end = 0;
        for &document_end in &self.ends {
            if count > 0 && (count >= wanted.max_documents || end >= wanted.max_bytes) {
                break;
            }
            (count, end) = (count + 1, document_end);
        }
        let rest = self.bytes.split_off(end);
        self.ends.drain(..count);
        for document_end in &mut self.ends {
            *document_end -= end;
        }
        let taken = std::mem::replace(&mut self.bytes, rest);
        (taken, u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(documents: &[&str]) -> Page {
        let mut page = Page::new(100, 1000);
        for document in documents {
            page.push_line(document.as_bytes());
        }
        page
    }

    #[test]
    fn room_is_for_at_least_one() {
        let mut page = Page::new(0, 0);
        assert!(page.has_room());
        page.push(&[0; 100]);
        assert!(!page.has_room());
        let mut page = Page::new(2, 1000);
        page.push(b"a");
        assert!(page.has_room() && page.missing_documents() == 1);
        page.push(b"b");
        assert!(!page.has_room());
    }

    #[test]
    fn takes_whole_documents_in_order() {
        let mut all = page(&["one", "two", "three"]);
        assert_eq!(all.take(2, 1000), (b"one\ntwo\n".to_vec(), 2));
        assert_eq!(all.take(2, 1000), (b"three\n".to_vec(), 1));
        assert_eq!(all.take(2, 1000), (Vec::new(), 0));
        let mut all = page(&["one", "two", "three"]);
        assert_eq!(all.take(9, 1).1, 1, "at least one");
        assert_eq!(
            all.take(9, 5),
            (b"two\nthree\n".to_vec(), 2),
            "until over the bytes"
        );
        assert!(all.is_empty());
    }

    #[test]
    fn what_has_no_json_leaves_no_trace() {
        struct Odd;
        impl serde::Serialize for Odd {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeSeq;
                let mut seq = serializer.serialize_seq(None)?;
                seq.serialize_element(&1)?;
                Err(serde::ser::Error::custom("odd"))
            }
        }
        let mut page = page(&["one"]);
        assert!(page.push_json(&Odd).is_err());
        assert_eq!(page.take(9, 1000), (b"one\n".to_vec(), 1));
    }
}
