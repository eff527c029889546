//! A server on the loopback interface that keeps every request whole and answers as told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Method, path and version.
    pub line: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Captured {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The path that was asked for.
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }
}

/// An answer, sent in pieces with pauses between them.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the body per write; all at once where 0.
    pub piece: usize,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            piece: 0,
        }
    }

    pub fn json(body: &Value) -> Self {
        Self::new(200, body.to_string())
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    async fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Told\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes()).await?;
        let piece = if self.piece == 0 {
            self.body.len().max(1)
        } else {
            self.piece
        };
        for part in self.body.chunks(piece) {
            stream.write_all(part).await?;
            if self.piece > 0 {
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Ok(())
    }
}

/// The server; it ends with its runtime.
#[derive(Debug, Clone)]
pub struct Capture {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Captured>>>,
}

impl Capture {
    /// A server that answers each request as `answer` says.
    pub async fn start(answer: impl Fn(&Captured) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let capture = Self {
            address: listener.local_addr().expect("address"),
            requests: Arc::default(),
        };
        let (requests, answer) = (Arc::clone(&capture.requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                tokio::spawn(async move {
                    while let Some(request) = read(&mut stream).await {
                        let reply = answer(&request);
                        requests.lock().push(request);
                        if reply.send(&mut stream).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        capture
    }

    /// Everything so far, oldest first.
    pub fn requests(&self) -> Vec<Captured> {
        self.requests.lock().clone()
    }

    /// Everything since the last call.
    pub fn take(&self) -> Vec<Captured> {
        std::mem::take(&mut self.requests.lock())
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

async fn read(stream: &mut TcpStream) -> Option<Captured> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Captured {
        line,
        headers,
        body,
    })
}
