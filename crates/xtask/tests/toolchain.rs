//! The guests' toolchain, the Debian way: made once, kept in the cache, and it builds a guest. And Python and Prometheus.

#[expect(dead_code, reason = "the test builds a guest of its own")]
#[path = "../src/guests.rs"]
mod guests;
#[path = "../src/toolchain/mod.rs"]
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use toolchain::{Toolchain, Way};

fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn python_is_there_once_it_was_asked_for() {
    toolchain::python::need().expect("it is there, or apt-get installs it");
    let version = Command::new("python3").arg("--version").output().expect("it starts");
    assert!(version.status.success());
}

#[test]
fn prometheus_is_there_once_it_was_asked_for() {
    let runs = |found: &toolchain::prometheus::Prometheus| {
        [&found.server, &found.promtool, &found.alertmanager]
            .iter()
            .all(|program| Command::new(program).arg("--version").output().expect("it starts").status.success())
    };
    assert!(runs(&toolchain::prometheus::need().expect("it is there, or Debian's packages are fetched")));
    let cache = tempfile::tempdir().expect("a temporary folder");
    for what in ["they are fetched", "and kept"] {
        assert!(runs(&toolchain::prometheus::in_cache(cache.path()).expect(what)), "{what}");
    }
}

#[test]
fn debians_packages_build_a_guest() {
    if Command::new("apt-get").arg("--version").output().is_err() {
        eprintln!("no apt-get here: the Debian way is not for this machine");
        return;
    }
    let toolchain = Toolchain::find(Way::Debian).expect("the Debian way works where there is apt-get");
    let temp = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(temp.path().join("src")).expect("folder");
    let manifest = "[package]\nname = \"guest\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n[profile.release]\npanic = \"abort\"\n";
    fs::write(temp.path().join("Cargo.toml"), manifest).expect("manifest");
    fs::write(temp.path().join("Cargo.lock"), "version = 3\n[[package]]\nname = \"guest\"\nversion = \"0.0.0\"\n")
        .expect("lock");
    fs::write(temp.path().join("src/main.rs"), "fn main() { println!(\"{:?}\", std::fs::read(\"x\")) }")
        .expect("source");
    let target = temp.path().join("target");
    guests::build_in(&toolchain, temp.path(), &target).expect("it builds");
    let bytes = fs::read(target.join(toolchain::TARGET).join("release/guest.wasm")).expect("the guest");
    assert_eq!(&bytes[..8], b"\0asm\x0d\0\x01\0", "a component");
}

#[test]
fn a_way_that_fails_says_which_why_and_what_to_do() {
    // Nothing at all is on the path of this machine.
    let temp = tempfile::tempdir().expect("a temporary folder");
    let installed = "installed: Rust must be installed: cannot run `rustc ";
    let rustup = "rustup: `rustup target add wasm32-wasip1` must work: cannot run `rustup ";
    let debian = "debian: there is no apt-get here; this way needs Debian";
    for (way, expected) in [
        ("installed", &[installed][..]),
        ("rustup", &[rustup]),
        ("debian", &[debian]),
        ("auto", &[installed, rustup, debian]),
    ] {
        let xtask = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["guests", "--toolchain", way])
            .env("PATH", temp.path())
            .env("UNSHIP_CACHE", temp.path().join("cache"))
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&xtask.stderr);
        assert!(!xtask.status.success(), "{way}");
        for text in expected {
            assert!(said.contains(text), "{way}: {said}");
        }
        assert_eq!(said.matches("\n  ").count(), if way == "auto" { 4 } else { 1 }, "{said}");
    }
}
