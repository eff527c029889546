//! Over a real socket: WebSocket, slow clients, large bodies, shutdown.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use argus_schema::Schema;
use argus_store::{Clock, Store, StoreConfig};
use common::write_request::load_of;
use common::{Daemon, NOW_MS, name, record};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

async fn serve(daemon: &Daemon) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let server = tokio::spawn(argus_api::serve(daemon.context(), listener, stop.clone()));
    Served {
        address,
        stop,
        server,
    }
}

impl Served {
    /// Sends bytes and reads until the server closes the connection.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(request.as_ref()).await.expect("sent");
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read)
            .await
            .expect("in time")
            .expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a remote write request.
    async fn write(&self, body: &[u8]) -> String {
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.exchange([head.as_bytes(), body].concat()).await
    }
}

async fn next_json<S>(socket: &mut S) -> Value
where
    S: StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
{
    loop {
        let message = tokio::time::timeout(Duration::from_secs(10), socket.next())
            .await
            .expect("in time");
        if let Message::Text(text) = message.expect("open").expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_told_of_each_state() {
    let daemon = Daemon::new();
    let served = serve(&daemon).await;
    let url = format!("ws://{}/ws/predictions", served.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url)
        .await
        .expect("connected");
    assert_eq!(next_json(&mut socket).await["type"], "connected");
    let update = next_json(&mut socket).await;
    assert_eq!(
        (&update["type"], &update["tick"]),
        (&json!("prediction_update"), &json!(1))
    );
    assert_eq!(
        update["predictions"]["predictions"]
            .as_object()
            .expect("servers")
            .len(),
        3
    );

    let filter = json!({"type": "filter", "server": "db-1", "metrics": "mem_used_pct"});
    socket
        .send(Message::text(filter.to_string()))
        .await
        .expect("sent");
    assert_eq!(next_json(&mut socket).await["type"], "filter_set");
    let update = next_json(&mut socket).await;
    assert_eq!(
        update["predictions"]["predictions"]
            .as_object()
            .expect("servers")
            .len(),
        1
    );
    assert!(
        update["predictions"]["predictions"]["db-1"]
            .get("cpu_user_pct")
            .is_none()
    );

    socket.send(Message::text("hello")).await.expect("sent");
    assert_eq!(next_json(&mut socket).await["type"], "error");

    daemon.tick.send_replace(2);
    assert_eq!(next_json(&mut socket).await["type"], "prediction_update");

    served.stop.cancel();
    served.server.await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_told_of_alerts() {
    let daemon = Daemon::new();
    let served = serve(&daemon).await;
    let url = format!("ws://{}/ws", served.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url)
        .await
        .expect("connected");
    next_json(&mut socket).await;
    next_json(&mut socket).await;
    daemon.fire_an_alert();
    let message = next_json(&mut socket).await;
    assert_eq!(
        (&message["type"], &message["change"]),
        (&json!("alert"), &json!("firing")),
        "{message}"
    );
    assert_eq!(message["alert"]["server"], "web-1");
    daemon
        .alerts
        .acknowledge(argus_alerts::AlertId(1), "ann", None, NOW_MS)
        .expect("active");
    assert_eq!(next_json(&mut socket).await["change"], "acknowledged");
    daemon
        .alerts
        .retire(&name("web-1"), "ann", NOW_MS)
        .expect("in memory");
    assert_eq!(next_json(&mut socket).await["change"], "resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_websockets() {
    let mut daemon = Daemon::new();
    daemon.config.max_websockets = 1;
    let served = serve(&daemon).await;
    let url = format!("ws://{}/ws", served.address);
    let first = tokio_tungstenite::connect_async(&url)
        .await
        .expect("connected");
    let second = tokio_tungstenite::connect_async(&url)
        .await
        .expect_err("refused")
        .to_string();
    assert!(second.contains("503"), "{second}");
    drop(first);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_end_the_connection() {
    let mut daemon = Daemon::new();
    daemon.config.header_timeout_secs = 1;
    let served = serve(&daemon).await;
    served
        .exchange("GET /health HTTP/1.1\r\nHost: localhost\r\n")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_get_408() {
    let mut daemon = Daemon::new();
    daemon.config.body_timeout_secs = 1;
    let served = serve(&daemon).await;
    let request = "POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    assert!(served.exchange(request).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_over_the_limit_is_refused_before_the_body_comes() {
    let mut daemon = Daemon::new();
    daemon.config.max_body_bytes = 10_000;
    let served = serve(&daemon).await;
    for expect in ["", "Expect: 100-continue\r\n"] {
        let request = format!(
            "POST /feed HTTP/1.1\r\nHost: localhost\r\n{expect}Content-Length: 10001\r\n\r\n"
        );
        let mut stream = TcpStream::connect(served.address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut start = [0; 12];
        tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut start))
            .await
            .expect("at once")
            .expect("read");
        assert_eq!(&start, b"HTTP/1.1 413");
        let mut rest = Vec::new();
        tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest))
            .await
            .expect("the connection is closed soon")
            .expect("read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_gets_its_answer() {
    let mut daemon = Daemon::new();
    daemon.config.max_body_bytes = 10_000;
    let served = serve(&daemon).await;
    // More than any socket buffer holds, so that the answer is lost if the server stops reading.
    let body = " ".repeat(8 << 20);
    let request = format!(
        "POST /feed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert!(served.exchange(&request).await.starts_with("HTTP/1.1 413"));
    let chunked = format!(
        "POST /feed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert!(served.exchange(&chunked).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_answers_what_is_running() {
    let daemon = Daemon::new();
    let served = serve(&daemon).await;
    let body = record("a", 1).to_string();
    let mut stream = TcpStream::connect(served.address).await.expect("connected");
    let head = format!(
        "POST /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    served.stop.cancel();
    stream.write_all(body.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    served.server.await.expect("ended");
    assert!(
        TcpStream::connect(served.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_stores_scrapes_that_were_acknowledged() {
    let daemon = Daemon::new();
    let served = serve(&daemon).await;
    let answer = served.write(&load_of("web-9", NOW_MS)).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(daemon.store.entity_count(), 0);
    served.stop.cancel();
    served.server.await.expect("ended");
    assert!(daemon.store.entity(&name("web-9")).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_is_refused_while_scrapes_cannot_be_stored() {
    let mut daemon = Daemon::new();
    let config = StoreConfig {
        min_free_bytes: u64::MAX,
        ..StoreConfig::new(daemon.dir.path().join("full"))
    };
    let clock = Arc::clone(&daemon.clock) as Arc<dyn Clock>;
    (daemon.store, _) = Store::open(config, Schema::server(), clock).expect("a fresh store");
    let served = serve(&daemon).await;
    let body = load_of("web-9", NOW_MS);
    let mut answer = served.write(&body).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    daemon.clock.0.fetch_add(6_000, Ordering::Relaxed);
    for _ in 0..100 {
        answer = served.write(&body).await;
        if !answer.starts_with("HTTP/1.1 204") {
            break;
        }
        // The clock of the daemon stands still, so each sample makes its scrape look incomplete again.
        daemon.clock.0.fetch_add(6_000, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    served.stop.cancel();
    served.server.await.expect("ended");
}
