//! Undo and crash: whatever happens to a run, the site ends as applied or as before.
//!
//! The sites are copies of one practice site that has, where story 1.3 changes something, one of everything that promise 5
//! speaks of. A copy is equal in all of it, so that every test begins from the same place.

mod contention;
mod disk;
mod faults;
pub mod kill;
mod later;
mod signals;
mod size;
pub mod snapshot;

use crate::support::{Practice, Ran, Site};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use snapshot::{Snapshot, Times};
use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions, Permissions},
    ops::Deref,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    time::{Duration, SystemTime},
};

/// What the live service writes: its pid file, socket, lock and log, all in one directory. Everything else that changes on
/// the site, unship changed.
const LIVE: &[&str] = &["run"];

/// Services that others reach by an address; no two copies may have the same.
const LISTENING: &[&str] = &["analysis-service", "api", "dagster-webserver", "evidence-builder", "ingestion"];

/// The story's steps, in order.
const STEPS: &[&str] = &[
    "disable-duckdb",
    "stop-queries",
    "release-database",
    "backup-data",
    "replace-engine",
    "clear-cache",
    "restart-analytics",
];

/// What copies are made of, so that every test begins from the same place: a site whose service does not run, and a story.
pub struct Original {
    pub site: Practice,
    pub story: &'static str,
    /// What lives on it.
    services: &'static [&'static str],
    /// What the live services write.
    live: &'static [&'static str],
    /// Demands that the site does its work, as before the story was taken back or (`true`) after it.
    well: fn(&Site, bool),
    /// Nothing of it was changed later.
    laid_out: SystemTime,
    /// How every uninterrupted run ends.
    end: OnceLock<Snapshot>,
}

impl Original {
    pub fn new(
        site: Practice,
        story: &'static str,
        services: &'static [&'static str],
        live: &'static [&'static str],
        well: fn(&Site, bool),
    ) -> Arc<Original> {
        site.kill_everything();
        std::thread::sleep(Duration::from_millis(20));
        Arc::new(Original { site, story, services, live, well, laid_out: SystemTime::now(), end: OnceLock::new() })
    }

    /// A rehearsal of story 1.3, with one of everything in its way. It is shared by the tests that run at the same time.
    fn of_1_3() -> Arc<Original> {
        static SHARED: Mutex<Weak<Original>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let site = Site::practice();
            let policy = site.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
            site.write("policies/site.toml", &policy);
            enrich(&site);
            let new = Original::new(site, "1.3", &["analytics"], LIVE, |site, applied| {
                let mut healthy = Command::new(site.at("bin/practice-analytics"));
                let engine = if applied { "the simple engine" } else { "the duckdb engine" };
                let _ = Ran::of(healthy.arg("healthy").current_dir(site.path())).exits(0).prints(engine);
            });
            *shared = Arc::downgrade(&new);
            new
        })
    }

    /// An equal site in a folder of its own, with its services running.
    pub fn copy(self: &Arc<Original>) -> Rehearsal {
        self.copy_in(&std::env::temp_dir())
    }

    fn copy_in(self: &Arc<Original>, parent: &Path) -> Rehearsal {
        let site = self.site.copy_in(parent);
        if self.services.iter().any(|service| LISTENING.contains(service)) {
            site.move_to_own_address();
        }
        for service in self.services {
            start(&site, service);
        }
        let copy = Rehearsal {
            before: Snapshot::of(&site.path(), self.live, Times::Exact, None),
            site,
            original: self.clone(),
        };
        (self.well)(&copy, false);
        copy
    }
}

/// A site on which one thing is tried.
pub struct Rehearsal {
    pub site: Practice,
    original: Arc<Original>,
    /// How it was.
    before: Snapshot,
}

impl Deref for Rehearsal {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.site
    }
}

fn rehearsal() -> Rehearsal {
    Original::of_1_3().copy()
}

impl Rehearsal {
    /// The site as it is now.
    fn now(&self) -> Snapshot {
        Snapshot::of(&self.path(), self.original.live, Times::Exact, None)
    }

    /// What a test changes before the run is how it was, too.
    pub fn begins_here(&mut self) {
        self.before = self.now();
    }

