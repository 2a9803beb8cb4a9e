//! The overlay and the disk agree: the step sees the same when it is planned and when it runs. It writes all that it saw
//! into a report, whose digest is part of the plan, so that a difference would be an effect that is not in the plan.

use super::{ALL, BOX, Does::Std, Who, apply_as_planned, planned, run, story, tree};
use crate::support::Site;
use std::{fs, os::unix::fs::MetadataExt as _};

/// Runs `operations` on `site` and compares the report, a line each, with `report`.
#[track_caller]
fn agrees(site: &Site, grants: &str, operations: &'static [&'static str], report: &[&str]) {
    let joined = format!("{} -- report box/report", operations.join(" -- "));
    story(site, Std(joined.leak()), grants);
    let _ = apply_as_planned(site, Who::Me);
    let got = site.read("box/report");
    let pairs: Vec<(&str, &str)> = operations.iter().copied().zip(got.lines()).collect();
    let wanted: Vec<(&str, &str)> = operations.iter().copied().zip(report.iter().copied()).collect();
    assert_eq!(pairs, wanted);
}

#[test]
fn directories_with_content_and_hidden_files() {
    let operations = &[
        "rename box/d box/e",
        "list box/e",
        "read box/e/.hidden",
        "read box/e/sub/deep.txt",
        "stat box/d",
        "read box/d/x.txt",
        "readlink box/e/up",
        "stat box/e/up",
        "mkdir box/d",
        "list box/d",
        "write box/d/x.txt other",
        "rename box/e/sub box/d/sub",
        "list box/d/",
        "list box/e",
        "read box/d/sub/deep.txt",
        "rename box/e box/d/sub/e",
        "read box/d/sub/e/x.txt",
        "rmdir box/d/sub",
        "unlink box/d/sub/e/.hidden",
        "create box/d/sub/e/.hidden",
        "stat box/d/sub/e/.hidden",
        "rename box/d box/d/sub/loop",
    ];
    let report = [
        "ok",
        "ok \".hidden\" \"sub\" \"up\" \"x.txt\"",
        "ok \"hidden\"",
        "ok \"deep\"",
        "err NotFound",
        "err NotFound",
        "ok \"../../a.txt\"",
        "err PermissionDenied",
        "ok",
        "ok",
        "ok",
        "ok",
        "ok \"sub\" \"x.txt\"",
        "ok \".hidden\" \"up\" \"x.txt\"",
        "ok \"deep\"",
        "ok",
        "ok \"x\"",
        "err Uncategorized",
        "ok",
        "ok",
        "ok file 0",
    ];
    let mut report = report.to_vec();
    report.push("err InvalidInput");
    agrees(&tree(), BOX, operations, &report);
}

#[test]
fn names_that_come_and_go() {
    let operations = &[
        "unlink box/a.txt",
        "read box/a.txt",
        "stat box/to-a",
        "write box/a.txt again",
        "read box/to-a",
        "unlink box/a.txt",
        "mkdir box/a.txt",
        "stat box/a.txt",
        "rmdir box/a.txt",
        "create box/a.txt",
        "create box/a.txt",
        "rename box/b.txt box/a.txt",
        "read box/a.txt",
        "rename box/a.txt box/b.txt",
        "unlink box/b.txt",
        "rename box/frozen box/empty",
        "read box/empty/keep.txt",
        "mkdir box/frozen",
        "rename box/empty box/frozen",
        "list box/frozen",
        "unlink box/to-a",
        "symlink frozen/keep.txt box/to-a",
        "read box/to-a",
        "rename box/to-a box/frozen/to-a",
        "read box/frozen/to-a",
        "lstat box/frozen/to-a",
        "write box/frozen/./to-b/../keep.txt x",
        "write box/frozen/../frozen/keep.txt kept",
        "list box",
    ];
    let report = [
        "ok",
        "err NotFound",
        "err NotFound",
        "ok",
        "ok \"again\"",
        "ok",
        "ok",
        "ok dir",
        "ok",
        "ok",
        "err AlreadyExists",
        "ok",
        "ok \"bbbb\"",
        "ok",
        "ok",
        "ok",
        "ok \"keep\"",
        "ok",
        "ok",
        "ok \"keep.txt\"",
        "ok",
        "ok",
        "ok \"keep\"",
        "ok",
        "err NotFound",
        "ok symlink",
        "err NotFound",
        "ok",
        "ok \"config.yaml\" \"d\" \"dangling\" \"fifo\" \"frozen\" \"hard.txt\" \"planted\" \"planted-dir\" \"socket\"",
    ];
    agrees(&tree(), BOX, operations, &report);
}

