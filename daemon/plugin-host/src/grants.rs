//! Which kind of plugin may import which interface, and what that means in plain words.

use crate::config::{PluginKind, PluginSpec};

/// A host interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Interface {
    /// Writes to the daemon's log.
    Log,
    /// Tells the time.
    Clock,
    /// Its own settings.
    Config,
    /// Small values, kept from call to call.
    State,
    /// HTTP to named targets.
    Http,
    /// Databases, through connectors.
    Connector,
    /// The forecasting model.
    Model,
    /// History of metrics.
    Metrics,
    /// Alerts and regressions.
    Incidents,
}

impl Interface {
    /// Its name in the WIT package.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Config => "config",
            Self::State => "state",
            Self::Http => "http",
            Self::Connector => "connector",
            Self::Model => "model",
            Self::Metrics => "metrics",
            Self::Incidents => "incidents",
        }
    }
}

impl Interface {
    /// Every interface.
    const ALL: [Self; 9] = [
        Self::Log,
        Self::Clock,
        Self::Config,
        Self::State,
        Self::Http,
        Self::Connector,
        Self::Model,
        Self::Metrics,
        Self::Incidents,
    ];

    /// The interface of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|i| i.as_str() == name)
    }
}

/// What plugins of a kind may import: the imports of the kind's world.
pub fn granted(kind: PluginKind) -> &'static [Interface] {
    use Interface::{Clock, Config, Connector, Http, Incidents, Log, Metrics, Model, State};
    match kind {
        PluginKind::Sink => &[Log, Clock, Config, State, Http],
        PluginKind::Source => &[Log, Clock, Config, State, Http, Connector],
        PluginKind::Explainer => &[Log, Clock, Config, State, Model, Metrics, Incidents],
        PluginKind::Remediation => &[Log, Clock, Config, State, Http, Incidents],
        PluginKind::Investigator => &[Log, Clock, Config, State, Http, Metrics, Incidents, Model],
    }
}

/// What a plugin may do, in one line of plain words.
///
/// ```text
/// sink slack: is told of alerts; may POST to https://slack.com/api/ (as `slack`, with secrets it never sees), remember
/// up to 1 MB, and nothing else; a call may take 10 s, 2 s of computing and 64 MB
/// ```
pub fn plain_words(spec: &PluginSpec) -> String {
    let told = match spec.kind {
        PluginKind::Sink => "is told of alerts",
        PluginKind::Source => "feeds records into Argus",
        PluginKind::Explainer => "explains forecasts",
        PluginKind::Remediation => "proposes repairs, and performs those that are allowed",
        PluginKind::Investigator => "thinks about incidents",
    };
    let mut may = Vec::new();
    for interface in granted(spec.kind) {
        match interface {
            // Every plugin may, and neither reaches anything.
            Interface::Log | Interface::Clock | Interface::Config => {}
            Interface::Http => may.extend(spec.targets.iter().map(|(name, target)| {
                let methods = if target.methods.is_empty() {
                    "POST".to_owned()
                } else {
                    target.methods.join("/")
                };
                let secrets = if target.secrets.is_empty() {
                    ""
                } else {
                    ", with secrets it never sees"
                };
                format!("{methods} to {} (as `{name}`{secrets})", target.url)
            })),
            Interface::Connector => may.extend(
                spec.connectors
                    .iter()
                    .map(|name| format!("ask the connector `{name}`")),
            ),
            Interface::Model => may.push(format!(
                "run the model {} times a call",
                spec.limits.model_evaluations
            )),
            Interface::Metrics => may.push("read the history of every metric".to_owned()),
            Interface::Incidents => may.push("read alerts and incidents".to_owned()),
            Interface::State if spec.limits.state_bytes > 0 => {
                may.push(format!("remember up to {}", size(spec.limits.state_bytes)));
            }
            Interface::State => {}
        }
    }
    let may = if may.is_empty() {
        "may reach nothing outside".to_owned()
    } else {
        format!("may {}, and nothing else", may.join(", "))
    };
    let limits = &spec.limits;
    format!(
        "{} {}: {told}; {may}; a call may take {} s, {} s of computing and {}",
        spec.kind,
        spec.name,
        limits.timeout.as_secs_f64(),
        limits.compute.as_secs_f64(),
        size(limits.memory_bytes)
    )
}

fn size(bytes: usize) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target_spec::TargetSpec;

    #[test]
    fn grants_are_the_imports_of_the_worlds() {
        for (kind, wit) in [
            (
                PluginKind::Sink,
                include_str!("../../../plugin-sdk/wit/sink.wit"),
            ),
            (
                PluginKind::Source,
                include_str!("../../../plugin-sdk/wit/source.wit"),
            ),
            (
                PluginKind::Explainer,
                include_str!("../../../plugin-sdk/wit/explainer.wit"),
            ),
            (
                PluginKind::Remediation,
                include_str!("../../../plugin-sdk/wit/remediation.wit"),
            ),
            (
                PluginKind::Investigator,
                include_str!("../../../plugin-sdk/wit/investigator.wit"),
            ),
        ] {
            let (_, world) = wit
                .split_once(&format!("world {kind} {{"))
                .expect("a world");
            let imports = world
                .lines()
                .filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'));
            let mut imports: Vec<&str> = imports.collect();
            let mut names: Vec<&str> = granted(kind).iter().map(|i| i.as_str()).collect();
            imports.sort_unstable();
            names.sort_unstable();
            assert_eq!(names, imports, "{kind}");
        }
    }

    #[test]
    fn words_name_everything_that_reaches_out() {
        let mut spec = PluginSpec::new("chat", PluginKind::Sink, "chat.wasm");
        spec.limits.state_bytes = 0;
        assert_eq!(
            plain_words(&spec),
            "sink chat: is told of alerts; may reach nothing outside; a call may take 10 s, 2 s of computing and 64 MB"
        );
        spec.limits.state_bytes = 1_000_000;
        spec.targets
            .insert("chat".into(), TargetSpec::new("https://chat.example/api/"));
        let words = plain_words(&spec);
        assert!(
            words.contains("may POST to https://chat.example/api/ (as `chat`), remember up to 1 MB, and nothing else")
                || words.contains("may remember up to 1 MB, POST to https://chat.example/api/ (as `chat`), and nothing else"),
            "{words}"
        );
        let explainer = plain_words(&PluginSpec::new("shap", PluginKind::Explainer, "shap.wasm"));
        assert!(
            explainer.contains("read the history of every metric"),
            "{explainer}"
        );
    }
}
