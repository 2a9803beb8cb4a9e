//! Precompiled code: kept, used, and never believed unless this site made it for this very component.

use crate::support::{Ran, Site, UNSHIP, guest};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::PathBuf,
    process::Command,
};

const GRANTS: &str = "files.read = [\"a.txt\"]";

fn site() -> Site {
    let site = Site::new("");
    site.write("a.txt", "a");
    site.probe("1", &["read", "a.txt"], GRANTS);
    site
}

/// A story of another component than [`site`]'s.
fn other_component(site: &Site, id: &str) {
    let manifest = format!(
        "story = \"{id}\"\nversion = \"1.0.0\"\ntitle = \"other\"\n[[step]]\nname = \"other\"\ntitle = \"other\"\n"
    );
    site.story(id, &guest("args-env.wasm"), &manifest, "[grants.other]\n");
}

/// The cached code of all stories.
fn kept(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.at(".unship/code")).expect("the cache");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn only(site: &Site) -> PathBuf {
    let kept = kept(site);
    assert_eq!(kept.len(), 1, "{kept:?}");
    kept[0].clone()
}

/// `plan STORY` where nothing can be compiled: the program is started by the dynamic loader, so that it cannot start itself
/// again, which is how it compiles.
fn plan_without_compiler(site: &Site, story: &str) -> Ran {
    let maps = fs::read_to_string("/proc/self/maps").expect("own maps");
    let loader = maps.split_whitespace().find(|word| word.starts_with('/') && word.contains("/ld-"));
    let plain = site.command(["plan", story]);
    let mut command = Command::new(loader.expect("a program that is linked dynamically has a loader"));
    command.arg(UNSHIP).args(plain.get_args()).env_clear().current_dir(site.outside());
    Ran::of(&mut command)
}

const MADE_ANEW: &str = "removing precompiled code that this site did not make";

/// The story is planned although its code was tampered with; afterwards the cache holds good code again.
#[track_caller]
fn noticed_and_made_anew(site: &Site) {
    let planned = site.unship(["plan", "1"]).exits(0);
    assert!(planned.stderr.contains(MADE_ANEW), "nobody noticed: {}", planned.stderr);
    let again = plan_without_compiler(site, "1").exits(0);
    assert_eq!(again.stderr, "");
}

#[test]
fn a_warm_run_does_not_compile() {
    let site = site();
    assert_eq!(kept(&site), <[PathBuf; 0]>::default());
    let _ = plan_without_compiler(&site, "1").exits(3).says("compile");
    let _ = site.unship(["plan", "1"]).exits(0);
    let made = fs::metadata(only(&site)).expect("metadata");
    let _ = plan_without_compiler(&site, "1").exits(0);
    let _ = site.unship(["plan", "1"]).exits(0);
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let kept = fs::metadata(only(&site)).expect("metadata");
    assert_eq!((made.ino(), made.mtime(), made.mtime_nsec()), (kept.ino(), kept.mtime(), kept.mtime_nsec()));
    assert_eq!(kept.permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_flipped_byte_is_noticed() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let path = only(&site);
    let len = fs::metadata(&path).expect("metadata").len() as usize;
    for at in [0, len / 2, len - 33, len - 1] {
        let mut bytes = fs::read(&path).expect("read");
        bytes[at] ^= 1;
        fs::write(&path, bytes).expect("written");
        noticed_and_made_anew(&site);
    }
}

#[test]
fn a_shorter_longer_or_foreign_file_is_noticed() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let path = only(&site);
    let good = fs::read(&path).expect("read");
    let bad = [
        good[..good.len() / 2].to_vec(),
        good[..good.len() - 1].to_vec(),
        Vec::new(),
        [&good[..], b"x"].concat(),
        fs::read("/proc/self/exe").expect("read"),
        fs::read(guest("fsprobe.wasm")).expect("read"),
        b"foreign".repeat(100),
    ];
    for bytes in bad {
        fs::write(&path, bytes).expect("written");
        noticed_and_made_anew(&site);
    }
}

#[test]
fn code_of_another_story_is_noticed() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let first = only(&site);
    other_component(&site, "2");
    let _ = site.unship(["plan", "2"]).exits(0);
    let second = kept(&site).into_iter().find(|path| *path != first).expect("the code of story 2");
    fs::copy(&second, &first).expect("copied");
    noticed_and_made_anew(&site);
    // Put in its place, rather than overwritten.
    fs::rename(&second, &first).expect("renamed");
    noticed_and_made_anew(&site);
}

#[test]
fn code_of_another_site_is_noticed() {
    let (site, other) = (site(), site());
    let _ = site.unship(["plan", "1"]).exits(0);
    let _ = other.unship(["plan", "1"]).exits(0);
    fs::copy(only(&other), only(&site)).expect("copied");
    noticed_and_made_anew(&site);
}

#[test]
fn under_another_key_of_the_site_nothing_is_planned_and_no_code_is_used() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let mut key = fs::read(site.at(".unship/key")).expect("the key");
    key[0] ^= 1;
    fs::write(site.at(".unship/key"), key).expect("written");
    // What the site remembers is signed with it too, and without that nobody knows what may run.
    let _ = site.unship(["plan", "1"]).exits(7).says("it is not the public key of this site's checkpoints");
    let _ = plan_without_compiler(&site, "1").exits(7);
}

#[test]
fn a_new_component_has_code_of_its_own_and_a_new_manifest_needs_none() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let first = only(&site);
    site.probe("1", &["read", "a.txt", "--", "read", "a.txt"], GRANTS);
    let _ = plan_without_compiler(&site, "1").exits(0);
    assert_eq!(kept(&site), [first.as_path()]);
    other_component(&site, "1");
    let _ = plan_without_compiler(&site, "1").exits(3).says("compile");
    let _ = site.unship(["plan", "1"]).exits(0);
    assert!(kept(&site).len() == 2 && kept(&site).contains(&first), "{:?}", kept(&site));
}

#[test]
fn what_is_no_file_is_never_waited_for_or_followed() {
    let site = site();
    let _ = site.unship(["plan", "1"]).exits(0);
    let path = only(&site);
    fs::remove_file(&path).expect("removed");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).expect("a FIFO");
    noticed_and_made_anew(&site);
    let elsewhere = site.outside().join("code");
    fs::rename(&path, &elsewhere).expect("renamed");
    symlink(&elsewhere, &path).expect("a symlink");
    let _ = site.unship(["plan", "1"]).exits(1).says("unship cannot work on this machine").says(".cwasm");
}

#[test]
fn a_store_that_others_can_reach_is_refused() {
    let site = site();
    let store = site.at(".unship");
    let mode = |path: &PathBuf, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    for bad in [0o755, 0o750, 0o701, 0o777] {
        mode(&store, bad);
        for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
            let _ = site.unship(verb).exits(1).says("other users have rights to it").says("chmod go=");
        }
    }
    mode(&store, 0o700);
    let key = site.at(".unship/key");
    mode(&key, 0o644);
    let _ = site.unship(["plan", "1"]).exits(1).says("other users have rights to it");
    mode(&key, 0o600);
    let _ = site.unship(["plan", "1"]).exits(0);
    // Only root can give files away; for everybody else the same rule is met by taking a store that root made.
    if rustix::process::geteuid().is_root() {
        for path in [&store, &key] {
            chown(path, Some(65534), None).expect("given away");
            let _ = site.unship(["plan", "1"]).exits(1).says("it belongs to another user");
            chown(path, Some(0), None).expect("taken back");
        }
        let _ = site.unship(["plan", "1"]).exits(0);
    }
}
