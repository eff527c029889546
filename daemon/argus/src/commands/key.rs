//! `argus key`: makes, lists and revokes API keys in the data directory.

use std::path::PathBuf;

use anyhow::Context;
use argus_api::auth::{KeyStore, Scope};
use argus_config::Config;
use serde_json::json;

use crate::cli::{KeyArgs, KeyCommand};
use crate::exit::Outcome;
use crate::output;

/// Runs the command.
pub fn run(args: &KeyArgs) -> anyhow::Result<Outcome> {
    let dir = data_dir(args)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let keys = KeyStore::open(&dir)?;
    match &args.command {
        KeyCommand::Create { name, scopes } => {
            let scopes: Result<Vec<Scope>, String> = scopes.iter().map(|s| s.parse()).collect();
            let now_ms = jiff::Timestamp::now().as_millisecond();
            let key = keys.create(
                name,
                &scopes.map_err(anyhow::Error::msg)?,
                now_ms,
                &mut rand::rng(),
            )?;
            output::note(format_args!(
                "key {}: shown this once, the daemon keeps its hash",
                key.info.id
            ));
            output::line(key.text);
        }
        KeyCommand::List { json } => {
            let all = keys.list();
            if *json {
                output::line(json!({ "keys": all }));
            } else {
                for key in all {
                    let scopes: Vec<_> = key.scopes.iter().map(|s| s.as_str()).collect();
                    output::line(format_args!(
                        "{}  {}  {}",
                        key.id,
                        key.name,
                        scopes.join(",")
                    ));
                }
            }
        }
        KeyCommand::Revoke { id } => {
            if !keys.revoke(id)? {
                output::note(format_args!("no key `{id}`; `argus key list` shows them"));
                return Ok(Outcome::No);
            }
            output::line(format_args!("revoked {id}"));
        }
    }
    Ok(Outcome::Done)
}

fn data_dir(args: &KeyArgs) -> anyhow::Result<PathBuf> {
    if let Some(dir) = &args.data_dir {
        return Ok(dir.clone());
    }
    let config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::default(),
    };
    Ok(crate::serve::settings::data_dir(&config))
}
