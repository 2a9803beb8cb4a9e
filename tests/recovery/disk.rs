//! The disk is full, or read-only, or the clock was set back, when a run that was killed is to end.

use super::{Original, Rehearsal, kill::sweep};
use crate::support::{
    Ran,
    mounts::{mount, with_tmpfs},
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
};

/// Takes every byte that is left.
fn fill(folder: &Path) {
    let path = folder.join("filler");
    let mut filler = OpenOptions::new().create(true).append(true).open(path).expect("filler");
    let stat = rustix::fs::statvfs(folder).expect("statvfs");
    let have = filler.metadata().expect("metadata").len();
    let _ = rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), have, stat.f_bavail * stat.f_frsize);
    while filler.write_all(&[0; 4096]).is_ok() {}
    assert_eq!(rustix::fs::statvfs(folder).expect("statvfs").f_bavail, 0);
}

/// Kills `apply` at some points, has `trouble` come, tries to go on or back, has it end, and tries again. How often the
/// trouble was in the way.
fn troubled(name: &str, folder: &Path, says: &[&str], trouble: impl Fn(), no_trouble: impl Fn()) {
    let original = Original::of_1_3();
    let mut met = 0;
    let swept = sweep(
        (2, 5),
        || original.copy_in(folder),
        |site, point| site.unship(["apply", "1.3", "--yes", "--inject", point]),
        |site, count| {
            let args = if count.is_multiple_of(2) { &["resume"][..] } else { &["resume", "--undo"] };
            trouble();
            let ran = site.unship(args);
            no_trouble();
            met += usize::from(told(&ran, says));
            ends(site, &ran, args);
        },
    );
    eprintln!("{name}: {} points, in the way at {met}", swept.points);
    assert!(swept.wrong.is_empty(), "{name}: wrong at {:#?}", swept.wrong);
    assert!(swept.points > 10 && met > 5, "{name}: {} points, in the way at {met}", swept.points);
}

/// Whether it met the trouble, which it says then.
fn told(ran: &Ran, says: &[&str]) -> bool {
    let all = format!("{}{}", ran.stdout, ran.stderr);
    let told = says.iter().any(|text| all.contains(text));
    assert!(told || ran.status == Some(0), "{:?} without a reason:\n{all}", ran.status);
    assert!(matches!(ran.status, Some(0 | 1 | 3 | 4 | 5)), "{:?}:\n{all}", ran.status);
    told
}

/// Once there is room again, what is left to do is done, and the journal's word is true.
fn ends(site: &Rehearsal, troubled: &Ran, args: &[&str]) {
    let outcome = site.runs()["outcome"].clone();
    if outcome.is_null() {
        let ran = site.unship(args);
        assert!(matches!(ran.status, Some(0 | 4)), "{}\nbefore:\n{}", ran.stderr, troubled.stderr);
    } else if outcome == "Stuck" {
        let _ = site.unship(["undo", &site.run()]).exits(0);
    }
    match site.runs()["outcome"].as_str() {
        Some("Undone") => site.is_as_before(),
        Some("Succeeded") => site.is_applied(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    with_tmpfs("a full disk", 256 << 20, |folder| {
        // The service has no room for its pid file; its start command is named, but its output is not kept.
        let service = "the start command of the service: `bin/practice-analytics` ended with status 1";
        let says = ["No space left", "file system or quota is full", service];
        troubled("full", folder, &says, || fill(folder), || fs::remove_file(folder.join("filler")).expect("removed"));
    });
}

#[test]
fn a_read_only_disk_is_told_and_nothing_is_lost() {
    with_tmpfs("a read-only disk", 256 << 20, |folder| {
        // The service writes through the mount below, so that this one can be made read-only while it runs.
        let path = folder.to_str().expect("UTF-8");
        let trouble = || {
            mount(Some(path), folder, libc::MS_BIND, "").expect("bound");
            mount(None, folder, libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY, "").expect("read-only");
        };
        let no_trouble = || {
            let target = std::ffi::CString::new(path).expect("no NUL");
            // SAFETY: the pointer is to a NUL-terminated text that outlives the call.
            let failed = unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) };
            assert_eq!(failed, 0, "unmounted");
        };
        troubled("read-only", folder, &["read-only", "Read-only"], trouble, no_trouble);
    });
}

/// A year before the kernel's clock.
const SET_BACK: &str = "
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    if (!failed && id == CLOCK_REALTIME) now->tv_sec -= 365 * 24 * 60 * 60;
    return failed;
}
";

#[test]
fn a_clock_that_was_set_back_keeps_nobody_from_going_back() {
    let original = Original::of_1_3();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (source, library) = (folder.path().join("clock.c"), folder.path().join("clock.so"));
    fs::write(&source, SET_BACK).expect("written");
    match Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status() {
        Ok(status) if status.success() => {}
        other => return println!("skipped, the clock: this machine has no C compiler ({other:?})"),
    }
    let back = |site: &Rehearsal, args: &[&str]| Ran::of(site.command(args).env("LD_PRELOAD", &library));
    let times = |site: &Rehearsal| -> Vec<u64> {
        let lines = site.unship(["journal", "show", "--json"]).exits(0).json();
        lines.iter().filter_map(|line| line["record"]["at_ms"].as_u64().or(line["at_ms"].as_u64())).collect()
    };
    let swept = sweep(
        (1, 5),
        || original.copy(),
        |site, point| site.unship(["apply", "1.3", "--yes", "--inject", point]),
        |site, count| {
            let ended = !site.runs()["outcome"].is_null();
            let untrusted = "the clock is not to be trusted";
            if count.is_multiple_of(2) || ended {
                // Going on runs signed code, and with such a clock nobody knows whose signature has expired.
                if !ended {
                    let _ = back(site, &["resume"]).exits(3).says(untrusted);
                }
                let _ = site.unship(["resume"]).exits(0);
                site.is_applied();
                let _ = back(site, &["undo", &site.run()]).exits(0);
            } else {
                let _ = back(site, &["resume", "--undo"]).exits(0);
            }
            site.is_as_before();
            assert!(times(site).windows(2).any(|pair| pair[1] < pair[0]), "{:?}", times(site));
            for verb in [&["runs"][..], &["show", &site.run()], &["journal", "verify"]] {
                let _ = site.unship(verb).exits(0);
                let _ = back(site, verb).exits(0);
            }
            let _ = back(site, &["apply", "1.3", "--yes"]).exits(3).says(untrusted);
            let _ = site.unship(["apply", "1.3", "--yes"]).exits(0).prints("Succeeded, Recovered");
            let _ = site.unship(["journal", "verify"]).exits(0);
        },
    );
    eprintln!("clock set back: {} points", swept.points);
    assert!(swept.wrong.is_empty(), "wrong at {:#?}", swept.wrong);
    assert!(swept.points > 10);
}