    /// The site after its run went forward: what was changed has times of its own, and names that hold the run's id.
    fn applied(&self) -> Snapshot {
        let times = Times::Before(self.original.laid_out);
        Snapshot::of(&self.path(), self.original.live, times, Some(&self.run()))
    }

    /// The id of the only run.
    pub fn run(&self) -> String {
        self.runs()["run"].as_str().expect("an id").to_owned()
    }

    /// The only run.
    pub fn runs(&self) -> serde_json::Value {
        let mut runs = self.unship(["runs", "--json"]).exits(0).json();
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }

    /// Applies the story without a fault.
    #[track_caller]
    pub fn apply(&self) -> Ran {
        self.unship(["apply", self.original.story, "--yes"]).exits(0).prints("Succeeded, Recovered")
    }

    /// The site is as before the run, it does its work, and nothing is in flight.
    #[track_caller]
    pub fn is_as_before(&self) {
        self.before.demand(&self.now());
        self.is_at_rest(false);
    }

    /// The site is as after an uninterrupted run.
    #[track_caller]
    pub fn is_applied(&self) {
        let end = self.original.end.get_or_init(|| {
            let site = self.original.copy();
            let _ = site.apply();
            site.applied()
        });
        end.demand(&self.applied());
        self.is_at_rest(true);
    }

    #[track_caller]
    fn is_at_rest(&self, applied: bool) {
        (self.original.well)(self, applied);
        let _ = self.unship(["resume"]).exits(0).prints("no run is in flight");
        let _ = self.unship(["journal", "verify"]).exits(0).prints("intact");
    }
}

fn start(site: &Site, service: &str) {
    let mut start = Command::new(site.at(&format!("bin/practice-{service}")));
    // Its pipes would stay open as long as the service lives.
    let status = start.arg("start").current_dir(site.path()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(status.expect("it starts").success(), "{service} of {} does not start", site.path().display());
}

/// One of everything, in what the story sets aside, clears, replaces and edits.
fn enrich(site: &Site) {
    let engine = "tools/data-services/analytical-engine.js";
    for dir in [".duckdb", ".cache/queries"] {
        let at = |name: &str| site.at(&format!("{dir}/{name}"));
        fs::create_dir_all(at(".hidden/deep er")).expect("folders");
        fs::write(at(".hidden/deep er/.file"), "hidden").expect("written");
        fs::write(at("one name"), "two names").expect("written");
        fs::hard_link(at("one name"), at("another name")).expect("linked");
        // A third name outside of what is moved.
        let third = format!("summaries/third-{}", dir.trim_start_matches('.').replace('/', "-"));
        fs::hard_link(at("one name"), site.at(&third)).expect("linked");
        fs::write(at("setuid"), "#!/bin/true\n").expect("written");
        fs::write(at("nothing"), "").expect("written");
        fs::write(at("read-only"), "read only").expect("written");
        fs::write(at("a\nnew line and \u{1b}[31m"), "odd").expect("written");
        fs::write(site.at(dir).join(OsStr::from_bytes(b"not \xff\xfe UTF-8")), "odd").expect("written");
        symlink("one name", at("link")).expect("linked");
        symlink("/nowhere/at all", at("dangling")).expect("linked");
        symlink("../../summaries", at("link-out")).expect("linked");
        rustix::fs::mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).expect("a FIFO");
        let sparse = File::create(at("sparse")).expect("created");
        sparse.set_len(1 << 30).expect("long");
        sparse.write_all_at(b"in the middle", 512 << 20).expect("written");
        fs::create_dir(at("closed")).expect("a folder");
        fs::write(at("closed/inside"), "inside").expect("written");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(at("setuid"), Some(65534), Some(65534)).expect("owned");
            // A capability is an attribute: version 2, effective, `cap_net_bind_service`.
            let capability = [[1, 0, 0, 2], [0, 4, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
            attribute(&at("nothing"), "security.capability", &capability);
        }
        attribute(&at("read-only"), "user.origin", b"a test");
        attribute(&at(".hidden"), "user.origin", b"a directory");
        for (name, mode) in [("setuid", 0o6755), ("read-only", 0o400), ("closed", 0o500), (".hidden", 0o1777)] {
            fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("mode");
        }
    }
    for (file, mode) in [(engine, 0o640), ("config/feature-flags.yaml", 0o604)] {
        attribute(&site.at(file), "user.origin", file.as_bytes());
        fs::set_permissions(site.at(file), Permissions::from_mode(mode)).expect("mode");
    }
    attribute(&site.at(".cache/queries"), "user.origin", b"the cleared directory itself");
    fs::set_permissions(site.at(".cache/queries"), Permissions::from_mode(0o2750)).expect("mode");
    // Times that no clock gives by itself, to the nanosecond.
    for (path, s) in [(".", 1), ("config", 2), ("tools/data-services", 3), (".cache", 4), (".cache/queries", 5)]
        .into_iter()
        .chain([(".duckdb", 6), (".duckdb/.hidden", 7), (".cache/queries/setuid", 8), (engine, 9)])
        .chain([("config/feature-flags.yaml", 10), (".duckdb/link", 11), (".cache/queries/sparse", 12)])
    {
        let time = Timespec { tv_sec: 1_000_000_000 + s, tv_nsec: 123_456_789 };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, site.at(path), &times, AtFlags::SYMLINK_NOFOLLOW).expect("times");
    }
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).expect("an attribute");
}

