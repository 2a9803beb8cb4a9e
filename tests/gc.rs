//! `unship gc`: what is kept of runs that are long over goes, and nothing else.

use crate::{
    gate::{BOX, Does, story, tree},
    support::{Site, last_run, promised},
};
use std::{fs, path::PathBuf};

fn trash(site: &Site, run: &str) -> PathBuf {
    site.at(".unship/trash").join(run)
}

/// A run that removes something and writes in place, with two kinds of before-images.
fn run(site: &Site, operations: &'static str) -> String {
    story(site, Does::Std(operations), BOX);
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    last_run(site)
}

#[test]
fn what_is_old_goes_and_cannot_be_undone_any_more() {
    let site = tree();
    let run = run(&site, "unlink box/a.txt -- overwrite box/b.txt ZZ");
    let images = site.at(".unship/images").join(&run);
    assert!(trash(&site, &run).join("0").exists() && images.exists());
    // 30 days without a word in the policy.
    let _ = site.unship(["gc"]).exits(0).prints("0 runs, 0 entries, 0 bytes; 1 runs keep theirs");
    let shown =
        site.unship(["gc", "--older-than", "1ms", "--dry-run"]).exits(0).prints(&run).prints("would be removed");
    assert!(trash(&site, &run).join("0").exists(), "{shown:?}");
    let before = promised(&site.path());
    let summary = site.unship(["gc", "--older-than", "1ms", "--json"]).exits(0).summary();
    assert_eq!((&summary["runs"], &summary["kept"]), (&1.into(), &0.into()));
    assert!(!trash(&site, &run).exists() && !images.exists());
    assert_eq!(before, promised(&site.path()), "nothing of the site itself");
    let _ = site.unship(["show", &run]).exits(0).prints("removed by `gc`: it cannot be undone any more");
    let _ = site.unship(["undo", &run]).exits(3).says("cannot be taken back any more").says("gc");
    let _ = site.unship(["journal", "verify"]).exits(0);
    let _ = site.unship(["journal", "show"]).exits(0).prints("its before-images were removed");
    let _ = site.unship(["gc", "--older-than", "1ms"]).exits(0).prints("0 runs");
}

#[test]
fn the_site_says_how_long_it_keeps() {
    let site = tree();
    let run = run(&site, "unlink box/a.txt");
    let policy = site.read("policies/site.toml");
    for (text, status) in [("keep-images = \"1ms\"", 0), ("keep-images = \"soon\"", 1), ("keep-images = 7", 1)] {
        site.write("policies/site.toml", &policy.replacen("[site]\n", &format!("[site]\n{text}\n"), 1));
        let ran = site.unship(["gc", "--dry-run"]).exits(status);
        let _ = if status == 0 { ran.prints(&run) } else { ran.says("site.toml:2") };
    }
    let _ = site.unship(["gc", "--older-than", "never"]).exits(2).says("never");
}

/// A run that is in flight, or Stuck, may still need what it keeps.
#[test]
fn what_may_still_be_needed_stays() {
    let site = tree();
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("[site]\n", "[site]\nrehearsal = true\n", 1));
    story(&site, Does::Std("unlink box/a.txt -- unlink box/b.txt"), BOX);
    let _ = site.unship(["apply", "1", "--yes", "--inject", "kill@3"]);
    let run = last_run(&site);
    let keeps = || {
        let _ = site.unship(["gc", "--older-than", "1ms"]).exits(0).prints("0 runs");
        assert!(trash(&site, &run).join("0").exists());
    };
    keeps();
    let _ = site.unship(["resume", "--undo", "--inject", "undo-fail@probe/0"]).exits(5);
    keeps();
    let before = fs::read(site.at(".unship/trash").join(&run).join("0")).expect("kept");
    assert_eq!(before, b"aaaa");
    let _ = site.unship(["undo", &run]).exits(0);
    assert_eq!(site.read("box/a.txt"), "aaaa");
    let _ = site.unship(["gc", "--older-than", "1ms"]).exits(0).prints(&run);
}

/// Directories that their owner may not write are removed too, and no symlink is followed.
#[test]
fn what_is_kept_goes_whatever_it_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = tree();
    fs::create_dir_all(site.at("box/d/locked/inner")).expect("folders");
    site.write("box/d/locked/inner/file", "x");
    std::os::unix::fs::symlink(site.at("pub"), site.at("box/d/out")).expect("link");
    for path in ["box/d/locked/inner", "box/d/locked"] {
        fs::set_permissions(site.at(path), fs::Permissions::from_mode(0o500)).expect("mode");
    }
    story(&site, Does::Verbs("clear box/d"), "files.clear = [\"box/d\"]");
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let run = last_run(&site);
    let _ = site.unship(["gc", "--older-than", "1ms"]).exits(0).prints(&run);
    assert!(!trash(&site, &run).exists());
    assert_eq!(site.read("pub/readable.txt"), "readable");
}
