//! Through `std::fs`, inside a grant: it is done, as planned, and nothing else is.

use super::Does::Std;
use super::{ALL, BOX, Case, Expect::*, PUB, check_all};

const WRITE: &str = "files.write = [\"box/a.txt\"]";

#[test]
fn reading() {
    const CASES: &[Case] = &[
        ("files.read = [\"pub/readable.txt\"]", Std("read pub/readable.txt -- stat pub/readable.txt"), Done(&[])),
        ("files.read = [\"pub/readable.txt\"]", Std("read ./pub/../pub/./readable.txt"), Done(&[])),
        (
            "files.read = [\"pub/*.txt\"]",
            Std("read pub/readable.txt -- read pub/other.txt -- read pub/inside"),
            Done(&[]),
        ),
        (PUB, Std("read pub/inside -- readlink pub/planted -- lstat pub/planted -- list pub"), Done(&[])),
        (PUB, Std("readat . pub/../pub/readable.txt -- list pub/../pub"), Done(&[])),
        (PUB, Std("read pub/planted-up/pub/readable.txt"), Done(&[])),
        ("files.list = [\"box\"]", Std("list box"), Done(&[])),
        ("files.read = [\"pub/**\", \"secret.txt\"]", Std("read pub/chain -- read pub/planted"), Done(&[])),
        (PUB, Std("read pub/loop"), Fails("err FilesystemLoop")),
        (PUB, Std("read pub/none"), Fails("err NotFound")),
        (PUB, Std("read pub"), Fails("err ")),
        (PUB, Std("list pub/readable.txt"), Fails("err NotADirectory")),
        (BOX, Std("lstat box/fifo -- stat box/socket"), Done(&[])),
    ];
    check_all(CASES);
}

#[test]
fn writing() {
    const CASES: &[Case] = &[
        (WRITE, Std("overwrite box/a.txt XX"), Done(&[("box/a.txt", "XXaa")])),
        (WRITE, Std("append box/a.txt XX -- append box/a.txt YY"), Done(&[("box/a.txt", "aaaaXXYY")])),
        (WRITE, Std("write box/a.txt new"), Done(&[("box/a.txt", "new")])),
        (WRITE, Std("truncate box/a.txt"), Done(&[("box/a.txt", "\0")])),
        (WRITE, Std("setlen box/a.txt 2"), Done(&[("box/a.txt", "aa")])),
        (WRITE, Std("setlen box/a.txt 6"), Done(&[("box/a.txt", "aaaa\0\0")])),
        (WRITE, Std("writeto box/a.txt 6 X"), Done(&[("box/a.txt", "aaaa\0\0X")])),
        (WRITE, Std("chtimes box/a.txt 1000"), Done(&[])),
        (WRITE, Std("overwrite box/to-a X"), Done(&[("box/a.txt", "Xaaa")])),
        ("files.create = [\"box/new.txt\"]", Std("write box/new.txt new"), Done(&[("box/new.txt", "new")])),
        ("files.create = [\"box/*.txt\"]", Std("create box/new.txt"), Done(&[("box/new.txt", "\0")])),
        ("files.create = [\"box/new.txt\"]", Std("write box/dangling new"), Done(&[("box/new.txt", "new")])),
        ("files.create = [\"box/new\"]", Std("mkdir box/new"), Done(&[("box/new", "dir")])),
        (
            BOX,
            Std("writeat box n.txt x -- overwriteat box a.txt X"),
            Done(&[("box/n.txt", "x"), ("box/a.txt", "Xaaa")]),
        ),
        (BOX, Std("create box/a.txt"), Fails("err AlreadyExists")),
        (BOX, Std("overwrite box/d x"), Fails("err IsADirectory")),
        (BOX, Std("mkdir box/a.txt"), Fails("err AlreadyExists")),
        (BOX, Std("write box/none/new.txt x"), Fails("err NotFound")),
    ];
    check_all(CASES);
}

