//! As an unprivileged user: the same walls hold, the system's own are told clearly, and nothing is lost.

use super::{
    BOX, Case, Does,
    Does::{Std, Verbs},
    Expect::*,
    PUB, Who, check, hand_over, is_root, run, story, tree,
};
use crate::support::Site;
use std::{fs, os::unix::fs::PermissionsExt as _};

/// Whoever is not root already runs everything unprivileged.
fn nobody() -> Who {
    if is_root() { Who::Nobody } else { Who::Me }
}

fn mode(site: &Site, path: &str, mode: u32) {
    fs::set_permissions(site.at(path), fs::Permissions::from_mode(mode)).expect("mode");
}

#[test]
fn the_same_walls() {
    const CASES: &[Case] = &[
        (PUB, Std("read pub/readable.txt -- read pub/inside -- list pub"), Done(&[])),
        (PUB, Std("read pub/planted"), Denied("files.read on secret.txt")),
        (PUB, Std("read ../outside.txt"), Denied("the path leads out of its folder")),
        (BOX, Std("overwrite box/a.txt XX -- truncate box/b.txt"), Done(&[("box/a.txt", "XXaa"), ("box/b.txt", "\0")])),
        (BOX, Std("write box/a.txt new -- unlink box/b.txt"), Done(&[("box/a.txt", "new"), ("box/b.txt", "")])),
        (BOX, Std("write box/n x -- mkdir box/m -- rename box/n box/m/n"), Done(&[("box/m", "dir"), ("box/m/n", "x")])),
        (BOX, Std("link box/a.txt box/a2.txt -- symlink d box/l"), Done(&[("box/a2.txt", "aaaa"), ("box/l", "-> d")])),
        (
            BOX,
            Std("rename box/a.txt box/b.txt -- rmdir box/empty"),
            Done(&[("box/a.txt", ""), ("box/b.txt", "aaaa"), ("box/empty", "")]),
        ),
        (BOX, Std("chtimes box/to-a 1000 -- chtimes box/d 1000 -- mtime box/d"), Done(&[])),
        (BOX, Std("overwrite box/hard.txt x"), Denied("2 hard links")),
        (BOX, Std("read box/fifo"), Denied("opening box/fifo")),
        (BOX, Std("write policies/evil.toml x"), Denied("no grant reaches `.unship/` or `policies/`")),
        (
            "files.set-aside = [\"box/frozen\"]\nfiles.clear = [\"box/d/sub\"]\nfiles.edit = { \"box/config.yaml\" = [\"/**\"] }",
            Verbs("set-aside box/frozen\nclear box/d/sub\nedit box/config.yaml /key old new"),
            Done(&[
                ("box/frozen", ""),
                ("box/frozen/keep.txt", ""),
                ("box/frozen.unship-{run}", "dir"),
                ("box/frozen.unship-{run}/keep.txt", "keep"),
                ("box/d/sub/deep.txt", ""),
                ("box/config.yaml", "# a comment\nkey: new # kept\nother: kept\n"),
            ]),
        ),
        (
            "files.read = [\"pub/**\"]\nfiles.replace = [\"box/a.txt\"]",
            Verbs("replace box/a.txt pub/readable.txt"),
            Done(&[("box/a.txt", "readable")]),
        ),
    ];
    for case in CASES {
        check(nobody(), case);
    }
}

/// Prepares the story, hands all over, takes a right away, and applies.
fn refused_by_the_system(what: Does, grants: &str, path: &str, bits: u32, says: &str) {
    let site = tree();
    story(&site, what, grants);
    if is_root() {
        hand_over(&site);
    }
    let before = super::snapshot(&site.path());
    mode(&site, path, bits);
    let ran = run(&site, nobody(), &["apply", "1", "--yes"]);
    assert_eq!(ran.status, Some(3), "{what:?}: {ran:?}");
    assert!(ran.stderr.contains(says), "{what:?} lacks {says:?}: {}", ran.stderr);
    mode(&site, path, 0o755);
    assert_eq!(before, super::snapshot(&site.path()), "{what:?}");
    let _ = run(&site, nobody(), &["journal", "verify"]).exits(0);
}

