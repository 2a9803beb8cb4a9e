//! Against a real service: a shell that writes its pid file and sleeps.

use super::*;
use crate::providers::process;
use crate::providers::testing::{ample, lives, program, selector, strings, unique_seconds, until};
use rustix::fs::{FileType, Mode};
use std::{fs, time::Instant};
use unship_policy::meaning::PidFileManager;

struct Site {
    folder: tempfile::TempDir,
    seconds: String,
    meaning: ServiceMeaning,
}

impl Site {
    /// `launch` is run by `sh`, with the seconds to sleep as `$1`.
    fn new(launch: &str) -> Site {
        let folder = tempfile::tempdir().expect("a folder");
        let seconds = unique_seconds();
        let manager = PidFileManager {
            pid_file: "service.pid".into(),
            selector: selector(Some(&program("sleep")), &[&seconds]),
            start: strings(&["sh", "-c", launch, "sh", &seconds]),
            healthy: strings(&["test", "-e", "answers"]),
        };
        let timeout = Duration::from_secs(30);
        let manager = ServiceManager::PidFile(manager);
        let meaning = ServiceMeaning { manager, timeout, env: Default::default() };
        Site { folder, seconds, meaning }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn own(&mut self) -> &mut PidFileManager {
        match &mut self.meaning.manager {
            ServiceManager::PidFile(manager) => manager,
            ServiceManager::Pm2(_) => unreachable!("it was made with a pid file"),
        }
    }

    fn status(&self) -> Result<ServiceStatus, ServiceError> {
        status(self.path(), &self.meaning, ample())
    }

    fn write_pid(&self, text: &str) {
        fs::write(self.path().join("service.pid"), text).expect("can be written");
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let selector = self.own().selector.clone();
        let _ = process::stop(self.path(), &selector, ample());
        assert!(!lives(&self.seconds) || std::thread::panicking());
    }
}

/// Leaves a service that keeps the start command's output open.
const LAUNCH: &str = "sleep $1 & echo $! > service.pid; touch answers; echo launched";

#[test]
fn a_service_starts_stops_and_starts_again() {
    let site = Site::new(LAUNCH);
    let seen = site.status().expect("a status");
    assert_eq!((seen.running, seen.healthy, seen.pid), (false, false, None));
    assert_eq!(seen.detail, "there is no pid file service.pid");
    assert!(!stop(site.path(), &site.meaning, ample()).expect("nothing to do").changed);

    let started = start(site.path(), &site.meaning, ample()).expect("starts");
    assert!(started.changed && started.status.running && started.status.healthy);
    let again = start(site.path(), &site.meaning, ample()).expect("runs already");
    assert_eq!((again.changed, again.status.pid), (false, started.status.pid));

    let restarted = restart(site.path(), &site.meaning, ample()).expect("starts again");
    assert!(restarted.changed && restarted.status.healthy && restarted.status.pid != started.status.pid);

    let stopped = stop(site.path(), &site.meaning, ample()).expect("stops");
    assert!(stopped.changed && !stopped.status.running && !lives(&site.seconds));
    let seen = site.status().expect("a status");
    assert!(!seen.running && seen.detail.contains("is stale"), "{}", seen.detail);
    assert!(!stop(site.path(), &site.meaning, ample()).expect("nothing to do").changed);
}

#[test]
fn a_service_that_comes_up_slowly_is_waited_for() {
    // The pid file comes empty first, then right; the health only with a later look.
    let site = Site::new("(: > service.pid; sleep 0.1; sleep $1 & echo $! > service.pid; sleep 0.2; touch answers) &");
    let started = start(site.path(), &site.meaning, ample()).expect("starts");
    assert!(started.changed && started.status.healthy);
}

#[test]
fn a_service_that_stays_ill_is_an_error_that_says_what_was_seen() {
    let mut site = Site::new("sleep $1 & echo $! > service.pid");
    site.own().healthy = strings(&["sh", "-c", "echo 'no route to engine' >&2; exit 7"]);
    site.meaning.timeout = Duration::from_secs(1);
    let refused = start(site.path(), &site.meaning, ample()).expect_err("is ill").to_string();
    assert!(refused.starts_with("not healthy after 1."), "{refused}");
    assert!(
        refused.contains("; last seen: process ")
            && refused.ends_with("is not healthy: `sh` ended with status 7: no route to engine"),
        "{refused}"
    );
    let seen = site.status().expect("a status");
    assert!(seen.running && !seen.healthy);
    // It runs: it is waited for, and not started a second time.
    site.own().start = strings(&["false"]);
    assert!(matches!(start(site.path(), &site.meaning, ample()), Err(ServiceError::NotHealthy { .. })));
    site.own().healthy = strings(&["true"]);
    let change = start(site.path(), &site.meaning, ample()).expect("is well");
    assert!(!change.changed && change.status.healthy);
}

#[test]
fn a_health_command_that_hangs_does_not_use_up_all_looks() {
    let mut site = Site::new("sleep $1 & echo $! > service.pid");
    site.meaning.timeout = Duration::from_secs(8);
    site.own().healthy = strings(&["sh", "-c", "test -e second && exit 0; touch second; exec sleep 1000"]);
    assert!(start(site.path(), &site.meaning, ample()).expect("the second look").status.healthy);
}

#[test]
fn a_start_command_that_fails_or_stays_is_an_error() {
    let mut site = Site::new("exit 3");
    let refused = start(site.path(), &site.meaning, ample()).expect_err("fails").to_string();
    assert_eq!(refused, "the start command of the service: `sh` ended with status 3");
    site.own().start = strings(&["sh", "-c", "exec sleep $1", "sh", &site.seconds]);
    site.meaning.timeout = Duration::from_millis(300);
    let begun = Instant::now();
    let refused = start(site.path(), &site.meaning, ample()).expect_err("stays").to_string();
    assert!(refused.contains("did not end within") && begun.elapsed() < Duration::from_secs(30), "{refused}");
    assert!(!lives(&site.seconds));
    site.own().healthy = strings(&["no-such-program"]);
    site.meaning.timeout = Duration::from_secs(30);
    site.own().start = strings(&["sh", "-c", LAUNCH, "sh", &site.seconds]);
    let refused = start(site.path(), &site.meaning, ample()).expect_err("no health command").to_string();
    assert_eq!(refused, "the health command of the service: there is no program `no-such-program` in the fixed PATH");
}

#[test]
fn a_start_command_that_fails_says_why_and_what_it_left_behind_can_go_on_printing() {
    let mut site = Site::new("echo beginning; echo 'no space left on device' >&2; exit 1");
    let refused = start(site.path(), &site.meaning, ample()).expect_err("fails").to_string();
    assert_eq!(
        refused,
        "the start command of the service: `sh` ended with status 1: beginning\\nno space left on device"
    );
    // It prints far more than a pipe holds, and would end by SIGPIPE if nobody listened.
    let launch = "(head -c 1000000 /dev/zero; touch printed; exec sleep $1) & echo $! > service.pid; touch answers";
    site.own().start = strings(&["sh", "-c", launch, "sh", &site.seconds.clone()]);
    assert!(start(site.path(), &site.meaning, ample()).expect("starts").status.running);
    until(|| site.path().join("printed").exists());
    assert!(site.status().expect("a status").running);
}

#[test]
fn a_pid_file_is_believed_only_when_all_is_right_about_it() {
    let mut site = Site::new(LAUNCH);
    for (text, why) in [
        ("", "no decimal"),
        ("x", "no decimal"),
        ("-5", "no decimal"),
        ("+5", "no decimal"),
        ("1", "no decimal"),
        ("0", "no decimal"),
        ("99999999999", "no decimal"),
        ("12 13", "no decimal"),
        ("12\n                               ", "no decimal"),
    ] {
        site.write_pid(text);
        let refused = site.status().expect_err(text).to_string();
        assert!(refused.contains(why) && refused.contains("service.pid"), "{refused}");
        assert!(start(site.path(), &site.meaning, ample()).is_err(), "not started beside one that may run");
    }
    // Alive, but somebody else: stale, and never signalled.
    site.write_pid(&format!("{}\n", std::process::id()));
    assert!(site.status().expect("a status").detail.contains("is stale"));
    let mut bystander = std::process::Command::new(program("sleep")).arg(unique_seconds()).spawn().expect("starts");
    site.write_pid(&bystander.id().to_string());
    assert!(!stop(site.path(), &site.meaning, ample()).expect("nothing to do").changed);
    assert!(bystander.try_wait().expect("can be asked").is_none());
    bystander.kill().and_then(|()| bystander.wait()).expect("ends");

    let pid_file = site.path().join("service.pid");
    fs::rename(&pid_file, site.path().join("real.pid")).expect("can be renamed");
    std::os::unix::fs::symlink("real.pid", &pid_file).expect("a link");
    assert!(site.status().expect_err("a symlink").to_string().contains("a symlink stands on the way"));
    fs::remove_file(&pid_file).expect("can be removed");
    fs::create_dir(&pid_file).expect("a folder");
    assert!(site.status().expect_err("a folder").to_string().contains("not a regular file"));
    fs::remove_dir(&pid_file).expect("can be removed");
    rustix::fs::mknodat(rustix::fs::CWD, &pid_file, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    assert!(site.status().expect_err("a FIFO").to_string().contains("not a regular file"));
    site.own().pid_file = "../service.pid".into();
    assert!(site.status().expect_err("outside").to_string().contains("outside the site"));
}

#[test]
fn a_service_that_something_starts_again_is_not_called_stopped() {
    let site =
        Site::new("(while :; do sleep $1 & echo $! > service.pid; touch answers; wait; done) & echo $! > loop.pid");
    let started = start(site.path(), &site.meaning, ample()).expect("starts");
    let supervisor = fs::read_to_string(site.path().join("loop.pid")).expect("a pid");
    // The supervisor may be a moment late; then the next round shows it.
    until(|| {
        let stopped = stop(site.path(), &site.meaning, ample());
        matches!(stopped, Err(ServiceError::Respawned { .. }))
    });
    let pid = rustix::process::Pid::from_raw(supervisor.trim().parse().expect("a number")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("is there");
    assert!(started.changed);
}
