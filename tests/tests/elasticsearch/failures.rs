//! What goes wrong is said, with names and without secrets, and the rest goes on.

use std::time::Duration;

use anyhow::Context;
use argus_e2e::{Daemon, Setup, eventually};
use argus_test_servers::{Options, Product, Server, Tls};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{Cluster, connector, connector_toml, example, plugin_toml, source};

const PASSWORD: &str = "elastic-s3cret-1";
const NOW_MS: i64 = 1_767_607_200_000;

fn flat(index: &str) -> String {
    format!(
        "index = \"{index}\"\nmapping = {{ layout = \"flat\" }}\nreading = {{ start = \"oldest\" }}"
    )
}

fn self_signed() -> anyhow::Result<Tls> {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    Ok(Tls {
        certificate: pem("CERTIFICATE", made.cert.der()),
        key: pem("PRIVATE KEY", &made.signing_key.serialize_der()),
    })
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
        lines.join("\n")
    )
}

#[test]
fn each_failure_says_what_and_where() -> anyhow::Result<()> {
    let server = Server::start(Product::Elasticsearch8, &Options::default())?;
    let cluster = Cluster::new(server.url());
    for index in ["good-1", "bad-1"] {
        cluster.create(index)?;
    }
    let text = json!({ "mappings": { "properties": { "@timestamp": { "type": "keyword" } } } });
    cluster.call("PUT", "/text-1", &text.to_string())?;
    let good =
        |n: i64| json!({ "@timestamp": NOW_MS + n, "server_name": "s1", "mem_used_pct": 50 });
    let documents: Vec<Value> = (0..10).map(good).collect();
    let named = || {
        documents
            .iter()
            .enumerate()
            .map(|(n, document)| (n.to_string(), document))
    };
    cluster.put("good-1", named())?;
    cluster.put("text-1", named())?;
    cluster.call(
        "PUT",
        "/bad-1/_mapping",
        r#"{"properties":{"swap_used_pct":{"type":"keyword"}}}"#,
    )?;
    let odd = [
        json!({ "server_name": "s2", "mem_used_pct": 1 }),
        json!({ "@timestamp": NOW_MS, "server_name": "s2", "swap_used_pct": "plenty" }),
        json!({ "@timestamp": NOW_MS, "mem_used_pct": 1 }),
        json!({ "@timestamp": NOW_MS, "server_name": "s2", "mem_used_pct": 3 }),
    ];
    cluster.put(
        "bad-1",
        odd.iter()
            .enumerate()
            .map(|(n, document)| (format!("odd-{n}"), document)),
    )?;
    for index in ["good-1", "bad-1", "text-1"] {
        cluster.refresh(index)?;
    }

    let url = server.url();
    let https = url.replace("http://", "https://");
    let mut config = String::new();
    for (name, settings) in [
        ("logs", format!("urls = [\"{url}\"]")),
        (
            "nowhere",
            "urls = [\"http://no-such-host.invalid:9200\"]".to_owned(),
        ),
        ("closed", "urls = [\"http://127.0.0.1:9\"]".to_owned()),
        ("plain", format!("urls = [\"{https}\"]")),
    ] {
        config.push_str(&connector_toml(name, "", &settings)?);
    }
    let cases = [
        ("unknown_host", "nowhere", "good-*", "no connection"),
        ("nobody_there", "closed", "good-*", "no connection"),
        ("no_tls", "plain", "good-*", "no TLS connection"),
        ("missing", "logs", "missing-1", "no such index [missing-1]"),
        ("no_date", "logs", "text-1", "text-1"),
    ];
    for (name, connector, index, _) in cases {
        config.push_str(&plugin_toml(name, connector, &flat(index))?);
    }
    config.push_str(&plugin_toml("good", "logs", &flat("good-*"))?);
    config.push_str(&plugin_toml("bad", "logs", &flat("bad-*"))?);
    let mut daemon = Daemon::start(Setup {
        config,
        ..Setup::default()
    })?;
    for (name, connector, _, expected) in cases {
        let error = eventually(
            "an error of the connector's",
            Duration::from_secs(120),
            || {
                let source = source(&daemon, name)?;
                let error = source["last_error"].as_str().unwrap_or_default().to_owned();
                anyhow::ensure!(error.contains(expected), "{name}: {source}");
                Ok(error)
            },
        )?;
        println!("{name}: {error}");
        assert!(
            error.starts_with(&format!("plugin {name} 0.1.0: ")),
            "{error}"
        );
        assert!(error.contains(&format!("connector {connector}")), "{error}");
    }
    for (name, accepted, skipped) in [("good", 10, 0), ("bad", 1, 3)] {
        eventually("its records", Duration::from_secs(60), || {
            let source = source(&daemon, name)?;
            anyhow::ensure!(
                source["accepted"] == accepted && source["skipped"] == skipped,
                "{source}"
            );
            Ok(())
        })?;
    }
    let output = daemon.process().output();
    for expected in [
        "document `bad-1/odd-0` has no time",
        "document `bad-1/odd-1` has \\\"plenty\\\" at `swap_used_pct`, where a number is needed",
        "document `bad-1/odd-2` names no server",
        "the mapping of `@timestamp` in `text-1` says `keyword`",
    ] {
        assert!(output.contains(expected), "{expected}: {output}");
    }
    Ok(())
}