#[test]
fn odd_spellings() {
    let operations = &[
        "mkdir box/new/.",
        "mkdir box/new/",
        "rmdir box/new/.",
        "rename box/new/. box/newer",
        "rename box/new box/newer/",
        "rmdir box/newer/",
        "stat box/a.txt/",
        "stat box/a.txt/.",
        "read box/a.txt/",
        "write box/n.txt/ x",
        "unlink box/a.txt/",
        "rename box/a.txt box/c.txt/",
        "symlink a.txt box/l/",
        "stat box/.",
        "stat box//a.txt",
        "stat box/d/..",
        "rmdir box/d/..",
        "lstat box/planted-dir",
        "unlink box/d",
        "rmdir box/to-a",
        "write box/dangling made",
        "read box/new.txt",
        "read box/none/../a.txt",
        "read box/a.txt/../a.txt",
        "write box/dangling again",
    ];
    let report = [
        "err NotFound",
        "ok",
        "err InvalidInput",
        "err ResourceBusy",
        "ok",
        "ok",
        "err NotADirectory",
        "err NotADirectory",
        "err NotADirectory",
        "err IsADirectory",
        "err NotADirectory",
        "err NotADirectory",
        "err NotFound",
        "ok dir",
        "ok \"file 4\"",
        "ok dir",
        "err InvalidInput",
        "ok symlink",
        "err IsADirectory",
        "err NotADirectory",
        "ok",
        "ok \"made\"",
        "err NotFound",
        "err NotADirectory",
        "ok",
    ];
    let report: Vec<&str> =
        report.iter().map(|line| if *line == "ok \"file 4\"" { "ok file 4" } else { line }).collect();
    agrees(&tree(), BOX, operations, &report);
}

#[test]
fn contents_times_and_holes() {
    let operations = &[
        "append box/a.txt one",
        "append box/a.txt two",
        "setlen box/a.txt 6",
        "read box/a.txt",
        "setlen box/b.txt 1000000",
        "stat box/b.txt",
        "writeto box/b.txt 999998 end",
        "stat box/b.txt",
        "setlen box/b.txt 6",
        "read box/b.txt",
        "chtimes box/a.txt 1000",
        "mtime box/a.txt",
        "chtimes box/d 2000",
        "mtime box/d",
        "chtimes box/to-a 3000",
        "mtime box/to-a",
        "mtime box/a.txt",
        "rename box/a.txt box/c.txt",
        "mtime box/c.txt",
        "chtimes box/c.txt 4000",
        "chtimes box/c.txt 5000",
        "mtime box/c.txt",
        "twice box/c.txt more",
    ];
    let report = [
        "ok",
        "ok",
        "ok",
        "ok \"aaaaon\"",
        "ok",
        "ok file 1000000",
        "ok",
        "ok file 1000001",
        "ok",
        "ok \"bbbb\\0\\0\"",
        "ok",
        "ok 1000",
        "ok",
        "ok 2000",
        "ok",
        "ok 3000",
        "ok 1000",
        "ok",
        "ok 1000",
        "ok",
        "ok",
        "ok 5000",
        "ok \"aaaaonmore\"",
    ];
    agrees(&tree(), BOX, operations, &report);
}

/// What one handle sees of what goes on through another, or through the name.
#[test]
fn handles_and_names() {
    let operations = &[
        "readgone box/a.txt",
        "writegone box/b.txt x",
        "afresh box/d/x.txt new",
        "read box/d/x.txt",
        "afresh box/frozen/keep.txt changed",
        "moveread box/d box/moved .hidden",
        "movewrite box/moved box/d new.txt new",
        "read box/d/new.txt",
        "list box/d",
    ];
    let report = [
        "ok \"aaaa\"",
        "err NotFound",
        "ok \"new\"",
        "ok \"new\"",
        "ok \"changed\"",
        "ok \"hidden\"",
        "ok",
        "ok \"new\"",
        "ok \".hidden\" \"new.txt\" \"sub\" \"up\" \"x.txt\"",
    ];
    agrees(&tree(), BOX, operations, &report);
}

