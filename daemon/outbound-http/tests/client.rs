//! The client against small servers of its own on the loopback interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use argus_outbound_http::{AddressPolicy, Client, ClientConfig, Method, Request, SendError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request on every connection with the same bytes; counts connections.
async fn serve(answer: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
                        tokio::time::sleep(Duration::from_secs(30)).await;
                    }
                }
            });
        }
    });
    (address, connections)
}

fn request(address: SocketAddr) -> Request {
    Request::new(
        Method::GET,
        format!("http://{address}/x?token=hush")
            .parse()
            .expect("url"),
    )
}

#[tokio::test]
async fn posts_and_keeps_the_connection() {
    let (address, connections) =
        serve("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-a: b\r\n\r\nok").await;
    let client = Client::trusted().expect("client");
    for _ in 0..3 {
        let url = format!("http://{address}/feed");
        let response = client
            .post(&url, &[("x-api-key", "k")], "{}")
            .await
            .expect("an answer");
        assert!(response.is_success());
        assert_eq!(&response.body[..], b"ok");
        assert_eq!(response.headers["x-a"], "b");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (address, _) =
        serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")
            .await;
    let response = Client::trusted()
        .expect("client")
        .send(request(address))
        .await
        .expect("an answer");
    assert_eq!(response.status, 302);
}

#[tokio::test]
async fn sizes_are_capped_on_both_sides() {
    let client = Client::trusted().expect("client");
    let announced = serve("HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")
        .await
        .0;
    let chunked = serve("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n").await.0;
    for address in [announced, chunked] {
        let request = Request {
            max_response_bytes: 10,
            ..request(address)
        };
        let error = client.send(request).await.expect_err("too large");
        assert!(
            matches!(
                error,
                SendError::ResponseTooLarge {
                    limit_bytes: 10,
                    ..
                }
            ),
            "{error}"
        );
        assert!(!error.retryable());
    }
    let request = Request {
        body: "12345".into(),
        max_request_bytes: 4,
        ..request(announced)
    };
    assert_eq!(
        client.send(request).await.expect_err("too large").code(),
        "request_too_large"
    );
}

#[tokio::test]
async fn a_silent_server_costs_the_deadline_only() {
    let (address, _) = serve("").await;
    let started = Instant::now();
    let request = Request {
        timeout: Duration::from_millis(80),
        ..request(address)
    };
    let error = Client::trusted()
        .expect("client")
        .send(request)
        .await
        .expect_err("silence");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(error.code(), "timed_out");
    assert!(error.retryable());
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[tokio::test]
async fn addresses_are_vetted_as_literals_and_after_resolution() {
    let (address, connections) = serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let client = Client::new(&ClientConfig::default()).expect("client");
    for host in [
        "127.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f000001",
    ] {
        let Ok(uri) = format!("http://{host}:{}/", address.port()).parse() else {
            continue;
        };
        let error = client
            .send(Request::new(Method::GET, uri))
            .await
            .expect_err(host);
        // Numbers in odd notations are names to us; a resolver may or may not know them.
        assert!(
            matches!(error.code(), "address_refused" | "name_not_found"),
            "{host}: {error}"
        );
    }
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    let addresses = AddressPolicy::for_configured_host("localhost", false);
    let client = Client::new(&ClientConfig {
        addresses,
        ..ClientConfig::default()
    })
    .expect("client");
    let uri = format!("http://localhost:{}/", address.port())
        .parse()
        .expect("url");
    assert_eq!(
        client
            .send(Request::new(Method::GET, uri))
            .await
            .expect("configured there")
            .status,
        200
    );
}

#[tokio::test]
async fn failures_say_which_and_hide_the_url() {
    let client = Client::trusted().expect("client");
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("bind")
        .local_addr()
        .expect("address");
    let garbage = serve("SSH-2.0-OpenSSH\r\n\r\n").await.0;
    let plain = serve("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        .await
        .0;
    for (url, code) in [
        (format!("http://{closed}/?token=hush"), "connect_failed"),
        (format!("http://{garbage}/?token=hush"), "protocol_error"),
        (format!("https://{plain}/?token=hush"), "tls_failed"),
        (
            "http://name.invalid/?token=hush".to_owned(),
            "name_not_found",
        ),
        ("http://user:hush@localhost/".to_owned(), "invalid_url"),
        ("ftp://localhost/hush".to_owned(), "invalid_url"),
    ] {
        let error = client.post(&url, &[], "").await.expect_err(&url);
        assert_eq!(error.code(), code, "{url}: {error}");
        assert!(!error.to_string().contains("hush"), "{error}");
    }
}

#[test]
fn authorities_that_are_none_are_refused() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let extra_authorities = Some(file.path().to_owned());
    let error = Client::new(&ClientConfig {
        extra_authorities,
        ..ClientConfig::default()
    })
    .expect_err("empty");
    assert!(error.to_string().contains("no certificate"), "{error}");
}
