//! Files through the gate: for each kind of operation one case inside a grant and one just outside it (item 2 of the main
//! job). What is inside is planned and applied; what is outside is refused when planning, by rule and path, journalled,
//! and nothing has changed.

use crate::support::{Ran, Site, fingerprint, guest};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        net::UnixListener,
        process::CommandExt as _,
    },
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

/// A site with something of every kind.
fn tree() -> Site {
    let site = Site::new("");
    for (path, text) in [
        ("secret.txt", "secret"),
        ("secrets/one.txt", "secret"),
        ("pub/readable.txt", "readable"),
        ("pub/other.txt", "other"),
        ("box/a.txt", "aaaa"),
        ("box/b.txt", "bbbb"),
        ("box/d/x.txt", "x"),
        ("box/d/.hidden", "hidden"),
        ("box/frozen/keep.txt", "keep"),
        ("drop/hidden.txt", "secret"),
        ("config.yaml", "# a comment\nkey: old\nother: kept\n"),
    ] {
        site.write(path, text);
    }
    fs::create_dir(site.at("box/empty")).expect("folder");
    for (target, link) in [
        ("../secret.txt", "pub/planted"),
        ("/etc/passwd", "pub/planted-absolute"),
        ("planted", "pub/chain"),
        ("loop", "pub/loop"),
        ("../secrets", "pub/planted-dir"),
        ("readable.txt", "pub/inside"),
        ("../../outside.txt", "pub/outside"),
    ] {
        symlink(target, site.at(link)).expect("link");
    }
    fs::hard_link(site.at("secret.txt"), site.at("box/hard.txt")).expect("hard link");
    let made = Command::new("mkfifo").arg(site.at("pub/fifo")).status().expect("mkfifo runs");
    assert!(made.success());
    drop(UnixListener::bind(site.at("pub/socket")).expect("socket"));
    fs::write(site.outside().join("outside.txt"), "outside").expect("written");
    site
}

/// The step does `operations` (words, `--` between two) holding `grants`, and does exactly what it planned.
#[track_caller]
fn allowed(site: &Site, operations: &str, grants: &str) -> Ran {
    let words: Vec<&str> = operations.split(' ').collect();
    site.probe("1", &words, grants);
    let applied = site.unship(["apply", "1", "--yes", "--json"]);
    let applied = applied.exits(6);
    assert_eq!(applied.summary()["outcome"], "Succeeded", "{operations}: {}", applied.stdout);
    applied
}

/// The step does `operations` holding `grants`: refused, with `rule` among the reasons, and nothing changed.
#[track_caller]
fn denied(site: &Site, operations: &str, grants: &str, rule: &str) {
    let words: Vec<&str> = operations.split(' ').collect();
    site.probe("1", &words, grants);
    let before = fingerprint(&site.path());
    let refused = site.unship(["apply", "1", "--yes"]);
    assert_eq!(refused.status, Some(3), "{operations} with {grants}: {refused:?}");
    assert!(refused.stderr.contains("denied: "), "{operations}: {}", refused.stderr);
    assert!(refused.stderr.contains(rule), "{operations}: lacks {rule:?}: {}", refused.stderr);
    assert_eq!(before, fingerprint(&site.path()), "{operations} changed something");
    let journal = site.unship(["journal", "show"]).exits(0);
    let last = journal.stdout.lines().last().unwrap_or_default();
    assert!(last.contains("denied: ") && last.contains(rule), "the journal lacks {rule:?}: {last}");
}

const BOX: &str = "files.read = [\"box/**\"]\nfiles.write = [\"box/**\"]\nfiles.create = [\"box/**\"]\nfiles.remove = [\"box/**\"]\nfiles.rename = [\"box/**\"]";
const READ: &str = "files.read = [\"pub/**\"]";

