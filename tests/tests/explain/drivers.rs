//! An alert is told with what drives it: in `/alerts/active` and in the notification that leaves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually, prepared};
use serde_json::{Value, json};

use crate::{number, turn};

const STEP: u64 = 300;
const TROUBLED: &str = "ppweb001";

#[test]
fn alerts_carry_their_top_three_drivers() -> anyhow::Result<()> {
    let _turn = turn();
    let (port, delivered) = listen()?;
    let dir = prepared("ARGUS_PLUGINS_DIR")?;
    let daemon = Daemon::start(Setup {
        config: format!(
            "[plugins.shap]\nkind = \"explainer\"\npath = \"{}\"\n\
             [plugins.hook]\nkind = \"sink\"\npath = \"{}\"\n\
             [plugins.hook.targets.webhook]\nurl = \"http://127.0.0.1:{port}/\"\nmethods = [\"POST\"]\n",
            dir.join("shap.wasm").display(),
            dir.join("webhook.wasm").display(),
        ),
        ..Setup::default()
    })?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let mut bin = now.as_secs() / STEP - 80;
    // Memory, waiting for disks and swap are in trouble on one server; five others show what is usual.
    let mut feed_bin = || -> anyhow::Result<()> {
        let record = |server: &str, [memory, iowait, swap]: [f64; 3]| {
            json!({"timestamp": bin * STEP, "server_name": server, "mem_used_pct": memory,
                   "cpu_iowait_pct": iowait, "swap_used_pct": swap, "disk_usage_pct": 40})
        };
        let mut records = vec![record(TROUBLED, [99.6, 45.0, 80.0])];
        for usual in 2..=6 {
            let little = f64::from(usual);
            let name = format!("ppweb00{usual}");
            records.push(record(&name, [40.0 + little, 1.0, little / 2.0]));
        }
        daemon.feed(&records)?;
        bin += 1;
        Ok(())
    };
    for _ in 0..20 {
        feed_bin()?;
    }
    let origin = || -> anyhow::Result<Value> {
        let body = daemon.get_ok(&format!("/predictions/{TROUBLED}"))?;
        Ok(body["forecast_origin"].clone())
    };
    // One step and its forecast at a time, until an alert fires; nothing is fed after that, so that its forecast stays
    // the newest.
    let drivers = eventually("an alert with drivers", Duration::from_secs(90), || {
        let of_troubled = format!("/alerts/active?server={TROUBLED}");
        if daemon.get_ok(&of_troubled)?["count"] == 0 {
            let before = origin()?;
            feed_bin()?;
            eventually("its forecast", Duration::from_secs(60), || {
                anyhow::ensure!(origin()? != before, "still from {before}");
                Ok(())
            })?;
            // Alerts are judged right after the forecast is published.
            std::thread::sleep(Duration::from_millis(300));
        }
        let alert = daemon.get_ok(&of_troubled)?["alerts"][0].clone();
        anyhow::ensure!(alert["drivers"].is_array(), "{alert}");
        Ok(alert["drivers"].clone())
    })?;

    let drivers = drivers.as_array().context("no drivers")?;
    assert_eq!(drivers.len(), 3, "{drivers:?}");
    let effects: Vec<f64> = drivers
        .iter()
        .map(|driver| Ok(number(&driver["impact"])?.abs()))
        .collect::<anyhow::Result<_>>()?;
    assert!(effects.is_sorted_by(|a, b| a >= b), "{effects:?}");
    let explained = daemon.get_ok(&format!("/explain/{TROUBLED}?explainer=shap"))?;
    let own = explained["explanations"]["shap"]["drivers"].as_array();
    assert_eq!(own.context("no drivers")?[..3], drivers[..]);
    // That answer may be the kept one; sampled values are worked out anew.
    let sampled = "explainer=shap&method=sampling&samples=50";
    let sampled = daemon.get_ok(&format!("/explain/{TROUBLED}?{sampled}"))?;
    assert_eq!(sampled["shap"]["exact"], false);
    let again = &sampled["explanations"]["shap"]["drivers"];
    for driver in drivers {
        let mut again = again.as_array().context("no drivers")?.iter();
        let other = again.find(|other| other["name"] == driver["name"]);
        let other = other.with_context(|| format!("{driver} is no driver"))?;
        let apart = (number(&other["impact"])? - number(&driver["impact"])?).abs();
        let error = number(&other["standard_error"])?;
        assert!(apart <= 3.0 * error + 0.01, "{driver} but {other}");
    }

    let told = eventually("the notification", Duration::from_secs(30), || {
        let all = delivered.lock().expect("no delivery panics");
        let mut of_troubled = all.iter().map(|body| &body["notification"]);
        let first = of_troubled.find(|told| told["entity"] == TROUBLED);
        first.cloned().context("none yet")
    })?;
    let each = drivers.iter().map(|driver| {
        let name = driver["name"].as_str().context("no name")?;
        Ok(format!("{name} {:+.1}", number(&driver["impact"])?))
    });
    let line = each.collect::<anyhow::Result<Vec<_>>>()?.join(", ");
    assert_eq!(told["event"], "firing", "{told}");
    assert_eq!(told["annotations"]["drivers"], line, "{told}");
    Ok(())
}

type Bodies = Arc<Mutex<Vec<Value>>>;

/// Takes POSTs and keeps their bodies.
fn listen() -> anyhow::Result<(u16, Bodies)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let bodies = Bodies::default();
    let kept = Arc::clone(&bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            // A connection that breaks ends its own thread.
            std::thread::spawn(move || take(&stream, &kept));
        }
    });
    Ok((port, bodies))
}

fn take(stream: &TcpStream, kept: &Bodies) -> anyhow::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            anyhow::ensure!(reader.read_line(&mut line)? > 0, "ended");
            if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = told.trim().parse()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body)?;
        kept.lock().expect("no delivery panics").push(body);
        let mut answer = stream;
        answer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}
