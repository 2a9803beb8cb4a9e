//! A file far larger than what is in it: nothing may read or copy its holes.

use crate::{
    property::site_in,
    runs::{End, Killer, Tape, Way},
    steps::Op,
    trees::{difference, look},
};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};
use unship_rollback::Outcome;

#[test]
fn five_gigabytes_of_holes_come_back_in_no_time() {
    const SIZE: u64 = 5 << 30;
    let open = Op::Open { path: 3, create: false, truncate: false, follow: false };
    let write = |at| Op::Write { handle: 0, at, size: 70_000, seed: 5 };
    let cases = [
        ("set-aside", vec![Op::SetAside { path: 3 }]),
        ("cleared", vec![Op::Clear { path: 2 }]),
        ("written", vec![open.clone(), write(7), write(1 << 30), write((3 << 30) + 5), write(u32::MAX)]),
        ("cut", vec![open.clone(), Op::SetSize { handle: 0, size: 12_345 }]),
        ("emptied", vec![Op::Put { path: 3, size: 4, seed: 1 }]),
        ("emptied-in-use", vec![open, Op::Put { path: 3, size: 4, seed: 1 }]),
        ("removed", vec![Op::Unlink { path: 3 }]),
    ];
    // On a file system of the disk: extents are another thing than pages.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    for (name, steps) in cases {
        let begun = Instant::now();
        let mut site = site_in(folder.path(), name, &Vec::new(), &[steps]);
        fs::create_dir(site.root.join("d")).expect("a directory");
        let file = File::create(site.root.join("d/a")).expect("a file");
        file.set_len(SIZE).expect("a hole");
        for at in [0, 9 << 20, (1 << 30) + 3, SIZE - 10] {
            file.write_all_at(b"something", at).expect("written");
        }
        file.sync_all().expect("on disk");
        let original = look(&site.root);
        let plan = site.plan(folder.path()).expect("a plan");
        let tape = Tape::default();
        for (way, wanted) in [(Way::Execute(&plan), Outcome::Succeeded), (Way::Undo(Vec::new()), Outcome::Undone)] {
            let End::Ended { report, wrong } = site.attempt(&tape, way, &Killer::at(0)) else { panic!("{name}") };
            assert_eq!(wrong, None, "{name}");
            assert_eq!(report.state.ended().map(|ended| ended.0), Some(wanted), "{name}: {:?}", report.state.ended());
        }
        difference(&original, &look(&site.root)).unwrap_or_else(|e| panic!("{name}:\n{e}"));
        assert!(begun.elapsed() < Duration::from_secs(5), "{name} took {:?}", begun.elapsed());
    }
}
