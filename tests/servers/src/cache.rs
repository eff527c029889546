//! What servers are made of, fetched and compiled once per user.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use anyhow::{Context, bail};

use crate::java::{self, Jdk};
use crate::product::{Product, Recipe};

/// Which plugin of Maven copies jars; a range would let a new one change what is fetched.
const COPY_DEPENDENCIES: &str =
    "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Jars of Elasticsearch's that are modules of a node and not on its class path.
const MODULES: [&str; 3] = ["transport-netty4-", "x-pack-core-", "x-pack-security-"];

/// A server that can be started.
#[derive(Debug)]
pub struct Prepared {
    /// What it is made of.
    pub(crate) folder: PathBuf,
    /// The program that runs it.
    pub(crate) program: PathBuf,
}

/// Makes a server ready to start: fetches and compiles what is not in the cache yet. Others that want the same wait.
///
/// # Errors
/// What the machine lacks, or what could not be fetched.
pub fn prepare(product: Product) -> anyhow::Result<Prepared> {
    let all = cache_folder()?;
    fs::create_dir_all(&all).with_context(|| format!("failed to create {}", all.display()))?;
    let folder = all.join(product.folder());
    // The system lets go of the lock when the process dies.
    let lock = File::create(folder.with_extension("lock")).context("failed to create a lock")?;
    lock.lock().context("failed to lock the cache")?;
    let steps = Steps::of(product)?;
    let stamp = steps.stamp()?;
    let marker = folder.join("made-from");
    if fs::read_to_string(&marker).is_ok_and(|made_from| made_from == stamp) {
        return Ok(steps.prepared(folder));
    }
    let partial = folder.with_extension("partial");
    remove(&partial)?;
    fs::create_dir_all(&partial)
        .with_context(|| format!("failed to create {}", partial.display()))?;
    steps
        .make(&partial)
        .with_context(|| format!("failed to fetch {product}"))?;
    fs::write(partial.join("made-from"), stamp)?;
    remove(&folder)?;
    fs::rename(&partial, &folder)
        .with_context(|| format!("failed to create {}", folder.display()))?;
    Ok(steps.prepared(folder))
}