#[test]
fn reading_stays_in_its_grant() {
    let site = tree();
    let _ = allowed(
        &site,
        "read pub/readable.txt -- read pub/inside -- list pub -- stat pub/fifo -- readlink pub/inside",
        READ,
    );
    let one = "files.read = [\"pub/readable.txt\"]";
    let _ = allowed(&site, "read pub/readable.txt -- read ./pub/../pub/readable.txt", one);
    denied(&site, "read pub/other.txt", one, "files.read on pub/other.txt");
    denied(&site, "list pub", one, "files.list on pub");
    denied(&site, "stat secret.txt", one, "looking at secret.txt");
    denied(&site, "read pub/../secret.txt", READ, "files.read on secret.txt");
    denied(&site, "read ../outside.txt", READ, "leads out of its folder");
    denied(&site, "readlink secret.txt", READ, "files.read on secret.txt");
    denied(&site, "read pub/planted", READ, "files.read on secret.txt");
    denied(&site, "read pub/chain", READ, "files.read on secret.txt");
    denied(&site, "read pub/planted-dir/one.txt", READ, "files.read on secrets/one.txt");
    denied(&site, "read pub/planted-absolute", READ, "leads out of its folder");
    denied(&site, "read pub/outside", READ, "leads out of its folder");
    denied(&site, "readat pub ../secret.txt", READ, "leads out of its folder");
    // A loop is no denial but an error like any other.
    site.probe("1", &["read", "pub/loop"], READ);
    let _ = site.unship(["plan", "1"]).exits(3).says("err FilesystemLoop");
}

#[test]
fn what_is_neither_file_nor_directory_is_never_opened() {
    let site = tree();
    denied(&site, "read pub/fifo", READ, "opening pub/fifo");
    denied(&site, "read pub/socket", READ, "opening pub/socket");
    if rustix::process::geteuid().is_root() {
        let made = Command::new("mknod").arg(site.at("pub/null")).args(["c", "1", "3"]).status().expect("mknod runs");
        assert!(made.success());
        denied(&site, "read pub/null", READ, "opening pub/null");
    }
}

#[test]
fn writing_stays_in_its_grant() {
    let site = tree();
    let write = "files.write = [\"box/a.txt\"]";
    let _ = allowed(&site, "overwrite box/a.txt AA -- append box/a.txt BB", write);
    assert_eq!(site.read("box/a.txt"), "AAaaBB");
    let _ = allowed(&site, "write box/a.txt new", write);
    assert_eq!(site.read("box/a.txt"), "new");
    let _ = allowed(&site, "setlen box/a.txt 5000 -- chtimes box/a.txt 1000", write);
    let metadata = fs::metadata(site.at("box/a.txt")).expect("metadata");
    assert_eq!((metadata.len(), metadata.mtime()), (5000, 1000));
    denied(&site, "overwrite box/b.txt x", write, "files.write on box/b.txt");
    denied(&site, "write box/new.txt x", write, "files.create on box/new.txt");
    denied(&site, "chtimes box/b.txt 1000", write, "files.write on box/b.txt");
    let read = "files.read = [\"box/**\"]";
    denied(&site, "truncate box/a.txt", read, "files.write on box/a.txt");
    denied(&site, "append box/a.txt x", read, "files.write on box/a.txt");
    denied(&site, "setlen box/a.txt 0", read, "files.write on box/a.txt");
    denied(&site, "create box/new.txt", read, "files.create on box/new.txt");
    denied(&site, "mkdir box/new", read, "files.create on box/new");
    denied(&site, "write pub/planted x", "files.write = [\"pub/**\"]", "files.write on secret.txt");
}

#[test]
fn a_hard_link_does_not_carry_a_grant_to_its_other_name() {
    let site = tree();
    denied(&site, "overwrite box/hard.txt x", BOX, "2 hard links");
    denied(&site, "truncate box/hard.txt", BOX, "2 hard links");
    let link = "files.read = [\"pub/**\"]\nfiles.create = [\"pub/**\", \"box/**\"]";
    denied(&site, "link secret.txt pub/stolen", link, "secret.txt");
    denied(
        &site,
        "link box/a.txt pub/stolen",
        &format!("{link}\nfiles.list = [\"box/**\"]"),
        "it would gain `files.read` there",
    );
    let _ = allowed(&site, "link box/a.txt box/a2.txt -- read box/a2.txt", BOX);
    assert_eq!(fs::metadata(site.at("box/a.txt")).expect("metadata").nlink(), 2);
}

#[test]
fn a_nested_grant_to_read_only_holds_in_a_wider_one_to_write() {
    let site = tree();
    let nested = "files.read = [\"box/**\"]\nfiles.write = [\"box/*.txt\"]\nfiles.create = [\"box/*\"]";
    let _ = allowed(&site, "overwrite box/a.txt x -- read box/frozen/keep.txt", nested);
    denied(&site, "overwrite box/frozen/keep.txt x", nested, "files.write on box/frozen/keep.txt");
    denied(&site, "write box/frozen/new.txt x", nested, "files.create on box/frozen/new.txt");
}

