//! What is set aside or cleared is renamed, so that its size does not matter, neither there nor back.

use super::{Original, Rehearsal};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

/// The best of five times there and back on one site: others use the machine too.
fn timed(site: &Rehearsal) -> (Duration, Duration) {
    // What laying it out costs is none of the run's.
    rustix::fs::syncfs(File::open(site.path()).expect("the site")).expect("on disk");
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let began = Instant::now();
        let _ = site.apply();
        best.0 = best.0.min(began.elapsed());
        let runs = site.unship(["runs", "--json"]).exits(0).summary();
        let began = Instant::now();
        let _ = site.unship(["undo", runs["run"].as_str().expect("an id")]).exits(0);
        best.1 = best.1.min(began.elapsed());
    }
    site.is_as_before();
    best
}

#[test]
fn taking_back_20_000_files_and_5_gb_takes_as_long_as_a_few() {
    let original = Original::of_1_3();
    let small = timed(&original.copy());
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
    let large = timed(&site);
    let ratio = |large: Duration, small: Duration| large.as_secs_f64() / small.as_secs_f64();
    let (applied, undone) = (ratio(large.0, small.0), ratio(large.1, small.1));
    eprintln!("20,000 files and 5 GB: ratio {applied:.2} of apply {small:?}, ratio {undone:.2} of undo");
    assert!(undone < 3.0, "undo: {large:?}, not {small:?}");
    assert!(applied < 10.0, "apply: {large:?}, not {small:?}");
}
