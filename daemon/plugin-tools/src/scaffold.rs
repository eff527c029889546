//! `argus plugin new`: a project that builds anywhere.
//!
//! A template is the files of `plugin-sdk/templates/LANGUAGE/common/` and `…/LANGUAGE/KIND/`. In their text the words
//! `my-plugin` and `MyPlugin` become the plugin's name; names that begin with `_` begin with `.` once unpacked. Beside
//! them goes the SDK: for Rust the package `argus-plugin/`, else the module `argus.js` or `argus.py` and the folder
//! `wit/`.

use std::fs;
use std::path::{Path, PathBuf};

use argus_plugin_host::PluginKind;

use crate::embedded;
use crate::errors::ToolError;
use crate::language::Language;

const NAME: &str = "my-plugin";
const TYPE: &str = "MyPlugin";
const MAX_NAME_BYTES: usize = 64;

/// Makes the folder `parent/name` with a plugin that works, and returns it.
///
/// # Errors
/// For a name that is none, a folder that is there already, a kind that has no template in that language.
pub fn new_project(
    parent: &Path,
    name: &str,
    kind: PluginKind,
    language: Language,
) -> Result<PathBuf, ToolError> {
    check_name(name)?;
    let dir = parent.join(name);
    if dir.exists() {
        let refused = format!("{} is there already: choose another name", dir.display());
        return Err(ToolError::Refused(refused));
    }
    let template = format!("templates/{}/{}", language, kind.as_str());
    if embedded::below(&template).next().is_none() {
        let languages: Vec<&str> = Language::ALL
            .into_iter()
            .filter(|other| has_template(*other, kind))
            .map(Language::as_str)
            .collect();
        let instead = match languages.as_slice() {
            [] => "take a sink in rust and implement the kind's own trait".to_owned(),
            languages => format!("there is one in {}", languages.join(", ")),
        };
        return Err(ToolError::Refused(format!(
            "there is no template for a plugin of the kind {kind} in {language}: {instead}"
        )));
    }
    for (path, content) in embedded::below(&format!("templates/{language}/common")) {
        unpack(&dir, path, content, Some(name))?;
    }
    for (path, content) in embedded::below(&template) {
        unpack(&dir, path, content, Some(name))?;
    }
    match language {
        Language::Rust => {
            let sdk = dir.join("argus-plugin");
            embedded::rust_sdk()
                .try_for_each(|(path, content)| unpack(&sdk, path, content, None))?;
        }
        Language::JavaScript => unpack_sdk(&dir, "javascript")?,
        Language::Python => unpack_sdk(&dir, "python")?,
    }
    Ok(dir)
}

/// Whether `new` can make such a plugin.
pub fn has_template(language: Language, kind: PluginKind) -> bool {
    embedded::below(&format!("templates/{language}/{kind}"))
        .next()
        .is_some()
}

fn unpack_sdk(dir: &Path, folder: &str) -> Result<(), ToolError> {
    for (path, content) in embedded::below(folder) {
        unpack(dir, path, content, None)?;
    }
    for (path, content) in embedded::below("wit") {
        unpack(&dir.join("wit"), path, content, None)?;
    }
    Ok(())
}

fn unpack(dir: &Path, path: &str, content: &[u8], name: Option<&str>) -> Result<(), ToolError> {
    let place: PathBuf = path
        .split('/')
        .map(|part| match part.strip_prefix('_') {
            Some(hidden) if name.is_some() => format!(".{hidden}"),
            _ => part.to_owned(),
        })
        .collect();
    let place = dir.join(place);
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(ToolError::file("create", folder))?;
    }
    let named = match (name, std::str::from_utf8(content)) {
        (Some(name), Ok(text)) => text
            .replace(NAME, name)
            .replace(TYPE, &type_name(name))
            .into_bytes(),
        _ => content.to_vec(),
    };
    fs::write(&place, named).map_err(ToolError::file("write", &place))
}

/// Names are package names in three languages and words in TOML.
fn check_name(name: &str) -> Result<(), ToolError> {
    let begins_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends_well = !name.ends_with('-') && !name.contains("--");
    // These would be confused with the SDK beside them, or with Rust's own crates.
    let taken = [
        "argus",
        "argus-plugin",
        "wit",
        "std",
        "core",
        "alloc",
        "test",
    ];
    if begins_well && ends_well && name.len() <= MAX_NAME_BYTES && name.chars().all(plain) {
        if !taken.contains(&name) {
            return Ok(());
        }
        return Err(ToolError::Refused(format!("the name {name} is taken")));
    }
    Err(ToolError::Refused(format!(
        "{name:?} cannot be a plugin's name: take lower-case letters, digits and single hyphens, beginning with a letter"
    )))
}

/// `team-chat` becomes `TeamChat`.
fn type_name(name: &str) -> String {
    let capitalised = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('-').map(capitalised).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["chat", "team-chat", "x2"] {
            check_name(good).expect(good);
        }
        for bad in [
            "", "Chat", "2x", "a_b", "a-", "a--b", "../x", "a b", "argus", "std", "ä",
        ] {
            check_name(bad).expect_err(bad);
        }
        assert_eq!(type_name("team-chat2-x"), "TeamChat2X");
    }

    #[test]
    fn every_language_has_a_sink_and_the_sdk_is_whole() {
        for language in Language::ALL {
            assert!(has_template(language, PluginKind::Sink), "{language}");
        }
        let sdk: Vec<&str> = embedded::rust_sdk().map(|(path, _)| path).collect();
        for needed in [
            "Cargo.toml",
            "src/lib.rs",
            "wit/sink.wit",
            "src/testing/mod.rs",
        ] {
            assert!(sdk.contains(&needed), "{needed} is missing from {sdk:?}");
        }
    }

    #[test]
    fn a_template_that_is_not_there_is_told() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let refused = |kind, language| {
            new_project(parent.path(), "x", kind, language)
                .expect_err("there is none")
                .to_string()
        };
        assert_eq!(
            refused(PluginKind::Source, Language::Python),
            "there is no template for a plugin of the kind source in python: there is one in rust, js"
        );
        assert_eq!(
            refused(PluginKind::Investigator, Language::JavaScript),
            "there is no template for a plugin of the kind investigator in js: take a sink in rust and implement the \
             kind's own trait"
        );
    }

    #[test]
    fn a_project_carries_its_name_and_is_not_overwritten() {
        let parent = tempfile::tempdir().expect("temporary folder");
        let dir = new_project(parent.path(), "team-chat", PluginKind::Sink, Language::Rust)
            .expect("unpacked");
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).expect("manifest");
        assert!(manifest.contains("name = \"team-chat\""), "{manifest}");
        let source = fs::read_to_string(dir.join("src/lib.rs")).expect("source");
        assert!(
            source.contains("argus_plugin::sink!(\n    TeamChat,"),
            "{source}"
        );
        assert!(dir.join(".cargo/config.toml").is_file());
        let again = new_project(parent.path(), "team-chat", PluginKind::Sink, Language::Rust);
        let error = again.expect_err("it is there").to_string();
        assert!(
            error.ends_with("is there already: choose another name"),
            "{error}"
        );
    }
}
