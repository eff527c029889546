//! Checks the invariants of `ARCHITECTURE.md` that can be seen from the outside: who depends on whom, what the code
//! map lists, how long files are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Crates that link something heavy or dangerous, and the only packages that may depend on them. A `*` at the end
/// stands for any rest of the name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tch", &["argus-tft"]),
    ("torch-sys", &["argus-tft"]),
    ("wasmtime*", &["argus-plugin-host"]),
    ("axum*", &["argus-api"]),
    ("hyper*", &["argus-api", "argus-outbound-http"]),
    ("libloading", &["argus-connector-host"]),
    ("redb", &["argus-store"]),
    ("rusqlite", &["argus-alerts"]),
    ("libsqlite3-sys", &["argus-alerts"]),
];

/// Drivers of databases live under `adapters/`: they need what a sandbox cannot give.
const DATABASE_DRIVERS: &[&str] = &[
    "diesel",
    "elasticsearch",
    "mongodb",
    "mysql*",
    "opensearch",
    "postgres*",
    "redis",
    "sqlx*",
    "tiberius",
    "tokio-postgres",
];

/// Crates that read or write something outside the process, or wait for it.
const IO: &[&str] = &[
    "argus-*",
    "arrow",
    "async-std",
    "axum*",
    "redb",
    "hyper*",
    "mio",
    "object_store",
    "parquet",
    "reqwest",
    "rusqlite",
    "rustls",
    "socket2",
    "tempfile",
    "tokio*",
    "tower*",
    "ureq",
    "walkdir",
];

/// Lines of a source file; what is longer is two things.
const MAX_LINES: usize = 500;

struct Workspace {
    root: PathBuf,
    packages: Vec<Package>,
}

struct Package {
    name: String,
    /// Relative to the repository's root.
    folder: PathBuf,
    /// Direct dependencies of what ships: normal and build, not those of tests.
    dependencies: BTreeSet<String>,
    /// Direct dependencies of tests, examples and benchmarks only.
    dev_dependencies: BTreeSet<String>,
    has_build_script: bool,
}

impl Workspace {
    fn read() -> Workspace {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {errors}");
        let metadata: Value =
            serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let packages = items(&metadata["packages"])
            .map(|package| Package::read(package, &root))
            .collect();
        Workspace { root, packages }
    }

    fn package(&self, name: &str) -> &Package {
        let found = self.packages.iter().find(|package| package.name == name);
        found.unwrap_or_else(|| panic!("no package is named {name}"))
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.root.join(name))
            .unwrap_or_else(|error| panic!("failed to read {name}: {error}"))
    }
}

impl Package {
    fn read(package: &Value, root: &Path) -> Package {
        let manifest = Path::new(text(&package["manifest_path"]));
        let folder = manifest
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok());
        let of_kind = |dev: bool| {
            items(&package["dependencies"])
                .filter(|dependency| (dependency["kind"] == "dev") == dev)
                .map(|dependency| text(&dependency["name"]).to_owned())
                .collect()
        };
        let mut kinds = items(&package["targets"]).flat_map(|target| items(&target["kind"]));
        Package {
            name: text(&package["name"]).to_owned(),
            folder: folder.expect("members lie in the workspace").to_owned(),
            dependencies: of_kind(false),
            dev_dependencies: of_kind(true),
            has_build_script: kinds.any(|kind| kind == "custom-build"),
        }
    }

    /// Dependencies, of tests too, that one of the patterns names.
    fn dependencies_matching(&self, patterns: &[&str]) -> Vec<&str> {
        let all = self.dependencies.union(&self.dev_dependencies);
        all.map(String::as_str)
            .filter(|name| patterns.iter().any(|pattern| matches(pattern, name)))
            .collect()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("cargo metadata has a string there")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .expect("cargo metadata has a list there")
        .iter()
}

/// Fails with all violations of a rule at once.
fn assert_none(rule: &str, violations: Vec<String>) {
    assert!(
        violations.is_empty(),
        "{rule}:\n  {}",
        violations.join("\n  ")
    );
}

#[test]
fn heavy_crates_have_one_owner() {
    let mut violations = Vec::new();
    for package in Workspace::read().packages {
        for (pattern, owners) in ONLY_IN {
            let linked = package
                .dependencies
                .iter()
                .find(|name| matches(pattern, name));
            if let (Some(linked), false) = (linked, owners.contains(&package.name.as_str())) {
                let (name, owners) = (&package.name, owners.join(" and "));
                violations.push(format!(
                    "{name} depends on {linked}, which only {owners} may"
                ));
            }
        }
    }
    assert_none(
        "ARCHITECTURE.md, code map: only one crate links it",
        violations,
    );
}

#[test]
fn database_drivers_live_under_adapters() {
    let mut violations = Vec::new();
    for package in Workspace::read().packages {
        // End-to-end tests fill databases, as nothing that ships may.
        let may = package.folder.starts_with("adapters") || package.name == "argus-e2e";
        if !may {
            let drivers = package.dependencies_matching(DATABASE_DRIVERS);
            violations.extend(
                drivers
                    .into_iter()
                    .map(|driver| format!("{} depends on {driver}", package.name)),
            );
        }
    }
    assert_none("database drivers live under adapters/ only", violations);
}

