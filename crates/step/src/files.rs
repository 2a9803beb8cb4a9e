//! File verbs whose meaning matters more than their system calls. For all else there is `std::fs`.
//!
//! Paths are relative to the site, as in `std::fs`; the same grants and the same gate hold for both. What lies in another
//! folder of policy is `folder:path` here, as in policies, and `folder/path` in `std::fs`.

use crate::{HostError, Result as StepResult, bindings::unship::step::files as host, fail, progress};
use std::{borrow::Cow, fs, io};

/// Whether something has this name: a file, a directory, or a symlink, wherever it leads. Needs `files.read` on it.
///
/// # Errors
/// When nobody can tell. A refusal is one: of what a step may not look at, it must not say that it is not there.
pub fn present(path: &str) -> StepResult<bool> {
    match fs::symlink_metadata(&*for_std(path)) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => fail!("looking for {path}: {error}"),
    }
}

/// `folder:path` as `std::fs` has it.
fn for_std(path: &str) -> Cow<'_, str> {
    if path.contains(':') { path.replacen(':', "/", 1).into() } else { path.into() }
}

/// Makes `target` hold the bytes of `source`, so that `target` is never missing and never half written. Mode and owner
/// of an existing `target` are kept. Does nothing when the bytes already agree.
///
/// Needs `files.read` on `source` and `files.replace` on `target`.
///
/// # Errors
/// [`HostError`]: `NotAsExpected` when `source` is not there or one of the two is not a regular file.
pub fn replace(target: &str, source: &str) -> Result<(), HostError> {
    host::replace(target, source).map_err(HostError::from)
}

/// Renames `path` to a new name beside it that carries the run's id, never onto something that exists, and answers that
/// name. A directory moves with all that it holds, at no cost.
///
/// Needs `files.set-aside` on `path`.
///
/// # Errors
/// [`HostError`]: `NotAsExpected` when `path` is not there.
pub fn set_aside(path: &str) -> Result<String, HostError> {
    host::set_aside(path).map_err(HostError::from)
}

/// [`set_aside`] where something has this name, and tells the person on call what it is kept as: for stories that an earlier
/// attempt may have begun.
///
/// # Errors
/// As [`present`] and [`set_aside`].
pub fn set_aside_if_present(path: &str) -> StepResult {
    if present(path)? {
        let kept = set_aside(path)?;
        progress!("{path} is kept as {kept}");
    }
    Ok(())
}

/// Empties the directory `path`: every entry, hidden ones too, goes to the trash, and the directory stays. No symlink is
/// followed. Answers how many entries went.
///
/// Needs `files.clear` on `path`.
///
/// # Errors
/// [`HostError`]: `NotAsExpected` when `path` is not there or not a directory.
pub fn clear(path: &str) -> Result<u64, HostError> {
    host::clear(path).map_err(HostError::from)
}

/// [`clear`] where something has this name, and tells the person on call how many entries went.
///
/// # Errors
/// As [`present`] and [`clear`].
pub fn clear_if_present(path: &str) -> StepResult {
    if present(path)? {
        let cleared = clear(path)?;
        progress!("{cleared} entries cleared from {path}");
    }
    Ok(())
}

/// Sets one scalar of a YAML, JSON or TOML file (told by its name's end) and keeps every other byte.
///
/// `pointer` is an RFC 6901 JSON pointer; `expected` and `value` are scalars as the file writes them (`true`, `"on"`).
/// Refused when the present value is not `expected`; does nothing when it is `value` already.
///
/// Needs `files.edit` on `path`.
///
/// ```no_run
/// unship_step::files::edit("config/api-config.yaml", "/api/timeoutSeconds", "120", "30")?;
/// # Ok::<(), unship_step::HostError>(())
/// ```
///
/// # Errors
/// [`HostError`]: `NotAsExpected` when the file, the key or the expected value is not there.
pub fn edit(path: &str, pointer: &str, expected: &str, value: &str) -> Result<(), HostError> {
    host::edit(path, pointer, expected, value).map_err(HostError::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_another_folder_is_looked_for_there() {
        assert_eq!(for_std("a/b"), "a/b");
        assert_eq!(for_std("dagster:home/a:b"), "dagster/home/a:b");
    }
}