#[test]
fn what_may_not_be_read_or_written() {
    for (what, path, bits, says) in [
        (Std("read box/a.txt"), "box/a.txt", 0o000, "PermissionDenied"),
        (Std("overwrite box/a.txt x"), "box/a.txt", 0o444, "PermissionDenied"),
        (Std("append box/a.txt x"), "box/a.txt", 0o444, "PermissionDenied"),
        (Std("truncate box/a.txt"), "box/a.txt", 0o444, "PermissionDenied"),
        (Std("setlen box/a.txt 0"), "box/a.txt", 0o444, "PermissionDenied"),
        (Std("read box/d/x.txt"), "box/d", 0o000, "PermissionDenied"),
        (Std("list box/d"), "box/d", 0o311, "PermissionDenied"),
        (Std("write box/d/new x"), "box/d", 0o555, "PermissionDenied"),
        (Std("unlink box/d/x.txt"), "box/d", 0o555, "PermissionDenied"),
        (Std("mkdir box/d/new"), "box/d", 0o555, "PermissionDenied"),
        (Std("rename box/d/x.txt box/x.txt"), "box/d", 0o555, "PermissionDenied"),
        (Std("rename box/a.txt box/d/a.txt"), "box/d", 0o555, "PermissionDenied"),
        (Std("link box/a.txt box/d/a.txt"), "box/d", 0o555, "PermissionDenied"),
        (Std("symlink x.txt box/d/l"), "box/d", 0o555, "PermissionDenied"),
    ] {
        refused_by_the_system(what, BOX, path, bits, says);
    }
    let grants = "files.read = [\"box/**\"]\nfiles.replace = [\"box/**\"]\nfiles.set-aside = [\"box/**\"]\nfiles.clear = [\"box/**\"]\nfiles.edit = { \"box/**\" = [\"/**\"] }";
    for (what, path, bits) in [
        (Verbs("replace box/d/x.txt box/a.txt"), "box/d", 0o555),
        (Verbs("replace box/b.txt box/a.txt"), "box/a.txt", 0o000),
        (Verbs("set-aside box/d/x.txt"), "box/d", 0o555),
        (Verbs("clear box/d/sub"), "box/d", 0o555),
        (Verbs("edit box/config.yaml /key old new"), "box", 0o555),
        (Verbs("edit box/config.yaml /key old new"), "box/config.yaml", 0o000),
    ] {
        refused_by_the_system(what, grants, path, bits, "ermission denied");
    }
}

/// Without a journal nothing runs.
#[test]
fn a_journal_that_cannot_be_written() {
    let site = tree();
    story(&site, Std("write box/a.txt x"), BOX);
    if is_root() {
        hand_over(&site);
    }
    let journal = site.at(".unship/journal");
    let journal = if journal.is_dir() {
        fs::read_dir(&journal).expect("entries").next().expect("one").expect("entry").path()
    } else {
        journal
    };
    fs::set_permissions(&journal, fs::Permissions::from_mode(0o444)).expect("mode");
    let before = super::snapshot(&site.path());
    let ran = run(&site, nobody(), &["apply", "1", "--yes"]);
    assert!(matches!(ran.status, Some(1 | 3)), "{ran:?}");
    assert!(ran.stderr.contains("journal") && ran.stderr.contains("ermission denied"), "{ran:?}");
    assert_eq!(before, super::snapshot(&site.path()));
}

/// Times are their owner's to set, and that is known when planning.
#[test]
fn what_is_not_the_users_own() {
    if !is_root() {
        return;
    }
    let site = tree();
    story(&site, Std("chtimes box/a.txt 1000"), BOX);
    hand_over(&site);
    rustix::fs::chown(site.at("box/a.txt"), Some(rustix::fs::Uid::ROOT), None).expect("chown");
    let before = fs::metadata(site.at("box/a.txt")).expect("metadata").modified().expect("time");
    let ran = run(&site, Who::Nobody, &["apply", "1", "--yes"]).exits(3);
    let _ = ran.says("err PermissionDenied");
    assert_eq!(before, fs::metadata(site.at("box/a.txt")).expect("metadata").modified().expect("time"));
    let _ = run(&site, Who::Nobody, &["journal", "verify"]).exits(0);
}