/// The page's role and its first configuration, over TLS with an authority of one's own; what must not pass does not.
#[test]
fn the_pages_examples_work_with_least_rights() -> anyhow::Result<()> {
    let tls = self_signed()?;
    let options = Options {
        password: Some(PASSWORD.to_owned()),
        ..Options::default()
    };
    // Users are made over plain HTTP; then the same node serves TLS.
    for product in [Product::Elasticsearch8, Product::Elasticsearch9] {
        let server = Server::start(product, &options)?;
        let mut cluster = Cluster::new(server.url());
        cluster.authorization = Some(basic("elastic", PASSWORD));
        cluster.call("PUT", "/_security/role/argus-reader", &example("json", 0)?)?;
        let user = json!({ "password": "reader-s3cret", "roles": ["argus-reader"] });
        cluster.call("PUT", "/_security/user/argus", &user.to_string())?;
        let role: Value = serde_json::from_str(&example("json", 0)?)?;
        let key = json!({ "name": "argus", "role_descriptors": { "argus-reader": role } });
        let key = cluster.call("POST", "/_security/api_key", &key.to_string())?;
        let key = key["encoded"].as_str().context("a key")?.to_owned();
        cluster.create("metricbeat-1")?;
        cluster.create("secret-1")?;
        let document = json!({
            "@timestamp": now_ms() - 60_000, "host": { "name": "db-01" }, "metricset": { "name": "memory" },
            "system": { "memory": { "actual": { "used": { "pct": 0.25 } } } },
        });
        cluster.put("metricbeat-1", [("1".to_owned(), &document)])?;
        cluster.refresh("metricbeat-1")?;

        let library = connector()?.display().to_string();
        let toml = example("toml", 0)?
            .replace("libargus_connector_elasticsearch.so", &library)
            .replace("https://es-1.example.com:9200", server.url())
            .replace("ca_file = \"/etc/argus/es-ca.pem\"\n", "")
            .replace("interval_secs = 15", "interval_secs = 1")
            .replace(
                "elasticsearch.wasm",
                &argus_e2e::prepared("ARGUS_PLUGINS_DIR")?
                    .join("elasticsearch.wasm")
                    .display()
                    .to_string(),
            );
        let url = format!("urls = [\"{}\"]", server.url());
        let mut config = toml;
        config.push_str(&connector_toml(
            "keyed",
            "secrets.api_key = { env = \"KEY\" }",
            &url,
        )?);
        config.push_str(&connector_toml(
            "wrong",
            "secrets.password = { env = \"WRONG\" }",
            &format!("{url}\nusername = \"argus\""),
        )?);
        config.push_str(&plugin_toml("keyed", "keyed", &flat("metricbeat-*"))?);
        config.push_str(&plugin_toml("wrong", "wrong", &flat("metricbeat-*"))?);
        config.push_str(&plugin_toml("forbidden", "logs", &flat("secret-1"))?);
        let mut daemon = Daemon::start(Setup {
            config,
            env: vec![
                ("ARGUS_LOGS_PASSWORD".into(), "reader-s3cret".into()),
                ("KEY".into(), key.clone()),
                ("WRONG".into(), "wrong-s3cret".into()),
            ],
            ..Setup::default()
        })?;
        eventually("the record", Duration::from_secs(120), || {
            let source = source(&daemon, "metricbeat")?;
            anyhow::ensure!(source["accepted"] == 1, "{source}");
            Ok(())
        })?;
        eventually("a poll with the key", Duration::from_secs(60), || {
            let source = source(&daemon, "keyed")?;
            anyhow::ensure!(source["last_success_ms"].is_i64(), "{source}");
            Ok(())
        })?;
        for (name, expected) in [("wrong", "(401)"), ("forbidden", "(403)")] {
            let error = eventually("a refusal", Duration::from_secs(60), || {
                let source = source(&daemon, name)?;
                let error = source["last_error"].as_str().unwrap_or_default().to_owned();
                anyhow::ensure!(error.contains(expected), "{source}");
                Ok(error)
            })?;
            println!("{name}: {error}");
        }
        let shown = format!(
            "{}{}",
            daemon.process().output(),
            daemon.get_ok("/sources")?
        );
        for secret in ["reader-s3cret", "wrong-s3cret", key.as_str()] {
            assert!(!shown.contains(secret), "a secret is shown");
        }
    }
    trusts_only_its_authority(
        &Options {
            tls: Some(tls.clone()),
            ..options
        },
        &tls,
    )
}

fn trusts_only_its_authority(options: &Options, tls: &Tls) -> anyhow::Result<()> {
    let server = Server::start(Product::Elasticsearch8, options)?;
    let folder = tempfile::tempdir()?;
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, &tls.certificate)?;
    let url = format!(
        "urls = [\"{}\"]\nusername = \"elastic\"",
        server.url().replace("http://", "https://")
    );
    let password = "secrets.password = { env = \"PASSWORD\" }";
    let mut config = connector_toml(
        "trusting",
        password,
        &format!("{url}\nca_file = \"{}\"", authority.display()),
    )?;
    config.push_str(&connector_toml("wary", password, &url)?);
    config.push_str(&plugin_toml("trusting", "trusting", &flat("none-*"))?);
    config.push_str(&plugin_toml("wary", "wary", &flat("none-*"))?);
    let daemon = Daemon::start(Setup {
        config,
        env: vec![("PASSWORD".into(), PASSWORD.into())],
        ..Setup::default()
    })?;
    eventually("a poll over TLS", Duration::from_secs(120), || {
        let source = source(&daemon, "trusting")?;
        anyhow::ensure!(source["last_success_ms"].is_i64(), "{source}");
        Ok(())
    })?;
    eventually("a refusal to trust", Duration::from_secs(60), || {
        let source = source(&daemon, "wary")?;
        let error = source["last_error"].as_str().unwrap_or_default();
        anyhow::ensure!(
            error.contains("no TLS connection") && error.contains("certificate"),
            "{source}"
        );
        println!("wary: {error}");
        Ok(())
    })
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}
