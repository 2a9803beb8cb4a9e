//! Attacks on files: through `std::fs`, through directory handles, and through the typed verbs.

use crate::{
    each,
    sys::{self, Mode},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    thread::sleep,
    time::Duration,
};
use unship_step::{Context as _, Result, fail, files};

const OUTSIDE: [&str; 6] = [
    "../outside.txt",
    "pub/../secret.txt",
    "pub/../../outside.txt",
    "pub/./.././pub/../secret.txt",
    "../../../../../../etc/passwd",
    "pub/readable.txt/../../secret.txt",
];

pub fn read_outside() -> Result {
    each(OUTSIDE, |path| fs::read(path))
}

pub fn read_absolute() -> Result {
    each(["/secret.txt", "/etc/passwd", "//etc/passwd", "/../etc/passwd", "/proc/self/environ"], |path| fs::read(path))
}

pub fn read_sibling() -> Result {
    each(["pub/other.txt", "pub/readable.txt.bak", "pub/READABLE.TXT"], |path| fs::read(path))
}

/// Opening a FIFO without a writer blocks: a refusal must come at once.
pub fn read_fifo() -> Result {
    each(["pub/fifo", "pub/socket"], |path| File::open(path))
}

pub fn list_ungranted() -> Result {
    each([".", "/", "secrets", "pub/..", "pub"], |path| fs::read_dir(path)?.collect::<io::Result<Vec<_>>>())
}

pub fn follow_planted_symlink() -> Result {
    each(["pub/planted", "pub/planted-absolute", "pub/planted-dir/secret.txt", "pub/chain", "pub/loop"], |path| {
        fs::read(path)
    })
}

pub fn plant_symlink() -> Result {
    let targets = ["../secret.txt", "../../outside.txt", "/etc/passwd", "../../../../../../etc/passwd", "/secret.txt"];
    each(targets, |target| {
        let _ = fs::remove_file("box/link");
        sys::symlink(target, "box/link")?;
        fs::read("box/link")
    })
    .or_else(|first| {
        each(["..", "../secrets", "/"], |target| {
            let _ = fs::remove_file("box/door");
            sys::symlink(target, "box/door")?;
            fs::read_dir("box/door")?.collect::<io::Result<Vec<_>>>()
        })
        .context(first)
    })
}

pub fn rename_into_read_grant() -> Result {
    each(["secret.txt", "../outside.txt"], |path| {
        fs::rename(path, "box/renamed")?;
        fs::read("box/renamed")
    })
}

/// The source may be moved and not read, the target may be read: the move would only widen.
pub fn rename_widens_read() -> Result {
    each(["drop/hidden.txt"], |path| {
        fs::rename(path, "box/renamed")?;
        fs::read("box/renamed")
    })
}

pub fn rename_onto_ungranted() -> Result {
    fs::write("box/mine", "mine").context("writing box/mine")?;
    each(["secret.txt", "pub/readable.txt", "../outside.txt", "secrets/new.txt"], |path| fs::rename("box/mine", path))
}

pub fn hard_link_into_read_grant() -> Result {
    each(["secret.txt", "drop/hidden.txt", "../outside.txt", "pub/planted"], |path| {
        fs::hard_link(path, "box/linked")?;
        fs::read("box/linked")
    })
}

pub fn truncate_under_read() -> Result {
    let path = "pub/readable.txt";
    each(["truncate", "create", "set-len", "write", "set-times", "append"], |how| match how {
        "truncate" => OpenOptions::new().write(true).truncate(true).open(path).map(drop),
        "create" => File::create(path).map(drop),
        "set-len" => File::open(path)?.set_len(0),
        "write" => OpenOptions::new().read(true).write(true).open(path)?.write_all(b"mine"),
        "set-times" => sys::set_times(path, 0),
        _ => OpenOptions::new().append(true).open(path)?.write_all(b"mine"),
    })
}

pub fn create_under_read() -> Result {
    each(["file", "new file", "directory", "symlink"], |what| match what {
        "file" => File::create("pub/created").map(drop),
        "new file" => File::create_new("pub/created").map(drop),
        "directory" => fs::create_dir("pub/created"),
        _ => sys::symlink("readable.txt", "pub/created"),
    })
}

pub fn remove_under_write() -> Result {
    each(["file", "directory", "rename away"], |what| match what {
        "file" => fs::remove_file("box/a/x.txt"),
        "directory" => fs::remove_dir_all("box/a"),
        _ => fs::rename("box/a/x.txt", "box/a/y.txt"),
    })
}

pub fn write_nested_readonly() -> Result {
    each(["write", "truncate", "rename away", "rename directory"], |what| match what {
        "write" => fs::write("box/frozen/keep.txt", "mine"),
        "truncate" => OpenOptions::new().write(true).truncate(true).open("box/./frozen/keep.txt").map(drop),
        "rename away" => fs::rename("box/frozen/keep.txt", "box/thawed"),
        _ => fs::rename("box/frozen", "box/thawed"),
    })
}

pub fn touch_unship() -> Result {
    touch(".unship")
}

pub fn touch_policies() -> Result {
    touch("policies")
}

/// Held by a step that was granted `**`: no grant reaches these two.
fn touch(protected: &str) -> Result {
    each(
        ["list", "list by detour", "create", "make directory", "rename away", "remove", "rename onto", "link"],
        |what| match what {
            "list" => fs::read_dir(protected).map(drop),
            "list by detour" => fs::read_dir(format!("pub/../{protected}/.")).map(drop),
            "create" => fs::write(format!("{protected}/mine"), "mine"),
            "make directory" => fs::create_dir(format!("{protected}/mine.d")),
            "rename away" => fs::rename(protected, "box/taken"),
            "remove" => fs::remove_dir_all(protected),
            "rename onto" => fs::rename("box/a", protected),
            _ => {
                sys::symlink(&format!("../{protected}"), "box/door")?;
                fs::write("box/door/mine", "mine")
            }
        },
    )
}

