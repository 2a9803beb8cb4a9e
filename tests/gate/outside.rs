//! Through `std::fs`, just outside a grant: refused by rule and path, journalled, and nothing has changed.

use super::Does::Std;
use super::{ALL, BOX, Case, Expect::*, PUB, Who, check_all, guest, run, tree};
use std::fs;

const OUT: &str = "the path leads out of its folder";
const PROTECTED: &str = "no grant reaches `.unship/` or `policies/`";

#[test]
fn reading() {
    const ONE: &str = "files.read = [\"pub/readable.txt\"]";
    const CASES: &[Case] = &[
        // A file's grant is not its directory's, nor its neighbour's.
        (ONE, Std("read pub/other.txt"), Denied("files.read on pub/other.txt")),
        (ONE, Std("list pub"), Denied("files.list on pub")),
        (ONE, Std("stat pub/other.txt"), Denied("looking at pub/other.txt")),
        (ONE, Std("stat secret.txt"), Denied("looking at secret.txt")),
        (ONE, Std("stat secrets/none.txt"), Denied("looking at secrets/none.txt")),
        (ONE, Std("readlink pub/inside"), Denied("files.read on pub/inside")),
        ("files.read = [\"pub/*.md\"]", Std("read pub/readable.txt"), Denied("files.read on pub/readable.txt")),
        ("files.list = [\"pub/**\"]", Std("read pub/readable.txt"), Denied("files.read on pub/readable.txt")),
        // By `..`, by absolute path.
        (PUB, Std("read pub/../secret.txt"), Denied("files.read on secret.txt")),
        (PUB, Std("list pub/.."), Denied("files.list on .")),
        (PUB, Std("read ../outside.txt"), Denied(OUT)),
        (PUB, Std("read pub/../../outside.txt"), Denied(OUT)),
        (PUB, Std("readat pub ../secret.txt"), Denied(OUT)),
        (PUB, Std("readat pub ../pub/readable.txt"), Denied(OUT)),
        (PUB, Std("read /secret.txt"), Denied("files.read on secret.txt")),
        (PUB, Std("read /../outside.txt"), Denied(OUT)),
        // By a symlink that lay there before; by a chain.
        (PUB, Std("read pub/planted"), Denied("files.read on secret.txt")),
        (PUB, Std("stat pub/planted"), Denied("looking at secret.txt")),
        (PUB, Std("read pub/chain"), Denied("files.read on secret.txt")),
        (PUB, Std("read pub/planted-dir/one.txt"), Denied("files.read on secrets/one.txt")),
        (PUB, Std("list pub/planted-dir/"), Denied("looking at secrets")),
        (PUB, Std("read pub/planted-up/secret.txt"), Denied("files.read on secret.txt")),
        (PUB, Std("read pub/planted-absolute"), Denied(OUT)),
        (PUB, Std("read pub/outside"), Denied(OUT)),
    ];
    check_all(CASES);
}

#[test]
fn special_files() {
    const CASES: &[Case] = &[
        (BOX, Std("read box/fifo"), Denied("opening box/fifo")),
        (BOX, Std("overwrite box/fifo x"), Denied("opening box/fifo")),
        (BOX, Std("append box/fifo x"), Denied("opening box/fifo")),
        (BOX, Std("write box/fifo x"), Denied("opening box/fifo")),
        (BOX, Std("read box/socket"), Denied("opening box/socket")),
        (BOX, Std("write box/socket x"), Denied("opening box/socket")),
        // Another name does not help.
        (BOX, Std("rename box/fifo box/pipe -- read box/pipe"), Denied("opening box/pipe")),
        (BOX, Std("link box/fifo box/pipe -- read box/pipe"), Denied("opening box/pipe")),
        (BOX, Std("symlink fifo box/pipe -- read box/pipe"), Denied("opening box/fifo")),
    ];
    check_all(CASES);
    if super::is_root() {
        let site = tree();
        let made = std::process::Command::new("mknod").arg(site.at("box/null")).args(["c", "1", "3"]).status();
        assert!(made.expect("mknod runs").success());
        for operation in ["read box/null", "write box/null x"] {
            super::story(&site, Std(operation), BOX);
            let _ = run(&site, Who::Me, &["apply", "1", "--yes"]).exits(3).says("opening box/null");
        }
    }
}

