//! Named targets, the finer points: echoes in disguise, names that lie, signatures, rates, proxies.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argus_plugin_host::{
    PluginError, ProxySpec, RateLimit, Receipt, Resolve, Resolving, SecretSource, SignSpec,
    TargetSpec,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::capture::{Capture, Captured, Reply};
use crate::support::{deliver, host, hostile, load};

const TOKEN: &str = "xoxb-17053216-\"kzvQzGh1/wRcXtn8eUyPa";

/// A target at the server that holds [`TOKEN`] as `token`.
fn target(url: &str) -> TargetSpec {
    let mut target = TargetSpec::new(url);
    let token = SecretSource::Value(TOKEN.into());
    target.secrets.insert("token".into(), token);
    target
}

/// One request of the hostile sink; its receipt's message is the answer's body.
async fn send(target: TargetSpec, mut request: Value) -> Result<Receipt, PluginError> {
    request["behaviour"] = "http".into();
    let mut spec = hostile(request);
    spec.targets.insert("target".into(), target);
    let host = host();
    deliver(&*load(&host, spec).await).await
}

fn asks_for_the_token() -> Value {
    json!({
        "headers": [["content-type", "text/plain"], ["x-token", "{{secret:token}}"], ["range", "bytes=0-7"],
                    ["x-http-method-override", "DELETE"], ["x-original-url", "/admin"]],
        "body": "{{secret:token}}",
    })
}

/// No five characters in a row of the token.
#[track_caller]
fn check_nothing_told(told: &str) {
    for piece in TOKEN.as_bytes().windows(5) {
        let piece = String::from_utf8_lossy(piece);
        assert!(!told.contains(&*piece), "{piece} in {told}");
    }
}

#[tokio::test]
async fn an_echo_is_scrubbed_in_whatever_disguise_and_pieces_it_comes() {
    type Disguise = fn(&str) -> String;
    let disguises: [Disguise; 7] = [
        |text| text.to_owned(),
        |text| json!({ "you": { "sent": json!({ "body": text }).to_string() } }).to_string(),
        |text| text.bytes().map(|b| format!("%{b:02x}")).collect(),
        |text| STANDARD.encode(format!("you sent {text} to us")),
        |text| text.bytes().map(|b| format!("{b:02X} ")).collect(),
        |text| text.to_uppercase(),
        |text| format!("Bearer {}…", &text[..20]),
    ];
    for disguise in disguises {
        let server = Capture::start(move |request| {
            let echo = disguise(&String::from_utf8_lossy(&request.body));
            Reply {
                piece: 7,
                ..Reply::new(200, echo)
            }
        })
        .await;
        let receipt = send(target(&server.url()), asks_for_the_token()).await;
        let told = receipt.expect("answered").message.expect("the echo");
        assert!(told.contains("[secret]"), "{told}");
        check_nothing_told(&told);
        check_nothing_told(&told.to_lowercase());
        let seen = &server.requests()[0];
        assert_eq!(seen.body, TOKEN.as_bytes());
        for dropped in ["range", "x-http-method-override", "x-original-url"] {
            assert_eq!(seen.header(dropped), None);
        }
    }
}

#[tokio::test]
async fn an_echo_in_an_error_is_scrubbed_too() {
    let server = Capture::start(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        Reply::new(403, format!("no access with {body}"))
    })
    .await;
    let error = send(target(&server.url()), asks_for_the_token()).await;
    let told = error.expect_err("403").to_string();
    assert!(told.contains("no access with [secret]"), "{told}");
    check_nothing_told(&told);
}

/// Every name is this address.
#[derive(Debug)]
struct Always(&'static str);

impl Resolve for Always {
    fn resolve(&self, _: &str) -> Resolving {
        let address = self.0.parse::<IpAddr>().map_err(io::Error::other);
        Box::pin(async move { Ok(vec![address?]) })
    }
}

#[tokio::test]
async fn a_public_name_that_leads_inside_is_refused() {
    let server = Capture::start(|_| Reply::new(200, "")).await;
    let port = server.address.port();
    for address in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "::ffff:127.0.0.1",
    ] {
        let spec = TargetSpec {
            names: Arc::new(Always(address)),
            ..TargetSpec::new(format!("http://rebound.example:{port}/"))
        };
        let error = send(spec, json!({})).await.expect_err(address);
        assert_eq!(error.code(), "address_refused", "{address}: {error}");
        assert!(!error.to_string().contains(address), "{error}");
    }
    assert!(server.requests().is_empty());
    let allowed = TargetSpec {
        names: Arc::new(Always("127.0.0.1")),
        allow_private_addresses: true,
        ..TargetSpec::new(format!("http://inside.example:{port}/"))
    };
    send(allowed, json!({}))
        .await
        .expect("the operator said so");
    let host = format!("inside.example:{port}");
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn the_host_signs_and_keeps_the_key() {
    let server = Capture::start(|_| Reply::new(200, "")).await;
    let signed = || {
        let mut spec = target(&server.url());
        let key = SecretSource::Value("the key that signs".into());
        spec.secrets.insert("signing".into(), key);
        spec.sign = Some(SignSpec::new("signing"));
        spec
    };
    let request = json!({
        "headers": [["content-type", "text/plain"], ["x-argus-signature", "forged"]],
        "body": "token {{secret:token}}",
    });
    send(signed(), request).await.expect("sent");
    let seen = &server.requests()[0];
    let time = seen.header("x-argus-timestamp").expect("a time");
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_secs();
    assert!(now.abs_diff(time.parse().expect("seconds")) < 60, "{time}");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the key that signs").expect("a key");
    mac.update(format!("{time}.token {TOKEN}").as_bytes());
    let code = mac.finalize().into_bytes();
    let expected: String = code.iter().map(|b| format!("{b:02x}")).collect();
    let signatures: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "x-argus-signature")
        .map(|(_, value)| value.clone())
        .collect();
    assert_eq!(signatures, [format!("v1={expected}")]);

    let error = send(signed(), json!({ "body": "{{secret:signing}}" })).await;
    assert_eq!(error.expect_err("for the host").code(), "unknown_secret");
}

