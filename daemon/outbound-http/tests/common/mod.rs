//! Servers, authorities and proxies of the tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// Heads of requests as they arrive.
pub type Heads = mpsc::UnboundedReceiver<String>;

/// A certificate authority that nobody knows.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(issuer.der())
        );
        std::fs::write(folder.path().join("ca.pem"), pem).expect("a file");
        Self { issuer, folder }
    }

    /// PEM file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a server")
    }
}

/// A plain server that answers 200 and reports heads.
pub async fn serve() -> (SocketAddr, Heads) {
    listen(None).await
}

/// The same behind TLS, with a certificate for `name`.
pub async fn serve_tls(authority: &Authority, name: &str) -> (SocketAddr, Heads) {
    let acceptor = TlsAcceptor::from(Arc::new(authority.server(name)));
    listen(Some(acceptor)).await
}

async fn listen(tls: Option<TlsAcceptor>) -> (SocketAddr, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (report, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, report) = (tls.clone(), report.clone());
            tokio::spawn(async move {
                match tls {
                    None => answer(stream, report).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            answer(stream, report).await;
                        }
                    }
                }
            });
        }
    });
    (address, heads)
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    report: mpsc::UnboundedSender<String>,
) {
    while let Some(head) = read_head(&mut stream).await {
        let _ = report.send(head);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// A proxy that gives every CONNECT the same answer and leads to `to`, whatever it was asked for.
pub async fn proxy(answer: &'static str, to: Option<SocketAddr>) -> (SocketAddr, Heads) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (report, heads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let report = report.clone();
            tokio::spawn(async move {
                let Some(head) = read_head(&mut stream).await else {
                    return;
                };
                let _ = report.send(head);
                let _ = stream.write_all(answer.as_bytes()).await;
                if let Some(to) = to {
                    let mut far = TcpStream::connect(to).await.expect("the far side");
                    let _ = copy_bidirectional(&mut stream, &mut far).await;
                }
            });
        }
    });
    (address, heads)
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}
