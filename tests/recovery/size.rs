//! What is set aside or cleared is renamed, so that its size does not matter, neither there nor back.

use super::{Original, Rehearsal};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    time::{Duration, Instant},
};

fn timed(site: &Rehearsal) -> (Duration, Duration) {
    let began = Instant::now();
    let _ = site.apply();
    let applied = began.elapsed();
    let run = site.run();
    let began = Instant::now();
    let _ = site.unship(["undo", &run]).exits(0);
    let undone = began.elapsed();
    site.is_as_before();
    (applied, undone)
}

#[test]
fn taking_back_20_000_files_and_5_gb_takes_as_long_as_a_few() {
    let original = Original::of_1_3();
    // The best of five: others use the machine too.
    let measure = |prepare: &dyn Fn(&mut Rehearsal)| {
        let all = [(); 5].map(|()| {
            let mut site = original.copy();
            prepare(&mut site);
            // What laying it out costs is none of the run's.
            rustix::fs::syncfs(File::open(site.path()).expect("the site")).expect("on disk");
            timed(&site)
        });
        (all.map(|(applied, _)| applied).into_iter().min(), all.map(|(_, undone)| undone).into_iter().min())
    };
    let small = measure(&|_| {});
    let large = measure(&|site| {
        let huge = File::create(site.at(".duckdb/huge")).expect("created");
        huge.set_len(5 << 30).expect("long");
        huge.write_all_at(b"data", 3 << 30).expect("written");
        for folder in 0..20 {
            let folder = site.at(&format!(".cache/queries/{folder}"));
            fs::create_dir(&folder).expect("a folder");
            for file in 0..1000 {
                fs::write(folder.join(file.to_string()), "").expect("written");
            }
        }
        site.begins_here();
    });
    let ratio = |large: Option<Duration>, small: Option<Duration>| {
        large.expect("five").as_secs_f64() / small.expect("five").as_secs_f64()
    };
    let (applied, undone) = (ratio(large.0, small.0), ratio(large.1, small.1));
    eprintln!("20,000 files and 5 GB: ratio {applied:.2} of apply {small:?}, ratio {undone:.2} of undo");
    assert!(undone < 3.0, "undo: {large:?}, not {small:?}");
    assert!(applied < 10.0, "apply: {large:?}, not {small:?}");
}