#[test]
fn writing() {
    const WRITE: &str = "files.write = [\"box/a.txt\"]";
    const READ: &str = "files.read = [\"box/**\"]";
    const CASES: &[Case] = &[
        (WRITE, Std("overwrite box/b.txt x"), Denied("files.write on box/b.txt")),
        (WRITE, Std("write box/new.txt x"), Denied("files.create on box/new.txt")),
        (WRITE, Std("read box/a.txt"), Denied("files.read on box/a.txt")),
        (WRITE, Std("unlink box/a.txt"), Denied("files.remove on box/a.txt")),
        (WRITE, Std("chtimes box/b.txt 1000"), Denied("files.write on box/b.txt")),
        (WRITE, Std("write ../outside.txt x"), Denied(OUT)),
        (WRITE, Std("overwriteat box ../config.yaml x"), Denied(OUT)),
        (READ, Std("overwrite box/a.txt x"), Denied("files.write on box/a.txt")),
        (READ, Std("truncate box/a.txt"), Denied("files.write on box/a.txt")),
        (READ, Std("write box/a.txt x"), Denied("files.write on box/a.txt")),
        (READ, Std("append box/a.txt x"), Denied("files.write on box/a.txt")),
        (READ, Std("setlen box/a.txt 0"), Denied("files.write on box/a.txt")),
        (READ, Std("chtimes box/a.txt 0"), Denied("files.write on box/a.txt")),
        (READ, Std("create box/new.txt"), Denied("files.create on box/new.txt")),
        (READ, Std("mkdir box/new"), Denied("files.create on box/new")),
        (READ, Std("symlink a.txt box/new"), Denied("files.create on box/new")),
        (READ, Std("write box/dangling x"), Denied("files.create on box/new.txt")),
        ("files.create = [\"box/**\"]", Std("overwrite box/a.txt x"), Denied("files.write on box/a.txt")),
        ("files.create = [\"box/**\"]", Std("write box/a.txt x"), Denied("files.write on box/a.txt")),
        // By a symlink that lay there before.
        (BOX, Std("write box/planted x"), Denied("files.write on secret.txt")),
        (BOX, Std("truncate box/planted"), Denied("files.write on secret.txt")),
        (BOX, Std("write box/planted-dir/new.txt x"), Denied("files.create on secrets/new.txt")),
        (BOX, Std("mkdir box/planted-dir/new"), Denied("files.create on secrets/new")),
        // A nested part that may only be read.
        (
            "files.read = [\"box/**\"]\nfiles.write = [\"box/*\"]\nfiles.create = [\"box/*\"]",
            Std("overwrite box/a.txt x -- overwrite box/frozen/keep.txt x"),
            Denied("files.write on box/frozen/keep.txt"),
        ),
        (
            "files.read = [\"box/**\"]\nfiles.write = [\"box/*\"]\nfiles.create = [\"box/*\"]",
            Std("write box/frozen/new.txt x"),
            Denied("files.create on box/frozen/new.txt"),
        ),
        (
            "files.read = [\"box/**\"]\nfiles.rename = [\"box/*\"]\nfiles.create = [\"box/*\"]\nfiles.write = [\"box/thawed/**\"]",
            Std("rename box/frozen box/thawed"),
            Denied("it would gain `files.write` there"),
        ),
    ];
    check_all(CASES);
}

