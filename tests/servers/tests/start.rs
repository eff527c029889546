//! Every server starts, keeps its data across SIGKILL, and ends with its owner.
#![expect(clippy::print_stdout, reason = "what a test leaves out is said")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use argus_test_servers::{Options, Product, Server, eventually, start_all};

/// One HTTP exchange; the answer's text.
fn http(server: &Server, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    let address = server.url().strip_prefix("http://").context("http")?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_alive(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}

#[test]
fn servers_of_elasticsearchs_protocol_keep_what_they_acknowledged() -> anyhow::Result<()> {
    // One after the other: four at once need 2 GB.
    for product in Product::ELASTICSEARCH {
        for mut server in start_all(&[*product], &Options::default())? {
            let answer = http(&server, "PUT", "/keeps/_doc/1?refresh=true", r#"{"a":41}"#)?;
            assert!(
                answer.starts_with("HTTP/1.1 201"),
                "{}: {answer}",
                server.name()
            );
            assert!(
                http(&server, "GET", "/", "")?.contains("\"number\""),
                "{}",
                server.name()
            );
            if server.product().is_none() {
                continue;
            }
            server.kill()?;
            server.restart()?;
            let answer = http(&server, "GET", "/keeps/_search", "")?;
            assert!(answer.contains(r#""a":41"#), "{}: {answer}", server.name());
            let id = server.id().context("ours")?;
            drop(server);
            assert!(!is_alive(id), "{product} outlives its owner");
        }
    }
    Ok(())
}

#[test]
fn elasticsearch_with_a_password_wants_it() -> anyhow::Result<()> {
    let options = Options {
        password: Some("server-test-1".to_owned()),
        ..Options::default()
    };
    for product in [Product::Elasticsearch8, Product::Elasticsearch9] {
        let server = Server::start(product, &options)?;
        let answer = http(&server, "GET", "/", "")?;
        assert!(answer.starts_with("HTTP/1.1 401"), "{product}: {answer}");
    }
    Ok(())
}

#[test]
fn servers_end_with_a_process_that_has_no_time_to_tidy_up() -> anyhow::Result<()> {
    for product in [
        Product::SecantusDb,
        Product::MongoJavaServer,
        Product::OpenSearch2,
    ] {
        // The temporary folders of a process that aborts stay behind: here, they go with ours.
        let temporary = tempfile::tempdir()?;
        let child = Command::new(std::env::current_exe()?)
            .env("TMPDIR", temporary.path())
            .args([
                "--exact",
                "starts_a_server_and_aborts",
                "--ignored",
                "--nocapture",
            ])
            .env("ABORTS_WITH", product.name())
            .output()?;
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        anyhow::ensure!(!child.status.success(), "it was to abort: {output}");
        let Some((_, id)) = output.lines().find_map(|line| line.split_once("server ")) else {
            let why = String::from_utf8_lossy(&child.stderr).into_owned();
            anyhow::ensure!(why.contains("left out: "), "{product}: {output}{why}");
            println!("{why}");
            continue;
        };
        let id: u32 = id.trim().parse()?;
        eventually("the end of the server", Duration::from_secs(30), || {
            anyhow::ensure!(!is_alive(id), "{product} outlives its owner");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
#[ignore = "run by another test"]
fn starts_a_server_and_aborts() -> anyhow::Result<()> {
    let wanted = std::env::var("ABORTS_WITH")?;
    let product = Product::ALL
        .into_iter()
        .find(|product| product.name() == wanted);
    let servers = start_all(product.as_slice(), &Options::default())?;
    for id in servers.iter().filter_map(Server::id) {
        println!("server {id}");
    }
    std::process::abort()
}
