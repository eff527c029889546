//! Bytes that cross the border: borrowed for a call, or owned with their own `free`.

use std::fmt;
use std::ops::Deref;

/// Bytes that are borrowed for the duration of a call.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Slice {
    /// First byte; may be null where `len` is 0.
    pub ptr: *const u8,
    /// Number of bytes.
    pub len: usize,
}

impl Slice {
    /// Borrows `bytes`; whoever passes it on keeps them alive for the call.
    pub const fn new(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// The bytes, or none where the slice cannot be one (null with a length, or a length beyond all memory).
    ///
    /// # Safety
    /// If `ptr` is not null it points to `len` initialised bytes that nobody writes to for as long as `'a`.
    #[expect(unsafe_code, reason = "bytes from the other side of the C interface")]
    pub const unsafe fn bytes<'a>(self) -> Option<&'a [u8]> {
        if self.len == 0 {
            return Some(&[]);
        }
        if self.ptr.is_null() || self.len > isize::MAX as usize {
            return None;
        }
        // SAFETY: not null and not too long; the rest is the caller's promise.
        Some(unsafe { std::slice::from_raw_parts(self.ptr, self.len) })
    }
}

/// Bytes that change hands. Plain data without a destructor: put it into an [`OwnedBuffer`] to take ownership.
#[repr(C)]
#[derive(Debug)]
pub struct Buffer {
    /// First byte; may be null where `len` is 0.
    pub ptr: *mut u8,
    /// Number of bytes.
    pub len: usize,
    /// Whatever `free` needs to know.
    pub owner: usize,
    /// Gives the bytes back to whoever allocated them; to be called exactly once, on any thread, with this buffer's
    /// fields. Null where there is nothing to free.
    pub free: Option<unsafe extern "C" fn(ptr: *mut u8, len: usize, owner: usize)>,
}

impl Buffer {
    /// No bytes, nothing to free.
    pub const fn empty() -> Self {
        Self {
            ptr: std::ptr::null_mut(),
            len: 0,
            owner: 0,
            free: None,
        }
    }

    /// Gives a vector away.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        if bytes.capacity() == 0 {
            return Self::empty();
        }
        let mut bytes = std::mem::ManuallyDrop::new(bytes);
        Self {
            ptr: bytes.as_mut_ptr(),
            len: bytes.len(),
            owner: bytes.capacity(),
            free: Some(free_vec),
        }
    }
}

#[expect(unsafe_code, reason = "takes back a vector that was given away")]
unsafe extern "C" fn free_vec(ptr: *mut u8, len: usize, capacity: usize) {
    // SAFETY: the caller passes on the fields of a buffer that `Buffer::from_vec` made, once: they are the parts of a
    // vector of this allocator that nobody else owns.
    drop(unsafe { Vec::from_raw_parts(ptr, len, capacity) });
}

/// A buffer with its ownership: freed exactly once, when dropped.
pub struct OwnedBuffer(Buffer);

#[expect(unsafe_code, reason = "bytes may move between threads")]
// SAFETY: nobody else has the bytes, and `free` may be called on any thread (contract of `Buffer::free`).
unsafe impl Send for OwnedBuffer {}

#[expect(unsafe_code, reason = "bytes may be read by several threads")]
// SAFETY: a shared `OwnedBuffer` can only be read.
unsafe impl Sync for OwnedBuffer {}

impl OwnedBuffer {
    /// Takes ownership. A buffer that cannot be one is not an error yet: see [`OwnedBuffer::bytes`].
    ///
    /// # Safety
    /// The buffer was given to the caller and to nobody else: if `ptr` is not null it points to `len` initialised
    /// bytes that nobody writes to, and `free`, if there is one, has not been called.
    #[expect(unsafe_code, reason = "ownership comes from the other side")]
    pub const unsafe fn new(buffer: Buffer) -> Self {
        Self(buffer)
    }

    /// The bytes, or none where the fields contradict each other.
    pub fn bytes(&self) -> Option<&[u8]> {
        let slice = Slice {
            ptr: self.0.ptr,
            len: self.0.len,
        };
        #[expect(unsafe_code, reason = "bytes from the other side of the C interface")]
        // SAFETY: promised to `new`; the bytes live until `self` is dropped.
        unsafe {
            slice.bytes()
        }
    }
}

impl Drop for OwnedBuffer {
    fn drop(&mut self) {
        if let Some(free) = self.0.free.take() {
            #[expect(unsafe_code, reason = "gives the bytes back")]
            // SAFETY: promised to `new`: the fields are the buffer's own and `free` was not called; `take` keeps it
            // from being called again.
            unsafe {
                free(self.0.ptr, self.0.len, self.0.owner);
            }
        }
    }
}

impl Deref for OwnedBuffer {
    type Target = [u8];

    /// The bytes; none where the fields contradict each other.
    fn deref(&self) -> &[u8] {
        self.bytes().unwrap_or_default()
    }
}

impl fmt::Debug for OwnedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedBuffer")
            .field("len", &self.0.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn owned(buffer: Buffer) -> OwnedBuffer {
        #[expect(unsafe_code, reason = "buffers of this test")]
        // SAFETY: each buffer is made in place and used once.
        unsafe {
            OwnedBuffer::new(buffer)
        }
    }

    #[test]
    fn vectors_come_over_whole() {
        for bytes in [Vec::new(), Vec::with_capacity(9), vec![1, 2, 3]] {
            let buffer = owned(Buffer::from_vec(bytes.clone()));
            assert_eq!(buffer.bytes(), Some(bytes.as_slice()));
        }
    }

    #[test]
    fn freed_once_on_any_thread() {
        static FREED: AtomicUsize = AtomicUsize::new(0);
        #[expect(unsafe_code, reason = "counts")]
        unsafe extern "C" fn count(_: *mut u8, len: usize, owner: usize) {
            assert_eq!((len, owner), (0, 7));
            FREED.fetch_add(1, Ordering::Relaxed);
        }
        let buffer = owned(Buffer {
            owner: 7,
            free: Some(count),
            ..Buffer::empty()
        });
        std::thread::spawn(move || drop(buffer))
            .join()
            .expect("freed");
        assert_eq!(FREED.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn contradictions_are_seen() {
        for (ptr, len) in [
            (std::ptr::null_mut(), 5),
            (std::ptr::dangling_mut(), usize::MAX),
        ] {
            let buffer = owned(Buffer {
                ptr,
                len,
                ..Buffer::empty()
            });
            assert_eq!(buffer.bytes(), None);
            assert!(buffer.is_empty());
        }
    }
}