#[test]
fn hard_links() {
    const LINK: &str = "files.read = [\"pub/**\"]\nfiles.create = [\"pub/**\"]\nfiles.list = [\"box/**\", \"drop/**\"]";
    const CASES: &[Case] = &[
        (BOX, Std("overwrite box/hard.txt x"), Denied("2 hard links")),
        (BOX, Std("truncate box/hard.txt"), Denied("2 hard links")),
        (BOX, Std("write box/hard.txt x"), Denied("2 hard links")),
        (BOX, Std("rename box/hard.txt box/h.txt -- append box/h.txt x"), Denied("2 hard links")),
        (BOX, Std("link box/a.txt box/a2.txt -- append box/a2.txt x"), Denied("2 hard links")),
        // To gain the right to read.
        (LINK, Std("link secret.txt pub/stolen"), Denied("looking at secret.txt")),
        (LINK, Std("link drop/hidden.txt pub/stolen"), Denied("it would gain `files.read` there")),
        (LINK, Std("link pub/planted pub/stolen -- read pub/stolen"), Denied("files.read on secret.txt")),
        (LINK, Std("link pub/readable.txt pub/other.txt"), Fails("err AlreadyExists")),
        (LINK, Std("link pub/readable.txt box/l.txt"), Denied("files.create on box/l.txt")),
        (LINK, Std("link ../outside.txt pub/stolen"), Denied(OUT)),
        (LINK, Std("link pub/readable.txt ../stolen"), Denied(OUT)),
    ];
    check_all(CASES);
}

#[test]
fn names() {
    const FEW: &str = "files.read = [\"box/**\"]\nfiles.remove = [\"box/c.txt\"]";
    const CASES: &[Case] = &[
        (FEW, Std("unlink box/b.txt"), Denied("files.remove on box/b.txt")),
        (FEW, Std("rmdir box/empty"), Denied("files.remove on box/empty")),
        (FEW, Std("unlink box/planted-dir/one.txt"), Denied("files.remove on secrets/one.txt")),
        (FEW, Std("unlink ../outside.txt"), Denied(OUT)),
        (FEW, Std("rename box/b.txt box/z.txt"), Denied("files.rename on box/b.txt")),
        ("files.remove = [\"box\"]", Std("unlink box/a.txt"), Denied("files.remove on box/a.txt")),
        ("files.remove = [\"box/*\"]", Std("unlink box/d/x.txt"), Denied("files.remove on box/d/x.txt")),
        // A guest's own symlink leads nowhere new.
        (BOX, Std("symlink /etc/passwd box/door"), Denied("its target leads out of the folder")),
        (BOX, Std("symlink ../../outside.txt box/door"), Denied("its target leads out of the folder")),
        (BOX, Std("symlink d/../../../outside.txt box/door"), Denied("its target leads out of the folder")),
        (BOX, Std("symlink ../secret.txt box/door -- read box/door"), Denied("files.read on secret.txt")),
        (BOX, Std("symlink ../secrets box/door -- list box/door/"), Denied("looking at secrets")),
        (
            BOX,
            Std("symlink ../secrets box/door -- write box/door/new.txt x"),
            Denied("files.create on secrets/new.txt"),
        ),
        (
            BOX,
            Std("symlink door box/door2 -- symlink ../secret.txt box/door -- read box/door2"),
            Denied("files.read on secret.txt"),
        ),
        // A symlink that stays inside until it is moved.
        (
            "files.read = [\"box/**\"]\nfiles.rename = [\"box/**\"]\nfiles.create = [\"box/**\", \"top\"]\nfiles.list = [\"top\"]",
            Std("symlink ../../secret.txt box/d/l -- rename box/d/l box/l -- read box/l"),
            Denied("reaching \"box/l\""),
        ),
    ];
    check_all(CASES);
}

