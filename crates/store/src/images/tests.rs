//! Images and slots: round trips on real files, limits, interrupted saves.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use rustix::fs::{FallocateFlags, RenameFlags, SeekFrom};

use super::*;

const MIB: u64 = 1 << 20;

struct Fixture {
    folder: tempfile::TempDir,
    limit: Arc<SpaceLimit>,
}

impl Fixture {
    fn new(bytes_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["trash", "images"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder, limit: Arc::new(SpaceLimit::new(bytes_max, 0)) }
    }

    fn run(&self) -> RunImages {
        let dir = |name| Dir::open(&self.path(name)).unwrap();
        RunImages::open(dir("trash"), dir("images"), SiteId::new([7; 16]), "r1", Arc::clone(&self.limit)).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, content: &[u8]) -> File {
        fs::write(self.path("file"), content).unwrap();
        File::options().read(true).write(true).open(self.path("file")).unwrap()
    }
}

/// All that a restoration promises.
#[derive(Debug, PartialEq, Eq)]
struct State {
    content: Vec<u8>,
    mode: u32,
    mtime: (i64, i64),
    data: Vec<(u64, u64)>,
}

impl State {
    fn of(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let metadata = file.metadata().unwrap();
        let mut data = Vec::new();
        let mut at = 0;
        while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(at)) {
            at = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap();
            data.push((start, at));
        }
        Self {
            content: fs::read(path).unwrap(),
            mode: metadata.mode(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            data,
        }
    }
}

#[test]
fn brings_back_bytes_holes_length_mode_and_time() {
    let fixture = Fixture::new(64 * MIB);
    let file = fixture.file(&[7; 300_000]);
    file.set_len(3 * MIB).unwrap();
    file.write_all_at(&[8; 10], 2 * MIB).unwrap();
    file.set_permissions(Permissions::from_mode(0o4750)).unwrap();
    let before = State::of(&fixture.path("file"));
    assert_eq!(before.mode & 0o7777, 0o4750);

    let run = fixture.run();
    let mut image = run.range_image(1, &file).unwrap();
    // In data, in a hole, across both, beyond the end, then a cut that takes the rest off.
    for (offset, len) in [(100, 10), (MIB, 5), (290_000, 20_000), (4 * MIB, 5), (70_000, 3 * MIB)] {
        image.save_before_write(&file, offset, len).unwrap();
        file.write_all_at(&vec![b'x'; len as usize], offset).unwrap();
    }
    assert!(image.bytes() < 2 * MIB, "holes cost {} bytes", image.bytes());
    file.set_len(1000).unwrap();
    drop(image);
    assert_ne!(State::of(&fixture.path("file")), before);

    let reader = run.image(1).unwrap().unwrap();
    let restored = reader.restore(&file).unwrap();
    assert!(restored.data_bytes >= 300_000 && restored.hole_bytes > MIB, "{restored:?}");
    assert_eq!(State::of(&fixture.path("file")), before);
    // Again, after the first time was perhaps interrupted.
    reader.restore(&file).unwrap();
    assert_eq!(State::of(&fixture.path("file")), before);
    assert!(run.image(2).unwrap().is_none());
}

#[test]
fn many_small_writes_cost_one_flush_per_block() {
    let fixture = Fixture::new(64 * MIB);
    let file = fixture.file(&[7; 128 << 10]);
    let run = fixture.run();
    let mut image = run.range_image(1, &file).unwrap();
    let saves = (0..1000).filter(|at| image.save_before_write(&file, at * 131, 10).unwrap()).count();
    assert_eq!(saves, 2);
    // The image once per save, and the two directories above it once.
    assert_eq!(run.flushes(), 2 + 2);
    assert!(!image.save_before_write(&file, 1 << 40, u64::MAX).unwrap());
    assert!(!image.save_before_write(&file, 0, 0).unwrap());
    assert!(matches!(run.range_image(1, &file), Err(ImageError::Io(_))));
}

#[test]
fn counts_space_and_refuses_before_it_is_used_up() {
    let fixture = Fixture::new(200_000);
    let file = fixture.file(&[7; 400_000]);
    let run = fixture.run();
    let mut image = run.range_image(1, &file).unwrap();
    assert!(image.save_before_write(&file, 0, 100_000).unwrap());
    let saved = fixture.limit.saved();
    assert_eq!(saved, image.bytes());
    assert_eq!(saved, fs::metadata(image.path()).unwrap().len());
    let error = image.save_before_write(&file, 200_000, 100_000).unwrap_err();
    assert!(matches!(error, ImageError::OverLimit { bytes_max: 200_000, .. }), "{error}");
    // The refusal took nothing, and what fits still goes.
    assert_eq!(fixture.limit.saved(), saved);
    assert!(!image.save_before_write(&file, 5, 5).unwrap());
}

#[test]
fn a_file_that_shrinks_meanwhile_is_told() {
    let fixture = Fixture::new(MIB);
    let file = fixture.file(&[7; 100_000]);
    let mut image = fixture.run().range_image(1, &file).unwrap();
    file.set_len(10).unwrap();
    assert!(matches!(image.save_before_write(&file, 0, 5), Err(ImageError::Shrunk { .. })));
}

