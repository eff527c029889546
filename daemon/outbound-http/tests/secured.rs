//! TLS with private authorities, names that lie, and proxies, each against a real server on the loopback interface.

mod common;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use argus_outbound_http::{
    AddressPolicy, Client, ClientConfig, HeaderValue, Method, Proxy, Request, Resolve, Resolving,
    Response, SendError,
};
use common::{Authority, proxy, serve, serve_tls};
use parking_lot::Mutex;

/// Answers each lookup with the next list, the last one for ever; counts lookups.
#[derive(Debug)]
struct Script(Mutex<(VecDeque<Vec<IpAddr>>, usize)>);

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| {
            list.iter()
                .map(|a| a.parse().expect("an address"))
                .collect()
        };
        Arc::new(Self(Mutex::new((answers.iter().map(parse).collect(), 0))))
    }

    fn lookups(&self) -> usize {
        self.0.lock().1
    }
}

impl Resolve for Script {
    fn resolve(&self, name: &str) -> Resolving {
        let mut script = self.0.lock();
        script.1 += 1;
        let answer = match script.0.len() {
            0 => Err(io::Error::other(format!("no script for {name}"))),
            1 => Ok(script.0[0].clone()),
            _ => Ok(script.0.pop_front().unwrap_or_default()),
        };
        Box::pin(async move { answer })
    }
}

/// As for a target that is configured at `localhost`.
fn loopback(names: &Arc<Script>) -> ClientConfig {
    ClientConfig {
        addresses: AddressPolicy::Loopback,
        names: names.clone(),
        ..ClientConfig::default()
    }
}

async fn get(config: &ClientConfig, url: &str) -> Result<Response, SendError> {
    let client = Client::new(config).expect("a client");
    client
        .send(Request::new(Method::GET, url.parse().expect("a URL")))
        .await
}

#[tokio::test]
async fn only_the_configured_authority_is_trusted_and_names_must_fit() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (address, _) = serve_tls(&ours, "api.example").await;
    let names = Script::new(&[&["127.0.0.1"]]);
    let trusting = |authority: Option<&Authority>| ClientConfig {
        extra_authorities: authority.map(Authority::file),
        ..loopback(&names)
    };
    let good = format!("https://api.example:{}/", address.port());
    let answer = get(&trusting(Some(&ours)), &good).await;
    assert_eq!(answer.expect("trusted").status, 200);
    let other_name = format!("https://other.example:{}/", address.port());
    for (config, url) in [
        (trusting(None), &good),
        (trusting(Some(&theirs)), &good),
        (trusting(Some(&ours)), &other_name),
    ] {
        let error = get(&config, url).await.expect_err("not trusted");
        assert_eq!(error.code(), "tls_failed", "{error}");
    }
}

#[tokio::test]
async fn whatever_a_name_resolves_to_is_vetted() {
    let (address, mut seen) = serve().await;
    for answer in [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ] {
        let names = Script::new(&[&[answer]]);
        let config = ClientConfig {
            names: names.clone(),
            ..ClientConfig::default()
        };
        let url = format!("http://rebound.example:{}/", address.port());
        let error = get(&config, &url).await.expect_err(answer);
        assert_eq!(error.code(), "address_refused", "{answer}: {error}");
        assert_eq!(names.lookups(), 1, "{answer}");
    }
    assert!(seen.try_recv().is_err(), "nothing was connected to");
}

#[tokio::test]
async fn the_vetted_address_is_connected_to_and_nobody_asks_again() {
    let (address, mut seen) = serve().await;
    // A second answer would lead elsewhere; so would the refused half of the first.
    let names = Script::new(&[&["10.0.0.1", "127.0.0.1"], &["10.0.0.1"]]);
    let client = Client::new(&loopback(&names)).expect("a client");
    let url = format!("http://rebound.example:{}/", address.port());
    for _ in 0..3 {
        let request = Request::new(Method::GET, url.parse().expect("a URL"));
        assert_eq!(client.send(request).await.expect("an answer").status, 200);
        let head = seen.recv().await.expect("a request");
        assert!(
            head.contains(&format!("host: rebound.example:{}\r\n", address.port())),
            "{head}"
        );
    }
    assert_eq!(names.lookups(), 1, "one connection, one lookup");
}

#[tokio::test]
async fn a_slow_name_server_costs_the_deadline_only() {
    #[derive(Debug)]
    struct Silent;
    impl Resolve for Silent {
        fn resolve(&self, _: &str) -> Resolving {
            Box::pin(std::future::pending())
        }
    }
    let config = ClientConfig {
        names: Arc::new(Silent),
        ..ClientConfig::default()
    };
    let client = Client::new(&config).expect("a client");
    let mut request = Request::new(Method::GET, "http://a.example/".parse().expect("a URL"));
    request.timeout = Duration::from_millis(60);
    let error = client.send(request).await.expect_err("no address");
    assert_eq!(error.code(), "timed_out");
}

