//! The typed verbs, inside and outside of their grants: a verb's grant is not that of the system calls, nor another's.

use super::Does::Verbs;
use super::{ALL, Case, Expect::*, check_all};

const OUT: &str = "the path leads out of its folder";
const PROTECTED: &str = "no grant reaches `.unship/` or `policies/`";

#[test]
fn replace() {
    const ONE: &str = "files.read = [\"pub/**\"]\nfiles.replace = [\"box/a.txt\", \"box/new.txt\", \"box/hard.txt\", \"box/to-a\", \"box/d\", \"box/fifo\"]";
    const CASES: &[Case] = &[
        (ONE, Verbs("replace box/a.txt pub/readable.txt"), Done(&[("box/a.txt", "readable")])),
        (ONE, Verbs("replace box/new.txt pub/readable.txt"), Done(&[("box/new.txt", "readable")])),
        (
            ONE,
            Verbs(
                "replace box/a.txt pub/readable.txt\nreplace box/a.txt pub/readable.txt\nreplace box/a.txt pub/other.txt",
            ),
            Done(&[("box/a.txt", "other")]),
        ),
        // The other name of a hard link keeps what it had.
        (ONE, Verbs("replace box/hard.txt pub/readable.txt"), Done(&[("box/hard.txt", "readable")])),
        (ONE, Verbs("replace box/b.txt pub/readable.txt"), Denied("files.replace on box/b.txt")),
        (ONE, Verbs("replace box/a.txt secret.txt"), Denied("files.read on secret.txt")),
        (ONE, Verbs("replace box/d/../../secret.txt pub/readable.txt"), Denied("files.replace on secret.txt")),
        (ONE, Verbs("replace box/a.txt box/planted-dir/one.txt"), Denied("files.read on secrets/one.txt")),
        (ONE, Verbs("replace box/planted-dir/one.txt pub/readable.txt"), Denied("files.replace on secrets/one.txt")),
        (ONE, Verbs("replace ../outside.txt pub/readable.txt"), Denied(OUT)),
        (ONE, Verbs("replace box/a.txt ../outside.txt"), Denied(OUT)),
        (ONE, Verbs("replace box/a.txt /etc/passwd"), Denied(OUT)),
        (ALL, Verbs("replace policies/1.toml pub/readable.txt"), Denied(PROTECTED)),
        (ALL, Verbs("replace box/a.txt .unship/key"), Denied(PROTECTED)),
        // No symlink is followed or replaced, nothing but a regular file is.
        (ONE, Verbs("replace box/to-a pub/readable.txt"), Fails("box/to-a is not a regular file")),
        (ONE, Verbs("replace box/a.txt pub/planted"), Fails("pub/planted is not a regular file")),
        (ONE, Verbs("replace box/d pub/readable.txt"), Fails("box/d is not a regular file")),
        (ONE, Verbs("replace box/fifo pub/readable.txt"), Fails("box/fifo is not a regular file")),
        // Other powers over the file are not this one.
        (
            "files.read = [\"**\"]\nfiles.write = [\"**\"]\nfiles.remove = [\"**\"]\nfiles.create = [\"**\"]",
            Verbs("replace box/a.txt pub/readable.txt"),
            Denied("files.replace on box/a.txt"),
        ),
    ];
    check_all(CASES);
}

#[test]
fn set_aside() {
    const SOME: &str = "files.set-aside = [\"box/a.txt\", \"box/frozen\", \"box/planted\", \"box/fifo\"]";
    const CASES: &[Case] = &[
        (SOME, Verbs("set-aside box/a.txt"), Done(&[("box/a.txt", ""), ("box/a.txt.unship-{run}", "aaaa")])),
        (
            SOME,
            Verbs("set-aside box/frozen"),
            Done(&[
                ("box/frozen", ""),
                ("box/frozen/keep.txt", ""),
                ("box/frozen.unship-{run}", "dir"),
                ("box/frozen.unship-{run}/keep.txt", "keep"),
            ]),
        ),
        // A symlink goes itself, not what it leads to.
        (
            SOME,
            Verbs("set-aside box/planted"),
            Done(&[("box/planted", ""), ("box/planted.unship-{run}", "-> ../secret.txt")]),
        ),
        (SOME, Verbs("set-aside box/b.txt"), Denied("files.set-aside on box/b.txt")),
        (SOME, Verbs("set-aside box/frozen/keep.txt"), Denied("files.set-aside on box/frozen/keep.txt")),
        (SOME, Verbs("set-aside box"), Denied("files.set-aside on box")),
        (SOME, Verbs("set-aside box/../secret.txt"), Denied("files.set-aside on secret.txt")),
        (SOME, Verbs("set-aside ../outside.txt"), Denied(OUT)),
        (SOME, Verbs("set-aside box/none.txt"), Denied("files.set-aside on box/none.txt")),
        ("files.set-aside = [\"box/*\"]", Verbs("set-aside box/none.txt"), Fails("box/none.txt does not exist")),
        (ALL, Verbs("set-aside policies"), Denied(PROTECTED)),
        (ALL, Verbs("set-aside .unship"), Denied(PROTECTED)),
        (ALL, Verbs("set-aside ."), Fails("")),
        // The new name may not be one that widens.
        (
            "files.set-aside = [\"drop\"]\nfiles.read = [\"drop.unship-*/**\"]",
            Verbs("set-aside drop"),
            Denied("it would gain `files.read` there"),
        ),
        (
            "files.read = [\"**\"]\nfiles.rename = [\"**\"]\nfiles.create = [\"**\"]",
            Verbs("set-aside box/a.txt"),
            Denied("files.set-aside on box/a.txt"),
        ),
    ];
    check_all(CASES);
}