#[test]
fn directories_and_names_stay_in_their_grant() {
    let site = tree();
    let _ = allowed(
        &site,
        "mkdir box/n -- write box/n/f x -- rename box/n box/m -- read box/m/f -- unlink box/m/f -- rmdir box/m",
        BOX,
    );
    let _ = allowed(
        &site,
        "unlink box/b.txt -- write box/b.txt again -- rename box/a.txt box/b.txt -- rmdir box/empty",
        BOX,
    );
    assert_eq!(site.read("box/b.txt"), "aaaa");
    let _ = allowed(&site, "rename box/d box/e -- read box/e/.hidden -- write box/e/y.txt y -- list box/e", BOX);
    assert_eq!(site.read("box/e/y.txt"), "y");
    let few = "files.remove = [\"box/c.txt\"]\nfiles.read = [\"box/**\"]";
    denied(&site, "unlink box/b.txt", few, "files.remove on box/b.txt");
    denied(&site, "rmdir box/frozen", few, "files.remove on box/frozen");
    denied(&site, "rename box/b.txt box/z.txt", few, "files.rename on box/b.txt");
    denied(&site, "symlink b.txt box/link", few, "files.create on box/link");
}

#[test]
fn a_rename_never_widens() {
    let site = tree();
    let drop =
        "files.rename = [\"drop/**\", \"box/**\"]\nfiles.create = [\"pub/**\", \"drop/**\"]\nfiles.read = [\"pub/**\"]";
    denied(&site, "rename drop/hidden.txt pub/stolen.txt", drop, "it would gain `files.read` there");
    denied(
        &site,
        "rename drop pub/stolen",
        &drop.replace("\"drop/**\", ", "\"drop\", "),
        "it would gain `files.read` there",
    );
    denied(&site, "rename secret.txt pub/stolen.txt", drop, "files.rename on secret.txt");
    denied(&site, "rename drop/hidden.txt box/x.txt", drop, "files.create on box/x.txt");
    // Onto what is there: it would be removed.
    let onto = "files.rename = [\"box/**\"]\nfiles.create = [\"box/**\"]";
    denied(&site, "rename box/a.txt box/b.txt", onto, "files.remove on box/b.txt");
    let _ = allowed(&site, "rename box/a.txt box/c.txt", onto);
    // Out of the folder, by either end.
    denied(&site, "rename box/c.txt ../outside.txt", BOX, "leads out of its folder");
    denied(&site, "rename ../outside.txt box/c.txt", BOX, "leads out of its folder");
    assert_eq!(fs::read_to_string(site.outside().join("outside.txt")).expect("there"), "outside");
}

#[test]
fn a_guests_own_symlink_leads_nowhere_new() {
    let site = tree();
    denied(&site, "symlink /etc/passwd box/door -- read box/door", BOX, "its target leads out of the folder");
    denied(&site, "symlink ../../outside.txt box/door", BOX, "its target leads out of the folder");
    denied(&site, "symlink ../secret.txt box/door -- read box/door", BOX, "files.read on secret.txt");
    denied(&site, "symlink ../secrets box/door -- write box/door/new.txt x", BOX, "files.create on secrets/new.txt");
    let _ = allowed(&site, "symlink a.txt box/door -- read box/door -- readlink box/door -- unlink box/door", BOX);
}

#[test]
fn a_directory_handle_means_where_the_directory_is_now() {
    let site = tree();
    let grants = "files.read = [\"box/d/**\"]\nfiles.list = [\"box/**\"]\nfiles.rename = [\"box/**\"]\nfiles.create = [\"box/**\"]";
    denied(&site, "moveread box/d box/moved x.txt", grants, "files.read on box/moved/x.txt");
    let _ = allowed(&site, "moveread box/d box/moved x.txt", BOX);
}

