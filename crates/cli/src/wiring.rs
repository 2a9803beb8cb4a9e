//! The store and this machine behind the ports of `rollback` and `host`.

use rustix::fd::{AsFd, BorrowedFd};
use std::{
    fs::File,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use unship_host::{
    gate::{Images, RangeImage},
    tree::TrashSlot,
};
use unship_rollback::{Clock, Durability, JournalFailure, JournalStore, Record, RunId};
use unship_store::{Journal, RunImages, SiteStore, SpaceLimit};

/// The journal of the store as the port.
pub struct StoreJournal(pub Arc<Journal>);

impl JournalStore for StoreJournal {
    fn append(&mut self, records: &[Record], durability: Durability) -> Result<(), JournalFailure> {
        let lines: Result<Vec<Vec<u8>>, _> = records.iter().map(serde_json::to_vec).collect();
        let lines = lines.map_err(|e| JournalFailure(e.to_string()))?;
        let durability = match durability {
            Durability::Flushed => unship_store::Durability::Flush,
            Durability::Lazy => unship_store::Durability::Lazy,
        };
        self.0.append(lines, durability).map(drop).map_err(|e| JournalFailure(e.to_string()))
    }
}

/// This machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A new run's id.
///
/// # Errors
/// When the system has no random numbers.
pub fn new_run_id(now_ms: u64) -> Result<RunId, String> {
    let mut random = [0u8; 2];
    getrandom::fill(&mut random).map_err(|e| e.to_string())?;
    let time = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let time = time.ok_or("the clock is out of range")?.strftime("%Y%m%dt%H%M%Sz");
    RunId::new(&format!("r{time}-{:02x}{:02x}", random[0], random[1]))
        .ok_or_else(|| "a run's id has no form".to_owned())
}

/// The before-images of one run as the port.
pub struct StoreImages {
    images: RunImages,
    store: std::path::PathBuf,
    slots: Vec<unship_store::TrashSlot>,
}

/// Where a kept thing lies in its slot.
const KEPT: &str = "kept";

impl StoreImages {
    /// The images of `run`.
    ///
    /// # Errors
    /// A sentence.
    pub fn open(store: &SiteStore, run: &RunId, limit: Arc<SpaceLimit>) -> Result<StoreImages, String> {
        let images = store.run_images(run.as_str(), limit).map_err(|e| e.to_string())?;
        Ok(StoreImages { images, store: store.path().to_owned(), slots: Vec::new() })
    }

    fn shown(&self, path: &std::path::Path) -> String {
        path.strip_prefix(&self.store).unwrap_or(path).display().to_string()
    }
}

impl Images for StoreImages {
    fn trash(&mut self, effect: u64, near: BorrowedFd<'_>) -> Result<TrashSlot, String> {
        let slot = self.images.trash_slot(effect).map_err(|e| e.to_string())?;
        let device = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|s| s.st_dev).map_err(|e| e.to_string());
        if device(near)? != device(slot.dir())? {
            return Err(
                "it lies on another file system than the site, so no before-image can be kept by a rename".to_owned()
            );
        }
        let dir = slot.dir().try_clone_to_owned().map_err(|e| e.to_string())?;
        let at = format!("{}/{KEPT}", self.shown(slot.path()));
        self.slots.push(slot);
        Ok(TrashSlot { dir, name: KEPT.into(), at })
    }

    fn ranges(&mut self, effect: u64, file: &File) -> Result<Box<dyn RangeImage>, String> {
        let image = self.images.range_image(effect, file).map_err(|e| e.to_string())?;
        let at = self.shown(image.path());
        Ok(Box::new(StoreRange { image, at }))
    }

    fn flush(&mut self) -> Result<(), String> {
        self.slots.drain(..).try_for_each(|slot| slot.flush().map_err(|e| e.to_string()))
    }
}

struct StoreRange {
    image: unship_store::RangeImage,
    at: String,
}

impl RangeImage for StoreRange {
    fn save_before_write(&mut self, file: &File, offset: u64, len: u64) -> Result<(), String> {
        self.image.save_before_write(file, offset, len).map(drop).map_err(|e| e.to_string())
    }

    fn at(&self) -> String {
        self.at.clone()
    }
}

/// Bytes that may still be written on the file system of `dir`.
pub fn free_bytes(dir: &std::path::Path) -> std::io::Result<u64> {
    let file = File::open(dir)?;
    let stat = rustix::fs::fstatvfs(file.as_fd())?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
