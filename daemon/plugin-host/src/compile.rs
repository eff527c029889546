//! Compiling, in a process of its own.
//!
//! A compiler is fed by whoever wrote the plugin: it may be made to take hours, or all memory, and it may have faults.
//! So it runs in a child with limits, and what goes wrong costs an error. The child is this same program, started again
//! with the arguments that [`HostConfig::compiler`](crate::HostConfig::compiler) names; it must call
//! [`compile_stdin_to_stdout`] and nothing else. The component comes on its standard input, the machine code goes to its
//! standard output, and what is wrong with the component to its standard error.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::call::readable;
use crate::engine::compiling_engine;
use crate::errors::Failure;

/// The program that compiles: this one, started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompilerCommand {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Wall time of one compilation: only against a child that hangs. What it may cost is processor time, so that a busy
/// machine refuses nothing that an idle one takes; the largest component known, Python's, needs 25 s of it.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// Processor time, all cores together.
const CPU_SECS: u64 = 180;
/// Address space beyond what the program has when it starts.
const MEMORY_BYTES: u64 = 4 << 30;
/// Machine code of one component.
const MAX_CODE_BYTES: u64 = 512 << 20;
const MAX_MESSAGE_CHARS: usize = 1000;
/// Exit status of a child whose component cannot be compiled, as told on standard error.
const REFUSED: u8 = 3;

/// Compiles a component to the engine's serialised code, in a child where there is a command for it, else here.
pub(crate) async fn compile(
    engine: &Engine,
    compiler: Option<&CompilerCommand>,
    wasm: Vec<u8>,
) -> Result<Vec<u8>, Failure> {
    match compiler {
        Some(compiler) => match tokio::time::timeout(TIMEOUT, in_child(compiler, wasm)).await {
            Ok(compiled) => compiled,
            // The child ends with its handle.
            Err(_) => Err(Failure::Compile(format!(
                "compiling it took more than {} s",
                TIMEOUT.as_secs()
            ))),
        },
        None => {
            let engine = engine.clone();
            let compile = move || engine.precompile_component(&wasm);
            match tokio::task::spawn_blocking(compile).await {
                Ok(compiled) => compiled.map_err(|e| Failure::Compile(format!("{e:#}"))),
                Err(_) => Err(Failure::Stopping),
            }
        }
    }
}

async fn in_child(compiler: &CompilerCommand, wasm: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let trouble = |what: &str, e: std::io::Error| {
        Failure::Compile(format!("the compiling process cannot {what}: {e}"))
    };
    let mut child = Command::new(&compiler.program)
        .args(&compiler.arguments)
        .env_clear()
        // Where a program finds its libraries is the one thing it needs to be told.
        .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| trouble("be started", e))?;
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(Failure::Stopping);
    };
    let feed = async move {
        // A child that refuses early does not read to the end; its exit status tells.
        let _ = stdin.write_all(&wasm).await;
    };
    let mut code = Vec::new();
    let mut message = Vec::new();
    let (mut stdout, mut stderr) = (stdout.take(MAX_CODE_BYTES + 1), stderr.take(64 << 10));
    let ((), read, said) = tokio::join!(
        feed,
        stdout.read_to_end(&mut code),
        stderr.read_to_end(&mut message)
    );
    read.map_err(|e| trouble("be read", e))?;
    said.map_err(|e| trouble("be read", e))?;
    if code.len() as u64 > MAX_CODE_BYTES {
        return Err(Failure::Compile(format!(
            "its machine code is over {MAX_CODE_BYTES} bytes"
        )));
    }
    let status = child
        .wait()
        .await
        .map_err(|e| trouble("be waited for", e))?;
    let message = String::from_utf8_lossy(&message);
    let message = readable(message.trim(), MAX_MESSAGE_CHARS);
    match status.code() {
        Some(0) => Ok(code),
        Some(refused) if refused == i32::from(REFUSED) => Err(Failure::Compile(message)),
        _ => Err(Failure::Compile(format!(
            "compiling it broke the compiling process or its limits ({} GiB, {CPU_SECS} s): {status}{}{message}",
            MEMORY_BYTES >> 30,
            if message.is_empty() { "" } else { ": " },
        ))),
    }
}

/// What the child does: takes limits upon itself, compiles standard input to standard output, and says on standard error
/// what is wrong. Returns the exit status of the process.
pub fn compile_stdin_to_stdout() -> u8 {
    if let Err(error) = limit_this_process() {
        return say(1, &format!("cannot limit the compiling process: {error}"));
    }
    let mut wasm = Vec::new();
    if let Err(error) = std::io::stdin().lock().read_to_end(&mut wasm) {
        return say(1, &format!("cannot read the component: {error}"));
    }
    let engine = match compiling_engine() {
        Ok(engine) => engine,
        Err(error) => return say(1, &error.to_string()),
    };
    let code = match engine.precompile_component(&wasm) {
        Ok(code) => code,
        Err(error) => return say(REFUSED, &format!("{error:#}")),
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&code).and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        Err(error) => say(1, &format!("cannot hand over the code: {error}")),
    }
}

fn say(status: u8, message: &str) -> u8 {
    // If nobody listens, the status still tells.
    let _ = writeln!(std::io::stderr().lock(), "{message}");
    status
}

fn limit_this_process() -> std::io::Result<()> {
    let limit = |resource, most| {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        rustix::process::setrlimit(resource, limit)
    };
    // No child outlives its daemon, none gains rights, none takes the processor from ingest.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    let _ = rustix::process::nice(10);
    limit(Resource::As, mapped_bytes()? + MEMORY_BYTES)?;
    limit(Resource::Cpu, CPU_SECS)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    Ok(())
}

/// Address space that this program has taken already: libraries.
fn mapped_bytes() -> std::io::Result<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok());
    let pages = pages.ok_or_else(|| std::io::Error::other("/proc/self/statm is unreadable"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Makes a component of the engine's serialised code.
pub(crate) fn deserialise(engine: &Engine, code: &[u8]) -> Result<Component, Failure> {
    #[expect(
        unsafe_code,
        reason = "the engine's own code, just compiled or from the private cache"
    )]
    // SAFETY: the bytes were serialised by wasmtime's compiler of this version, in this process, in a child of this
    // program, or by an earlier run whose private cache handed them over whole (see `cache`). The engine refuses code of
    // another version or other settings.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|e| Failure::Compile(format!("{e:#}")))
}