fn through(proxy: SocketAddr, names: &Arc<Script>) -> ClientConfig {
    let url = format!("http://{proxy}").parse().expect("a URL");
    ClientConfig {
        proxy: Some(Proxy {
            url,
            authorization: Some(HeaderValue::from_static("Basic cHJveHk6aHVzaA==")),
            resolves_names: false,
        }),
        ..loopback(names)
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_the_vetted_address_and_sees_only_that() {
    let authority = Authority::new("ours");
    let (address, mut seen) = serve_tls(&authority, "api.example").await;
    let (proxy, mut asked) = proxy("HTTP/1.1 200 OK\r\nvia: x\r\n\r\n", Some(address)).await;
    let names = Script::new(&[&["10.0.0.1", "127.0.0.1"]]);
    let config = ClientConfig {
        extra_authorities: Some(authority.file()),
        ..through(proxy, &names)
    };
    let url = format!("https://api.example:{}/secret/path", address.port());
    assert_eq!(get(&config, &url).await.expect("an answer").status, 200);
    let connect = asked.recv().await.expect("a CONNECT");
    assert_eq!(
        connect,
        format!(
            "CONNECT 127.0.0.1:{0} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\n\
             proxy-authorization: Basic cHJveHk6aHVzaA==\r\n\r\n",
            address.port()
        )
    );
    let head = seen.recv().await.expect("a request");
    assert!(head.starts_with("GET /secret/path HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("proxy-authorization"), "{head}");
}

#[tokio::test]
async fn behind_a_proxy_the_same_addresses_are_refused() {
    let (proxy, mut asked) = proxy("HTTP/1.1 200 OK\r\n\r\n", None).await;
    let names = Script::new(&[&["169.254.169.254"]]);
    let config = ClientConfig {
        addresses: AddressPolicy::Public,
        ..through(proxy, &names)
    };
    for url in [
        "http://rebound.example/",
        "https://rebound.example/",
        "http://169.254.169.254/",
        "http://127.0.0.1/",
    ] {
        let error = get(&config, url).await.expect_err(url);
        assert_eq!(error.code(), "address_refused", "{url}: {error}");
    }
    assert!(asked.try_recv().is_err(), "the proxy heard of none");
}

#[tokio::test]
async fn a_proxy_may_look_names_up_where_it_is_told_to() {
    let (address, mut seen) = serve().await;
    let (proxy, mut asked) = proxy("HTTP/1.1 200 OK\r\n\r\n", Some(address)).await;
    let names = Script::new(&[]);
    let mut config = through(proxy, &names);
    config.addresses = AddressPolicy::Public;
    if let Some(proxy) = &mut config.proxy {
        proxy.resolves_names = true;
    }
    let answer = get(&config, "http://inside.example:8080/x").await;
    assert_eq!(answer.expect("an answer").status, 200);
    let connect = asked.recv().await.expect("a CONNECT");
    assert!(
        connect.starts_with("CONNECT inside.example:8080 HTTP/1.1\r\n"),
        "{connect}"
    );
    assert!(seen.recv().await.is_some());
    assert_eq!(names.lookups(), 0);
    let literal = get(&config, "http://127.0.0.1/").await;
    assert_eq!(literal.expect_err("vetted here").code(), "address_refused");
}

#[tokio::test]
async fn refusals_of_a_proxy_are_told_without_its_password() {
    let names = Script::new(&[&["127.0.0.1"]]);
    for (answer, told) in [
        ("HTTP/1.1 407 No\r\n\r\n", "407: it wants other credentials"),
        ("HTTP/1.1 403 No\r\n\r\n", "403: it does not allow"),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "answered 502"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
    ] {
        let (proxy, _asked) = proxy(answer, None).await;
        let error = get(&through(proxy, &names), "https://api.example/").await;
        let error = error.expect_err(told);
        assert_eq!(error.code(), "proxy_failed");
        assert!(error.retryable());
        let text = error.to_string();
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("cHJveHk6"), "{text}");
    }
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        listener.expect("bind").local_addr().expect("address")
    };
    let error = get(&through(closed, &names), "https://api.example/").await;
    assert_eq!(error.expect_err("nobody there").code(), "proxy_failed");
}

#[test]
fn a_proxy_url_must_be_plain() {
    for url in [
        "https://proxy:3128",
        "http://u:p@proxy:3128",
        "http://proxy:3128/x",
        "proxy:3128",
    ] {
        let config = ClientConfig {
            proxy: Some(Proxy {
                url: url.parse().expect("a URL"),
                authorization: None,
                resolves_names: false,
            }),
            ..ClientConfig::default()
        };
        let error = Client::new(&config).expect_err(url).to_string();
        assert!(error.contains("http://HOST:PORT"), "{error}");
        assert!(!error.contains("u:p"), "{error}");
    }
}
