//! Whatever plugins do costs their own calls an error that names plugin and version; nobody else notices, and memory
//! comes back.
#![expect(clippy::print_stdout, reason = "figures of a run are for people")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually, prepared};
use serde_json::Value;

/// Requests to `/health` in each of the two states, in turns, so that both see the same machine.
const PROBES: usize = 10_000;
const TURNS: usize = 10;
const MOST_LATER: Duration = Duration::from_millis(10);
const SECRET: &str = "correct-horse-battery-staple";

/// Settings of the hostile sink, and what the error of its call says. None: the call ends well, and what it tells must
/// not hold the secret.
const SINKS: &[(&str, &str, Option<&str>)] = &[
    ("loop", "", Some("computed for more than")),
    ("recurse", "", Some("exhausted its call stack")),
    ("allocate", "", Some("needed more than its 32 MB")),
    ("panic", "", Some("I was told to panic")),
    ("trap", "", Some("trapped: ")),
    ("log_flood", "", Some("logged more than 200 lines")),
    ("long_line", "size = 1000000", Some("logged more than")),
    ("giant_return", "size = 20000000", Some("handed more than")),
    ("giant_request", "size = 12000000", Some("handed more than")),
    ("clock_flood", "", Some("computed for more than")),
    (
        "http",
        "target = \"silent\"",
        Some("no complete answer within"),
    ),
    (
        "http_flood",
        "target = \"echo\"",
        Some("computed for more than"),
    ),
    (
        "ungranted",
        "target = \"elsewhere\"\nACT http",
        Some("no target \"elsewhere\""),
    ),
    (
        "method",
        "target = \"echo\"\nmethod = \"DELETE\"\nACT http",
        Some("the target allows only POST"),
    ),
    (
        "escape",
        "target = \"echo\"\npath = \"../../admin\"\nACT http",
        Some("cannot use the path"),
    ),
    (
        "secret",
        "target = \"echo\"\nbody = \"{{secret:token}} and {{secret:token}}\"\nACT http",
        None,
    ),
];

