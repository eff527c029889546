//! The real servers that the end-to-end tests run against, from Debian's packages, unpacked under `.deps/debian`.
//!
//! Unpacked, not installed: an installed server would be started as a service of the machine. The tests start them
//! on ports and folders of their own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{debian, process, step};

/// Packages, each with the program of its name in `usr/bin`. All are static but for the C library.
const SERVERS: [&str; 3] = [
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
];

/// Alertmanager reads its default templates from here whatever its configuration says.
const ALERTMANAGER_TEMPLATES: &str = "/usr/share/prometheus/alertmanager";
const TEMPLATES: [&str; 2] = ["default.tmpl", "email.tmpl"];

/// Makes the servers runnable and returns the folder with their programs.
pub fn set_up(workspace: &Workspace) -> Result<PathBuf> {
    let programs = workspace.debian_root().join("usr/bin");
    if missing(&programs).is_empty() {
        place_templates(workspace)?;
        step::note(format!("{} are in place", SERVERS.join(", ")));
        return Ok(programs);
    }
    if !debian::is_debian() {
        bail!(
            "the end-to-end tests run against {}: they are taken from Debian's packages, and this system has no apt-get \
             and dpkg-deb; put the programs into {} yourself",
            SERVERS.join(", "),
            programs.display()
        );
    }
    step::note(format!("downloading Debian packages {}", SERVERS.join(" ")));
    debian::unpack(&SERVERS, &workspace.debian_root())?;
    for server in SERVERS {
        process::output(process::command(programs.join(server)).arg("--version"))
            .with_context(|| format!("{server} from Debian's package does not run here"))?;
    }
    place_templates(workspace)?;
    Ok(programs)
}

fn place_templates(workspace: &Workspace) -> Result<()> {
    let places = Path::new(ALERTMANAGER_TEMPLATES);
    let unpacked = workspace
        .debian_root()
        .join(ALERTMANAGER_TEMPLATES.trim_start_matches('/'));
    for template in TEMPLATES {
        let (source, place) = (unpacked.join(template), places.join(template));
        if source.is_file() && !place.is_file() {
            step::note(format!(
                "placing {}, which Alertmanager needs to start",
                place.display()
            ));
            debian::place_file(&source, &place)?;
        }
    }
    Ok(())
}

fn missing(programs: &Path) -> Vec<&'static str> {
    SERVERS
        .into_iter()
        .filter(|server| !programs.join(server).is_file())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_server_that_is_not_there_is_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        fs::write(folder.path().join("prometheus"), "").expect("write");
        assert_eq!(
            missing(folder.path()),
            ["prometheus-alertmanager", "prometheus-node-exporter"]
        );
    }

    #[test]
    #[ignore = "downloads 34 MB of Debian packages"]
    fn the_servers_run() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let workspace = Workspace {
            root: folder.path().to_path_buf(),
        };
        fs::create_dir(workspace.deps()).expect("create .deps");
        let programs = set_up(&workspace).expect("on Debian");
        assert_eq!(missing(&programs), [""; 0]);
        set_up(&workspace).expect("again");
    }
}
