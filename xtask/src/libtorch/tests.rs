use std::os::unix::fs::symlink;

use super::*;

/// A folder that looks like a libtorch of some version.
fn libtorch(folder: &Path, build_version: &str) {
    fs::create_dir_all(folder.join("lib")).expect("create lib");
    for library in ["libtorch.so", "libtorch_cpu.so", "libc10.so"] {
        fs::write(folder.join("lib").join(library), "").expect("write library");
    }
    fs::write(folder.join("build-version"), build_version).expect("write version");
}

#[test]
fn a_folder_without_our_marker_is_fetched_anew() {
    let deps = tempfile::tempdir().expect("temporary folder");
    let place = deps.path().join("libtorch");
    assert_eq!(find(&place), Found::Nothing);
    libtorch(&place, "2.13.0+cpu\n");
    assert_eq!(find(&place), Found::Nothing);
    fs::write(place.join("argus-libtorch"), Source::Wheels.marker()).expect("write marker");
    assert_eq!(find(&place), Found::Folder(Source::Wheels));
    fs::remove_file(place.join("lib/libc10.so")).expect("remove library");
    assert_eq!(find(&place), Found::Nothing);
}

#[test]
fn the_variable_that_cargo_sets_is_not_the_users() {
    let place = Path::new("/w/.deps/libtorch");
    let check = |variable: Option<&str>, expected: Option<&str>| {
        let own = libtorch_of_the_user(variable.map(PathBuf::from), place).expect("absolute");
        assert_eq!(own, expected.map(PathBuf::from), "{variable:?}");
    };
    check(None, None);
    check(Some(""), None);
    check(Some("/w/.deps/libtorch"), None);
    check(Some("/opt/libtorch"), Some("/opt/libtorch"));
}

#[test]
fn a_libtorch_of_the_user_is_linked_and_stays() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let (own, place) = (folder.path().join("own"), folder.path().join("libtorch"));
    libtorch(&own, "2.13.0+cu130");
    libtorch(&place, "2.13.0+cpu");
    link(&own, &place).expect("the folder gives way to a link");
    link(&own, &place).expect("again");
    assert_eq!(
        find(&place),
        Found::Link {
            target: own.clone(),
            problem: None
        }
    );
    clear(&place).expect("remove the link");
    check_version(&own).expect("what it pointed to stays");
}

#[test]
fn a_dangling_link_is_told() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let place = folder.path().join("libtorch");
    symlink("/argus-no-such-folder", &place).expect("create link");
    let Found::Link { problem, .. } = find(&place) else {
        panic!("it is a link");
    };
    let expected = format!(
        "{} is no libtorch: lib/libtorch.so is missing",
        place.display()
    );
    assert_eq!(problem, Some(expected));
}

#[test]
fn another_version_is_told_plainly() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let own = folder.path().join("own");
    libtorch(&own, "2.9.1+cpu");
    let error = link(&own, &folder.path().join("libtorch")).expect_err("wrong version");
    let own = own.display();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "LIBTORCH is set to {own}: {own} holds libtorch 2.9.1, Argus needs 2.13.0: point LIBTORCH to that version, \
             or unset it and setup fetches one"
        )
    );
}

#[test]
fn without_a_version_file_the_header_tells() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let own = folder.path();
    libtorch(own, "");
    fs::remove_file(own.join("build-version")).expect("remove version");
    let include = own.join("include/torch/headeronly");
    fs::create_dir_all(&include).expect("create include");
    let header = "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 13\n#define TORCH_VERSION_PATCH 0\n";
    fs::write(include.join("version.h"), header).expect("write header");
    check_version(own).expect("2.13.0");
}