/// An image of one save, cut or changed at each sector: before the write that it was for, restoring leaves the file as
/// it is; after it, restoring brings it back or refuses and changes nothing.
#[test]
fn interrupted_and_damaged_images() {
    let fixture = Fixture::new(MIB);
    let original: Vec<u8> = (0..5000_u32).map(|at| at as u8 | 1).collect();
    let file = fixture.file(&original);
    let run = fixture.run();
    let mut image = run.range_image(1, &file).unwrap();
    image.save_before_write(&file, 0, 5000).unwrap();
    let path = image.path().to_owned();
    let whole = fs::read(&path).unwrap();
    let written = vec![b'x'; 5000];
    for sector in 0..whole.len() / 512 {
        let mut holed = whole.clone();
        holed[sector * 512..(sector + 1) * 512].fill(0);
        for torn in [whole[..sector * 512].to_vec(), whole[..sector * 512 + 100].to_vec(), holed] {
            fs::write(&path, &torn).unwrap();
            file.write_all_at(&original, 0).unwrap();
            if let Some(reader) = run.image(1).unwrap_or(None) {
                reader.restore(&file).unwrap();
            }
            assert_eq!(fs::read(fixture.path("file")).unwrap(), original, "{sector}");
        }
        let mut flipped = whole.clone();
        flipped[sector * 512 + 5] ^= 1;
        fs::write(&path, &flipped).unwrap();
        file.write_all_at(&written, 0).unwrap();
        let refused = run.image(1).and_then(|reader| reader.unwrap().restore(&file)).unwrap_err();
        assert!(matches!(refused, ImageError::Damaged { .. }), "{sector}: {refused}");
        assert_eq!(fs::read(fixture.path("file")).unwrap(), written);
    }
}

#[test]
fn the_trash_takes_things_by_rename() {
    let fixture = Fixture::new(0);
    fs::create_dir(fixture.path("cache")).unwrap();
    fs::write(fixture.path("cache/.hidden"), "h").unwrap();
    let inode = fs::metadata(fixture.path("cache")).unwrap().ino();
    let run = fixture.run();
    assert!(run.trash_if_there().unwrap().is_none());
    let trash = run.trash().unwrap();
    let site = Dir::open(fixture.folder.path()).unwrap();
    let take = || rustix::fs::renameat_with(&site, "cache", trash.dir(), "12", RenameFlags::NOREPLACE);
    take().unwrap();
    trash.flush().unwrap();
    trash.flush().unwrap();
    assert_eq!(run.flushes(), 3, "its parent is flushed once");
    assert_eq!(trash.path(), fixture.path("trash/r1"));
    assert_eq!(fs::metadata(trash.path().join("12")).unwrap().ino(), inode);
    assert_eq!(fs::metadata(trash.path()).unwrap().mode() & 0o777, 0o700);
    // The same trash again, after a restart.
    assert!(fs::read(run.trash_if_there().unwrap().unwrap().path().join("12/.hidden")).is_ok());
    let id = SiteId::new([7; 16]);
    assert!(RunImages::open(site.try_clone().unwrap(), site, id, "../r", Arc::clone(&fixture.limit)).is_err());
}

#[test]
fn a_trash_elsewhere_does_not_show_and_is_private() {
    let fixture = Fixture::new(0);
    let (run, home) = (fixture.run(), fixture.path("home"));
    fs::create_dir(&home).unwrap();
    let before = fs::metadata(&home).unwrap().modified().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let opened = File::open(&home).unwrap();
    let elsewhere = |make| run.trash_elsewhere(std::os::fd::AsFd::as_fd(&opened), &home, ".bin", make);
    assert!(elsewhere(false).unwrap().is_none());
    let made = elsewhere(true).unwrap().unwrap();
    assert_eq!(made.path(), home.join(".bin").join("07".repeat(16)).join("r1"));
    made.flush().unwrap();
    assert_eq!(fs::metadata(&home).unwrap().modified().unwrap(), before);
    assert!(elsewhere(false).unwrap().is_some());
    fs::set_permissions(home.join(".bin"), Permissions::from_mode(0o755)).unwrap();
    let refused = elsewhere(true).unwrap_err().to_string();
    assert!(refused.contains("chmod go="), "{refused}");
}

/// One change that a guest can make in place.
#[derive(Debug, Clone)]
enum Change {
    Write(u64, u16),
    Cut(u64),
    Punch(u64, u64),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (0_u64..400_000, any::<u16>()).prop_map(|(at, len)| Change::Write(at, len)),
        (0_u64..400_000).prop_map(Change::Cut),
        (0_u64..300_000, 1_u64..100_000).prop_map(|(at, len)| Change::Punch(at, len)),
    ];
    prop::collection::vec(change, 1..8)
}

fn apply(change: &Change, file: &File, image: &mut RangeImage) {
    match *change {
        Change::Write(at, len) => {
            image.save_before_write(file, at, u64::from(len)).unwrap();
            file.write_all_at(&vec![0xee; usize::from(len)], at).unwrap();
        }
        Change::Cut(at) => {
            image.save_before_write(file, at, u64::MAX).unwrap();
            file.set_len(at).unwrap();
        }
        Change::Punch(at, len) => {
            image.save_before_write(file, at, len).unwrap();
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(file, flags, at, len).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_changes_are_taken_back(
        parts in prop::collection::vec((any::<bool>(), 1_usize..120_000), 0..5),
        changes in changes(),
    ) {
        let fixture = Fixture::new(64 * MIB);
        let file = fixture.file(&[]);
        let mut end = 0;
        for (data, len) in parts {
            if data {
                file.write_all_at(&vec![0x55; len], end).unwrap();
            }
            end += len as u64;
            file.set_len(end).unwrap();
        }
        let before = State::of(&fixture.path("file"));
        let run = fixture.run();
        let mut image = run.range_image(9, &file).unwrap();
        for change in &changes {
            apply(change, &file, &mut image);
        }
        drop(image);
        run.image(9).unwrap().unwrap().restore(&file).unwrap();
        let after = State::of(&fixture.path("file"));
        prop_assert!(after.content == before.content, "the content differs");
        prop_assert_eq!(State { content: vec![], ..after }, State { content: vec![], ..before });
    }
}
