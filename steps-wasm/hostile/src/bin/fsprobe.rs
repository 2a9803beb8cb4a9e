//! Does file operations and says how each went, for tests of grants.
//!
//! `fsprobe OP ARG… [-- OP ARG…]…` prints a line for each operation, in order: `ok`, with what was seen, or `err` and the
//! [`std::io::ErrorKind`]. It goes on after an error. Exit status: 0 when all went well or was put into a report, 1 when
//! one did not go well, 2 for an operation that it does not know.
//!
//! | operation | does | says |
//! |---|---|---|
//! | `read PATH` | reads a file to its end | its text, quoted |
//! | `write PATH TEXT` | creates or truncates, writes | |
//! | `overwrite PATH TEXT` | writes at the beginning of what is there | |
//! | `append PATH TEXT` | writes at the end of what is there | |
//! | `truncate PATH` | opens what is there to truncate it | |
//! | `setlen PATH LEN` | opens what is there to write, sets its length | |
//! | `create PATH` | creates, never onto something | |
//! | `mkdir`, `rmdir`, `unlink PATH` | | |
//! | `rename A B`, `link A B` | | |
//! | `symlink TARGET LINK` | makes `LINK`, which says `TARGET` | |
//! | `readlink PATH` | | what it says, quoted |
//! | `stat PATH`, `lstat PATH` | follows a symlink, or not | `file LEN`, `dir`, `symlink` or `other` |
//! | `list PATH` | reads a directory | its names, quoted, sorted |
//! | `chtimes PATH SECONDS` | sets the times of `PATH` itself | |
//! | `readat DIR PATH` | opens `DIR`, reads relative to its handle | its text, quoted |
//! | `writeat DIR PATH TEXT` | opens `DIR`, creates and writes relative to its handle | |
//! | `overwriteat DIR PATH TEXT` | likewise, but only what is there | |
//! | `moveread DIR NEW PATH` | opens `DIR`, renames it to `NEW`, reads relative to its handle | its text, quoted |
//! | `movewrite DIR NEW PATH TEXT` | likewise, but creates and writes | |
//! | `twice PATH TEXT` | opens to read, then to append, writes, reads by the first handle | its text, quoted |
//! | `afresh PATH TEXT` | opens to read, then to truncate, writes, reads by the first handle | its text, quoted |
//! | `readgone PATH` | opens to read, unlinks, reads by the handle | its text, quoted |
//! | `writegone PATH TEXT` | opens to append, unlinks, writes by the handle | |
//! | `writeto PATH OFFSET TEXT` | opens what is there, writes from `OFFSET` | |
//! | `mtime PATH` | does not follow a symlink | the modification time, in whole seconds |
//! | `report PATH` | creates or truncates, writes all lines so far: the errors among them count as handled | |

#[path = "../sys.rs"]
mod sys;

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    process::ExitCode,
    time::UNIX_EPOCH,
};
use sys::Mode;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let mut status = 0;
    let mut lines = String::new();
    for op in args.split(|arg| arg == "--") {
        let op: Vec<&str> = op.iter().map(String::as_str).collect();
        let result = match *op.as_slice() {
            ["report", path] => {
                status = 0;
                Some(silent(fs::write(path, &lines)))
            }
            _ => run(&op),
        };
        let Some(result) = result else {
            eprintln!("fsprobe: no such operation: {op:?}");
            return ExitCode::from(2);
        };
        let line = match result {
            Ok(seen) if seen.is_empty() => "ok".to_owned(),
            Ok(seen) => format!("ok {seen}"),
            Err(error) => {
                status = 1;
                format!("err {:?}", error.kind())
            }
        };
        println!("{line}");
        lines += &line;
        lines.push('\n');
    }
    ExitCode::from(status)
}