#[test]
fn renames() {
    const DROP: &str = "files.rename = [\"drop\", \"drop/**\", \"box/**\"]\nfiles.create = [\"pub/**\", \"drop/**\"]\nfiles.read = [\"pub/**\"]";
    const CASES: &[Case] = &[
        (DROP, Std("rename drop/hidden.txt pub/stolen.txt"), Denied("it would gain `files.read` there")),
        (DROP, Std("rename drop pub/stolen"), Denied("it would gain `files.read` there")),
        (DROP, Std("rename secret.txt pub/stolen.txt"), Denied("files.rename on secret.txt")),
        (DROP, Std("rename drop/hidden.txt box/x.txt"), Denied("files.create on box/x.txt")),
        (DROP, Std("rename box/planted-dir/one.txt pub/stolen.txt"), Denied("files.rename on secrets/one.txt")),
        // A directory whose own name gains nothing, and what lies in it would.
        (
            "files.rename = [\"drop\"]\nfiles.create = [\"open\"]\nfiles.read = [\"open/*\"]",
            Std("rename drop open"),
            Denied("it would gain `files.read` there"),
        ),
        (
            "files.rename = [\"box/d\"]\nfiles.create = [\"open\"]\nfiles.read = [\"open/sub/deep.txt\"]",
            Std("rename box/d open -- read open/sub/deep.txt"),
            Denied("moving or linking box/d/sub/deep.txt to open/sub/deep.txt"),
        ),
        // Onto what is there: it would be removed.
        (
            "files.rename = [\"box/**\"]\nfiles.create = [\"box/**\"]",
            Std("rename box/a.txt box/b.txt"),
            Denied("files.remove on box/b.txt"),
        ),
        (BOX, Std("rename box/a.txt secret.txt"), Denied("files.create on secret.txt")),
        (BOX, Std("rename box/a.txt secrets/new.txt"), Denied("files.create on secrets/new.txt")),
        (BOX, Std("rename box/a.txt ../outside.txt"), Denied(OUT)),
        (BOX, Std("rename ../outside.txt box/c.txt"), Denied(OUT)),
        (BOX, Std("rename box/planted-dir/one.txt box/c.txt"), Denied("files.rename on secrets/one.txt")),
    ];
    check_all(CASES);
}

/// The rights of a directory's handle are those of where the directory is, not of where it was.
#[test]
fn kept_handles() {
    const GRANTS: &str = "files.read = [\"box/d/**\"]\nfiles.write = [\"box/d/**\"]\nfiles.list = [\"box/**\"]\n\
        files.rename = [\"box/**\"]\nfiles.create = [\"box/moved\", \"box/d/**\"]";
    const CASES: &[Case] = &[
        (GRANTS, Std("moveread box/d box/moved x.txt"), Denied("files.read on box/moved/x.txt")),
        (GRANTS, Std("movewrite box/d box/moved x.txt y"), Denied("files.write on box/moved/x.txt")),
        (GRANTS, Std("movewrite box/d box/moved new.txt y"), Denied("files.create on box/moved/new.txt")),
        (GRANTS, Std("moveread box/d box/moved ../a.txt"), Denied(OUT)),
    ];
    check_all(CASES);
}

#[test]
fn the_store_and_the_policies() {
    const CASES: &[Case] = &[
        (ALL, Std("read .unship/journal"), Denied(PROTECTED)),
        (ALL, Std("overwrite .unship/journal x"), Denied(PROTECTED)),
        (ALL, Std("stat .unship/key"), Denied(PROTECTED)),
        (ALL, Std("list .unship"), Denied(PROTECTED)),
        (ALL, Std("list ./box/../.unship/."), Denied(PROTECTED)),
        (ALL, Std("rmdir .unship/trash"), Denied(PROTECTED)),
        (ALL, Std("unlink .unship/key"), Denied(PROTECTED)),
        (ALL, Std("write .unship/new x"), Denied(PROTECTED)),
        (ALL, Std("chtimes policies 0"), Denied(PROTECTED)),
        (ALL, Std("write policies/1.toml x"), Denied(PROTECTED)),
        (ALL, Std("create policies/2.toml"), Denied(PROTECTED)),
        (ALL, Std("mkdir policies/x"), Denied(PROTECTED)),
        (ALL, Std("read policies/trust.toml"), Denied(PROTECTED)),
        (ALL, Std("rename policies box/policies"), Denied(PROTECTED)),
        (ALL, Std("rename .unship box/store"), Denied(PROTECTED)),
        (ALL, Std("rename box policies"), Denied(PROTECTED)),
        (ALL, Std("rename box/a.txt policies/evil.toml"), Denied(PROTECTED)),
        (ALL, Std("link .unship/key box/key"), Denied(PROTECTED)),
        (ALL, Std("link box/a.txt policies/evil.toml"), Denied(PROTECTED)),
        (ALL, Std("symlink ../policies box/door -- write box/door/evil.toml x"), Denied(PROTECTED)),
        (ALL, Std("symlink ../.unship/key box/door -- read box/door"), Denied(PROTECTED)),
        (ALL, Std("symlink policies box/d/x -- rename box/d/x door -- list door/"), Denied(PROTECTED)),
        (ALL, Std("readat . .unship/key"), Denied(PROTECTED)),
    ];
    check_all(CASES);
    for pattern in [".unship", ".unship/**", "policies/site.toml", "policies/*"] {
        let site = tree();
        let manifest = site.outside().join("m.toml");
        let text = format!(
            "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"probe\"\ntitle = \"t\"\nfiles.read = [{pattern:?}]\n"
        );
        fs::write(&manifest, text).expect("written");
        let (component, manifest) = (guest("fsprobe.wasm"), manifest.to_str().expect("UTF-8").to_owned());
        let pack = ["pack", component.to_str().expect("UTF-8"), "-m", &manifest, "-o", "b.wasm"];
        let _ = run(&site, Who::Me, &pack).exits(1).says(PROTECTED);
    }
}