#[test]
fn hard_links() {
    let operations = &[
        "link box/a.txt box/a2.txt",
        "read box/a2.txt",
        "chtimes box/a2.txt 1000",
        "mtime box/a.txt",
        "append box/a2.txt x",
        "rename box/a.txt box/a2.txt",
        "read box/a.txt",
        "unlink box/a.txt",
        "append box/a2.txt x",
        "read box/a2.txt",
        "rename box/hard.txt secret.txt",
        "read box/hard.txt",
        "chtimes box/hard.txt 2000",
        "mtime secret.txt",
        "rename box/a2.txt box/a3.txt",
        "chtimes box/a3.txt 3000",
        "link box/a3.txt box/d/a4.txt",
        "unlink box/a3.txt",
        "chtimes box/d/a4.txt 4000",
        "mtime box/d/a4.txt",
        "write box/d/a4.txt last",
        "read box/d/a4.txt",
        "unlink secret.txt",
        "append box/hard.txt x",
        "read box/hard.txt",
    ];
    let report = [
        "ok",
        "ok \"aaaa\"",
        "ok",
        "ok 1000",
        "err PermissionDenied",
        "ok",
        "ok \"aaaa\"",
        "ok",
        "err PermissionDenied",
        "ok \"aaaa\"",
        "ok",
        "ok \"secret\"",
        "ok",
        "ok 2000",
        "ok",
        "ok",
        "ok",
        "ok",
        "ok",
        "ok 4000",
        "err PermissionDenied",
        "ok \"aaaa\"",
        "ok",
        "err PermissionDenied",
        "ok \"secret\"",
    ];
    // A name that the step removed lies in the trash, where it still counts as one of the file's links.
    let site = tree();
    agrees(&site, ALL, operations, &report);
}

/// A file of 10 GB is planned, set aside, moved and cut without a copy: its blocks, and its inode, stay.
#[test]
fn a_large_file_is_never_copied() {
    let site = tree();
    let file = fs::File::create(site.at("box/d/huge.db")).expect("created");
    file.set_len(10 << 30).expect("sparse");
    std::os::unix::fs::FileExt::write_all_at(&file, b"here", 5 << 30).expect("written");
    file.sync_all().expect("synced");
    let before = file.metadata().expect("metadata");
    story(&site, super::Does::Verbs("set-aside box/d"), "files.set-aside = [\"box/d\"]");
    let aside = apply_as_planned(&site, Who::Me).summary();
    let moved = site.at(&format!("box/d.unship-{}", aside["run"].as_str().expect("run"))).join("huge.db");
    fs::rename(&moved, site.at("box/huge.db")).expect("moved");
    story(
        &site,
        Std("rename box/huge.db box/empty/h.db -- append box/empty/h.db x -- setlen box/empty/h.db 10737418240"),
        BOX,
    );
    let _ = apply_as_planned(&site, Who::Me);
    let after = fs::metadata(site.at("box/empty/h.db")).expect("metadata");
    assert_eq!((before.ino(), before.len()), (after.ino(), after.len()));
    assert!(after.blocks() <= before.blocks() + 8, "{} blocks, then {}", before.blocks(), after.blocks());
    story(&site, Std("unlink box/empty/h.db"), BOX);
    let _ = apply_as_planned(&site, Who::Me);
    let store = fs::read_dir(site.at(".unship/trash")).expect("trash").map(|run| run.expect("entry").path());
    let kept: Vec<_> = store.map(|run| run.join("0")).filter(|path| path.is_file()).collect();
    assert!(kept.iter().any(|path| fs::metadata(path).expect("metadata").ino() == before.ino()), "{kept:?}");
}

/// The same site gives the same plan, effect by effect.
#[test]
fn planning_twice_is_the_same() {
    let site = tree();
    story(
        &site,
        Std(
            "rename box/d box/e -- write box/n x -- symlink a.txt box/l -- chtimes box/e 5 -- list box -- report box/r",
        ),
        BOX,
    );
    let (first, second) =
        (run(&site, Who::Me, &["plan", "1", "--json"]), run(&site, Who::Me, &["plan", "1", "--json"]));
    assert_eq!(planned(&first), planned(&second));
    assert_eq!(first.summary(), second.summary());
}