fn cache_folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = env::var_os("ARGUS_TEST_SERVERS_DIR") {
        return Ok(folder.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    let cache =
        cache.context("neither HOME nor XDG_CACHE_HOME nor ARGUS_TEST_SERVERS_DIR is set")?;
    Ok(cache.join("argus/test-servers"))
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes")
}

enum Steps {
    Java {
        folder: &'static str,
        version: &'static str,
        root: Option<&'static str>,
        jdk: Jdk,
        maven: PathBuf,
    },
    Python {
        folder: &'static str,
        python: PathBuf,
    },
}

impl Steps {
    /// # Errors
    /// What the machine lacks.
    fn of(product: Product) -> anyhow::Result<Self> {
        Ok(match product.recipe() {
            Recipe::Java {
                folder,
                version,
                jdk,
                root,
                main: _,
            } => Self::Java {
                folder,
                version,
                root,
                jdk: java::find(&jdk)?,
                maven: on_path("mvn").context("it needs Maven (`mvn`), which is not on PATH")?,
            },
            Recipe::Python { folder } => {
                let python =
                    on_path("python3").context("it needs Python 3, which is not on PATH")?;
                run(Command::new(&python).args(["-m", "pip", "--version"]))
                    .context("it needs pip, which this Python 3 does not have")?;
                Self::Python { folder, python }
            }
        })
    }

    /// Whatever the result depends on, as text.
    fn stamp(&self) -> anyhow::Result<String> {
        let (mut stamp, folders) = match self {
            Self::Java {
                folder,
                version,
                root,
                jdk,
                ..
            } => {
                let mut folders = vec!["common", *folder];
                folders.extend(root.iter().flat_map(|root| ["elasticsearch/root", root]));
                (format!("{version}, JDK {}\n", jdk.version), folders)
            }
            Self::Python { folder, python } => {
                let version = run(Command::new(python).arg("--version"))?;
                (version, vec![*folder])
            }
        };
        for folder in folders {
            for file in files_in(&recipes().join(folder), "")? {
                let text = fs::read_to_string(&file);
                stamp += &text.with_context(|| format!("failed to read {}", file.display()))?;
            }
        }
        Ok(stamp)
    }

    fn make(&self, place: &Path) -> anyhow::Result<()> {
        match self {
            Self::Java {
                folder,
                version,
                root,
                jdk,
                maven,
            } => {
                let recipe = recipes().join(folder);
                let jars = place.join("lib");
                run(Command::new(maven)
                    .args(["--quiet", "--batch-mode", "--file"])
                    .arg(recipe.join("pom.xml"))
                    .arg(COPY_DEPENDENCIES)
                    .arg(format!("-Dserver.version={version}"))
                    .arg(format!("-DoutputDirectory={}", jars.display()))
                    .env("JAVA_HOME", &jdk.home))?;
                let modules = place.join("modules");
                fs::create_dir(&modules)?;
                // They compile against the modules too, and run without.
                compile(jdk, &jars, &["common", folder], &place.join("classes"))?;
                if let Some(root) = root {
                    let classes = place.join("root");
                    compile(jdk, &jars, &["elasticsearch/root", root], &classes)?;
                    fs::write(
                        classes.join("plugin-descriptor.properties"),
                        descriptor(version),
                    )?;
                    run(Command::new(jdk.program("jar"))
                        .args(["--create", "--file"])
                        .arg(modules.join("root.jar"))
                        .arg("-C")
                        .arg(&classes)
                        .arg("."))?;
                    for jar in files_in(&jars, "jar")? {
                        let name = jar.file_name().unwrap_or_default();
                        if MODULES
                            .iter()
                            .any(|module| name.to_string_lossy().starts_with(module))
                        {
                            fs::rename(&jar, modules.join(name))?;
                        }
                    }
                }
            }
            Self::Python { folder, python } => {
                // Not a virtual environment: Debian's Python cannot make one without a package more.
                run(Command::new(python)
                    .args(["-m", "pip", "install", "--quiet", "--no-input"])
                    .args(["--disable-pip-version-check", "--root-user-action=ignore"])
                    .arg("--target")
                    .arg(place.join("lib"))
                    .arg("--requirement")
                    .arg(recipes().join(folder).join("requirements.txt")))?;
            }
        }
        Ok(())
    }

    fn prepared(self, folder: PathBuf) -> Prepared {
        let program = match self {
            Self::Java { jdk, .. } => jdk.program("java"),
            Self::Python { python, .. } => python,
        };
        Prepared { folder, program }
    }
}

/// What a node wants to know of the module with `GET /`.
fn descriptor(version: &str) -> String {
    format!(
        "name=root\ndescription=GET /\nversion={version}\nelasticsearch.version={version}\njava.version=17\n\
         classname=argus.servers.root.RootPlugin\n"
    )
}

fn compile(jdk: &Jdk, jars: &Path, folders: &[&str], classes: &Path) -> anyhow::Result<()> {
    let mut javac = Command::new(jdk.program("javac"));
    javac.args(["-proc:none", "-nowarn", "-encoding", "UTF-8", "-cp"]);
    javac.arg(jars.join("*")).arg("-d").arg(classes);
    for folder in folders {
        javac.args(files_in(&recipes().join(folder), "java")?);
    }
    run(&mut javac).map(drop)
}

/// Files in a folder and not below, by name; all of them, or those with an ending.
fn files_in(folder: &Path, ending: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let fits = ending.is_empty() || path.extension() == Some(OsStr::new(ending));
        if fits && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("failed to start {program}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!(
            "{program} failed: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    Ok(text(&output.stdout))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