/// A folder of the policy inside another one would give one place two names, and rights by either.
#[test]
fn folders_do_not_overlap() {
    for folder in ["box", ".", "SITE/box/d", "SITE/.."] {
        let site = tree();
        let grants = "files.read = [\"alias:**\"]\nfiles.rename = [\"drop/**\"]\nfiles.create = [\"box/**\"]";
        super::story(&site, Std("rename drop/hidden.txt box/stolen"), grants);
        let above = site.outside().to_str().expect("UTF-8").to_owned();
        let folder = folder.replace("SITE/..", &above).replace("SITE", site.path().to_str().expect("UTF-8"));
        let policy = format!("[folders]\nalias = \"{folder}\"\n[grants.probe]");
        site.write("policies/1.toml", &site.read("policies/1.toml").replace("[grants.probe]", &policy));
        let _ = run(&site, Who::Me, &["plan", "1"]).exits(3).says("overlap");
    }
}

/// A guest that handles its refusal succeeds; the denial stands in the journal all the same.
#[test]
fn a_handled_refusal_is_journalled_and_no_failure() {
    let site = tree();
    let operations = "read secret.txt -- read pub/planted -- unlink box/b.txt -- report box/r.txt";
    super::story(&site, Std(operations), "files.read = [\"pub/**\"]\nfiles.create = [\"box/r.txt\"]");
    let ran = super::apply_as_planned(&site, Who::Me);
    assert_eq!(site.read("box/r.txt"), "err PermissionDenied\n".repeat(3));
    let journal = run(&site, Who::Me, &["journal", "show"]).exits(0).stdout;
    for what in ["files.read on secret.txt", "files.remove on box/b.txt"] {
        assert!(journal.contains(what), "{journal}");
    }
    let denied = ran.json().into_iter().filter(|line| line["record"]["what"]["event"] == "access-denied").count();
    assert_eq!(denied, 3, "{}", ran.stdout);
}

#[test]
fn a_nested_grant_to_read_only_holds_in_a_wider_one_to_write() {
    const NESTED: &str = "files.read = [\"box/**\"]\nfiles.write = [\"box/*.txt\"]\nfiles.create = [\"box/*\"]";
    check_all(&[
        (NESTED, Std("overwrite box/a.txt x -- read box/frozen/keep.txt"), Done(&[("box/a.txt", "xaaa")])),
        (NESTED, Std("overwrite box/frozen/keep.txt x"), Denied("files.write on box/frozen/keep.txt")),
        (NESTED, Std("write box/frozen/new.txt x"), Denied("files.create on box/frozen/new.txt")),
    ]);
}

#[test]
fn a_guests_own_symlink_leads_nowhere_new() {
    check_all(&[
        (BOX, Std("symlink /etc/passwd box/door -- read box/door"), Denied("its target leads out of the folder")),
        (BOX, Std("symlink ../../outside.txt box/door"), Denied("its target leads out of the folder")),
        (BOX, Std("symlink ../secret.txt box/door -- read box/door"), Denied("files.read on secret.txt")),
        (BOX, Std("symlink ../secrets box/door -- write box/door/n x"), Denied("files.create on secrets/n")),
        (BOX, Std("symlink a.txt box/door -- read box/door -- readlink box/door -- unlink box/door"), Done(&[])),
    ]);
}
