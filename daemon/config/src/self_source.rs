//! `[self_source]`: this host's own metrics.

use argus_schema::{EntityName, Schema};
use serde::{Deserialize, Serialize};

use crate::check::Checker;
use crate::suggest;

/// The built-in source that reads this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfSource {
    /// Whether this host is monitored.
    pub enabled: bool,
    /// How often it is read.
    pub interval_secs: u64,
    /// Name it appears under. Unset: the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Its profile. Unset: by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

impl Default for SelfSource {
    fn default() -> Self {
        Self {
            enabled: true,
            interval_secs: 15,
            server_name: None,
            profile: None,
        }
    }
}

impl SelfSource {
    pub(crate) fn check(&self, found: &mut Checker) {
        found.range(
            &["self_source", "interval_secs"],
            &self.interval_secs,
            1..=3600,
        );
        if let Some(name) = &self.server_name
            && let Err(error) = EntityName::new(name)
        {
            found.report(
                &["self_source", "server_name"],
                format!("the name {error}"),
                "",
            );
        }
        if let Some(profile) = &self.profile {
            check_profile(&["self_source", "profile"], profile, found);
        }
    }
}

/// Requires a profile of the server schema.
pub(crate) fn check_profile(path: &[&str], profile: &str, found: &mut Checker) {
    let schema = Schema::server();
    if schema.profile_code(profile).is_none() {
        let known: Vec<&str> = schema.profiles.iter().map(|p| p.id.as_str()).collect();
        found.report(
            path,
            format!("there is no profile `{profile}`"),
            suggest::offer(profile, known),
        );
    }
}