#[test]
fn adapters_and_the_daemon_share_the_interface_only() {
    let mut violations = Vec::new();
    for package in Workspace::read().packages {
        let is_adapter = package.folder.starts_with("adapters");
        for other in &package.dependencies {
            let foreign = match is_adapter {
                true => other.starts_with("argus") && other != "argus-connector-abi",
                false => {
                    other.starts_with("argus-connector-")
                        && !matches!(
                            other.as_str(),
                            "argus-connector-abi" | "argus-connector-host"
                        )
                }
            };
            if foreign {
                violations.push(format!("{} depends on {other}", package.name));
            }
        }
    }
    assert_none("adapters are loaded by path, not linked", violations);
}

#[test]
fn the_schema_crate_does_no_io() {
    let workspace = Workspace::read();
    let schema = workspace.package("argus-schema");
    let found: Vec<&String> = schema
        .dependencies
        .iter()
        .filter(|name| IO.iter().any(|pattern| matches(pattern, name)))
        .collect();
    assert!(
        found.is_empty(),
        "argus-schema validates records and does no I/O, but depends on {found:?}"
    );
}

#[test]
fn the_fleet_is_plain_data() {
    let workspace = Workspace::read();
    let allowed = BTreeSet::from(["argus-schema", "serde"].map(str::to_owned));
    let others: Vec<&String> = workspace
        .package("argus-fleet")
        .dependencies
        .difference(&allowed)
        .collect();
    assert!(
        others.is_empty(),
        "argus-fleet depends on argus-schema and serde only, not on {others:?}"
    );
}

#[test]
fn what_stands_alone_knows_no_other_crate_of_argus() {
    let workspace = Workspace::read();
    for name in ["argus-tft", "argus-plugin", "argus-score"] {
        // The SDK's macros may become a crate beside it.
        let mut own = workspace.package(name).dependencies_matching(&["argus*"]);
        own.retain(|dependency| {
            !(name == "argus-plugin" && dependency.starts_with("argus-plugin-macro"))
        });
        assert!(
            own.is_empty(),
            "{name} stands alone, but depends on {own:?}"
        );
    }
}

/// Link arguments reach only the executables of the package whose build script prints them.
#[test]
fn whoever_links_libtorch_writes_its_folder_into_its_executables() {
    let workspace = Workspace::read();
    let by_name: BTreeMap<&str, &Package> = workspace
        .packages
        .iter()
        .map(|package| (package.name.as_str(), package))
        .collect();
    let mut violations = Vec::new();
    for package in &workspace.packages {
        if links(package, "argus-tft", &by_name) {
            let has_folder = package.dependencies.contains("argus-tft") && package.has_build_script;
            if !has_folder {
                violations.push(format!(
                    "{}: depend on argus-tft directly and copy daemon/argus/build.rs",
                    package.name
                ));
            }
        }
    }
    assert_none(
        "executables that link libtorch find it by an rpath",
        violations,
    );
}

/// Whether an executable of the package contains the code of `target`.
fn links(package: &Package, target: &str, by_name: &BTreeMap<&str, &Package>) -> bool {
    let reaches = |dependency: &String| {
        dependency == target
            || by_name
                .get(dependency.as_str())
                .is_some_and(|package| ships(package, target, by_name))
    };
    package
        .dependencies
        .union(&package.dev_dependencies)
        .any(reaches)
}

fn ships(package: &Package, target: &str, by_name: &BTreeMap<&str, &Package>) -> bool {
    package.dependencies.iter().any(|dependency| {
        dependency == target
            || by_name
                .get(dependency.as_str())
                .is_some_and(|package| ships(package, target, by_name))
    })
}

#[test]
fn the_code_map_lists_every_crate_where_it_is() {
    let workspace = Workspace::read();
    // Rows look like: | `daemon/store` | `argus-store` | what lives there | must not know |
    let listed: BTreeSet<String> = workspace
        .file("ARCHITECTURE.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some(format!("{} {}", cells.next()?, cells.next()?).replace('`', ""))
        })
        .collect();
    let violations = workspace
        .packages
        .iter()
        .map(|package| format!("{} {}", package.folder.display(), package.name))
        .filter(|row| !listed.contains(row))
        .collect();
    assert_none("the code map of ARCHITECTURE.md lacks", violations);
}

#[test]
fn no_source_file_is_too_long() {
    let workspace = Workspace::read();
    let output = Command::new("git")
        .args(["ls-files", "-z", "*.rs"])
        .current_dir(&workspace.root)
        .output();
    // Sources that were unpacked from an archive have no list of files, and are not edited there.
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        return;
    };
    let files = String::from_utf8(output.stdout).expect("file names are UTF-8");
    let violations = files
        .split_terminator('\0')
        .filter_map(|file| {
            let lines = fs::read_to_string(workspace.root.join(file))
                .ok()?
                .lines()
                .count();
            (lines > MAX_LINES).then(|| format!("{file} has {lines} lines"))
        })
        .collect();
    assert_none(
        &format!("a source file has at most {MAX_LINES} lines"),
        violations,
    );
}
