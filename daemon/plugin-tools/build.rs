//! Embeds the SDKs, their WIT and the templates, so that `argus plugin new` works on a machine without the sources.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What goes in, relative to `plugin-sdk/`. Everything else there is for the SDK's own tests.
const FOLDERS: [&str; 5] = ["src", "wit", "templates", "javascript", "python"];
const FILES: [&str; 1] = ["Cargo.toml"];

fn main() -> io::Result<()> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
    let mut files: Vec<PathBuf> = FILES.iter().map(PathBuf::from).collect();
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={}", sdk.join(folder).display());
        gather(&sdk, Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let absolute = sdk.join(&file).canonicalize()?;
        println!("cargo::rerun-if-changed={}", absolute.display());
        // `{:?}` quotes a path as Rust does.
        let _ = writeln!(table, "    ({file:?}, include_bytes!({absolute:?})),");
    }
    table.push(']');
    let out = env::var_os("OUT_DIR")
        .map(PathBuf::from)
        .unwrap_or_default();
    fs::write(out.join("sdk_files.rs"), table)
}

fn gather(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            gather(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
