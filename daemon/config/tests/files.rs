//! Files, fragments, defaults, and the way back to TOML.

use std::path::Path;

use argus_config::{Config, PluginKind, SecretSource};

const FULL: &str = r##"
[server]
listen = "127.0.0.1:9000"

[step]
step_secs = 5

[storage]
data_dir = "data"

[thresholds.cpu_iowait_pct]
warning = 15
critical = 25
profiles.database = { warning = 40, critical = 60 }
servers."db-1" = { warning = 50, critical = 70 }

[profiles.prefixes]
"web-" = "web_api"

[plugins.slack]
kind = "sink"
path = "slack.wasm"
limits = { memory_mb = 32, timeout_secs = 5 }
[plugins.slack.targets.slack]
url = "https://slack.com/api/"
headers = { authorization = "Bearer {{secret:token}}" }
secrets.token = { env = "SLACK_BOT_TOKEN" }
[plugins.slack.config]
channel = "#ops"
levels = ["critical"]
"##;

#[test]
fn an_empty_text_is_the_defaults() {
    let config = Config::from_toml_str("argus.toml", "").expect("empty");
    assert_eq!(config, Config::default());
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8000");
    assert!(config.self_source.enabled);
}

/// TOML blocks of a page of the repository, in order.
fn documented_blocks(page: &str) -> Vec<String> {
    let path = format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the documentation");
    text.split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next().map(str::to_owned))
        .collect()
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    let shown = toml::to_string(&Config::default()).expect("plain data");
    assert_eq!(
        documented_blocks("docs/configuration.md")[0].trim(),
        shown.trim(),
        "copy the right side into docs/configuration.md"
    );
}

#[test]
fn documented_examples_are_valid() {
    for page in ["docs/configuration.md", "docs/sinks.md", "README.md"] {
        let blocks = documented_blocks(page);
        assert!(!blocks.is_empty(), "{page} shows no configuration");
        for block in blocks {
            let block = block.replace("sha256 = \"…\"", "");
            if let Err(error) = Config::from_toml_str(page, &block) {
                panic!("{error}");
            }
        }
    }
    let path = format!("{}/../../examples/argus.toml", env!("CARGO_MANIFEST_DIR"));
    Config::load(Path::new(&path)).expect("valid");
}

/// A shipped plugin posts to the target of its own name unless its settings say otherwise, so an example must bind that.
#[test]
fn examples_bind_the_targets_that_shipped_plugins_use() {
    let example = format!("{}/../../examples/argus.toml", env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(example).expect("the example");
    // There the plugin is commented out.
    let plugin = example.split_once("# [plugins").expect("a plugin").1;
    let plugin = format!("[plugins{}", plugin.replace("\n# ", "\n"));
    let mut texts = documented_blocks("README.md");
    texts.push(plugin);
    let mut seen = 0;
    for text in texts {
        let config = Config::from_toml_str("example", &text).expect("valid");
        for plugin in config.plugins.values() {
            let target = plugin.path.file_stem().expect("a file").to_string_lossy();
            assert!(plugin.targets.contains_key(&*target), "{text}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn everything_reads_and_writes_back() {
    let config = Config::from_toml_str("argus.toml", FULL).expect("valid");
    let slack = &config.plugins["slack"];
    assert_eq!(slack.kind, PluginKind::Sink);
    assert_eq!(slack.limits.memory_mb, 32);
    assert_eq!(slack.limits.http_requests, 16);
    assert_eq!(
        slack.targets["slack"].secrets["token"],
        SecretSource::Env("SLACK_BOT_TOKEN".into())
    );
    assert_eq!(slack.config_json()["levels"][0], "critical");
    assert_eq!(
        config.thresholds["cpu_iowait_pct"].servers["db-1"].critical,
        70.0
    );

    let shown = toml::to_string(&config).expect("plain data");
    assert_eq!(
        Config::from_toml_str("shown", &shown).expect("valid"),
        config
    );
}

#[test]
fn routes_say_themselves_in_plain_words() {
    let text = r#"
[plugins.pager]
kind = "sink"
path = "pagerduty.wasm"
[[routes]]
levels = ["critical"]
servers = ["db-*", "ppdb*"]
labels = { team = "ops" }
days = ["fri", "sat"]
hours = "18:00-08:00"
timezone = "Europe/Berlin"
sinks = ["pager"]
continue = true
[[routes]]
profiles = ["generic"]
sinks = []
"#;
    let config = Config::from_toml_str("argus.toml", text).expect("valid");
    let words: Vec<String> = config.routes.iter().map(|r| r.plain_words()).collect();
    assert_eq!(
        words,
        [
            "critical alerts of servers db-* or ppdb* with team = ops, Fri, Sat 18:00-08:00 (Europe/Berlin): \
             to pager, and later routes too",
            "alerts of profiles generic: to nobody",
        ]
    );
    let shown = toml::to_string(&config).expect("plain data");
    let back = Config::from_toml_str("shown", &shown).expect("valid");
    assert_eq!(back, config);
}

#[test]
fn fragments_beside_the_file_are_read() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("argus.toml");
    std::fs::write(&file, "[step]\nstep_secs = 60\n").expect("write");
    let fragments = dir.path().join("argus.d");
    std::fs::create_dir(&fragments).expect("directory");
    std::fs::write(
        fragments.join("10-alerts.toml"),
        "# a comment\n[alerts]\nfor_strikes = 2\n",
    )
    .expect("write");
    std::fs::write(fragments.join("README"), "not read").expect("write");
    let config = Config::load(&file).expect("valid");
    assert_eq!((config.step.step_secs, config.alerts.for_strikes), (60, 2));
    assert_eq!(
        config.resolve(Path::new("slack.wasm")),
        dir.path().join("slack.wasm")
    );

    std::fs::write(fragments.join("20-more.toml"), "[server]\nlisen = 1\n").expect("write");
    let error = Config::load(&file).expect_err("refused");
    let problem = &error.problems()[0];
    assert!(problem.file().ends_with("20-more.toml"), "{error}");
    assert_eq!((problem.line(), problem.column()), (2, 1));

    std::fs::write(fragments.join("20-more.toml"), "for_strikes = 1\n").expect("write");
    let error = Config::load(&file).expect_err("refused").to_string();
    assert!(error.contains("before the first [table]"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = Config::load(Path::new("/nonexistent/argus.toml"))
        .expect_err("refused")
        .to_string();
    assert!(error.contains("/nonexistent/argus.toml"), "{error}");
}