#[test]
fn nothing_reaches_the_store_and_the_policies() {
    let site = tree();
    let all: String =
        ["read", "list", "write", "create", "remove", "rename"].map(|r| format!("files.{r} = [\"**\"]\n")).concat();
    let rule = "no grant reaches `.unship/` or `policies/`";
    for operation in [
        "read .unship/journal",
        "overwrite .unship/journal x",
        "list .unship",
        "unlink .unship/key",
        "write policies/1.toml x",
        "read policies/trust.toml",
        "rename policies box/policies",
        "rename box/a.txt policies/evil.toml",
        "link .unship/key box/key",
        "stat .unship/key",
        "read box/../policies/site.toml",
        "mkdir policies/x",
    ] {
        denied(&site, operation, &all, rule);
    }
    denied(&site, "symlink ../policies box/door -- write box/door/evil.toml x", &all, rule);
    site.write("box/deep/x", "x");
    let pattern = "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"probe\"\ntitle = \"t\"\nfiles.read = [\".unship/**\"]\n";
    let manifest = site.outside().join("m.toml");
    fs::write(&manifest, pattern).expect("written");
    let packed = site.unship([
        "pack",
        guest("fsprobe.wasm").to_str().expect("UTF-8"),
        "-m",
        manifest.to_str().expect("UTF-8"),
        "-o",
        "b.wasm",
    ]);
    let _ = packed.exits(1).says("no grant reaches `.unship/` or `policies/`");
}

/// The typed verbs, by steps of the attackers' component and of story 1.3.
#[test]
fn typed_verbs_stay_in_their_grant() {
    let site = tree();
    let interfaces =
        "flags.get = [\"f\"]\nprocesses.list = [\"p\"]\nservices.status = [\"s\"]\ncommands.run = [\"c\"]\n";
    let names = "[flags]\nfile = \"flags.yaml\"\npointer = \"/{flag}\"\nvalues = { on = \"true\" }\n[processes.p]\nexe = \"bin/p\"\ngrace = \"1s\"\n\
        [commands.c]\nargv = [\"true\"]\ntimeout = \"1s\"\n[services.s]\nmanager = \"pid-file\"\npid-file = \"p\"\n\
        process = { exe = \"bin/p\", grace = \"1s\" }\nstart = [\"true\"]\nhealthy = [\"true\"]\ntimeout = \"1s\"\n";
    for (step, grants, rule) in [
        ("replace-ungranted", "files.read = [\"pub/**\"]\nfiles.replace = [\"box/a.txt\"]", "files.replace on"),
        ("set-aside-ungranted", "files.set-aside = [\"box/**\"]", "files.set-aside on"),
        ("clear-ungranted", "files.clear = [\"box/d\"]", "files.clear on"),
        ("edit-ungranted", "files.edit = [\"box/none.yaml\"]", "files.edit on"),
    ] {
        let manifest = format!(
            "story = \"999\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"{step}\"\ntitle = \"t\"\n{grants}\n\
             [[step]]\nname = \"panic\"\ntitle = \"t\"\n{interfaces}"
        );
        let policy = format!("{names}[grants.{step}]\n{grants}\n[grants.panic]\n{interfaces}");
        site.story("999", &guest("hostile.wasm"), &manifest, &policy);
        let before = fingerprint(&site.path());
        let refused = site.unship(["apply", "999", "--yes"]).exits(3);
        let _ = refused.says("denied: ").says(rule);
        assert_eq!(before, fingerprint(&site.path()), "{step}");
    }
}

/// A name is swapped between a granted file and a symlink to a secret, over and over, while the step opens it.
#[test]
fn a_name_swapped_between_check_and_use_gives_nothing_away() {
    let site = tree();
    site.write("pub/swapped", "harmless");
    symlink("../secret.txt", site.at("pub/swap-with")).expect("link");
    let reads: Vec<String> = (0..200).map(|_| "read pub/swapped".to_owned()).collect();
    let operations = reads.join(" -- ");
    let words: Vec<&str> = operations.split(' ').collect();
    site.probe("1", &words, READ);
    let (done, started) = (AtomicBool::new(false), AtomicBool::new(false));
    let (swapped, other) = (site.at("pub/swapped"), site.at("pub/swap-with"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &swapped, rustix::fs::CWD, &other, exchange)
                    .expect("swapped");
                started.store(true, Ordering::Relaxed);
            }
        });
        while !started.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        for _ in 0..10 {
            let planned = site.unship(["plan", "1"]);
            assert!(matches!(planned.status, Some(0 | 3)), "{planned:?}");
            assert!(!format!("{planned:?}").contains("ok \\\"secret"), "{planned:?}");
            let applied = site.unship(["apply", "1", "--yes", "--json"]);
            assert!(!applied.stdout.contains("ok \\\"secret"), "{applied:?}");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(site.read("secret.txt"), "secret");
    let _ = site.unship(["journal", "verify"]).exits(0);
}

