//! What the daemon tells its service manager, at a real notify socket; and the unit file that it ships with.

use super::site;
use crate::support::{Ran, Site, UNSHIP};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Far longer than anything that is waited for takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon under a service manager, which is the test.
struct Managed {
    child: Child,
    socket: UnixDatagram,
    told: Vec<String>,
}

impl Managed {
    /// `watchdog`: in how much time it must say that it is alive.
    fn start(site: &Site, watchdog: Duration) -> Managed {
        let path = site.outside().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut command = site.command(["watch"]);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        Managed { child, socket, told: Vec::new() }
    }

    /// Waits for a message with this line; all of its lines.
    fn waits_for(&mut self, line: &str) -> Vec<String> {
        let mut bytes = [0; 4096];
        loop {
            let length = self.socket.recv(&mut bytes);
            let length = length.unwrap_or_else(|e| panic!("{line} never came ({e}), only {:?}", self.told));
            let text = str::from_utf8(&bytes[..length]).expect("text");
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            self.told.extend(lines.iter().cloned());
            if lines.iter().any(|l| l == line) {
                return lines;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it lives");
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_service_manager_is_told_ready_alive_reloading_and_stopping() {
    let site = site();
    let mut daemon = Managed::start(&site, Duration::from_secs(3));
    daemon.waits_for("READY=1");
    daemon.waits_for("WATCHDOG=1");
    // It is alive as long as it says so again.
    daemon.waits_for("WATCHDOG=1");
    let _ = site.unship(["doctor"]).prints("watches as process");

    daemon.signal(Signal::HUP);
    let reloading = daemon.waits_for("RELOADING=1");
    let since = reloading.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("since when");
    assert!(since.parse::<u64>().is_ok_and(|usec| usec > 0), "{since}");
    daemon.waits_for("READY=1");

    // Bad policies are refused, and it is ready all the same, with the old ones.
    let good = site.read("policies/site.toml");
    site.write("policies/site.toml", "[site");
    daemon.signal(Signal::HUP);
    daemon.waits_for("RELOADING=1");
    daemon.waits_for("READY=1");
    site.write("policies/site.toml", &good);
    daemon.waits_for("WATCHDOG=1");

    let _ = site.unship(["pause", "--reason", "a drill"]).exits(0);
    daemon.signal(Signal::TERM);
    daemon.waits_for("STOPPING=1");
    assert!(daemon.child.wait().expect("it ends").success());
    // What was handed in before the stop was taken in.
    let _ = site.unship(["doctor"]).prints("none is alive").prints("has paused it: a drill");
    let _ = site.unship(["incidents"]).exits(0);
}

#[test]
fn without_a_watchdog_nobody_is_told_that_it_is_alive() {
    let site = site();
    // Longer than the test: the next message after READY=1 is of the stop.
    let mut daemon = Managed::start(&site, PATIENCE * 100);
    daemon.waits_for("READY=1");
    daemon.signal(Signal::TERM);
    daemon.waits_for("STOPPING=1");
    assert!(!daemon.told.iter().any(|line| line == "WATCHDOG=1"), "{:?}", daemon.told);
}

fn shipped() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/unship-watch@.service");
    fs::read_to_string(path).expect("the unit")
}

/// The settings of a unit by section and key; what is set twice stands there with a line break between.
fn settings(unit: &str) -> BTreeMap<(String, String), String> {
    let (mut section, mut all) = (String::new(), BTreeMap::<_, String>::new());
    for line in unit.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.to_owned();
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no setting: {line}"));
        let known = all.insert((section.clone(), key.to_owned()), value.to_owned());
        assert!(known.is_none(), "{key} is set twice");
    }
    all
}

#[test]
fn the_unit_says_what_the_daemon_does() {
    let unit = settings(&shipped());
    let service = |key: &str| unit.get(&("Service".to_owned(), key.to_owned())).map_or("", String::as_str);
    for (key, value) in [
        ("Type", "notify"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("KillMode", "process"),
        ("OOMPolicy", "continue"),
        ("Restart", "on-failure"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
    ] {
        assert_eq!(service(key), value, "{key}");
    }
    // A third of it is longer than the loop's second, by far.
    let watchdog: u64 = service("WatchdogSec").strip_suffix('s').and_then(|s| s.parse().ok()).expect("seconds");
    assert!(watchdog >= 15, "{watchdog}");
    assert!(service("ReadWritePaths").split(' ').any(|path| path == "%f"));
    // What it starts is a command line of this program.
    let line: Vec<&str> = service("ExecStart").split(' ').collect();
    assert_eq!(line, ["/usr/local/bin/unship", "watch", "--site", "%f"]);
    let _ = Ran::of(Command::new(UNSHIP).args(["watch", "--help"])).exits(0).prints("--site <DIR>");
    // What would break a rollback or a service is named as left out, and is left out.
    for key in [
        "MemoryDenyWriteExecute",
        "RestrictSUIDSGID",
        "SystemCallFilter",
        "ProtectProc",
        "PrivateUsers",
        "PrivateTmp",
        "UMask",
    ] {
        assert_eq!(service(key), "", "{key}");
        assert!(shipped().contains(key), "{key} is left out without a reason");
    }
}

#[test]
fn systemd_takes_the_unit() {
    if Command::new("systemd-analyze").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped, the unit is verified by systemd: there is no systemd-analyze here");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // The program is where the unit says only once it is installed.
    let unit: PathBuf = folder.path().join("unship-watch@srv-shop.service");
    fs::write(&unit, shipped().replace("/usr/local/bin/unship", UNSHIP)).expect("written");
    let verified = Ran::of(Command::new("systemd-analyze").arg("verify").arg("--man=no").arg(&unit)).exits(0);
    let own: Vec<&str> = verified.stderr.lines().filter(|line| line.contains("unship-watch")).collect();
    assert!(own.is_empty(), "{own:#?}");
    let scored =
        Ran::of(Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=45"]).arg(&unit));
    println!("{}", scored.stdout.lines().last().unwrap_or_default());
    assert_eq!(scored.status, Some(0), "{}{}", scored.stdout, scored.stderr);
}