#[tokio::test]
async fn a_rate_limit_is_waited_for_within_the_call_and_else_told() {
    let server = Capture::start(|_| Reply::new(200, "")).await;
    let mut spec = hostile(json!({ "behaviour": "http" }));
    spec.limits.timeout = Duration::from_secs(2);
    let limited = TargetSpec {
        rate_limit: Some(RateLimit {
            per_minute: 120,
            burst: 2,
        }),
        ..target(&server.url())
    };
    spec.targets.insert("target".into(), limited);
    let host = host();
    let plugin = load(&host, spec).await;
    let started = Instant::now();
    for _ in 0..3 {
        deliver(&plugin).await.expect("within the call's time");
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(480), "{took:?}");
    // Many at once: half of a call's 2 s is for waiting, which is one place more, or two.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let plugin = Arc::clone(&plugin);
        calls.spawn(async move { deliver(&plugin).await });
    }
    let outcomes = calls.join_all().await;
    let refused: Vec<_> = outcomes.iter().filter_map(|o| o.as_ref().err()).collect();
    assert!((4..=7).contains(&refused.len()), "{refused:?}");
    for error in refused {
        assert_eq!((error.code(), error.retryable()), ("rate_limited", true));
        assert!(error.retry_after.is_some(), "{error}");
    }
    let passed = outcomes.len() - server_refusals(&outcomes);
    assert_eq!(
        server.requests().len(),
        3 + passed,
        "refused ones are not sent"
    );
}

fn server_refusals(outcomes: &[Result<Receipt, PluginError>]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_err()).count()
}

#[tokio::test]
async fn a_target_behind_a_proxy_and_its_password_stays_with_the_host() {
    // It answers CONNECT with 200 and then plays the far side itself.
    let proxy = Capture::start(|request: &Captured| match &request.line {
        line if line.starts_with("CONNECT") => Reply::new(200, ""),
        _ => Reply::new(200, "through"),
    })
    .await;
    let behind = || {
        let mut spec = target("http://93.184.215.14:8080/base");
        let password = SecretSource::Value("cHJveHk6cGFzc3dvcmQ=".into());
        spec.secrets.insert("proxy".into(), password);
        spec.proxy = Some(ProxySpec {
            url: proxy.url(),
            authorization: Some("Basic {{secret:proxy}}".into()),
            resolves_names: false,
        });
        spec
    };
    let receipt = send(behind(), json!({ "path": "x" })).await.expect("sent");
    let message = receipt.message.expect("an answer");
    assert!(message.ends_with("through"), "{message}");
    let seen = proxy.requests();
    assert_eq!(seen[0].line, "CONNECT 93.184.215.14:8080 HTTP/1.1");
    let password = Some("Basic cHJveHk6cGFzc3dvcmQ=");
    assert_eq!(seen[0].header("proxy-authorization"), password);
    assert_eq!(seen[1].line, "POST /base/x HTTP/1.1");
    assert_eq!(seen[1].header("proxy-authorization"), None);
    let error = send(behind(), json!({ "body": "{{secret:proxy}}" })).await;
    assert_eq!(error.expect_err("for the host").code(), "unknown_secret");
}

#[tokio::test]
async fn requests_are_counted() {
    let server = Capture::start(|_| Reply::new(200, "")).await;
    let mut spec = hostile(json!({ "behaviour": "http_flood" }));
    spec.limits.http_requests = 3;
    spec.targets.insert("target".into(), target(&server.url()));
    let host = host();
    let error = deliver(&*load(&host, spec).await).await;
    error.expect_err("it goes on until it is stopped");
    assert!(server.requests().len() <= 3, "{}", server.requests().len());
}
