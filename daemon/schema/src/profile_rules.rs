//! Which profile a server has by its name, where no record tells.

use std::cmp::Reverse;

use crate::Schema;

/// Prefixes of server names and the profile each stands for; the longest prefix that matches decides.
///
/// A prefix matches (case is ignored) when the name ends there or goes on with a digit or one of `-`, `_`, `.`:
/// `ppdb` matches `ppdb001` and `ppdb-1`, not `ppdbx`. A prefix that ends in such a separator, or in `*`, matches
/// any continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRules {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    prefix: String,
    profile: String,
    any_continuation: bool,
}

const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// The naming convention of existing fleets, and common product names.
const DEFAULT_RULES: [(&str, &str); 31] = [
    ("ppml", "ml_compute"),
    ("ppgpu", "ml_compute"),
    ("cptrain", "ml_compute"),
    ("ml-node-", "ml_compute"),
    ("ppdb", "database"),
    ("psdb", "database"),
    ("oracle", "database"),
    ("mongo", "database"),
    ("mongodb", "database"),
    ("postgres", "database"),
    ("mysql", "database"),
    ("ppweb", "web_api"),
    ("ppapi", "web_api"),
    ("nginx", "web_api"),
    ("tomcat", "web_api"),
    ("api-server-", "web_api"),
    ("ppcon", "conductor_mgmt"),
    ("ppcond", "conductor_mgmt"),
    ("conductor", "conductor_mgmt"),
    ("egomgmt", "conductor_mgmt"),
    ("maestro", "conductor_mgmt"),
    ("ppetl", "data_ingest"),
    ("ppkafka", "data_ingest"),
    ("stream", "data_ingest"),
    ("spark", "data_ingest"),
    ("flink", "data_ingest"),
    ("pprisk", "risk_analytics"),
    ("varrisk", "risk_analytics"),
    ("credit", "risk_analytics"),
    ("quant", "risk_analytics"),
    ("ppgen", "generic"),
];

impl Default for ProfileRules {
    fn default() -> Self {
        Self::new(DEFAULT_RULES)
    }
}

impl ProfileRules {
    /// Rules from (prefix, profile id) pairs, the longest prefix first; the defaults are not included.
    pub fn new<P: Into<String>, Q: Into<String>>(rules: impl IntoIterator<Item = (P, Q)>) -> Self {
        let mut rules: Vec<Rule> = rules
            .into_iter()
            .map(|(prefix, profile)| Rule::new(&prefix.into(), profile.into()))
            .collect();
        // Of two that fit a name, the longer one says more.
        rules.sort_by_key(|rule| Reverse(rule.prefix.len()));
        Self { rules }
    }

    /// These rules, and after them the default ones.
    #[must_use]
    pub fn then_defaults(mut self) -> Self {
        self.rules.extend(Self::default().rules);
        self
    }

    /// Position in [`Schema::profiles`] of the profile that the name stands for; the schema's default profile where
    /// no rule matches or the schema lacks the rule's profile.
    pub fn profile_of(&self, name: &str, schema: &Schema) -> u8 {
        let name = name.to_lowercase();
        let rule = self.rules.iter().find(|rule| rule.matches(&name));
        rule.and_then(|rule| schema.profile_code(&rule.profile))
            .unwrap_or_else(|| schema.default_profile())
    }

    /// The profile an entity has: what its records said, else what its name stands for.
    pub fn resolve(&self, said: Option<u8>, name: &str, schema: &Schema) -> u8 {
        said.unwrap_or_else(|| self.profile_of(name, schema))
    }

    /// (prefix, profile id) in order of precedence; prefixes in lower case, without a closing `*`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules
            .iter()
            .map(|rule| (rule.prefix.as_str(), rule.profile.as_str()))
    }
}

impl Rule {
    fn new(pattern: &str, profile: String) -> Self {
        let pattern = pattern.to_lowercase();
        let prefix = pattern.strip_suffix('*').unwrap_or(&pattern).to_owned();
        let any_continuation = pattern.ends_with('*') || pattern.ends_with(SEPARATORS);
        Self {
            prefix,
            profile,
            any_continuation,
        }
    }

    fn matches(&self, lowercase_name: &str) -> bool {
        let Some(rest) = lowercase_name.strip_prefix(self.prefix.as_str()) else {
            return false;
        };
        let ends_here = |next: char| next.is_ascii_digit() || SEPARATORS.contains(&next);
        self.any_continuation || rest.chars().next().is_none_or(ends_here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &ProfileRules, name: &str, expected: &str) {
        let schema = Schema::server();
        let code = usize::from(rules.profile_of(name, &schema));
        assert_eq!(schema.profiles[code].id, expected, "{name}");
    }

    #[test]
    fn default_prefixes_and_product_names() {
        let rules = ProfileRules::default();
        for (name, expected) in [
            ("ppml0001", "ml_compute"),
            ("PPML0001", "ml_compute"),
            ("ml-node-a7", "ml_compute"),
            ("ppdb001", "database"),
            ("ppdb-1", "database"),
            ("postgres_main", "database"),
            ("mysql", "database"),
            ("ppweb001", "web_api"),
            ("ppapi001", "web_api"),
            ("nginx.edge", "web_api"),
            ("ppcon01", "conductor_mgmt"),
            ("ppcond01", "conductor_mgmt"),
            ("ppetl001", "data_ingest"),
            ("spark3", "data_ingest"),
            ("pprisk001", "risk_analytics"),
            ("ppgen001", "generic"),
        ] {
            check(&rules, name, expected);
        }
    }

    #[test]
    fn a_prefix_ends_at_a_digit_or_separator() {
        let rules = ProfileRules::default();
        for name in [
            "ppdi001",
            "streaming-1",
            "ppdbx",
            "quantum1",
            "",
            "créditx",
            "10.0.0.3:9100",
        ] {
            check(&rules, name, "generic");
        }
    }

    #[test]
    fn own_rules_come_first_and_may_end_in_a_star() {
        let rules =
            ProfileRules::new([("ppdb9", "risk_analytics"), ("front*", "web_api")]).then_defaults();
        check(&rules, "ppdb9-1", "risk_analytics");
        check(&rules, "ppdb001", "database");
        check(&rules, "frontend", "web_api");
    }

    #[test]
    fn the_longest_prefix_wins_before_any_default() {
        let rules = ProfileRules::new([
            ("p*", "web_api"),
            ("shop-", "web_api"),
            ("shop-db-", "database"),
        ])
        .then_defaults();
        check(&rules, "shop-db-1", "database");
        check(&rules, "shop-1", "web_api");
        check(&rules, "ppdb001", "web_api");
    }

    #[test]
    fn what_a_record_said_wins_and_unknown_profiles_fall_back() {
        let schema = Schema::server();
        let rules = ProfileRules::new([("x", "no_such_profile")]);
        assert_eq!(rules.resolve(Some(2), "ppdb001", &schema), 2);
        assert_eq!(rules.resolve(None, "x1", &schema), schema.default_profile());
    }
}