/// A command that stands still, in another that reads a FIFO outside of the site.
struct Held {
    child: Child,
    fifo: File,
    stderr: PathBuf,
}

impl Held {
    /// Starts it, and waits until something reads the FIFO.
    fn start(site: &Site, args: &[&str]) -> Held {
        let (hold, stderr) = (hold(site), site.outside().join("held.stderr"));
        let err = File::create(&stderr).expect("a file");
        let mut command = site.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(err).process_group(0);
        let mut child = command.spawn().expect("it starts");
        // Without a reader it says so, and does not wait.
        let fifo = loop {
            match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&hold) {
                Ok(fifo) => break fifo,
                Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {}
                Err(e) => panic!("{}: {e}", hold.display()),
            }
            if let Some(status) = child.try_wait().expect("its state") {
                panic!("it ended before it read: {status}\n{}", fs::read_to_string(&stderr).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Held { child, fifo, stderr }
    }

    /// Lets it go on to its end.
    #[track_caller]
    fn ends(self, status: i32) -> String {
        let Held { mut child, fifo, stderr } = self;
        drop(fifo);
        let ended = child.wait().expect("it ends");
        let said = fs::read_to_string(stderr).expect("its output");
        assert_eq!(ended.code(), Some(status), "{said}");
        said
    }

    /// As a terminal (SIGINT goes to the whole group) or `kill` does it.
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        let sent = if signal == Signal::INT { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        sent.expect("signalled");
    }
}

/// Where a held command waits.
fn hold(site: &Site) -> PathBuf {
    let hold = site.outside().join("hold");
    if !hold.exists() {
        rustix::fs::mknodat(CWD, &hold, FileType::Fifo, Mode::from(0o600), 0).expect("a FIFO");
    }
    hold
}

/// A shell that waits at the FIFO as long as that is there, then does `then`.
fn waits(site: &Site, then: &str) -> String {
    let hold = hold(site);
    format!("[\"sh\", \"-c\", \"test -p {0} && cat {0}; {then}\"]", hold.display())
}

/// Has the command of the step `stop-queries` wait.
fn command_waits(site: &Site) {
    let argv = "argv = [\"bin/practice-analytics\", \"stop-queries\"]\ntimeout = \"30s\"";
    let with = format!("argv = {}\ntimeout = \"100s\"", waits(site, "exec bin/practice-analytics stop-queries"));
    replace(site, "policies/1.3.toml", argv, &with);
}

/// Has the command wait that takes `stop-queries` back.
fn way_back_waits(site: &Site) {
    let undo = "undo = [\"bin/practice-analytics\", \"start\"]";
    replace(site, "policies/1.3.toml", undo, &format!("undo = {}", waits(site, "exec bin/practice-analytics start")));
    replace(site, "policies/1.3.toml", "timeout = \"30s\"", "timeout = \"100s\"");
}

#[track_caller]
pub fn replace(site: &Site, file: &str, from: &str, to: &str) {
    let text = site.read(file);
    assert!(text.contains(from), "{file} has no {from:?}:\n{text}");
    site.write(file, &text.replacen(from, to, 1));
}
