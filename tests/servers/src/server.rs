//! A running server.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::product::{Product, Recipe};
use crate::{Prepared, Process, eventually, free_port, prepare};

/// From start to `READY`: seconds, unless many builds run beside.
const PATIENCE: Duration = Duration::from_secs(600);

/// Quick to start rather than fast.
const JVM: [&str; 4] = [
    "-Xms512m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
];

/// How a server is started; `Options::default()` lets everybody in over plain TCP.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Turns authentication on. Elasticsearch has the user `elastic`; SecantusDB has `admin`, who may do everything, and
    /// `reader`, who may read the database `metrics`. The others have no users.
    pub password: Option<String>,
    /// Serves TLS: MongoDB's protocol, and Elasticsearch with a password.
    pub tls: Option<Tls>,
    /// Further settings of Elasticsearch or OpenSearch.
    pub settings: Vec<(String, String)>,
}

/// A certificate with its key, both PEM; the key an unencrypted EC one in PKCS #8.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The certificate, and those that lead to its root.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// A server on a port of its own with a data folder of its own, or one of the reader's.
#[derive(Debug)]
pub struct Server {
    name: String,
    url: String,
    product: Option<Product>,
    ours: Option<Ours>,
}

#[derive(Debug)]
struct Ours {
    process: Process,
    prepared: Prepared,
    options: Options,
    port: u16,
    home: TempDir,
}

/// Starts servers, or takes the reader's own instead of all. What the machine cannot run is left out, and printed, where
/// `ARGUS_TEST_SERVERS=available` allows that.
///
/// # Errors
/// When a server cannot be prepared and may not be left out, or does not start.
#[expect(clippy::print_stderr, reason = "nothing is left out in silence")]
pub fn start_all(products: &[Product], options: &Options) -> anyhow::Result<Vec<Server>> {
    let Some(first) = products.first() else {
        return Ok(Vec::new());
    };
    if let Some(own) = Server::own(*first) {
        return Ok(vec![own]);
    }
    let may_be_left_out = env::var("ARGUS_TEST_SERVERS").is_ok_and(|value| value == "available");
    let mut servers = Vec::new();
    for product in products {
        match prepare(*product) {
            Ok(prepared) => servers.push(Server::launch(*product, prepared, options)?),
            Err(error) if may_be_left_out => eprintln!("left out: {product}: {error:#}"),
            Err(error) => {
                return Err(error).with_context(|| format!("{product} cannot be prepared"));
            }
        }
    }
    Ok(servers)
}

impl Server {
    /// Starts one of ours, whatever the reader has.
    ///
    /// # Errors
    /// When it cannot be prepared, or does not start; the message holds what it printed.
    pub fn start(product: Product, options: &Options) -> anyhow::Result<Self> {
        Self::launch(product, prepare(product)?, options)
    }

    /// The reader's server, where one is named for this product's protocol.
    fn own(product: Product) -> Option<Self> {
        let variable = product.own_variable();
        let url = env::var(variable).ok().filter(|url| !url.is_empty())?;
        Some(Self {
            name: format!("the server in {variable}"),
            url,
            product: None,
            ours: None,
        })
    }

    fn launch(product: Product, prepared: Prepared, options: &Options) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let port = free_port()?;
        let (process, url) = start(product, &prepared, options, home.path(), port)?;
        Ok(Self {
            name: product.name().to_owned(),
            url,
            product: Some(product),
            ours: Some(Ours {
                process,
                prepared,
                options: options.clone(),
                port,
                home,
            }),
        })
    }

    /// Name and version, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, e.g. `http://127.0.0.1:41234` or `mongodb://127.0.0.1:41234/`, without credentials (with, where the
    /// reader's own has them). Stays the same across restarts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which it is; none for the reader's own, which can be neither killed nor restarted.
    pub fn product(&self) -> Option<Product> {
        self.product
    }

    /// Ends it with SIGKILL; mongo-java-server, which writes to disk only now and then, with SIGTERM.
    ///
    /// # Errors
    /// When it is the reader's own.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let is_lazy = self.product == Some(Product::MongoJavaServer);
        let process = &mut self.ours()?.process;
        if is_lazy {
            process.terminate(Duration::from_secs(60))?;
        }
        process.kill();
        Ok(())
    }

    /// Starts it again with its data on its port, after [`Server::kill`].
    ///
    /// # Errors
    /// When it does not start, or is the reader's own.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let product = self.product.context("it is the reader's own")?;
        let ours = self.ours()?;
        let home = ours.home.path();
        (ours.process, _) = start(product, &ours.prepared, &ours.options, home, ours.port)?;
        Ok(())
    }

    /// Its process id; none for the reader's own.
    pub fn id(&self) -> Option<u32> {
        self.ours.as_ref().map(|ours| ours.process.id())
    }

    /// What it printed since it was started last.
    pub fn output(&self) -> String {
        self.ours
            .as_ref()
            .map(|ours| ours.process.output())
            .unwrap_or_default()
    }

    fn ours(&mut self) -> anyhow::Result<&mut Ours> {
        let name = &self.name;
        let ours = self.ours.as_mut();
        ours.with_context(|| format!("{name} is the reader's own: it is left as it is"))
    }
}

