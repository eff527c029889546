//! `[connectors.NAME.config]`, and the driver's options that it becomes.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argus_connector_abi::{Error, Secrets};
use mongodb::options::{
    AuthMechanism, ClientOptions, Credential, ReadConcern, ReadPreference, ReadPreferenceOptions,
    SelectionCriteria, ServerAddress, TlsOptions,
};
use serde::Deserialize;

use crate::errors::Teller;

/// Where the server is and how it is talked to. Either `hosts` or an address as a whole (`uri`, or the secret `uri`).
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Members of the deployment, e.g. `db-1:27017`.
    pub hosts: Vec<String>,
    /// `mongodb://…`, without a password. `mongodb+srv` is not supported.
    pub uri: Option<String>,
    /// The database of queries that name none.
    pub database: Option<String>,
    /// Who logs in; the password is the secret `password`.
    pub username: Option<String>,
    /// The database that knows the user; `admin` if it is not said.
    pub auth_source: Option<String>,
    /// `SCRAM-SHA-256`, `SCRAM-SHA-1`, `MONGODB-X509` or `PLAIN`; agreed with the server if it is not said.
    pub auth_mechanism: Option<String>,
    /// The replica set's name.
    pub replica_set: Option<String>,
    /// Whether to talk to the one host only, whatever it says of others.
    pub direct: Option<bool>,
    /// Which members are read from.
    pub read_preference: Option<ReadMode>,
    /// How far a secondary that is read from may lag behind; at least 90.
    pub max_staleness_secs: Option<u64>,
    /// `local`, `majority`, `available`, `linearizable` or `snapshot`; the server's own if it is not said.
    pub read_concern: Option<String>,
    /// Connections at most.
    pub pool_size: u32,
    /// How long a connection may take to open.
    pub connect_timeout_secs: u64,
    /// How long a suitable server is waited for.
    pub server_selection_timeout_secs: u64,
    /// Speaks TLS; an empty table trusts the public roots.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            uri: None,
            database: None,
            username: None,
            auth_source: None,
            auth_mechanism: None,
            replica_set: None,
            direct: None,
            read_preference: None,
            max_staleness_secs: None,
            read_concern: None,
            pool_size: 10,
            connect_timeout_secs: 10,
            // Less than a query's time, so that the reason is told rather than that the time is up.
            server_selection_timeout_secs: 5,
            tls: None,
        }
    }
}

/// How TLS is spoken. Certificates are always verified.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the roots to trust instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate and key.
    pub certificate_key_file: Option<PathBuf>,
}

/// Which members of a replica set are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReadMode {
    /// The primary only.
    Primary,
    /// The primary, else a secondary.
    PrimaryPreferred,
    /// Secondaries only.
    Secondary,
    /// A secondary, else the primary.
    SecondaryPreferred,
    /// Whichever answers soonest.
    Nearest,
}

/// What settings come to.
#[derive(Debug)]
pub(crate) struct Opened {
    pub options: ClientOptions,
    pub teller: Teller,
}

/// The driver's options. Reads files, connects nowhere.
pub(crate) async fn options(config: &Config, secrets: &Secrets) -> Result<Opened, Error> {
    let secret = |name: &str| secrets.get(name).filter(|secret| !secret.is_empty());
    let uri = address(config, secret("uri"))?;
    let mut hidden: Vec<String> = ["uri", "password"]
        .into_iter()
        .filter_map(secret)
        .map(str::to_owned)
        .collect();
    let scrubbed = |hidden: &[String], message: &str| {
        Error::new("invalid_config", errors_scrub(hidden, message))
    };
    let mut options = match &uri {
        Some(uri) => ClientOptions::parse(uri.as_str())
            .await
            .map_err(|error| scrubbed(&hidden, &format!("the address of the server: {error}")))?,
        None => ClientOptions::builder().hosts(hosts(config)?).build(),
    };
    let password = options
        .credential
        .as_ref()
        .and_then(|credential| credential.password.clone());
    hidden.extend(password);

    apply(config, secret("password"), &mut options)?;
    let host_names: Vec<String> = options.hosts.iter().map(ToString::to_string).collect();
    let teller = Teller::new(hidden, host_names.join(", "));
    Ok(Opened { options, teller })
}

fn errors_scrub(hidden: &[String], message: &str) -> String {
    Teller::new(hidden.to_vec(), String::new()).scrub(message)
}

