//! Another process changes names between the gate's look and its use.

use super::{BOX, Does, Does::Std, PUB, Who, run, story, tree};
use crate::support::{Ran, Site};
use std::{
    fs,
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// Swaps two names of `site`, over and over, while `then` runs.
fn while_swapping(site: &Site, one: &str, other: &str, then: impl FnOnce()) {
    let (done, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    let (one, other) = (site.at(one), site.at(other));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (cwd, exchange) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                if rustix::fs::renameat_with(cwd, &one, cwd, &other, exchange).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        while swaps.load(Ordering::Relaxed) == 0 {
            std::hint::spin_loop();
        }
        // However `then` ends, the thread must.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(then));
        done.store(true, Ordering::Relaxed);
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic);
        }
    });
}

fn repeated(operation: &str, times: usize) -> Does {
    Std(vec![operation; times].join(" -- ").leak())
}

fn shows_no_secret(ran: &Ran) {
    assert!(!ran.stdout.contains("ok \\\"secret") && !ran.stderr.contains("ok \"secret"), "{ran:?}");
    assert!(matches!(ran.status, Some(0 | 3 | 4 | 5 | 6)), "{ran:?}");
}

/// A granted file and a symlink to a secret.
#[test]
fn a_file_swapped_for_a_symlink_is_not_followed() {
    let site = tree();
    site.write("pub/swapped", "harmless");
    symlink("../secret.txt", site.at("pub/swap-with")).expect("link");
    story(&site, repeated("read pub/swapped", 100), PUB);
    while_swapping(&site, "pub/swapped", "pub/swap-with", || {
        for _ in 0..8 {
            shows_no_secret(&run(&site, Who::Me, &["plan", "1", "--json"]));
            shows_no_secret(&run(&site, Who::Me, &["apply", "1", "--yes", "--json"]));
        }
    });
    let _ = run(&site, Who::Me, &["journal", "verify"]).exits(0);
}

/// A directory on the way and a symlink to a directory of secrets.
#[test]
fn a_directory_swapped_for_a_symlink_is_not_followed() {
    let site = tree();
    site.write("pub/dir/one.txt", "harmless");
    symlink("../secrets", site.at("pub/dir-with")).expect("link");
    story(&site, repeated("read pub/dir/one.txt", 100), PUB);
    while_swapping(&site, "pub/dir", "pub/dir-with", || {
        for _ in 0..8 {
            shows_no_secret(&run(&site, Who::Me, &["plan", "1", "--json"]));
            shows_no_secret(&run(&site, Who::Me, &["apply", "1", "--yes", "--json"]));
        }
    });
}

/// What is written lands in the file that was judged, or nowhere: never behind the symlink.
#[test]
fn a_write_does_not_go_through_a_swapped_symlink() {
    let site = tree();
    site.write("box/swapped", "harmless");
    site.write("secrets/two.txt", "secret");
    symlink("../secrets/two.txt", site.at("box/swap-with")).expect("link");
    for operation in ["overwrite box/swapped X", "write box/swapped X", "setlen box/swapped 0", "chtimes box/swapped 5"]
    {
        story(&site, Std(vec![operation; 20].join(" -- ").leak()), BOX);
        while_swapping(&site, "box/swapped", "box/swap-with", || {
            for _ in 0..6 {
                shows_no_secret(&run(&site, Who::Me, &["apply", "1", "--yes", "--json"]));
            }
        });
        assert_eq!(site.read("secrets/two.txt"), "secret", "{operation}");
        assert_ne!(
            fs::metadata(site.at("secrets/two.txt")).expect("metadata").modified().expect("time"),
            std::time::UNIX_EPOCH + std::time::Duration::from_secs(5)
        );
        // A run may have ended stuck with the symlink where the file was; the next operation starts afresh.
        for name in ["box/swapped", "box/swap-with"] {
            let _ = fs::remove_file(site.at(name));
        }
        site.write("box/swapped", "harmless");
        symlink("../secrets/two.txt", site.at("box/swap-with")).expect("link");
    }
    assert_eq!(fs::read_to_string(site.outside().join("outside.txt")).expect("there"), "outside");
}

/// A granted file and a FIFO: whatever is opened, nothing blocks.
#[test]
fn a_file_swapped_for_a_fifo_never_blocks() {
    let site = tree();
    site.write("box/swapped", "harmless");
    story(&site, repeated("read box/swapped", 100), BOX);
    while_swapping(&site, "box/swapped", "box/fifo", || {
        for _ in 0..4 {
            shows_no_secret(&run(&site, Who::Me, &["plan", "1", "--json"]));
            shows_no_secret(&run(&site, Who::Me, &["apply", "1", "--yes", "--json"]));
        }
    });
}
