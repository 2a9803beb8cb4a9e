//! Changes on other file systems than the site's: each has a trash of its own, so that keeping costs a rename there too.

use crate::{
    gate::{Does, story},
    support::{
        Ran, Site, last_run,
        mounts::{mount, with_tmpfs},
        promised,
    },
};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

const OTHER: &str = "files.read = [\"other:**\"]\nfiles.list = [\"other:**\"]\nfiles.write = [\"other:**\"]\n\
    files.create = [\"other:**\"]\nfiles.remove = [\"other:**\"]\nfiles.rename = [\"other:**\"]";

fn fill(dir: &Path) {
    for (path, text) in [("a.txt", "aaaa"), ("b.txt", "bbbb"), ("d/x.txt", "x"), ("d/.hidden", "hidden")] {
        fs::create_dir_all(dir.join(path).parent().expect("a parent")).expect("folders");
        fs::write(dir.join(path), text).expect("written");
    }
    let aged =
        fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_891));
    for path in ["a.txt", "d", "."] {
        fs::File::open(dir.join(path)).and_then(|file| file.set_times(aged)).expect("times");
    }
}

/// The trash of the last run below `home`.
fn trash(site: &Site, home: &Path) -> PathBuf {
    let sites: Vec<_> = fs::read_dir(home.join(".unship-trash")).expect("a trash").collect();
    let [Ok(only)] = sites.as_slice() else { panic!("{sites:?}") };
    only.path().join(last_run(site))
}

#[test]
fn a_folder_on_another_file_system_has_a_trash_of_its_own() {
    with_tmpfs("a folder on another file system", 64 << 20, |other| {
        let site = Site::new(&format!("[folders]\nother = {:?}\n", other.to_str().expect("UTF-8")));
        fill(other);
        let (before, inode) = (promised(other), fs::metadata(other.join("d")).expect("metadata").ino());
        let operations = "unlink other/a.txt -- write other/b.txt new -- rename other/d other/e -- write other/n fresh";
        story(&site, Does::Std(operations), OTHER);
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        let kept = trash(&site, other);
        assert_eq!(fs::read_to_string(kept.join("0")).expect("kept"), "aaaa");
        assert_eq!(fs::read_to_string(kept.join("1")).expect("kept"), "bbbb");
        assert_eq!(fs::metadata(other.join("e")).expect("metadata").ino(), inode);
        let mode = fs::metadata(other.join(".unship-trash")).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // No grant reaches it, whatever it covers.
        story(&site, Does::Std("read other/.unship-trash/x"), OTHER);
        let _ = site.unship(["plan", "1"]).exits(3).says("no grant reaches");
        let run = last_run(&site);
        let _ = site.unship(["undo", &run]).exits(0);
        assert_eq!(before, promised(other));
        // What is left of it goes with `gc`, and leaves no trace.
        let _ = site.unship(["gc", "--older-than", "1ms"]).exits(0).prints(&run);
        assert!(!other.join(".unship-trash").exists());
        assert_eq!(before, promised(other));
    });
}

#[test]
fn a_mount_point_inside_the_site_is_a_file_system_of_its_own() {
    let site = Site::new("");
    fs::create_dir_all(site.at("box/mnt")).expect("folders");
    with_tmpfs("a mount point inside the site", 1 << 20, |_| {
        let inside = site.at("box/mnt");
        mount(Some("tmpfs"), &inside, 0, "mode=755").expect("mounted");
        fill(&inside);
        let operations = "unlink box/mnt/a.txt -- rename box/mnt/b.txt box/mnt/d/x.txt -- unlink box/mnt/d/.hidden";
        story(&site, Does::Std(operations), crate::gate::BOX);
        let before_run = promised(&site.at("box"));
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        assert_eq!(fs::read_to_string(trash(&site, &inside).join("0")).expect("kept"), "aaaa");
        assert!(!site.at("box/.unship-trash").exists(), "it lies in the topmost directory of its file system");
        let _ = site.unship(["undo", &last_run(&site)]).exits(0);
        assert_eq!(before_run, promised(&site.at("box")));
        // Across the border nothing is renamed, as everywhere.
        story(&site, Does::Std("rename box/mnt/a.txt box/a.txt"), crate::gate::BOX);
        let _ = site.unship(["plan", "1"]).exits(3);
    });
}

