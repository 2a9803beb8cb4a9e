//! Scratch space for the overlay of one `plan`, which goes when the plan is done or its process is dead.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::dir::Dir;
use crate::error::{IoError, Naming};

/// A private, empty directory below `.unship/plan/`, removed when dropped.
#[derive(Debug)]
pub struct PlanScratch {
    path: PathBuf,
    /// The lock on it says that it is in use.
    _dir: File,
}

impl PlanScratch {
    /// Makes one, and first removes those whose process is gone.
    pub(crate) fn make(plan: &Dir) -> Result<Self, IoError> {
        // Held until the new folder has its own lock: nobody can take it for an abandoned one in between.
        let making = File::open(plan.path()).naming("open", plan.path())?;
        making.lock().naming("lock", plan.path())?;
        sweep(plan.path())?;
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(io::Error::from).naming("name a folder in", plan.path())?;
        let made = plan.make_dir(&crate::hex::text(&name))?;
        let path = made.path().to_owned();
        let dir = File::open(&path).naming("open", &path)?;
        dir.lock().naming("lock", &path)?;
        Ok(Self { path, _dir: dir })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PlanScratch {
    fn drop(&mut self) {
        if let Err(e) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), error = %e, "scratch space of a plan is left over");
        }
    }
}

fn sweep(plan: &Path) -> Result<(), IoError> {
    for entry in fs::read_dir(plan).naming("read", plan)? {
        let path = entry.naming("read", plan)?.path();
        // Gone already, or in use: both are no matter of ours.
        let Ok(dir) = File::open(&path) else { continue };
        if dir.try_lock().is_ok()
            && let Err(e) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), error = %e, "scratch space of a dead plan is left over");
        }
    }
    Ok(())
}