#[test]
fn hostile_plugins_cost_only_their_own_calls() -> anyhow::Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let echo = echo_server()?;
    let crafted = tempfile::tempdir()?;
    let mut config = String::new();
    for (name, settings, _) in SINKS {
        config.push_str(&sink(name, settings, silent.local_addr()?.port(), echo)?);
    }
    // Their files come later, as somebody's new version does.
    let bomb = |name: &str| crafted.path().join(format!("{name}.wasm"));
    for (name, _) in bombs() {
        let path = bomb(name);
        config.push_str(&format!(
            "[plugins.{name}]\nkind = \"sink\"\npath = \"{}\"\n",
            path.display()
        ));
    }
    let mut daemon = Daemon::start(Setup {
        config,
        env: vec![("ARGUS_TEST_TOKEN".to_owned(), SECRET.to_owned())],
        ..Setup::default()
    })?;

    let (active, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let calls = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = SINKS
        .iter()
        .map(|(name, _, _)| {
            let (url, active) = (daemon.url.clone(), Arc::clone(&active));
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            thread::spawn(move || provoke(&url, name, &active, &stop, &calls))
        })
        .collect();

    let bombers: Vec<_> = bombs()
        .into_iter()
        .map(|(name, text)| {
            std::fs::write(bomb(name), wat::parse_str(text)?)?;
            let (url, active, stop) = (daemon.url.clone(), Arc::clone(&active), Arc::clone(&stop));
            Ok(thread::spawn(move || take_in(&url, name, &active, &stop)))
        })
        .collect::<anyhow::Result<_>>()?;

    let id = daemon.process().id();
    let (mut usual, mut meanwhile) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for turn in 0..TURNS {
        active.store(false, Ordering::Relaxed);
        // Calls under way end within their limits.
        thread::sleep(Duration::from_millis(5_500));
        usual.extend(probe(&daemon)?);
        if turn == 1 {
            memory = resident_bytes(id)?;
        }
        active.store(true, Ordering::Relaxed);
        meanwhile.extend(probe(&daemon)?);
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers.into_iter().chain(bombers) {
        caller.join().expect("only calls");
    }
    let (usual, meanwhile) = (percentiles(usual), percentiles(meanwhile));
    let calls = calls.load(Ordering::Relaxed);
    println!(
        "/health over {PROBES} requests: p50 {:?}, p99 {:?}, worst {:?}",
        usual.0, usual.1, usual.2
    );
    println!(
        "  with {calls} hostile calls: p50 {:?}, p99 {:?}, worst {:?}",
        meanwhile.0, meanwhile.1, meanwhile.2
    );
    assert!(calls > SINKS.len() * 3, "only {calls} calls");
    assert!(
        meanwhile.1 <= usual.1 + MOST_LATER,
        "p99 {:?} against {:?}",
        meanwhile.1,
        usual.1
    );

    for (name, _, expected) in SINKS {
        let answer = call(&daemon.url, name)?;
        let Some(expected) = expected else {
            assert!(
                !answer.contains(SECRET),
                "{name} learnt the secret: {answer}"
            );
            assert!(answer.contains("POST /base/"), "{name}: {answer}");
            continue;
        };
        let told = eventually("an error", Duration::from_secs(30), || {
            let plugin = plugin(&daemon, name)?;
            anyhow::ensure!(plugin["errors"].as_u64() > Some(0), "{name}: {plugin}");
            let message = plugin["last_error"]["message"].as_str();
            Ok(message.context("a message")?.to_owned())
        })?;
        assert!(told.contains(expected), "{name}: {told}");
        assert!(
            told.starts_with(&format!("plugin {name} 0.1.0: ")),
            "{name}: {told}"
        );
        assert!(!told.contains(SECRET), "{name}: {told}");
    }
    for (name, _) in bombs() {
        let plugin = plugin(&daemon, name)?;
        assert_eq!(plugin["state"], "failed", "{plugin}");
        let reason = plugin["state_reason"].as_str().context("a reason")?;
        assert!(reason.starts_with(&format!("plugin {name}")), "{reason}");
    }
    eventually("memory comes back", Duration::from_secs(10), || {
        let grown = resident_bytes(id)?.saturating_sub(memory);
        println!(
            "resident memory: {} kB above the second turn's",
            grown >> 10
        );
        anyhow::ensure!(grown < 64 << 20, "grew by {grown} bytes");
        Ok(())
    })?;
    assert_eq!(daemon.get_ok("/health")?["status"], "healthy");
    Ok(())
}

/// A hostile sink: `ACT word` in its settings is its behaviour; without, its name is.
fn sink(name: &str, settings: &str, silent: u16, echo: u16) -> anyhow::Result<String> {
    let wasm = prepared("ARGUS_PLUGINS_DIR")?.join("hostile.wasm");
    let (settings, behaviour) = settings.split_once("ACT ").unwrap_or((settings, name));
    let target = |target: &str, port: u16| {
        format!(
            "[plugins.{name}.targets.{target}]\nurl = \"http://127.0.0.1:{port}/base/\"\nmethods = [\"POST\"]\n\
             timeout_secs = 60\nsecrets.token = {{ env = \"ARGUS_TEST_TOKEN\" }}\n"
        )
    };
    Ok(format!(
        "[plugins.{name}]\nkind = \"sink\"\npath = \"{}\"\n\
         limits = {{ memory_mb = 32, timeout_secs = 5, compute_ms = 500 }}\n{}{}\
         [plugins.{name}.config]\nbehaviour = \"{behaviour}\"\n{settings}\n",
        wasm.display(),
        target("silent", silent),
        target("echo", echo),
    ))
}

/// Components that are hard to take in: they are compiled while the daemon runs, in a process of their own.
fn bombs() -> [(&'static str, String); 3] {
    let wide: String = (0..10_000)
        .map(|i| format!("(i32.const {i})(i32.add)"))
        .collect();
    let functions =
        "(func (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))".repeat(5_000);
    let instances = "(core instance (instantiate $m))".repeat(5_000);
    [
        (
            "one_huge_function",
            format!(
                "(component (core module (func (param i32) (result i32) (local.get 0){wide})))"
            ),
        ),
        (
            "many_functions",
            format!("(component (core module {functions}))"),
        ),
        (
            "many_instances",
            format!("(component (core module $m (memory 1)) {instances})"),
        ),
    ]
}

/// Calls a sink again and again while `active`; a pause for its faults is ended by loading it anew.
fn provoke(url: &str, name: &str, active: &AtomicBool, stop: &AtomicBool, calls: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        if !active.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        match call(url, name) {
            Ok(answer) if answer.contains("left alone") || answer.contains("quarantined") => {
                // Whether it worked shows in the next call.
                let _ = post(url, &format!("/admin/plugins/{name}/reload"));
            }
            Ok(_) => {
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Has a file made ready again and again while `active`.
fn take_in(url: &str, name: &str, active: &AtomicBool, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        if active.load(Ordering::Relaxed) {
            // What comes of it shows in the plugin's state.
            let _ = post(url, &format!("/admin/plugins/{name}/reload"));
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn call(url: &str, name: &str) -> anyhow::Result<String> {
    post(url, &format!("/admin/sinks/{name}/test"))
}

fn post(url: &str, path: &str) -> anyhow::Result<String> {
    let mut answer = agent().post(format!("{url}{path}")).send_empty()?;
    Ok(answer.body_mut().read_to_string()?)
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}

/// Times of one turn's requests, over one connection.
fn probe(daemon: &Daemon) -> anyhow::Result<Vec<Duration>> {
    let (agent, url) = (agent(), format!("{}/health", daemon.url));
    let mut times = Vec::with_capacity(PROBES / TURNS);
    for _ in 0..PROBES / TURNS {
        let started = Instant::now();
        let mut answer = agent.get(&url).call()?;
        answer.body_mut().read_to_string()?;
        times.push(started.elapsed());
        anyhow::ensure!(
            answer.status() == 200,
            "/health answered {}",
            answer.status()
        );
    }
    Ok(times)
}

/// The median, the 99th percentile, and the worst.
fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration, Duration) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    (at(50), at(99), at(100))
}

fn plugin(daemon: &Daemon, name: &str) -> anyhow::Result<Value> {
    let body = daemon.get_ok("/plugins")?;
    let plugins = body["plugins"].as_array().cloned().unwrap_or_default();
    plugins
        .into_iter()
        .find(|plugin| plugin["name"] == name)
        .with_context(|| format!("no plugin {name}"))
}

fn resident_bytes(process: u32) -> anyhow::Result<u64> {
    let statm =
        std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("statm"))?;
    let pages: u64 = statm.split(' ').nth(1).context("pages")?.parse()?;
    Ok(pages * 4096)
}

/// Sends every request back as the body of its answer.
fn echo_server() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A broken connection ends its own thread.
            thread::spawn(move || echo(stream));
        }
    });
    Ok(port)
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let head = request.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if request.len() >= head + 4 + length {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                    request.len()
                );
                stream.write_all(answer.as_bytes())?;
                stream.write_all(&request)?;
                request.clear();
                continue;
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
}
