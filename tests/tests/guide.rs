//! `docs/writing-plugins.md`, followed literally: every `sh` block of a language's section, one after the other, in an
//! empty folder. Only the port is another one, because a machine has only one port 9000.
//!
//! A language whose tools are not here is left out, with a message; `ARGUS_TEST_REQUIRE_TOOLCHAINS=1` makes that a
//! failure.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use argus_e2e::{free_port, prepared};

/// The `sh` blocks of the section with that heading.
fn commands(heading: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/writing-plugins.md");
    let guide = std::fs::read_to_string(guide).expect("the guide is there");
    let section = guide
        .split("\n## ")
        .find(|section| section.starts_with(&format!("{heading}\n")))
        .expect("the guide has the section");
    let blocks = section.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    blocks.collect()
}

#[expect(clippy::print_stderr, reason = "a test that does nothing says why")]
fn follow(heading: &str, tool: &[&str]) -> anyhow::Result<()> {
    let there = Command::new(tool[0]).args(&tool[1..]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        let required = std::env::var_os("ARGUS_TEST_REQUIRE_TOOLCHAINS").is_some();
        anyhow::ensure!(!required, "`{}` is missing", tool.join(" "));
        eprintln!("not tried: {heading}: `{}` is missing", tool.join(" "));
        return Ok(());
    }
    let program = prepared("ARGUS_BIN")?;
    let folder = tempfile::tempdir()?;
    // A guide says `argus`; the program's own folder may hold others of that name.
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin)?;
    std::os::unix::fs::symlink(&program, bin.join("argus"))?;
    let path = std::env::var("PATH")?;
    let script = commands(heading).replace(":9000", &format!(":{}", free_port()?));
    anyhow::ensure!(script.contains("--deliver"), "the section delivers nothing");
    let started = Instant::now();
    let output = Command::new("bash")
        .args(["-e", "-u", "-x", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .output()?;
    let said = format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    anyhow::ensure!(
        output.status.success(),
        "{heading}: {}\n{said}",
        output.status
    );
    let received = std::fs::read_to_string(folder.path().join("team-chat/received.txt"))?;
    anyhow::ensure!(
        received.starts_with("POST /messages") && received.contains("Test notification from Argus"),
        "{heading}: nothing arrived: {received}\n{said}"
    );
    eprintln!("{heading}: {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

#[test]
fn rust() -> anyhow::Result<()> {
    follow("Rust", &["cargo", "--version"])
}

#[test]
fn javascript() -> anyhow::Result<()> {
    follow("JavaScript", &["npm", "--version"])
}

#[test]
fn python() -> anyhow::Result<()> {
    follow("Python", &["python3", "-m", "venv", "--help"])
}