#[test]
fn names() {
    const CASES: &[Case] = &[
        ("files.remove = [\"box/a.txt\"]", Std("unlink box/a.txt"), Done(&[("box/a.txt", "")])),
        ("files.remove = [\"box/to-a\"]", Std("unlink box/to-a"), Done(&[("box/to-a", "")])),
        ("files.remove = [\"box/planted-dir\"]", Std("unlink box/planted-dir"), Done(&[("box/planted-dir", "")])),
        (
            "files.remove = [\"box/fifo\", \"box/socket\"]",
            Std("unlink box/fifo -- unlink box/socket"),
            Done(&[("box/fifo", ""), ("box/socket", "")]),
        ),
        ("files.remove = [\"box/hard.txt\"]", Std("unlink box/hard.txt"), Done(&[("box/hard.txt", "")])),
        ("files.remove = [\"box/empty\"]", Std("rmdir box/empty"), Done(&[("box/empty", "")])),
        (BOX, Std("rmdir box/d"), Fails("err ")),
        (BOX, Std("rmdir box/a.txt"), Fails("err NotADirectory")),
        (
            "files.rename = [\"box/a.txt\"]\nfiles.create = [\"box/c.txt\"]",
            Std("rename box/a.txt box/c.txt"),
            Done(&[("box/a.txt", ""), ("box/c.txt", "aaaa")]),
        ),
        (
            "files.rename = [\"box/a.txt\"]\nfiles.create = [\"box/b.txt\"]\nfiles.remove = [\"box/*.txt\"]",
            Std("rename box/a.txt box/b.txt"),
            Done(&[("box/a.txt", ""), ("box/b.txt", "aaaa")]),
        ),
        (
            BOX,
            Std("rename box/frozen box/empty"),
            Done(&[("box/frozen", ""), ("box/frozen/keep.txt", ""), ("box/empty/keep.txt", "keep")]),
        ),
        (BOX, Std("rename box/frozen box/d"), Fails("err ")),
        (BOX, Std("rename box/d box/d/sub/new"), Fails("err InvalidInput")),
        (BOX, Std("rename box/a.txt box/empty"), Fails("err IsADirectory")),
        (BOX, Std("rename box/empty box/a.txt"), Fails("err NotADirectory")),
        (BOX, Std("rename box/a.txt box/a.txt"), Done(&[])),
        (BOX, Std("rename box/planted box/moved"), Done(&[("box/planted", ""), ("box/moved", "-> ../secret.txt")])),
        (BOX, Std("link box/a.txt box/a2.txt"), Done(&[("box/a2.txt", "aaaa")])),
        (BOX, Std("link box/d box/d2"), Fails("err PermissionDenied")),
        ("files.create = [\"box/link\"]", Std("symlink a.txt box/link"), Done(&[("box/link", "-> a.txt")])),
        (
            BOX,
            Std("symlink d box/link -- read box/link/x.txt -- write box/link/y.txt y"),
            Done(&[("box/link", "-> d"), ("box/d/y.txt", "y")]),
        ),
        (
            BOX,
            Std("moveread box/d box/moved x.txt -- movewrite box/moved box/d y.txt y"),
            Done(&[("box/d/y.txt", "y")]),
        ),
    ];
    check_all(CASES);
}

/// The broadest grants are about everything but the store and the policies.
#[test]
fn everything() {
    const CASES: &[Case] = &[
        (
            ALL,
            Std("write new.txt x -- unlink pub/other.txt -- rename box/d elsewhere -- read elsewhere/sub/deep.txt"),
            Done(&[
                ("new.txt", "x"),
                ("pub/other.txt", ""),
                ("elsewhere", "dir"),
                ("elsewhere/x.txt", "x"),
                ("elsewhere/.hidden", "hidden"),
                ("elsewhere/sub", "dir"),
                ("elsewhere/sub/deep.txt", "deep"),
                ("elsewhere/up", "-> ../../a.txt"),
                ("box/d", ""),
                ("box/d/x.txt", ""),
                ("box/d/.hidden", ""),
                ("box/d/sub", ""),
                ("box/d/sub/deep.txt", ""),
                ("box/d/up", ""),
            ]),
        ),
        (ALL, Std("list ."), Done(&[])),
    ];
    check_all(CASES);
}
