//! The command line of `argus plugin`.

use std::net::SocketAddr;
use std::path::PathBuf;

use argus_plugin_host::PluginKind;
use argus_plugin_tools::Language;
use clap::{Args, Subcommand};

/// `argus plugin`.
#[derive(Debug, Args)]
pub struct PluginArgs {
    /// What to do with plugins.
    #[command(subcommand)]
    pub command: PluginCommand,
}

/// The verbs of `argus plugin`.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a new plugin that works: a folder with sources, cases and the SDK.
    #[command(
        after_help = "Example:\n  argus plugin new --kind sink --lang rust team-chat && cd team-chat && argus plugin build"
    )]
    New {
        /// Its name: lower-case letters, digits, single hyphens.
        name: String,
        /// sink, source, explainer, remediation or investigator.
        #[arg(long, value_parser = parse_kind)]
        kind: PluginKind,
        /// rust, js or python.
        #[arg(long)]
        lang: Language,
    },
    /// Build the plugin in a folder into dist/NAME.wasm.
    Build {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
    },
    /// Run a built plugin in the real host against cases; with --deliver, send a test notification somewhere real.
    #[command(
        after_help = "Examples:\n  argus plugin test\n  argus plugin test --case cases/busy.json\n  argus plugin test --deliver http://127.0.0.1:9000/"
    )]
    Test {
        /// The plugin's folder, or a component.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// This case only; repeat for several. Without it, all of the folder's cases/ and the conformance suite.
        #[arg(long, value_name = "FILE")]
        case: Vec<PathBuf>,
        /// Instead of running cases, deliver a test notification to this URL, configured as in the first case.
        #[arg(long, value_name = "URL")]
        deliver: Option<String>,
    },
    /// Say what a component is and what it may ask for.
    Inspect {
        /// The component, or the folder of a plugin that was built.
        #[arg(default_value = ".")]
        path: PathBuf,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Measure what a call costs, beside a native call of the same function.
    Bench {
        /// A component or plugin folder whose check is measured too, with the settings of its first case.
        path: Option<PathBuf>,
        /// The case whose settings are used, instead of the folder's first.
        #[arg(long, value_name = "FILE")]
        case: Option<PathBuf>,
        /// How many calls.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        calls: u32,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List plugins, configured or shipped, and what each may do.
    List {
        /// Configuration file; without it, the plugins that come with Argus.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Listen on a port, print every request, answer 200: a far side for trying sinks.
    Receive {
        /// Where to listen.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
        /// End after so many requests.
        #[arg(long)]
        count: Option<u64>,
        /// End after so many seconds, whatever arrived.
        #[arg(long)]
        timeout_secs: Option<u64>,
    },
}

fn parse_kind(text: &str) -> Result<PluginKind, String> {
    PluginKind::from_name(text).ok_or_else(|| {
        format!("`{text}` is no kind: sink, source, explainer, remediation, investigator")
    })
}
