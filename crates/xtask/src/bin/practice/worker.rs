//! The processes that services keep running: they stand in for a connector of PyAirbyte (`python3 -m pyairbyte_wrapper …`),
//! for a run of dbt (`dbt run …`), for one of Dagster (`dagster api execute_run …`), and for a build of Evidence (`npm run
//! build`, see `publication.rs`). They have the real ones' command lines and do nothing but live, in process groups of
//! their own, and they outlive the service that started them, as the real ones do.

use crate::site;
use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{self, Child, Command, Stdio},
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// Between two looks of a service at what it keeps running.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const START_TIMEOUT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(2);

/// What a service keeps running as long as a flag is on.
#[derive(Debug, Clone, Copy)]
pub struct Worker {
    pub flag: &'static str,
    /// What it works with; without it, it is not started.
    pub needs: &'static str,
    pub program: &'static str,
    pub args: &'static [&'static str],
    /// A living one holds it, with its process id in it, so that there is one at a time.
    pub lock: &'static str,
}

pub const CONNECTOR: Worker = Worker {
    flag: "pyairbyte_integration",
    needs: "tools/data-services/pyairbyte-wrapper.js",
    program: ".venv/bin/python3",
    args: &["-m", "pyairbyte_wrapper", "sync", "orders"],
    lock: "run/pyairbyte.lock",
};

pub const DBT_RUN: Worker = Worker {
    flag: "dbt_transformations",
    needs: "dbt_project",
    program: ".venv/bin/dbt",
    args: &["run", "--project-dir", "dbt_project"],
    lock: "run/dbt.lock",
};

/// The one run that Dagster has in flight at a time.
pub const DAGSTER_RUN: Worker = Worker {
    flag: "dagster_orchestration",
    needs: "var/dagster/home",
    program: ".venv/bin/dagster",
    args: &["api", "execute_run", "3d0c5a2e-nightly"],
    lock: "run/dagster.lock",
};

pub const EVIDENCE_BUILD: Worker = Worker {
    flag: "evidence_publications",
    needs: "evidence_project",
    program: "bin/npm",
    args: &["run", "build"],
    lock: "run/evidence-build.lock",
};

impl Worker {
    fn is_wanted(self) -> bool {
        site::flag_is_on(self.flag) && Path::new(self.needs).exists()
    }

    fn locked(self) -> Result<Option<File>, String> {
        let told = |error: std::io::Error| format!("{}: {error}", self.lock);
        let file = File::options().create(true).truncate(false).write(true).open(self.lock).map_err(told)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(told(error)),
        }
    }

    pub fn lives(self) -> bool {
        matches!(self.locked(), Ok(None))
    }

    fn spawn(self) -> Result<Child, String> {
        let mut command = Command::new(Path::new(".").join(self.program));
        command.args(self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().map_err(|error| format!("{}: {error}", self.program))
    }

    /// Keeps one running from now on. Returns once one lives, if one is wanted now.
    pub fn keep(self) -> Result<(), String> {
        let mut own = None;
        if self.is_wanted() && !self.lives() {
            own = Some(self.spawn()?);
            let asked = Instant::now();
            while !self.lives() {
                if asked.elapsed() >= START_TIMEOUT {
                    return Err(format!("{} does not begin", self.program));
                }
                sleep(POLL);
            }
        }
        thread::spawn(move || {
            loop {
                sleep(LOOK_EVERY);
                // Asked, so that it does not stay as a zombie when it ended.
                let is_own = own.as_mut().is_some_and(|own: &mut Child| matches!(own.try_wait(), Ok(None)));
                if !is_own && self.is_wanted() && !self.lives() {
                    own = self.spawn().ok();
                }
            }
        });
        Ok(())
    }

    /// Asks the living one to end, and waits until it did.
    pub fn end(self) -> Result<(), String> {
        let asked = Instant::now();
        while self.lives() {
            let pid = fs::read_to_string(self.lock).unwrap_or_default();
            if pid.parse::<u32>().is_ok() {
                let _ = Command::new("kill").arg(&pid).stderr(Stdio::null()).status();
            }
            if asked.elapsed() >= START_TIMEOUT {
                return Err(format!("{} does not end", self.program));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// The lock of the one that a service keeps running.
    pub fn alone(self) -> Result<File, String> {
        self.locked()?.ok_or_else(|| "another one runs in this site".to_owned())
    }

    /// Is such a process itself, to its end by a signal: the one that a service keeps running, or with other arguments another.
    pub fn work(self, args: &[&str]) -> Result<String, String> {
        let mut alive = if args == self.args { Some(self.alone()?) } else { None };
        if let Some(lock) = &mut alive {
            let written = lock.set_len(0).and_then(|()| write!(lock, "{}", process::id()));
            written.map_err(|error| format!("{}: {error}", self.lock))?;
        }
        loop {
            thread::park();
        }
    }
}
