//! The far side of a plugin's requests: an HTTP listener that keeps what it is sent and answers as told.
//!
//! For authors' trials and for tests, on the loopback interface: one thread per connection, bodies with a length only.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name)?;
        Some(&found.1)
    }

    /// The request for people: its first line, its headers, and its body as text.
    pub fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.method, self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\n"));
        }
        let body = String::from_utf8_lossy(&self.body);
        let pretty = serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|json| serde_json::to_string_pretty(&json).ok());
        text.push('\n');
        text.push_str(pretty.as_deref().unwrap_or(&body));
        text
    }
}

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names and values; length and connection are added.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long to wait before answering.
    pub delay: Duration,
}

impl Answer {
    /// A status and a body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            delay: Duration::ZERO,
        }
    }
}

/// Decides about every request.
type Behaviour = dyn Fn(&Received) -> Answer + Send + Sync;

/// A running listener; it stops when dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const MAX_HEAD_BYTES: u64 = 64 << 10;
const MAX_BODY_BYTES: usize = 16 << 20;
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

impl Receiver {
    /// Listens at `address`; port 0 takes any free one.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub fn start(
        address: SocketAddr,
        behaviour: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let received = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let (kept, stopped) = (received.clone(), stop.clone());
        let accept = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (kept, behaviour) = (kept.clone(), behaviour.clone());
                // A connection that breaks concerns nobody else.
                thread::spawn(move || serve(&stream, &kept, &*behaviour));
            }
        };
        Ok(Self {
            address,
            received,
            stop,
            thread: Some(thread::spawn(accept)),
        })
    }

    /// Listens on the loopback interface and gives these answers in their order, the last one again and again.
    ///
    /// # Errors
    /// When nothing can be listened at.
    pub fn scripted(answers: Vec<Answer>) -> io::Result<Self> {
        let answers = Mutex::new(VecDeque::from(answers));
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)), move |_| {
            let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            let next = if answers.len() > 1 {
                answers.pop_front()
            } else {
                answers.front().cloned()
            };
            next.unwrap_or_else(|| Answer::new(200, ""))
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that arrived so far.
    pub fn received(&self) -> Vec<Received> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.clone()
    }

    /// Waits until the listener fails, which it does not.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic in it would have been told already.
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread that accepts; if this fails, so did accepting.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: &TcpStream, kept: &Mutex<Vec<Received>>, behaviour: &Behaviour) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader)? {
        let answer = behaviour(&request);
        kept.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(request);
        thread::sleep(answer.delay);
        write_answer(stream, &answer)?;
    }
    Ok(())
}

/// The next request, none when the connection ends.
fn read_request(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Received>> {
    let mut head = reader.by_ref().take(MAX_HEAD_BYTES);
    let mut line = String::new();
    if head.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (method, path) = (words.next(), words.next());
    let (Some(method), Some(path)) = (method, path) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        head.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>());
    let length = length.map_err(|_| io::ErrorKind::InvalidData)?;
    if length > MAX_BODY_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Received {
        method,
        path,
        headers,
        body,
    }))
}

fn write_answer(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} \r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(&[head.as_bytes(), &answer.body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stream: &mut TcpStream, request: &str) -> String {
        stream.write_all(request.as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            reader.read_line(&mut answer).expect("answered");
        }
        answer
    }

    #[test]
    fn answers_come_in_their_order_and_requests_are_kept() {
        let answers = vec![Answer::new(503, ""), Answer::new(200, "")];
        let receiver = Receiver::scripted(answers).expect("listens");
        let mut stream = TcpStream::connect(receiver.address()).expect("connects");
        let request = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"d\":1}";
        assert!(ask(&mut stream, request).starts_with("HTTP/1.1 503"));
        for _ in 0..2 {
            assert!(ask(&mut stream, request).starts_with("HTTP/1.1 200"));
        }
        let received = receiver.received();
        assert_eq!(received.len(), 3);
        assert_eq!(received[0].header("host"), Some("x"));
        assert_eq!(
            received[0].text(),
            "POST /a?b=c\nhost: x\ncontent-length: 7\n\n{\n  \"d\": 1\n}"
        );
    }
}