/// Starts a process and waits for its line `READY URL`.
fn start(
    product: Product,
    prepared: &Prepared,
    options: &Options,
    home: &Path,
    port: u16,
) -> anyhow::Result<(Process, String)> {
    let mut command = command(product, prepared, options, home, port)?;
    let mut process = Process::start(&mut command)?;
    let ready = eventually("the line READY", PATIENCE, || {
        let output = process.output();
        let ready = output.lines().find_map(|line| line.strip_prefix("READY "));
        match ready {
            Some(url) => Ok(Ok(url.trim().to_owned())),
            None if process.is_running() => bail!("not yet"),
            None => Ok(Err(output)),
        }
    });
    match ready {
        Ok(Ok(url)) => Ok((process, url)),
        Ok(Err(output)) => bail!("{product} ended instead of starting: {output}"),
        Err(error) => Err(error.context(format!("{product} does not start: {}", process.output()))),
    }
}

fn command(
    product: Product,
    prepared: &Prepared,
    options: &Options,
    home: &Path,
    port: u16,
) -> anyhow::Result<Command> {
    let part = |name: &str| prepared.folder.join(name);
    let is_elasticsearch = matches!(product, Product::Elasticsearch8 | Product::Elasticsearch9);
    let has_users = is_elasticsearch || product == Product::SecantusDb;
    if options.password.is_some() && !has_users {
        bail!("{product} has no users");
    }
    let tls = match &options.tls {
        Some(tls) => Some(write_tls(tls, home)?),
        None => None,
    };
    let mut command = Command::new(&prepared.program);
    match product.recipe() {
        Recipe::Python { folder } => {
            let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
            command.env("PYTHONPATH", part("lib")).arg("-u");
            command.arg(recipes.join(folder).join("server.py"));
            command.arg(home).arg(port.to_string());
            if let Some(password) = &options.password {
                command.args(["--password", password]);
            }
            if let Some((certificate, key)) = tls {
                command.arg("--tls").args([certificate, key]);
            }
        }
        Recipe::Java { main, root, .. } => {
            command.args(JVM);
            // mongo-java-server logs every connection.
            command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
            if is_elasticsearch {
                command.arg(format!("-Des.path.home={}", home.display()));
            }
            let class_path = format!("{}:{}", part("lib/*").display(), part("classes").display());
            command.args(["-cp", &class_path, main]).arg(home);
            if root.is_some() {
                command.arg(part("modules"));
            }
            command.arg(port.to_string());
            if product == Product::MongoJavaServer {
                command.args(
                    tls.into_iter()
                        .flat_map(|(certificate, key)| [certificate, key]),
                );
            } else {
                let settings = settings(options, tls);
                command.args(settings.iter().map(|(key, value)| format!("{key}={value}")));
            }
        }
    }
    Ok(command)
}

/// Elasticsearch reads keys from its own folder only.
fn write_tls(tls: &Tls, home: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let folder = home.join("config");
    fs::create_dir_all(&folder)?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, &tls.certificate)?;
    fs::write(&key, &tls.key)?;
    Ok((certificate, key))
}

fn settings(options: &Options, tls: Option<(PathBuf, PathBuf)>) -> Vec<(String, String)> {
    let mut settings = options.settings.clone();
    let mut set = |key: &str, value: String| settings.push((key.to_owned(), value));
    if let Some(password) = &options.password {
        set("bootstrap.password", password.clone());
    }
    if let Some((certificate, key)) = tls {
        let ssl = |name: &str| format!("xpack.security.http.ssl.{name}");
        set(&ssl("enabled"), "true".to_owned());
        set(&ssl("certificate"), certificate.display().to_string());
        set(&ssl("key"), key.display().to_string());
    }
    settings
}
