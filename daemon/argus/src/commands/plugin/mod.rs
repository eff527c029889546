//! `argus plugin`: what plugin authors work with. The work itself is in `argus-plugin-tools`.

pub mod args;
mod list;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use argus_plugin_host::{CompilerCommand, PluginKind};
use argus_plugin_tools::build::{self, Tools};
use argus_plugin_tools::case::{Case, Outcome as CaseOutcome, Workbench};
use argus_plugin_tools::inspect::{self, Report};
use argus_plugin_tools::project::Project;
use argus_plugin_tools::receiver::{Answer, Receiver};
use argus_plugin_tools::{bench, conformance, scaffold};
use serde_json::json;

use crate::cli::COMPILE_VERB;
use crate::exit::Outcome;
use crate::output;
use args::{PluginArgs, PluginCommand};

/// Runs the command.
pub fn run(args: &PluginArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        PluginCommand::New { name, kind, lang } => {
            let dir = scaffold::new_project(Path::new("."), name, *kind, *lang)?;
            let dir = dir.strip_prefix(".").unwrap_or(&dir).display();
            output::line(format_args!("made {dir}/: a {kind} in {lang} that works"));
            output::line(format_args!(
                "next: cd {dir}, argus plugin build, argus plugin test"
            ));
            Ok(Outcome::Done)
        }
        PluginCommand::Build { dir } => {
            let project = Project::open(dir)?;
            let progress = |step: &str| output::note(format_args!("{step} …"));
            let (file, report) = build::build(&project, &Tools::of_user(), &progress)?;
            output::line(format_args!("built {}", file.display()));
            report.lines().iter().for_each(output::line);
            Ok(Outcome::Done)
        }
        PluginCommand::Test {
            path,
            case,
            deliver,
        } => test(path, case, deliver.as_deref()),
        PluginCommand::Inspect { path, json } => {
            let (file, report) = inspected(path)?;
            let problems = report.problems();
            if *json {
                output::line(json!({ "path": file, "report": report, "problems": problems }));
            } else {
                output::line(file.display());
                report.lines().iter().for_each(output::line);
            }
            problems
                .iter()
                .for_each(|problem| output::note(format_args!("problem: {problem}")));
            Ok(if problems.is_empty() {
                Outcome::Done
            } else {
                Outcome::No
            })
        }
        PluginCommand::Bench {
            path,
            case,
            calls,
            json,
        } => measure(path.as_deref(), case.as_slice(), *calls, *json),
        PluginCommand::List { config, json } => list::run(config.as_deref(), *json),
        PluginCommand::Receive {
            listen,
            count,
            timeout_secs,
        } => receive(*listen, *count, timeout_secs.map(Duration::from_secs)),
    }
}

/// Compiled code is kept among the user's other caches; compiling happens in a process of its own, as in the daemon.
fn workbench() -> anyhow::Result<Workbench> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let cache = cache
        .or_else(home)
        .map(|dir| dir.join("argus/compiled-plugins"));
    let program = std::env::current_exe().context("find this program, which compiles plugins")?;
    let compiler = CompilerCommand {
        program,
        arguments: vec![COMPILE_VERB.to_owned()],
    };
    Ok(Workbench::new(cache, Some(compiler))?)
}

/// A component: the file itself, or what was built from a folder.
fn component(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let file = Project::open(path)?.component();
    if !file.is_file() {
        bail!("{} is not there yet: argus plugin build", file.display());
    }
    Ok(file)
}

fn inspected(path: &Path) -> anyhow::Result<(PathBuf, Report)> {
    let file = component(path)?;
    let wasm = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    match inspect::inspect(&wasm) {
        Ok(report) => Ok((file, report)),
        Err(reason) => bail!("{}: {reason}", file.display()),
    }
}

/// The folder `cases` of a plugin's folder; a component lies in that folder or in its `dist`.
fn cases_folder(path: &Path) -> PathBuf {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let above = full.ancestors().skip(1).take(2);
    path.is_file()
        .then(|| above.map(|dir| dir.join("cases")))
        .and_then(|mut folders| folders.find(|folder| folder.is_dir()))
        .unwrap_or_else(|| path.join("cases"))
}

/// The cases that were asked for, else those of the plugin's folder, in the order of their names.
fn cases(path: &Path, asked: &[PathBuf]) -> anyhow::Result<Vec<Case>> {
    let mut files = asked.to_vec();
    let folder = cases_folder(path);
    if files.is_empty() && folder.is_dir() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let file = entry?.path();
            files.extend(
                Some(file).filter(|file| file.extension().is_some_and(|end| end == "json")),
            );
        }
        files.sort();
    }
    if files.is_empty() && path.is_file() {
        bail!(
            "{} alone does not say how it is configured: name its plugin's folder, which has cases/, or a --case",
            path.display()
        );
    }
    if files.is_empty() {
        bail!(
            "no case: put one into {} or name one with --case",
            folder.display()
        );
    }
    Ok(files
        .iter()
        .map(|file| Case::read(file))
        .collect::<Result<_, _>>()?)
}