fn run(op: &[&str]) -> Option<io::Result<String>> {
    Some(match *op {
        ["read", path] => File::open(path).and_then(text),
        ["write", path, text] => silent(fs::write(path, text)),
        ["overwrite", path, text] => silent(write(OpenOptions::new().write(true).open(path), text)),
        ["append", path, text] => silent(write(OpenOptions::new().append(true).open(path), text)),
        ["truncate", path] => silent(OpenOptions::new().write(true).truncate(true).open(path)),
        ["setlen", path, len] => {
            let len = len.parse().ok()?;
            silent(OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(len)))
        }
        ["create", path] => silent(File::create_new(path)),
        ["mkdir", path] => silent(fs::create_dir(path)),
        ["rmdir", path] => silent(fs::remove_dir(path)),
        ["unlink", path] => silent(fs::remove_file(path)),
        ["rename", from, to] => silent(fs::rename(from, to)),
        ["link", from, to] => silent(fs::hard_link(from, to)),
        ["symlink", target, link] => silent(sys::symlink(target, link)),
        ["readlink", path] => fs::read_link(path).map(|target| format!("{:?}", target.to_string_lossy())),
        ["stat", path] => fs::metadata(path).map(kind),
        ["lstat", path] => fs::symlink_metadata(path).map(kind),
        ["list", path] => list(path),
        ["chtimes", path, seconds] => silent(sys::set_times(path, seconds.parse().ok()?)),
        ["readat", dir, path] => sys::open_dir(dir).and_then(|dir| text(sys::open_at(&dir, path, Mode::Read)?)),
        ["writeat", dir, path, text] => {
            silent(sys::open_dir(dir).and_then(|dir| write(sys::open_at(&dir, path, Mode::Create), text)))
        }
        ["overwriteat", dir, path, text] => {
            silent(sys::open_dir(dir).and_then(|dir| write(sys::open_at(&dir, path, Mode::Write), text)))
        }
        ["moveread", dir, new, path] => moved(dir, new).and_then(|dir| text(sys::open_at(&dir, path, Mode::Read)?)),
        ["movewrite", dir, new, path, text] => {
            silent(moved(dir, new).and_then(|dir| write(sys::open_at(&dir, path, Mode::Create), text)))
        }
        ["twice", path, more] => File::open(path).and_then(|first| {
            write(OpenOptions::new().append(true).open(path), more)?;
            text(first)
        }),
        ["afresh", path, new] => File::open(path).and_then(|first| {
            fs::write(path, new)?;
            text(first)
        }),
        ["readgone", path] => File::open(path).and_then(|file| {
            fs::remove_file(path)?;
            text(file)
        }),
        ["writegone", path, more] => silent(OpenOptions::new().append(true).open(path).and_then(|file| {
            fs::remove_file(path)?;
            write(Ok(file), more)
        })),
        ["writeto", path, offset, text] => {
            let offset = offset.parse().ok()?;
            silent(OpenOptions::new().write(true).open(path).and_then(|mut file| {
                file.seek(SeekFrom::Start(offset))?;
                write(Ok(file), text)
            }))
        }
        ["mtime", path] => fs::symlink_metadata(path)
            .and_then(|metadata| metadata.modified())
            .map(|at| at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string()),
        _ => return None,
    })
}

fn silent<T>(result: io::Result<T>) -> io::Result<String> {
    result.map(|_| String::new())
}

fn text(mut file: File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(format!("{:?}", String::from_utf8_lossy(&bytes)))
}

fn write(file: io::Result<File>, text: &str) -> io::Result<()> {
    file?.write_all(text.as_bytes())
}

fn moved(dir: &str, new: &str) -> io::Result<std::os::fd::OwnedFd> {
    let handle = sys::open_dir(dir)?;
    fs::rename(dir, new)?;
    Ok(handle)
}

fn kind(metadata: fs::Metadata) -> String {
    match metadata.file_type() {
        kind if kind.is_symlink() => "symlink".into(),
        kind if kind.is_dir() => "dir".into(),
        kind if kind.is_file() => format!("file {}", metadata.len()),
        _ => "other".into(),
    }
}

fn list(path: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(format!("{:?}", entry?.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names.join(" "))
}