#[test]
fn typed_verbs_keep_elsewhere_too() {
    with_tmpfs("typed verbs on another file system", 64 << 20, |other| {
        let site = Site::new(&format!("[folders]\nother = {:?}\n", other.to_str().expect("UTF-8")));
        fill(other);
        let before = promised(other);
        let grants = "files.read = [\"other:b.txt\"]\nfiles.replace = [\"other:a.txt\"]\nfiles.clear = [\"other:d\"]\n\
            files.set-aside = [\"other:b.txt\"]";
        story(&site, Does::Verbs("replace other:a.txt other:b.txt\nclear other:d\nset-aside other:b.txt"), grants);
        let _ = site.unship(["apply", "1", "--yes"]).exits(6);
        let kept = trash(&site, other);
        assert_eq!(fs::read_to_string(kept.join("0")).expect("kept"), "aaaa");
        assert_eq!(fs::read_to_string(kept.join("1/.hidden")).expect("kept"), "hidden");
        let _ = site.unship(["undo", &last_run(&site)]).exits(0);
        assert_eq!(before, promised(other));
    });
}

/// Story 1.5 moves Dagster's home, which policy may name anywhere.
#[test]
fn the_home_of_dagster_may_lie_on_another_file_system() {
    with_tmpfs("Dagster's home on another file system", 64 << 20, |other| {
        let site = Site::practice_with("1.5");
        let _ = Ran::of(Command::new("cp").arg("-a").arg(site.beside().join("home")).arg(other)).exits(0);
        fs::remove_dir_all(site.beside()).expect("removed");
        fs::remove_file(site.at("var/dagster")).expect("removed");
        site.write(
            "policies/1.5.toml",
            &site.read("policies/1.5.toml").replace("var/dagster", other.to_str().expect("UTF-8")),
        );
        std::os::unix::fs::symlink(other, site.at("var/dagster")).expect("linked");
        let (before, history) = (promised(other), promised(&site.at(".dagster")));
        let inode = fs::metadata(other.join("home")).expect("metadata").ino();

        // Cut off in the step that moves it, and then not.
        let _ = site.unship(["apply", "1.5", "--yes", "--inject", "kill@26.1"]);
        let _ = site.unship(["resume", "--undo"]).exits(0);
        assert_eq!((&before, &history), (&promised(other), &promised(&site.at(".dagster"))));
        let _ = site.unship(["apply", "1.5", "--yes"]).exits(0).prints("Succeeded, Recovered");
        let run = last_run(&site);
        let kept = other.join(format!("home.unship-{run}"));
        assert_eq!(fs::metadata(&kept).expect("it is kept").ino(), inode, "renamed, not copied");
        assert!(!other.join("home").exists() && other.join(".unship-trash").exists());
        assert!(site.at(&format!(".dagster/storage.unship-{run}/history/runs.db")).exists());
        let _ = site.unship(["undo", &run]).exits(0);
        assert_eq!((&before, &history), (&promised(other), &promised(&site.at(".dagster"))));
        let _ = site.unship(["check", "1.5"]).exits(6);
    });
}

#[test]
fn where_no_trash_can_be_made_the_plan_says_so() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    with_tmpfs("a folder without a trash", 64 << 20, |other| {
        let site = Site::new(&format!("[folders]\nother = {:?}\n", other.to_str().expect("UTF-8")));
        fill(other);
        mount(None, other, libc::MS_REMOUNT | libc::MS_RDONLY, "").expect("read-only");
        story(&site, Does::Std("unlink other/a.txt"), OTHER);
        let before = promised(other);
        let _ = site.unship(["apply", "1", "--yes"]).exits(3);
        assert_eq!(before, promised(other));
    });
    // Somebody else's trash is no place for what a run keeps.
    with_tmpfs("somebody else's trash", 64 << 20, |other| {
        let site = Site::new(&format!("[folders]\nother = {:?}\n", other.to_str().expect("UTF-8")));
        fill(other);
        fs::create_dir(other.join(".unship-trash")).expect("made");
        fs::set_permissions(other.join(".unship-trash"), fs::Permissions::from_mode(0o777)).expect("mode");
        story(&site, Does::Std("unlink other/a.txt"), OTHER);
        let before = promised(other);
        let _ = site.unship(["apply", "1", "--yes"]).exits(3).says("chmod go=");
        assert_eq!(before, promised(other));
    });
}