/// A case that ends well says how the plugin is configured.
fn typical(cases: &[Case]) -> Option<&Case> {
    cases.iter().find(|case| case.expect.error.is_none())
}

fn test(path: &Path, asked: &[PathBuf], deliver: Option<&str>) -> anyhow::Result<Outcome> {
    let (file, report) = inspected(path)?;
    let Some(kind) = report.kind.and_then(PluginKind::from_name) else {
        bail!("{}: {}", file.display(), report.problems().join("; "));
    };
    let cases = cases(path, asked)?;
    let bench = workbench()?;
    if let Some(url) = deliver {
        if kind != PluginKind::Sink {
            bail!("--deliver is for sinks; this is a {kind}");
        }
        let case = typical(&cases).context("no case that ends well says how to configure it")?;
        let receipt = bench.deliver(&file, case, url)?;
        output::line(format_args!("delivered to {url}: {receipt}"));
        return Ok(Outcome::Done);
    }
    let mut outcomes = Vec::new();
    for case in &cases {
        outcomes.push(bench.run(&file, kind, case)?);
    }
    if asked.is_empty()
        && let Some(case) = typical(&cases)
    {
        outcomes.extend(conformance::run(&bench, &file, case)?);
    }
    Ok(tell(&outcomes))
}

fn tell(outcomes: &[CaseOutcome]) -> Outcome {
    let mut failed = 0;
    for CaseOutcome { name, differences } in outcomes {
        if differences.is_empty() {
            output::line(format_args!("ok      {name}"));
            continue;
        }
        failed += 1;
        output::line(format_args!("FAILED  {name}"));
        for line in differences.iter().flat_map(|difference| difference.lines()) {
            output::line(format_args!("        {line}"));
        }
    }
    output::line(format_args!(
        "{} passed, {failed} failed",
        outcomes.len() - failed
    ));
    if failed == 0 {
        Outcome::Done
    } else {
        Outcome::No
    }
}

fn measure(
    path: Option<&Path>,
    case: &[PathBuf],
    calls: u32,
    json: bool,
) -> anyhow::Result<Outcome> {
    let calls = calls as usize;
    let shipped = crate::serve::plugins::shipped_plugins();
    let own = shipped
        .map(|dir| dir.join("bench.wasm"))
        .filter(|file| file.is_file());
    const MISSING: &str =
        "bench.wasm is not among the shipped plugins (`cargo xtask plugins` builds it)";
    let bench = workbench()?;
    let overhead = match own {
        Some(own) => Some(bench::overhead(&bench, &own, calls)?),
        None if path.is_none() => bail!(MISSING),
        None => {
            output::note(format_args!(
                "{MISSING}: the overhead beside a native call is left out"
            ));
            None
        }
    };
    let check = match path {
        None => None,
        Some(path) => {
            let cases = cases(path, case)?;
            let case =
                typical(&cases).context("no case that ends well says how to configure it")?;
            Some(bench::check_of(&bench, &component(path)?, case, calls)?)
        }
    };
    if json {
        output::line(json!({ "overhead": overhead, "check": check }));
        return Ok(Outcome::Done);
    }
    let line = |what: &str, times: &bench::Times| {
        output::line(format_args!(
            "{what:<48} median {:>9.2} µs   p99 {:>9.2} µs   {} calls",
            times.median_us, times.p99_us, times.calls
        ));
    };
    if let Some(overhead) = &overhead {
        line("fresh instance and trivial call", &overhead.trivial);
        line(
            "  called from another thread",
            &overhead.trivial_handed_over,
        );
        line("  the same function natively", &overhead.trivial_native);
        line("fresh instance, 1 MB of f32 in and out", &overhead.bulk);
        line("  the same function natively", &overhead.bulk_native);
    }
    if let Some(check) = &check {
        line("fresh instance and check of your plugin", check);
    }
    Ok(Outcome::Done)
}

fn receive(
    listen: SocketAddr,
    count: Option<u64>,
    patience: Option<Duration>,
) -> anyhow::Result<Outcome> {
    let (arrived, requests) = mpsc::channel();
    let receiver = Receiver::start(listen, move |request| {
        // The other end lives as long as the listener.
        let _ = arrived.send(request.text());
        Answer::new(200, "{}")
    });
    let receiver = receiver.with_context(|| format!("listen at {listen}"))?;
    output::note(format_args!(
        "listening at http://{}/, Ctrl-C ends",
        receiver.address()
    ));
    let end = patience.and_then(|patience| Instant::now().checked_add(patience));
    let mut arrived = 0;
    while count.is_none_or(|count| arrived < count) {
        let request = match end {
            Some(end) => requests
                .recv_timeout(end.saturating_duration_since(Instant::now()))
                .ok(),
            None => requests.recv().ok(),
        };
        let Some(request) = request else { break };
        output::line(request);
        arrived += 1;
    }
    if let Some(count) = count.filter(|count| arrived < *count) {
        output::note(format_args!("{arrived} of {count} requests came"));
        return Ok(Outcome::No);
    }
    Ok(Outcome::Done)
}
