//! From a file to a checked table.
//!
//! The file is read once, hashed, and copied into sealed memory, which is what the dynamic linker then loads: nobody can
//! exchange it between the check and the load. A library is never unloaded, since threads and completions of it may be
//! under way as long as the process lives; neither is the memory's descriptor ever closed, since the linker recognises
//! libraries by their path, and a reused descriptor would give a path a second meaning. Each load is a library of its
//! own, with its own statics, even of the same file.

use std::fs::File;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::path::Path;

use argus_connector_abi::table::{CancelFn, CloseFn, EntryFn, OpenFn, SubmitFn};
use argus_connector_abi::{Header, MAGIC, MAJOR, SYMBOL, Slice, Table};
use libloading::os::unix::{Library as DynamicLibrary, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{MemfdFlags, SealFlags};
use sha2::{Digest, Sha256};

use crate::elf;
use crate::errors::Failure;

/// A loaded library whose table has been checked.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// Name and version that it gives itself, e.g. `mongodb 1.2.0`.
    pub identity: String,
    pub sha256: String,
    pub functions: Functions,
}

/// The functions of the table. They stay valid for the life of the process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Functions {
    pub open: OpenFn,
    pub submit: SubmitFn,
    pub cancel: CancelFn,
    pub close: CloseFn,
}

/// A driver with its TLS stack takes tens of megabytes, with debugging information a few hundred.
const MAX_FILE_BYTES: u64 = 1 << 30;
const MAX_NAME_BYTES: usize = 64;

/// Reads, checks and loads. Blocking; runs the library's own initialisers.
pub(crate) fn load(path: &Path, pinned: Option<&str>) -> Result<Library, Failure> {
    let bytes = read(path)?;
    let sha256: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if let Some(pinned) = pinned.filter(|pinned| !pinned.eq_ignore_ascii_case(&sha256)) {
        return Err(Failure::WrongHash {
            pinned: pinned.to_owned(),
            found: sha256,
        });
    }
    elf::check_whole(&bytes).map_err(|reason| Failure::Load(reason.to_owned()))?;
    let library = open(&bytes)?;
    let table = find_table(&library)?;
    let (identity, functions) = check(table)?;
    Ok(Library {
        identity,
        sha256,
        functions,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| Failure::Read {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Failure::Load(format!(
            "it is larger than {MAX_FILE_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

/// Loads a library from memory that nobody can change.
fn open(bytes: &[u8]) -> Result<ManuallyDrop<DynamicLibrary>, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Load(error.to_string());
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("argus-connector", flags).map_err(|e| failed(&e))?;
    let mut memory = File::from(memory);
    memory.write_all(bytes).map_err(|e| failed(&e))?;
    let sealed = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&memory, sealed).map_err(|e| failed(&e))?;
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    #[expect(unsafe_code, reason = "loading a library runs its initialisers")]
    // SAFETY: the operator named this file, and with it trusts its native code; the bytes are those that were checked.
    let library = unsafe { DynamicLibrary::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
    let library = library.map_err(|error| {
        // The linker's own words are in the source; they begin with the path, which says nothing here.
        let said = std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
        Failure::Load(said.replace(&format!("{path}: "), ""))
    })?;
    // Kept for ever: see the module's documentation.
    std::mem::forget(memory);
    Ok(ManuallyDrop::new(library))
}

fn find_table(library: &DynamicLibrary) -> Result<*const Table, Failure> {
    let symbol = SYMBOL.to_string_lossy();
    #[expect(unsafe_code, reason = "the symbol's type is what the interface says")]
    // SAFETY: `SYMBOL` belongs to the connector interface; whoever defines it defines a function of this type.
    let entry = unsafe { library.get::<Option<EntryFn>>(SYMBOL) };
    let lacks = || Failure::NotAConnector(format!("it lacks the symbol {symbol}"));
    let table = entry.map_err(|_| lacks())?.ok_or_else(lacks)?();
    if table.is_null() || !table.is_aligned() {
        return Err(Failure::NotAConnector(format!("{symbol} returns no table")));
    }
    Ok(table)
}

/// Compares the header before anything else is read, then copies what is needed.
fn check(table: *const Table) -> Result<(String, Functions), Failure> {
    #[expect(unsafe_code, reason = "reads the library's table")]
    // SAFETY: the entry function returned an aligned pointer that is not null; a table of any version begins with a
    // header.
    let header = unsafe { table.cast::<Header>().read() };
    if header.magic != MAGIC {
        return Err(Failure::NotAConnector("its table is not one".to_owned()));
    }
    if header.major != MAJOR {
        return Err(Failure::WrongVersion {
            found: format!("{}.{}", header.major, header.minor),
            supported: format!("{MAJOR}.x"),
        });
    }
    if (header.size as usize) < size_of::<Table>() {
        let size = header.size;
        return Err(Failure::NotAConnector(format!(
            "its table has only {size} bytes"
        )));
    }
    #[expect(unsafe_code, reason = "reads the library's table")]
    // SAFETY: magic, version and size say that a table of at least this version's size is there.
    let table = unsafe { table.read() };
    let (Some(open), Some(submit), Some(cancel), Some(close)) =
        (table.open, table.submit, table.cancel, table.close)
    else {
        return Err(Failure::NotAConnector(
            "its table lacks a function".to_owned(),
        ));
    };
    let identity = format!("{} {}", word(table.name)?, word(table.version)?);
    let functions = Functions {
        open,
        submit,
        cancel,
        close,
    };
    Ok((identity, functions))
}

/// A short printable text of the table.
fn word(slice: Slice) -> Result<String, Failure> {
    let unusable = || Failure::NotAConnector("its name or version is unusable".to_owned());
    if slice.len > MAX_NAME_BYTES {
        return Err(unusable());
    }
    #[expect(unsafe_code, reason = "reads the library's table")]
    // SAFETY: name and version of a table are static.
    let bytes = unsafe { slice.bytes() };
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(str::to_owned)
        .ok_or_else(unusable)
}
