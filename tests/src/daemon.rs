//! The daemon under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Process, eventually, prepared};

/// How the daemon is started; `Setup::default()` is an empty data directory and the shipped model.
#[derive(Debug, Default, Clone)]
pub struct Setup {
    /// TOML, appended to a preamble that turns the self source off unless this text mentions it.
    pub config: String,
    /// `--models-dir`.
    pub models_dir: Option<PathBuf>,
    /// Environment of the daemon.
    pub env: Vec<(String, String)>,
}

/// A running daemon with its data directory.
#[derive(Debug)]
pub struct Daemon {
    /// Base address, e.g. `http://127.0.0.1:41234`.
    pub url: String,
    /// Holds configuration and data; stays across [`Daemon::restart`].
    pub dir: TempDir,
    setup: Setup,
    process: Process,
}

impl Daemon {
    /// Starts a daemon on a free port and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; the message holds its output.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let (process, url) = launch(dir.path(), &setup)?;
        Ok(Self {
            url,
            dir,
            setup,
            process,
        })
    }

    /// Kills it with SIGKILL and starts it again on the same data.
    ///
    /// # Errors
    /// When it does not become ready again.
    pub fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.restart()
    }

    /// Starts it again on the same data, after it ended.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        (self.process, self.url) = launch(self.dir.path(), &self.setup)?;
        Ok(())
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// GET; the status and the body as JSON (`Null` where it is none).
    ///
    /// # Errors
    /// When no HTTP answer comes.
    pub fn get(&self, path: &str) -> anyhow::Result<(u16, Value)> {
        let answer = agent().get(format!("{}{path}", self.url)).call()?;
        read(answer)
    }

    /// POST of a JSON text.
    ///
    /// # Errors
    /// When no HTTP answer comes.
    pub fn post(&self, path: &str, body: &str) -> anyhow::Result<(u16, Value)> {
        self.post_bytes(
            path,
            body.as_bytes(),
            &[("content-type", "application/json")],
        )
    }

    /// POST of any bytes with headers.
    ///
    /// # Errors
    /// When no HTTP answer comes.
    pub fn post_bytes(
        &self,
        path: &str,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = agent().post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        read(request.send(body)?)
    }

    /// GET that must answer 200.
    ///
    /// # Errors
    /// When it does not.
    pub fn get_ok(&self, path: &str) -> anyhow::Result<Value> {
        match self.get(path)? {
            (200, body) => Ok(body),
            (status, body) => bail!("GET {path} answered {status}: {body}"),
        }
    }

    /// Feeds records that must all be accepted.
    ///
    /// # Errors
    /// When one is not.
    pub fn feed(&self, records: &[Value]) -> anyhow::Result<Value> {
        let body = serde_json::json!({ "records": records }).to_string();
        let (status, answer) = self.post("/feed/data", &body)?;
        if status != 200 || answer["accepted"] != records.len() {
            bail!(
                "feeding {} records answered {status}: {answer}",
                records.len()
            );
        }
        Ok(answer)
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> anyhow::Result<(u16, Value)> {
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_to_string()?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

fn launch(dir: &Path, setup: &Setup) -> anyhow::Result<(Process, String)> {
    let config = dir.join("argus.toml");
    let self_source = if setup.config.contains("[self_source]") {
        ""
    } else {
        "[self_source]\nenabled = false\n"
    };
    std::fs::write(&config, format!("{}\n{self_source}", setup.config))?;
    let mut command = Command::new(prepared("ARGUS_BIN")?);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config);
    command.arg("--data-dir").arg(dir.join("data"));
    if let Some(models) = &setup.models_dir {
        command.arg("--models-dir").arg(models);
    }
    command.envs(setup.env.iter().map(|(k, v)| (k, v)));
    let mut process = Process::start(&mut command)?;
    let url = eventually("the daemon's address", Duration::from_secs(60), || {
        if !process.is_running() {
            bail!("the daemon ended: {}", process.output());
        }
        let output = process.output();
        let start = output
            .find("Argus is at ")
            .context("no address printed yet")?
            + "Argus is at ".len();
        let url: String = output[start..]
            .chars()
            .take_while(|c| !c.is_whitespace() && *c != '"')
            .collect();
        let answer = agent().get(format!("{url}/-/ready")).call()?;
        anyhow::ensure!(answer.status() == 200, "not ready: {}", answer.status());
        Ok(url)
    })
    .with_context(|| process.output())?;
    Ok((process, url))
}