#[test]
fn clear() {
    const SOME: &str = "files.clear = [\"box/d\", \"box/empty\", \"box/planted-dir\", \"box/a.txt\"]";
    const CASES: &[Case] = &[
        (
            SOME,
            Verbs("clear box/d"),
            Done(&[
                ("box/d/x.txt", ""),
                ("box/d/.hidden", ""),
                ("box/d/sub", ""),
                ("box/d/sub/deep.txt", ""),
                ("box/d/up", ""),
            ]),
        ),
        (SOME, Verbs("clear box/empty"), Done(&[])),
        (SOME, Verbs("clear box/frozen"), Denied("files.clear on box/frozen")),
        (SOME, Verbs("clear box/d/sub"), Denied("files.clear on box/d/sub")),
        (SOME, Verbs("clear box"), Denied("files.clear on box")),
        (SOME, Verbs("clear box/../secrets"), Denied("files.clear on secrets")),
        (SOME, Verbs("clear .."), Denied(OUT)),
        // No symlink is followed.
        (SOME, Verbs("clear box/planted-dir"), Fails("no symlink is followed")),
        (SOME, Verbs("clear box/planted-dir/"), Denied("files.clear on secrets")),
        (SOME, Verbs("clear box/a.txt"), Fails("is not a directory")),
        (ALL, Verbs("clear policies"), Denied(PROTECTED)),
        (ALL, Verbs("clear .unship"), Denied(PROTECTED)),
        (ALL, Verbs("clear ."), Fails("")),
        (
            "files.read = [\"**\"]\nfiles.remove = [\"**\"]\nfiles.list = [\"**\"]",
            Verbs("clear box/d"),
            Denied("files.clear on box/d"),
        ),
    ];
    check_all(CASES);
}

#[test]
fn edit() {
    const ONE: &str = "files.edit = { \"box/config.yaml\" = [\"/**\"] }";
    const CASES: &[Case] = &[
        (
            ONE,
            Verbs("edit box/config.yaml /key old new"),
            Done(&[("box/config.yaml", "# a comment\nkey: new # kept\nother: kept\n")]),
        ),
        (ONE, Verbs("edit box/config.yaml /key other new"), Fails("not as expected")),
        (ONE, Verbs("edit box/config.yaml /none old new"), Fails("not as expected")),
        (ONE, Verbs("edit config.yaml /key old new"), Denied("files.edit on config.yaml")),
        (ONE, Verbs("edit box/../config.yaml /key old new"), Denied("files.edit on config.yaml")),
        (ONE, Verbs("edit ../config.yaml /key old new"), Denied(OUT)),
        (ALL, Verbs("edit policies/site.toml /site/name test other"), Denied(PROTECTED)),
        (
            "files.read = [\"**\"]\nfiles.write = [\"**\"]\nfiles.replace = [\"**\"]",
            Verbs("edit box/config.yaml /key old new"),
            Denied("files.edit on box/config.yaml"),
        ),
        // A grant can be as narrow as one value of the file.
        (
            "files.edit = { \"box/config.yaml\" = [\"/other\", \"/key/below\"] }",
            Verbs("edit box/config.yaml /key old new"),
            Denied("of that file it may change [\"/other\", \"/key/below\"] only"),
        ),
        // To edit is neither to read nor to write.
        (ONE, Verbs("read box/config.yaml"), Denied("files.read on box/config.yaml")),
    ];
    check_all(CASES);
}

/// A refusal that the step handles is no failure.
#[test]
fn a_handled_refusal() {
    const CASES: &[Case] = &[(
        "files.clear = [\"box/frozen\"]",
        Verbs(
            "try clear secrets\ntry replace secret.txt script\ntry set-aside box\ntry edit config.yaml /key old new\nclear box/frozen",
        ),
        Done(&[("box/frozen/keep.txt", "")]),
    )];
    check_all(CASES);
}