/// What goes is kept: removed, replaced, cut and overwritten content all lie in the store afterwards.
#[test]
fn what_goes_is_kept() {
    let site = tree();
    site.write("box/c.txt", "cccc");
    let _ = allowed(&site, "unlink box/a.txt -- rename box/b.txt box/c.txt -- write box/d/x.txt short", BOX);
    let mut kept = Vec::new();
    let mut todo = vec![site.at(".unship/trash")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).expect("entries").map(|e| e.expect("entry").path()));
        } else if !path.is_symlink() {
            // Symlinks are the marks of what was begun.
            kept.push(fs::read_to_string(path).expect("content"));
        }
    }
    kept.sort();
    assert_eq!(kept, ["aaaa", "cccc", "x"]);
    let _ = allowed(&site, "overwrite box/c.txt ZZ", BOX);
    let images = fs::read_dir(site.at(".unship/images")).expect("images").count();
    assert_eq!(images, 1, "the run that wrote in place keeps the ranges");
}

/// Moving 10 GB copies nothing, neither when planned nor when done.
#[test]
fn setting_a_large_file_aside_copies_nothing() {
    let site = Site::practice();
    let file = fs::File::create(site.at(".duckdb/huge.db")).expect("created");
    file.set_len(10 << 30).expect("sparse");
    drop(file);
    let before = fs::metadata(site.at(".duckdb/huge.db")).expect("metadata");
    let summary = site.unship(["plan", "1.3", "--json"]).exits(0).summary();
    assert_eq!(summary["effects"], 6);
    let applied = site.unship(["apply", "1.3", "--yes", "--json"]).exits(0).summary();
    let run = applied["run"].as_str().expect("run");
    let after = fs::metadata(site.at(&format!(".duckdb.unship-{run}/huge.db"))).expect("moved");
    assert_eq!((before.ino(), before.blocks(), before.len()), (after.ino(), after.blocks(), after.len()));
}

/// The rules of the system hold too: as an unprivileged user, what may not be read is an error, and nothing is lost.
#[test]
fn an_unprivileged_user_is_told_what_the_system_refuses() {
    let site = tree();
    site.write("pub/locked.txt", "locked");
    site.probe("1", &["read", "pub/locked.txt"], READ);
    site.probe("2", &["write", "box/a.txt", "x"], BOX);
    site.probe("3", &["write", "pub/new.txt", "x"], "files.create = [\"pub/**\"]");
    fs::set_permissions(site.at("pub/locked.txt"), fs::Permissions::from_mode(0o000)).expect("mode");
    fs::set_permissions(site.at("pub"), fs::Permissions::from_mode(0o555)).expect("mode");
    let root = rustix::process::geteuid().is_root();
    if root {
        let owned = Command::new("chown").args(["-R", "65534:65534"]).arg(site.outside()).status().expect("chown runs");
        assert!(owned.success());
    }
    let run = |args: &[&str]| {
        let mut command = site.command(args);
        if root {
            command.uid(65534).gid(65534);
        }
        Ran::of(&mut command)
    };
    let _ = run(&["plan", "1"]).exits(3).says("err PermissionDenied");
    let applied = run(&["apply", "2", "--yes", "--json"]).exits(6);
    assert_eq!(applied.summary()["outcome"], "Succeeded");
    assert_eq!(site.read("box/a.txt"), "x");
    // Planning cannot know that the directory refuses new files: the run ends there, and says so.
    let stuck = run(&["apply", "3", "--yes"]);
    assert!(matches!(stuck.status, Some(3 | 5)), "{stuck:?}");
    assert!(format!("{stuck:?}").contains("PermissionDenied"), "{stuck:?}");
    assert!(!site.at("pub/new.txt").exists());
    let _ = run(&["journal", "verify"]).exits(0);
}

/// A folder inside another one would give one place two names, and rights by either.
#[test]
fn folders_that_overlap_are_refused() {
    let site = tree();
    site.probe(
        "1",
        &["rename", "drop/hidden.txt", "box/stolen"],
        "files.rename = [\"drop/**\"]\nfiles.create = [\"box/**\"]",
    );
    let policy = site.read("policies/1.toml");
    for folder in ["box", "."] {
        site.write(
            "policies/1.toml",
            &policy.replace("[grants.probe]", &format!("[folders]\nalias = \"{folder}\"\n[grants.probe]")),
        );
        let planned = site.unship(["plan", "1"]);
        assert!(matches!(planned.status, Some(1 | 3)), "{planned:?}");
        let _ = planned.says("overlap");
    }
}
