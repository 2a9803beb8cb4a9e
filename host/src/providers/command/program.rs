//! Which file a command's first argument means, looked up once.

use super::{CommandError, PATH};
use rustix::{
    fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, open, stat},
    io::Errno,
};
use std::{
    fs,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// Programs that run what the files among their arguments say, or the program that these name.
const INTERPRETERS: &[&str] = &[
    "ash", "awk", "bash", "bun", "busybox", "dash", "deno", "env", "gawk", "ksh", "lua", "make", "mawk", "nice",
    "node", "nodejs", "nohup", "perl", "php", "pypy", "python", "rscript", "ruby", "sed", "setsid", "sh", "tclsh",
    "timeout", "zsh",
];

/// The files by which it is decided what `argv` does: the program, by its name and behind all links, and, where it is an
/// interpreter, each file among the arguments likewise.
///
/// # Errors
/// [`CommandError`] when there is no such program.
pub fn deciding_files(site: &Path, argv: &[String]) -> Result<Vec<PathBuf>, CommandError> {
    let (name, arguments) = argv.split_first().ok_or(CommandError::Empty)?;
    let real = resolve(site, name)?;
    let mut files = Vec::from_iter(name.contains('/').then(|| site.join(name)));
    if is_interpreter(Path::new(name)) || is_interpreter(&real) {
        for argument in arguments {
            let place = site.join(argument);
            if let Ok(real) = fs::canonicalize(&place)
                && real.is_file()
            {
                files.extend([place, real]);
            }
        }
    }
    files.push(real);
    Ok(files)
}

fn is_interpreter(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    // `python3.11`
    INTERPRETERS.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-')))
}

/// The real path of the program: without a slash from the fixed [`PATH`], with one relative to the site (an absolute one
/// stays what the policy says). The kernel is given this path, so no link on the way is followed a second time.
pub(super) fn resolve(site: &Path, name: &str) -> Result<PathBuf, CommandError> {
    let program = unship_rollback::neutralise(name);
    if name.is_empty() || name.contains('\0') {
        return Err(CommandError::Empty);
    }
    if name.contains('/') {
        return match judge(&site.join(name), &program)? {
            Some(path) => Ok(path),
            None => Err(CommandError::NotFound { program, place: "in the site" }),
        };
    }
    for folder in PATH.split(':') {
        match judge(&Path::new(folder).join(name), &program) {
            Ok(None) | Err(CommandError::NotExecutable { .. }) => {}
            Ok(Some(path)) => return Ok(path),
            Err(e) => return Err(e),
        }
    }
    Err(CommandError::NotFound { program, place: "in the fixed PATH" })
}

/// Judges the opened file, then tells its real path; `None` when there is none.
fn judge(path: &Path, program: &str) -> Result<Option<PathBuf>, CommandError> {
    let not_started = |e: Errno| CommandError::NotStarted { program: program.to_owned(), source: e.into() };
    let file = match open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(not_started(e)),
    };
    let found = fstat(&file).map_err(not_started)?;
    let real = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .map_err(|source| CommandError::NotStarted { program: program.to_owned(), source })?;
    let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
    if !is_file || accessat(CWD, &real, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Err(CommandError::NotExecutable { program: program.to_owned() });
    }
    let open_to_all = |path: &Path| CommandError::WorldWritable { program: program.to_owned(), path: path.to_owned() };
    if found.st_mode & 0o002 != 0 {
        return Err(open_to_all(&real));
    }
    if let Some(folder) = real.parent() {
        let mode = stat(folder).map_err(not_started)?.st_mode;
        // With the sticky bit only the owner can put another file in its place.
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(open_to_all(folder));
        }
    }
    Ok(Some(real))
}
