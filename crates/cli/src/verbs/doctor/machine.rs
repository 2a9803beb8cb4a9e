//! The machine: what its kernel offers, the file systems of the site, its clock.

use super::Findings;
use crate::{out::time, site::Site, wiring::SystemClock};
use std::path::Path;
use unship_host::machine::{clock_is_synchronised, features, file_system};
use unship_policy::Memory;
use unship_rollback::Clock as _;

/// Less than this, and the journal itself has no room soon.
const FREE_BYTES_MIN: u64 = 64 << 20;
const FREE_FILES_MIN: u64 = 1000;

pub fn look(findings: &mut Findings) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| "?".to_owned());
    findings.ok("unship", "", format!("version {} on Linux {}", env!("CARGO_PKG_VERSION"), release.trim()));
    for feature in features() {
        match feature.found {
            Ok(found) => findings.ok("kernel", feature.name, found),
            Err(why) => {
                let next = "a kernel as of Linux 6.2, with this switched on; a container may hide it";
                findings.fault("kernel", feature.name, format!("{why}; without it {}", feature.purpose), next);
            }
        }
    }
}

/// Of the site and `.unship/`, and of each folder that policy names elsewhere.
pub fn look_at_file_systems(findings: &mut Findings, path: &Path, site: Option<&Site>) {
    let wanted = site.map_or(FREE_BYTES_MIN, |site| site.policy.limits.images_bytes_max);
    let mut places = vec![("the site".to_owned(), path.to_owned()), (".unship".to_owned(), path.join(".unship"))];
    let folders = site.into_iter().flat_map(|site| &site.policy.definitions.folders);
    places.extend(folders.map(|(name, folder)| (name.clone(), path.join(folder))));
    let mut seen = Vec::new();
    for (name, place) in places {
        // What lies on one device is one file system, told once; a folder that is not there is told with the policy.
        let Ok(device) = rustix::fs::stat(&place).map(|stat| stat.st_dev) else { continue };
        if seen.contains(&device) {
            continue;
        }
        seen.push(device);
        let found = match file_system(&place) {
            Ok(found) => found,
            Err(e) => {
                findings.unknown("file-system", &name, format!("{}: {e}", place.display()), "look at the mount");
                continue;
            }
        };
        let said = format!("{} at {}, {} MiB free", found.kind, place.display(), found.free_bytes >> 20);
        let few_files = found.free_files.is_some_and(|files| files < FREE_FILES_MIN);
        if found.is_read_only {
            findings.fault("file-system", &name, format!("{said}: mounted read-only"), "mount it for writing");
        } else if found.exchanges == Some(false) {
            let said = format!("{said}: it cannot swap two names in one step, so a replaced file could not be kept");
            findings.fault("file-system", &name, said, "move the site to a local file system, such as ext4 or xfs");
        } else if found.free_bytes < FREE_BYTES_MIN || few_files {
            let next = "make room before anything is begun: `unship gc` removes what runs long over have kept";
            findings.fault("file-system", &name, format!("{said}: nearly full"), next);
        } else if found.free_bytes < wanted {
            let said = format!("{said}: less than the {} MiB that one run may keep", wanted >> 20);
            findings.warning("file-system", &name, said, "make room, or set `images` under `[limits]` lower");
        } else if found.exchanges.is_none() {
            let said = format!("{said}; whether it swaps two names in one step only a try would tell");
            findings.unknown(
                "file-system",
                &name,
                said,
                "`unship plan STORY` tries nothing; rehearse on a copy of the site there",
            );
        } else {
            findings.ok("file-system", &name, said);
        }
    }
}

/// Whether it was set back is the trust root's to say; here is what the site remembers, and who keeps it right.
pub fn look_at_clock(findings: &mut Findings, memory: &Memory) {
    let now = time(SystemClock.now_ms());
    let remembered =
        memory.newest_ms.map_or_else(String::new, |ms| format!("; the journal was last written at {}", time(ms)));
    match clock_is_synchronised() {
        Some(true) => findings.ok("clock", "", format!("{now}, synchronised{remembered}")),
        Some(false) => {
            let next = "start chrony, ntpd or systemd-timesyncd: what expires, and what is asked for in time, goes by this clock";
            findings.warning("clock", "", format!("{now}, and nothing keeps it right{remembered}"), next);
        }
        None => {
            let said = format!("{now}; the system does not say whether it is synchronised{remembered}");
            findings.unknown("clock", "", said, "compare it with another machine's");
        }
    }
}
