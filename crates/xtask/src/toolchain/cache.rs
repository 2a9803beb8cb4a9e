//! What takes long to make is made once and kept outside the checkout. It is made beside its place and renamed into it, so
//! that whatever was interrupted is never taken for whole.

use super::process::say;
use anyhow::{Context as _, Result, bail};
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The names of what is being made.
const DRAFT: &str = ".making-";
/// A draft this old was left behind by a maker that was killed.
const DRAFT_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The cache's folder: `UNSHIP_CACHE`, or `unship` among the user's caches.
///
/// # Errors
/// When the environment names none.
pub fn folder() -> Result<PathBuf> {
    let from = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("UNSHIP_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|dir| dir.join("unship")))
        .or_else(|| from("HOME").map(|dir| dir.join(".cache/unship")))
        .context("no cache folder: set HOME or UNSHIP_CACHE")
}

/// Makes sure that `place` is there and whole. `make` gets a new, empty folder to fill; `is_whole` judges the result.
///
/// # Errors
/// When it cannot be made; then `place` is as before.
pub fn once(place: &Path, is_whole: impl Fn(&Path) -> bool, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if is_whole(place) {
        return Ok(());
    }
    let parent = place.parent().context("the cache has no parent")?;
    fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    sweep(parent);
    let work = tempfile::Builder::new().prefix(DRAFT).tempdir_in(parent)?;
    let draft = work.path().join("draft");
    fs::create_dir(&draft)?;
    make(&draft)?;
    if !is_whole(&draft) {
        bail!("what was made for {} lacks a part", place.display());
    }
    if is_whole(place) {
        return Ok(()); // Somebody else made it meanwhile; theirs is as good.
    }
    if place.exists() {
        // Once whole, damaged since.
        fs::rename(place, work.path().join("damaged"))?;
    }
    match fs::rename(&draft, place) {
        Err(e) if !is_whole(place) => Err(e).with_context(|| format!("moving to {}", place.display())),
        _ => Ok(()),
    }
}

fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_draft && age.is_some_and(|age| age > DRAFT_AGE_MAX) {
            say(&format!("removing {}, left behind by an interrupted build", entry.path().display()));
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(place: &Path) -> bool {
        place.join("last").is_file()
    }

    fn fill(draft: &Path) -> Result<()> {
        fs::write(draft.join("first"), "1")?;
        Ok(fs::write(draft.join("last"), "2")?)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn it_is_made_once() {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("a/b");
        once(&place, is_whole, fill).unwrap();
        assert_eq!(names(&place), ["first", "last"]);
        once(&place, is_whole, |_| panic!("made again")).unwrap();
        assert_eq!(names(place.parent().unwrap()), ["b"], "nothing is left beside it");
    }

    #[test]
    fn what_fails_half_way_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("b");
        let stop = once(&place, is_whole, |draft| {
            fs::write(draft.join("first"), "1")?;
            assert!(!place.exists(), "nothing stands in its place while it is made");
            bail!("out of disk")
        });
        assert_eq!(stop.unwrap_err().to_string(), "out of disk");
        let lacking = once(&place, is_whole, |draft| Ok(fs::write(draft.join("first"), "1")?));
        assert!(lacking.unwrap_err().to_string().ends_with("lacks a part"));
        assert_eq!(names(temp.path()), [""; 0]);
    }

    #[test]
    fn what_a_killed_maker_left_is_not_taken() {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("b");
        let left = temp.path().join(format!("{DRAFT}x/draft"));
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("first"), "1").unwrap();
        once(&place, is_whole, fill).unwrap();
        assert!(is_whole(&place));
    }

    #[test]
    fn what_was_damaged_is_replaced() {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("b");
        once(&place, is_whole, fill).unwrap();
        fs::remove_file(place.join("last")).unwrap();
        once(&place, is_whole, fill).unwrap();
        assert!(is_whole(&place));
        assert_eq!(names(temp.path()), ["b"]);
    }
}