/// Rights belong to where a directory is, not to where it was when its handle was opened.
pub fn kept_directory_handle() -> Result {
    let handle = sys::open_dir("box/a").context("opening box/a")?;
    each(["climb", "absolute", "create above", "write after rename"], |what| match what {
        "climb" => sys::open_at(&handle, "../../secret.txt", Mode::Read).map(drop),
        "absolute" => sys::open_at(&handle, "/etc/passwd", Mode::Read).map(drop),
        "create above" => sys::open_at(&handle, "../../mine", Mode::Create).map(drop),
        _ => {
            fs::rename("box/a", "box/b")?;
            sys::open_at(&handle, "x.txt", Mode::Write)?.write_all(b"mine")
        }
    })
}

/// As before, but another process renames: the step says `box/ready`, waits for `box/go`, and writes through its handle
/// and by the name that now means something else.
pub fn swapped_directory() -> Result {
    let handle = sys::open_dir("box/a").context("opening box/a")?;
    fs::write("box/ready", "").context("creating box/ready")?;
    for _ in 0..500 {
        if fs::symlink_metadata("box/go").is_ok() {
            return each(["handle", "name"], |what| match what {
                "handle" => sys::open_at(&handle, "x.txt", Mode::Write)?.write_all(b"mine"),
                _ => OpenOptions::new().write(true).open("box/a/x.txt")?.write_all(b"mine"),
            });
        }
        sleep(Duration::from_millis(10));
    }
    fail!("nobody created box/go within 5 s")
}

/// Another process swaps `pub/swapped` between a file and a symlink, for as long as this takes.
pub fn swapped_name() -> Result {
    let (mut read, mut refused) = (0, 0);
    for _ in 0..3000 {
        match fs::read("pub/swapped") {
            Ok(bytes) if bytes.starts_with(b"secret") => return Ok(()),
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
    }
    fail!("refused: never saw the secret, {read} times read, {refused} times refused")
}

pub fn replace_ungranted() -> Result {
    each(["secret.txt", "../outside.txt", "pub/readable.txt", "policies/site.toml"], |path| {
        files::replace(path, "pub/readable.txt")
    })
    .or_else(|first| {
        each(["secret.txt", "../outside.txt", "pub/planted"], |path| files::replace("box/target", path)).context(first)
    })
}

pub fn set_aside_ungranted() -> Result {
    each(["secret.txt", "secrets", "pub", ".", "..", ".unship", "box/../secret.txt"], |path| {
        files::set_aside(path).inspect(|kept| unship_step::warn!("set aside as {kept}"))
    })
}

pub fn clear_ungranted() -> Result {
    each(["secrets", "pub", ".", "..", "/", ".unship", "box/../secrets", "pub/planted-dir"], files::clear)
}

pub fn edit_ungranted() -> Result {
    each(["config.yaml", "./config.yaml", "pub/../config.yaml", "policies/site.toml"], |path| {
        files::edit(path, "/key", "old", "new")
    })
}

/// Not an attack: does what the lines of the file `script` say, so that a test can try the typed verbs inside a grant as
/// well as outside. `replace TARGET SOURCE`, `set-aside PATH`, `clear PATH`, `edit PATH POINTER OLD NEW`, and those of [`crate::names::verb`]; a
/// line that begins with `try` may be refused, and the step goes on.
pub fn verbs() -> Result {
    verbs_of("script")
}

/// A second step of the kind, for stories of more than one.
pub fn more_verbs() -> Result {
    verbs_of("more-script")
}

/// Holds when the file `there` is.
pub fn is_there() -> Result {
    fs::read("there").map(drop).context("reading there")
}

fn verbs_of(script: &str) -> Result {
    let script = fs::read_to_string(script).context(format!("reading {script}"))?;
    for line in script.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (handled, words) = match words.as_slice() {
            ["try", words @ ..] => (true, words),
            words => (false, words),
        };
        let done = match *words {
            ["replace", target, source] => files::replace(target, source).map(|()| String::new()),
            ["set-aside", path] => files::set_aside(path),
            ["clear", path] => files::clear(path).map(|entries| entries.to_string()),
            ["edit", path, pointer, old, new] => files::edit(path, pointer, old, new).map(|()| String::new()),
            ["write", path, text] => {
                fs::write(path, text).map(|()| String::new()).map_err(|e| unship_step::HostError::Failed(e.to_string()))
            }
            ["rename", from, to] => {
                fs::rename(from, to).map(|()| String::new()).map_err(|e| unship_step::HostError::Failed(e.to_string()))
            }
            ["run", command] => unship_step::commands::run(command).map(|_| String::new()),
            ["flag", flag, value] => unship_step::flags::set(flag, value).map(|()| String::new()),
            ["read", path] => fs::read_to_string(path).map_err(|e| unship_step::HostError::Failed(e.to_string())),
            _ => match crate::names::verb(words) {
                Some(done) => done,
                None => fail!("no such verb: {line}"),
            },
        };
        match done {
            Ok(said) => unship_step::progress!("{line}: ok {said}"),
            Err(error) if handled => unship_step::progress!("{line}: handled {error}"),
            Err(error) => fail!("{line}: {error}"),
        }
    }
    Ok(())
}
