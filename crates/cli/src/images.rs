//! The store's before-images behind the port of `host`. The tests of `host` include this file, so that what they prove is
//! true of what is shipped.

use rustix::fd::AsFd;
use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use unship_host::{
    gate::{Images, RangeImage},
    tree::trash::{Mount, TRASH, TrashDir, TrashHome},
};
use unship_rollback::RunId;
use unship_store::{ImageError, RunImages, RunTrash, SiteStore, SpaceLimit};

/// The before-images of one run as the port. Clones share what is opened.
#[derive(Clone)]
pub struct StoreImages(Arc<Mutex<Kept>>);

struct Kept {
    images: RunImages,
    store: PathBuf,
    trashes: BTreeMap<Mount, Trash>,
}

struct Trash {
    kept: RunTrash,
    opened: TrashDir,
    /// Something was moved since the last flush.
    changed: bool,
}

impl StoreImages {
    /// The images of `run`, which take `limit` bytes at most.
    ///
    /// # Errors
    /// What is wrong with the store.
    pub fn open(store: &SiteStore, run: &RunId, limit: u64) -> Result<StoreImages, ImageError> {
        let images = store.run_images(run.as_str(), Arc::new(SpaceLimit::new(limit, 0)))?;
        let kept = Kept { images, store: store.path().to_owned(), trashes: BTreeMap::new() };
        Ok(StoreImages(Arc::new(Mutex::new(kept))))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn trash(&mut self, home: &TrashHome, is_here: bool, make: bool) -> Result<Option<TrashDir>, ImageError> {
        if let Some(trash) = self.trashes.get_mut(&home.mount) {
            trash.changed = true;
            return Ok(Some(trash.opened.clone()));
        }
        let shown = PathBuf::from(home.place.to_string());
        let kept = match (is_here, make) {
            (true, true) => Some(self.images.trash()?),
            (true, false) => self.images.trash_if_there()?,
            (false, make) => self.images.trash_elsewhere(home.dir.as_fd(), &shown, TRASH, make)?,
        };
        let Some(kept) = kept else { return Ok(None) };
        let at = match kept.path().strip_prefix(&self.store) {
            Ok(inside) => format!(".unship/{}", inside.display()),
            Err(_) => kept.path().display().to_string(),
        };
        let dir = kept.dir().try_clone_to_owned().map_err(|e| ImageError::opening(kept.path(), e))?;
        let opened = TrashDir { dir: Arc::new(dir), at };
        self.trashes.insert(home.mount, Trash { kept, opened: opened.clone(), changed: true });
        Ok(Some(opened))
    }
}

impl Images for StoreImages {
    fn trash(&mut self, home: &TrashHome, is_here: bool) -> Result<TrashDir, String> {
        let opened = self.lock().trash(home, is_here, true).map_err(|e| format!("failed to {e}"))?;
        opened.ok_or_else(|| "the trash cannot be made".to_owned())
    }

    fn trash_if_there(&mut self, home: &TrashHome, is_here: bool) -> Result<Option<TrashDir>, String> {
        self.lock().trash(home, is_here, false).map_err(|e| format!("failed to {e}"))
    }

    fn restore(&mut self, effect: u64, file: &File) -> Result<bool, String> {
        let kept = self.lock();
        let restored = kept.images.image(effect).and_then(|image| {
            let Some(image) = image else { return Ok(false) };
            image.restore(file)?;
            kept.images.remove_image(effect).map(|()| true)
        });
        restored.map_err(|e| format!("failed to {e}"))
    }

    fn ranges(&mut self, effect: u64, file: &File) -> Result<Box<dyn RangeImage>, String> {
        let kept = self.lock();
        let image = kept.images.range_image(effect, file).map_err(|e| format!("failed to {e}"))?;
        let path = image.path();
        let at = format!(".unship/{}", path.strip_prefix(&kept.store).unwrap_or(path).display());
        Ok(Box::new(StoreRange { image, at }))
    }

    fn flush(&mut self) -> Result<(), String> {
        for trash in self.lock().trashes.values_mut() {
            if std::mem::take(&mut trash.changed) {
                trash.kept.flush().map_err(|e| format!("failed to {e}"))?;
            }
        }
        Ok(())
    }
}

struct StoreRange {
    image: unship_store::RangeImage,
    at: String,
}

impl RangeImage for StoreRange {
    fn save_before_write(&mut self, file: &File, offset: u64, len: u64) -> Result<(), String> {
        self.image.save_before_write(file, offset, len).map(drop).map_err(|e| format!("failed to {e}"))
    }

    fn at(&self) -> String {
        self.at.clone()
    }
}
