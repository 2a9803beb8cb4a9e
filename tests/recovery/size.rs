//! What is set aside or cleared is renamed, so that its size does not matter, neither there nor back.

use super::{Original, Rehearsal};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

/// Times there and back on one site, of which the best counts: others use the machine too.
struct Timed {
    site: Rehearsal,
    applied: Duration,
    undone: Duration,
}

impl Timed {
    fn new(site: Rehearsal) -> Timed {
        // What laying it out costs is none of the run's.
        rustix::fs::syncfs(File::open(site.path()).expect("the site")).expect("on disk");
        Timed { site, applied: Duration::MAX, undone: Duration::MAX }
    }

    fn once_more(&mut self) {
        let began = Instant::now();
        let _ = self.site.apply();
        self.applied = self.applied.min(began.elapsed());
        let runs = self.site.unship(["runs", "--json"]).exits(0).summary();
        let began = Instant::now();
        let _ = self.site.unship(["undo", runs["run"].as_str().expect("an id")]).exits(0);
        self.undone = self.undone.min(began.elapsed());
    }
}

#[test]
fn taking_back_20_000_files_and_5_gb_takes_as_long_as_a_few() {
    let original = Original::of_1_3();
    let mut small = Timed::new(original.copy());
    let mut site = original.copy();
    let huge = File::create(site.at(".duckdb/huge")).expect("created");
    huge.set_len(5 << 30).expect("long");
    huge.write_all_at(b"data", 3 << 30).expect("written");
    // Who holds it would be in the way.
    drop(huge);
    for folder in 0..20 {
        let folder = site.at(&format!(".cache/queries/{folder}"));
        fs::create_dir(&folder).expect("a folder");
        for file in 0..1000 {
            fs::write(folder.join(file.to_string()), "").expect("written");
        }
    }
    site.begins_here();
    let mut large = Timed::new(site);
    // In turn, so that whatever else the machine does hits both alike.
    for _ in 0..8 {
        small.once_more();
        large.once_more();
    }
    small.site.is_as_before();
    large.site.is_as_before();
    let ratio = |large: Duration, small: Duration| large.as_secs_f64() / small.as_secs_f64();
    let (applied, undone) = (ratio(large.applied, small.applied), ratio(large.undone, small.undone));
    eprintln!("20,000 files and 5 GB: ratio {applied:.2} of apply, ratio {undone:.2} of undo");
    // To touch each of the files once takes longer than all the rest of a run.
    assert!(undone < 4.0, "undo: {:?}, not {:?}", large.undone, small.undone);
    assert!(applied < 10.0, "apply: {:?}, not {:?}", large.applied, small.applied);
}
