//! What an operator sees for each kind of mistake: line, column, offending text, suggestion.

use argus_config::{Config, ConfigError};

/// The drawing that `argus config check` prints for a text.
fn drawn(text: &str) -> String {
    let error = Config::from_toml_str("argus.toml", text).expect_err("the text has a mistake");
    draw(&error)
}

fn draw(error: &ConfigError) -> String {
    error
        .drawing(false)
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

macro_rules! snapshots {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(drawn($text));
        }
    )*};
}

snapshots! {
    unknown_key: "[server]\nlisen = \"127.0.0.1:8000\"\n";
    unknown_section: "[sever]\nlisten = \"127.0.0.1:8000\"\n";
    wrong_type: "[step]\nstep_secs = \"5m\"\n";
    negative_number: "[step]\nstep_secs = -300\n";
    bad_address: "[server]\nlisten = \"8000\"\n";
    unknown_variant: "[model]\ndevice = \"gpu\"\n";
    every_wrong_type_at_once: concat!(
        "lisen = 1\n[server]\nlisten = 3\nmax_record = 5\n[step]\nstep_secs = \"5m\"\n",
        "[plugins.slack]\nkind = \"snik\"\npath = \"slack.wasm\"\n",
        "[plugins.hook]\nkind = \"sink\"\nwith = 1\n",
        "[[routes]]\nhours = 3\nsinks = [\"hook\"]\n[[routes]]\nsinks = [\"hook\"]\ndays = 5\n",
    );
    out_of_range: "[server]\nmax_records = 0\nreads_per_minute = 0\n";
    syntax: "[server\nlisten = 3\n";
    unquoted_text: "[model]\ndir = /var/lib/argus\n";
    twice: "[step]\nstep_secs = 300\n[step]\ngrace_secs = 3\n";
    contradiction: "[alerts.critical]\nfire_probability = 0.5\nclear_probability = 0.7\n";
    queue_smaller_than_a_request: "[server]\nmax_records = 5000\n[ingest]\nqueue_records = 2000\n";
    request_greater_than_the_queue: "[server]\nmax_records = 300000\n";
    unknown_metric: "[thresholds.cpu_iowait]\nwarning = 20\ncritical = 30\n";
    thresholds_reversed: "[thresholds.cpu_idle_pct]\nwarning = 2\ncritical = 10\n";
    unknown_profile: "[profiles.prefixes]\n\"db-\" = \"databse\"\n";
    plugin_without_path: "[plugins.slack]\nkind = \"sink\"\n";
    plugin_kind: "[plugins.slack]\nkind = \"snik\"\npath = \"slack.wasm\"\n";
    placeholder_without_secret: concat!(
        "[plugins.slack]\nkind = \"sink\"\npath = \"slack.wasm\"\n",
        "[plugins.slack.targets.slack]\nurl = \"https://slack.com/api/\"\n",
        "headers = { authorization = \"Bearer {{secret:tokn}}\" }\n",
        "secrets.token = { env = \"SLACK_BOT_TOKEN\" }\n",
    );
    secret_in_the_file: concat!(
        "[plugins.slack]\nkind = \"sink\"\npath = \"slack.wasm\"\n",
        "[plugins.slack.targets.slack]\nurl = \"https://slack.com/api/\"\n",
        "secrets.token = \"xoxb-very-secret\"\n",
    );
    secret_in_a_header: concat!(
        "[plugins.hook]\nkind = \"sink\"\npath = \"webhook.wasm\"\n",
        "[plugins.hook.targets.hook]\nurl = \"https://user:very-secret@example.com/\"\nmethods = [\"post\"]\n",
        "headers = { Authorization = \"Bearer very-secret\", host = \"a\" }\n",
    );
    target_options: concat!(
        "[plugins.hook]\nkind = \"sink\"\npath = \"webhook.wasm\"\n",
        "[plugins.hook.targets.hook]\nurl = \"https://example.com/\"\n",
        "rate_limit = { per_minute = 0 }\n",
        "sign = { hmac_sha256 = \"sining\", header = \"a\", timestamp_header = \"A\" }\n",
        "[plugins.hook.targets.hook.proxy]\nurl = \"https://user:very-secret@proxy:3128\"\n",
        "authorization = \"Basic very-secret\"\n",
    );
    routes_and_templates: concat!(
        "[plugins.slack]\nkind = \"sink\"\npath = \"slack.wasm\"\n",
        "[[routes]]\nservers = [\"db-*\"]\nhours = \"18-8\"\nsinks = [\"slak\"]\n",
        "[[routes]]\nsinks = [\"slack\"]\n",
        "[[routes]]\nlevels = [\"critical\"]\ntimezone = \"Mars\"\nsinks = []\n",
        "[templates.a]\nsinks = [\"slack\"]\n",
        "[templates.b]\ntitle = \"x\"\nsinks = [\"slack\"]\n",
    );
    bad_url_and_pin: concat!(
        "[plugins.hook]\nkind = \"sink\"\npath = \"webhook.wasm\"\nsha256 = \"abc\"\n",
        "[plugins.hook.targets.hook]\nurl = \"slack.com/api\"\n",
    );
}

#[test]
fn nothing_secret_is_ever_shown() {
    for text in [
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = \"https://a\"\nsecrets.x = \"very-secret\"\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = \"https://u:very-secret@a\"\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nulr = \"https://a\"\nsecrets.x = \"very-secret\"\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = \"https://a\"\nproxy = { url = \"http://u:very-secret@p\" }\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = \"https://a\"\nproxy = { url = \"http://p\", authorization = \"Basic very-secret\" }\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = https://a\nsecrets.x = \"very-secret\"\n",
        "[plugins.a]\nkind = \"sink\"\npath = \"a\"\n[plugins.a.targets.t]\nurl = \"https://a\"\nheaders = { x-api-key = \"very-secret\" }\n",
    ] {
        let error = Config::from_toml_str("argus.toml", text).expect_err("refused");
        for shown in [error.to_string(), format!("{error:?}"), draw(&error)] {
            assert!(!shown.contains("very-secret"), "{shown}");
        }
    }
}

#[test]
fn plain_text_names_file_line_and_column() {
    let error = Config::from_toml_str("argus.toml", "[server]\nlisen = 1\n").expect_err("refused");
    assert_eq!(
        error.to_string(),
        "argus.toml:2:1: unknown key `lisen` in [server]; did you mean `listen`?"
    );
}