/// The address as a whole, if it is given so.
fn address(config: &Config, secret: Option<&str>) -> Result<Option<String>, Error> {
    let given = [
        !config.hosts.is_empty(),
        config.uri.is_some(),
        secret.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        1 => {}
        0 => {
            return Err(invalid(
                "hosts: say where the server is, e.g. hosts = [\"db-1:27017\"]",
            ));
        }
        _ => {
            return Err(invalid(
                "give one of `hosts`, `uri` and the secret `uri`, not several",
            ));
        }
    }
    if let Some(uri) = &config.uri
        && let Some((user, _)) = uri
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('@'))
        && user.contains(':')
    {
        // Not repeated: it holds a password.
        return Err(invalid(
            "uri: holds a password; write it without, with `username` here and the secret `password`, or give the whole \
             address as the secret `uri`",
        ));
    }
    let uri = config.uri.as_deref().or(secret);
    if uri.is_some_and(|uri| uri.starts_with("mongodb+srv:")) {
        return Err(invalid(
            "uri: `mongodb+srv` is not supported; write the hosts out (your provider shows the standard connection \
             string too)",
        ));
    }
    Ok(uri.map(str::to_owned))
}

fn hosts(config: &Config) -> Result<Vec<ServerAddress>, Error> {
    let parse = |host: &String| {
        ServerAddress::parse(host).map_err(|error| invalid(format!("hosts: `{host}`: {error}")))
    };
    config.hosts.iter().map(parse).collect()
}

fn apply(
    config: &Config,
    password: Option<&str>,
    options: &mut ClientOptions,
) -> Result<(), Error> {
    options.app_name = Some("argus".to_owned());
    options.retry_reads = Some(true);
    options.max_pool_size = Some(config.pool_size.max(1));
    options.connect_timeout = Some(Duration::from_secs(config.connect_timeout_secs));
    options.server_selection_timeout =
        Some(Duration::from_secs(config.server_selection_timeout_secs));
    options.default_database = config.database.clone().or(options.default_database.take());
    options.repl_set_name = config.replica_set.clone().or(options.repl_set_name.take());
    options.direct_connection = config.direct.or(options.direct_connection);
    if let Some(level) = &config.read_concern {
        options.read_concern = Some(ReadConcern::custom(level.as_str()));
    }
    if let Some(mode) = config.read_preference {
        let preference = mode.preference(config.max_staleness_secs.map(Duration::from_secs));
        options.selection_criteria = Some(SelectionCriteria::ReadPreference(preference));
    } else if config.max_staleness_secs.is_some() {
        return Err(invalid(
            "max_staleness_secs: needs a `read_preference` other than primary",
        ));
    }
    if let Some(tls) = &config.tls {
        options.tls = Some(tls.options()?.into());
    }
    if let Some(username) = &config.username {
        let mut credential = options.credential.take().unwrap_or_default();
        credential.username = Some(username.clone());
        options.credential = Some(credential);
    }
    if let Some(credential) = &mut options.credential {
        complete(credential, config, password)?;
    } else if password.is_some() {
        return Err(invalid(
            "username: is missing, and there is a secret `password`",
        ));
    }
    Ok(())
}

fn complete(
    credential: &mut Credential,
    config: &Config,
    password: Option<&str>,
) -> Result<(), Error> {
    if let Some(mechanism) = &config.auth_mechanism {
        let mechanism = AuthMechanism::from_str(mechanism);
        credential.mechanism =
            Some(mechanism.map_err(|error| invalid(format!("auth_mechanism: {error}")))?);
    }
    if let Some(source) = &config.auth_source {
        credential.source = Some(source.clone());
    }
    if let Some(password) = password {
        credential.password = Some(password.to_owned());
    }
    let by_certificate = credential.mechanism == Some(AuthMechanism::MongoDbX509);
    if credential.password.is_none() && !by_certificate {
        return Err(invalid(
            "username: there is no secret `password` for it; set secrets.password = { env = \"VARIABLE\" }",
        ));
    }
    Ok(())
}

impl Tls {
    fn options(&self) -> Result<TlsOptions, Error> {
        // The driver would say so only when it connects, and not which setting it is.
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_key_file", &self.certificate_key_file),
        ];
        for (key, file) in files {
            if let Some(file) = file
                && let Err(error) = std::fs::File::open(file)
            {
                return Err(invalid(format!("tls.{key}: {}: {error}", file.display())));
            }
        }
        let mut options = TlsOptions::default();
        options.ca_file_path.clone_from(&self.ca_file);
        options
            .cert_key_file_path
            .clone_from(&self.certificate_key_file);
        Ok(options)
    }
}

