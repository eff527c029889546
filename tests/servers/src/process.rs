//! A child process that never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A running child whose output is kept.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command` with its output captured.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            // Nothing is said on it. It closes when we die, however we die, and a server can end itself then.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let output = Arc::new(Mutex::new(String::new()));
        gather(child.stdout.take(), &output);
        gather(child.stderr.take(), &output);
        Ok(Self { child, output })
    }

    /// Everything it printed so far.
    pub fn output(&self) -> String {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL: it gets no chance to tidy up.
    pub fn kill(&mut self) {
        // Ending a child that is gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits.
    ///
    /// # Errors
    /// When it is still there after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> anyhow::Result<i32> {
        Command::new("kill")
            .arg("-TERM")
            .arg(self.id().to_string())
            .status()?;
        eventually("exit after SIGTERM", limit, || {
            let status = self.child.try_wait()?.context("still running")?;
            Ok(status.code().unwrap_or(-1))
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn gather(stream: Option<impl Read + Send + 'static>, output: &Arc<Mutex<String>>) {
    let Some(stream) = stream else { return };
    let output = Arc::clone(output);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut text = output.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&line);
            text.push('\n');
        }
    });
}

/// A port that was free a moment ago.
///
/// # Errors
/// When loopback gives none.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Polls until `probe` gives a value.
///
/// # Errors
/// When it has not after `limit`, with the last reason it gave.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match probe() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => {
                bail!("{what} did not happen in {limit:?}: {error:#}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
