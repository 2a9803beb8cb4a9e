//! Before-images: what a run keeps so that each of its effects can be taken back.
//!
//! - A *trash slot* holds what an effect removed or replaced. The host renames the thing itself into it, so that keeping
//!   it costs no copy, whatever its size.
//! - A *range image* holds the bytes that in-place writes of one effect overwrite, saved before the first write to each.

mod header;
mod intervals;
mod range;
mod remove;
mod restore;
#[cfg(test)]
mod tests;
mod trash;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::dir::Dir;
use crate::error::IoError;
use crate::journal::SiteId;
use crate::name::{self, BadName};

pub use header::Original;
pub use range::RangeImage;
pub use remove::Usage;
pub use restore::{ImageReader, Restored};
pub use trash::RunTrash;

/// Why a before-image could not be kept or brought back. Texts read after "failed to".
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImageError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A run's name that cannot be a file name.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The limit on before-images is reached.
    #[error("keep {bytes} more bytes of before-images: {saved} of {bytes_max} allowed bytes are in use")]
    OverLimit {
        /// What was to be added, in bytes.
        bytes: u64,
        /// What is in use, in bytes.
        saved: u64,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// A trash that others could look into or change.
    #[error("use {path}: {why}", path = path.display())]
    Unsafe {
        /// The trash.
        path: PathBuf,
        /// What is wrong, and what to do.
        why: &'static str,
    },
    /// The file became shorter behind the run's back.
    #[error("keep what {path} is to replace: the file became shorter meanwhile", path = path.display())]
    Shrunk {
        /// The image that was being written.
        path: PathBuf,
    },
    /// An earlier save failed, so that what the image holds is unknown.
    #[error("add to {path}: an earlier save failed", path = path.display())]
    Stopped {
        /// The image.
        path: PathBuf,
    },
    /// The image is not as it was written.
    #[error("restore from {path}: the entry at byte {offset} is damaged", path = path.display())]
    Damaged {
        /// The image.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
    },
}

impl ImageError {
    /// The operating system did not let something be opened.
    pub fn opening(path: &Path, e: std::io::Error) -> ImageError {
        IoError::new("open", path, e).into()
    }
}

/// How much the before-images of a run, or of several, may take; it counts as they are written.
#[derive(Debug)]
pub struct SpaceLimit {
    bytes_max: u64,
    saved: AtomicU64,
}

impl SpaceLimit {
    /// A limit in bytes, and how many are in use already.
    pub fn new(bytes_max: u64, saved: u64) -> Self {
        Self { bytes_max, saved: AtomicU64::new(saved) }
    }

    /// The bytes in use.
    pub fn saved(&self) -> u64 {
        self.saved.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<(), ImageError> {
        let add = |saved: u64| saved.checked_add(bytes).filter(|sum| *sum <= self.bytes_max);
        match self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(()),
            Err(saved) => Err(ImageError::OverLimit { bytes, saved, bytes_max: self.bytes_max }),
        }
    }
}

/// The before-images of one run.
#[derive(Debug)]
pub struct RunImages {
    trash: Dir,
    images: Dir,
    site: SiteId,
    run: String,
    limit: Arc<SpaceLimit>,
    flushes: Arc<AtomicU64>,
}

impl RunImages {
    pub(crate) fn open(
        trash: Dir,
        images: Dir,
        site: SiteId,
        run: &str,
        limit: Arc<SpaceLimit>,
    ) -> Result<Self, ImageError> {
        let run = name::check(run)?.to_owned();
        Ok(Self { trash, images, site, run, limit, flushes: Arc::default() })
    }

    /// The run's trash on the site's own file system, `.unship/trash/<run>/`, made if need be.
    pub fn trash(&self) -> Result<RunTrash, ImageError> {
        let dir = self.trash.make_dir(&self.run)?;
        Ok(RunTrash::new(dir, vec![self.trash.try_clone()?], Arc::clone(&self.flushes)))
    }

    /// The same, where it was made already.
    pub fn trash_if_there(&self) -> Result<Option<RunTrash>, ImageError> {
        let dir = self.trash.open_dir_if_there(&self.run)?;
        let parents = vec![self.trash.try_clone()?];
        Ok(dir.map(|dir| RunTrash::new(dir, parents, Arc::clone(&self.flushes))))
    }

    /// The run's trash on another file system, `HOME/<trash>/<site id>/<run>/`, made if `make` says so. That a directory was
    /// made in `home` does not show in its modification time.
    ///
    /// # Errors
    /// [`ImageError::Unsafe`] where `trash` is there and belongs to somebody else, or others have rights to it.
    pub fn trash_elsewhere(
        &self,
        home: BorrowedFd<'_>,
        shown: &Path,
        trash: &str,
        make: bool,
    ) -> Result<Option<RunTrash>, ImageError> {
        let home = Dir::reopen(home, shown)?;
        let top = match home.open_dir_if_there(trash)? {
            Some(top) => top,
            None if !make => return Ok(None),
            None => {
                let before = home.modified()?;
                let top = home.make_dir(trash)?;
                home.set_modified(before)?;
                top
            }
        };
        top.demand_private().map_err(|why| ImageError::Unsafe { path: top.path().to_owned(), why })?;
        let site = self.site.to_string();
        let opened = if make {
            let site = top.make_dir(&site)?;
            Some((site.make_dir(&self.run)?, site))
        } else {
            let site = top.open_dir_if_there(&site)?;
            let run = site.as_ref().map(|site| site.open_dir_if_there(&self.run)).transpose()?.flatten();
            run.zip(site)
        };
        Ok(opened.map(|(run, site)| RunTrash::new(run, vec![site, top, home], Arc::clone(&self.flushes))))
    }

    /// Begins the image `.unship/images/<run>/<effect>` of a file that is about to be changed in place.
    ///
    /// # Errors
    /// Also where that image is there already: what it holds is older than anything that could be saved now.
    pub fn range_image(&self, effect: u64, file: &std::fs::File) -> Result<RangeImage, ImageError> {
        let run = self.images.make_dir(&self.run)?;
        let parents = [self.images.try_clone()?, run];
        RangeImage::begin(parents, effect, file, Arc::clone(&self.limit), Arc::clone(&self.flushes))
    }

    /// Opens an image of this run for restoring; `None` where the effect has none, so that nothing was overwritten.
    pub fn image(&self, effect: u64) -> Result<Option<ImageReader>, ImageError> {
        match self.images.open_dir_if_there(&self.run)? {
            Some(run) => ImageReader::open(&run, effect),
            None => Ok(None),
        }
    }

    /// Forgets an image that was restored.
    pub fn remove_image(&self, effect: u64) -> Result<(), ImageError> {
        if let Some(run) = self.images.open_dir_if_there(&self.run)? {
            run.remove_file(&effect.to_string())?;
        }
        Ok(())
    }

    /// How many flushes these images have asked for.
    pub fn flushes(&self) -> u64 {
        self.flushes.load(Ordering::Relaxed)
    }
}