impl ReadMode {
    fn preference(self, max_staleness: Option<Duration>) -> ReadPreference {
        let options = max_staleness.map(|max_staleness| {
            ReadPreferenceOptions::builder()
                .max_staleness(max_staleness)
                .build()
        });
        match self {
            Self::Primary => ReadPreference::Primary,
            Self::PrimaryPreferred => ReadPreference::PrimaryPreferred { options },
            Self::Secondary => ReadPreference::Secondary { options },
            Self::SecondaryPreferred => ReadPreference::SecondaryPreferred { options },
            Self::Nearest => ReadPreference::Nearest { options },
        }
    }
}

fn invalid(message: impl std::fmt::Display) -> Error {
    Error::new("invalid_config", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn open(config: Value, secrets: &[(&str, &str)]) -> Result<Opened, Error> {
        let config: Config = serde_json::from_value(config).expect("known keys");
        let secrets = secrets
            .iter()
            .map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned()));
        options(&config, &secrets.collect()).await
    }

    #[tokio::test]
    async fn settings_become_options() {
        let config = json!({
            "hosts": ["db-1:27018", "db-2"], "database": "metrics", "username": "argus", "replica_set": "rs0",
            "read_preference": "secondaryPreferred", "max_staleness_secs": 120, "pool_size": 3, "tls": {},
        });
        let opened = open(config, &[("password", "hunter2")])
            .await
            .expect("good settings");
        let options = opened.options;
        assert_eq!(opened.teller.hosts(), "db-1:27018, db-2:27017");
        assert_eq!(options.default_database.as_deref(), Some("metrics"));
        assert_eq!(options.repl_set_name.as_deref(), Some("rs0"));
        assert_eq!(options.max_pool_size, Some(3));
        assert!(options.tls.is_some());
        let lag = ReadPreferenceOptions::builder()
            .max_staleness(Duration::from_secs(120))
            .build();
        let preference = ReadPreference::SecondaryPreferred { options: Some(lag) };
        let expected = SelectionCriteria::ReadPreference(preference);
        assert_eq!(
            format!("{:?}", options.selection_criteria),
            format!("{:?}", Some(expected))
        );
        let credential = options.credential.expect("a user");
        assert_eq!(
            (
                credential.username.as_deref(),
                credential.password.as_deref()
            ),
            (Some("argus"), Some("hunter2"))
        );
    }

    #[tokio::test]
    async fn an_address_may_be_a_secret_and_its_password_stays_one() {
        let secrets = [(
            "uri",
            "mongodb://argus:p%40ss@db-1:27017/metrics?replicaSet=rs0",
        )];
        let opened = open(json!({}), &secrets).await.expect("good settings");
        assert_eq!(opened.options.default_database.as_deref(), Some("metrics"));
        assert_eq!(
            opened.teller.scrub("login as argus with p@ss"),
            "login as argus with ***"
        );
    }

    #[tokio::test]
    async fn mistakes_say_what_to_do() {
        let user = |more: Value| {
            let mut config = json!({ "hosts": ["db-1"], "username": "argus" });
            for (key, value) in more.as_object().expect("an object") {
                config[key] = value.clone();
            }
            config
        };
        let cases = [
            (json!({}), "hosts: say where"),
            (
                json!({ "hosts": ["a"], "uri": "mongodb://b" }),
                "give one of",
            ),
            (
                json!({ "uri": "mongodb://argus:hunter2@db-1/" }),
                "uri: holds a password",
            ),
            (
                json!({ "uri": "mongodb+srv://cluster.example.com" }),
                "write the hosts out",
            ),
            (
                json!({ "uri": "mongodb://db-1/?replicaset=a&replicaset=b&bogus=1" }),
                "the address of the server",
            ),
            (json!({ "hosts": ["db-1:many"] }), "hosts: `db-1:many`"),
            (user(json!({})), "no secret `password`"),
            (user(json!({ "auth_mechanism": "GUESS" })), "auth_mechanism"),
            (
                json!({ "hosts": ["a"], "max_staleness_secs": 100 }),
                "max_staleness_secs",
            ),
            (
                json!({ "hosts": ["a"], "tls": { "ca_file": "/no/such/ca.pem" } }),
                "tls.ca_file: /no/such/ca.pem",
            ),
        ];
        for (config, fragment) in cases {
            let error = open(config.clone(), &[]).await.expect_err("a mistake");
            assert_eq!(error.code, "invalid_config");
            assert!(error.message.contains(fragment), "{config}: {error}");
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }
}
