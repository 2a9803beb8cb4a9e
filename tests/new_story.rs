//! `unship new`: the skeleton builds, is refused until it is granted, and runs. Its files are never written over others.

use crate::support::{Ran, Site, fingerprint};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Builds a guest crate as `cargo xtask guest` does for anybody.
fn built(dir: &Path) -> PathBuf {
    let xtask = std::env::var_os("UNSHIP_XTASK").expect("run the tests by `cargo xtask test`");
    let ran = Ran::of(Command::new(xtask).arg("guest").arg(dir)).exits(0);
    PathBuf::from(ran.stdout.split_whitespace().last().expect("a path"))
}

#[test]
fn a_new_story_builds_and_is_denied_until_it_is_granted() {
    let site = Site::new("");
    site.write("replace-me", "what the story brought");
    let dir = site.outside().join("crate");
    let _ = site.unship(["new", "2.1", "--title", "A \"quoted\" title", "--dir", &text(&dir)]).exits(0).prints("wrote");
    let _ = site.unship(["policy", "check"]).exits(0).prints("bundles/story-2.1.wasm is not there");
    let wasm = built(&dir);
    let bundle = site.at("bundles/story-2.1.wasm");
    let manifest = dir.join("unship.toml");
    let _ = site.unship(["pack", &text(&wasm), "--manifest", &text(&manifest), "-o", &text(&bundle)]).exits(0);
    let _ = site.unship(["sign", &text(&bundle), "--key", &text(&site.key())]).exits(0);

    // Everything is denied, and what is missing can be pasted.
    let refused = site.unship(["plan", "2.1"]).exits(3).says("which the policy of story 2.1 does not permit");
    let (_, missing) = refused.stderr.split_once("all that is missing:\n").expect("the tables");
    assert!(missing.contains("[grants.set-aside]\nfiles.set-aside = [\"replace-me\"]"), "{missing}");
    let policy = site.read("policies/2.1.toml");
    site.write("policies/2.1.toml", &format!("{policy}\n{missing}"));
    let _ = site.unship(["policy", "check"]).exits(0).prints("0 errors, 0 refusals, 0 warnings");
    let _ = site.unship(["plan", "2.1"]).exits(0).prints("set aside replace-me as replace-me.unship-{run}");
    let run = site.unship(["apply", "2.1", "--yes", "--json"]).exits(0).summary();
    assert_eq!((run["verdict"].as_str(), run["effects"].as_u64()), (Some("Recovered"), Some(1)));
    assert_eq!(site.unship(["apply", "2.1", "--yes", "--json"]).exits(0).summary()["effects"], 0);
    let _ = site.unship(["undo", run["run"].as_str().expect("an id")]).exits(0);
    assert_eq!(site.read("replace-me"), "what the story brought");

    // A part of what is there is asked for by name.
    site.write("policies/2.1.toml", &format!("{policy}\n[grants.set-aside]\n"));
    let _ = site.unship(["plan", "2.1"]).exits(3).says("[grants.set-aside] # this table is there: add to it");
}

#[test]
fn what_is_there_is_never_written_over() {
    let site = Site::new("");
    let dir = site.outside().join("story-3-1");
    let _ = site.unship(["new", "3.1"]).exits(0);
    assert!(dir.join("src/lib.rs").is_file(), "by its id, in the current folder");
    let before = (fingerprint(&dir), fingerprint(&site.path()));
    let _ = site.unship(["new", "3.1"]).exits(1).says("is there already; nothing was written");
    // Another folder, and the policy is there; another story, and the folder is.
    let other = site.outside().join("other");
    let _ = site.unship(["new", "3.1", "--dir", &text(&other)]).exits(1).says("policies/3.1.toml is there already");
    assert!(!other.exists());
    let _ = site.unship(["new", "3.2", "--dir", &text(&dir)]).exits(1).says("is there already");
    std::os::unix::fs::symlink("nowhere", &other).expect("a link");
    let _ = site.unship(["new", "3.2", "--dir", &text(&other)]).exits(1).says("is there already");
    assert!(!site.at("policies/3.2.toml").exists());
    assert_eq!((fingerprint(&dir), fingerprint(&site.path())), before);
}

#[test]
fn what_is_no_story_is_refused() {
    let site = Site::new("");
    let before = fingerprint(site.outside());
    for id in ["../x", "1.x", "", "site"] {
        let _ = site.unship(["new", id]).exits(1).says("is not a story id");
    }
    let _ = site.unship(["new", "2.1", "--title", "two\nlines"]).exits(1).says("a title is one line");
    let _ = site.unship(["new", "2.1", "--title", ""]).exits(1).says("a title is one line");
    let _ = site.unship(["new", "2.1", "--sdk", &text(site.outside())]).exits(1).says("is not the SDK");
    let _ = site.unship(["new"]).exits(2);
    assert_eq!(fingerprint(site.outside()), before);
    let nowhere = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(crate::support::UNSHIP);
    let _ = Ran::of(command.args(["new", "2.1"]).current_dir(nowhere.path())).exits(1).says("no site here");
}

#[test]
fn the_sdk_can_be_another_one() {
    let site = Site::new("");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../step").canonicalize().expect("the SDK");
    let _ = site.unship(["new", "4.1", "--sdk", &text(&sdk)]).exits(0);
    let dir = site.outside().join("story-4-1");
    let cargo = fs::read_to_string(dir.join("Cargo.toml")).expect("readable");
    assert!(cargo.contains(&format!("path = {:?}", text(&sdk))) && !dir.join("step").exists(), "{cargo}");
}
