//! Services under pm2, by its own command line.
//!
//! pm2 is asked and told in a clean environment, by the numbers that its list gives to the processes of exactly the policy's
//! name: pm2 itself would take a name for a pattern, a namespace or `all`. Its daemon is never started here: a look must change
//! nothing, and a daemon that is gone has lost more than this service. What was changed is saved at once (`pm2 save`), so that
//! the machine's next start does not bring back what was.

use super::{ServiceChange, ServiceError, ServiceStatus, job};
use crate::providers::{
    Deadline,
    command::{self, CommandError, Job, Reach},
};
use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use unship_policy::meaning::{Pm2Manager, ServiceMeaning};
use unship_rollback::machine::{Pm2Process, Pm2State, pm2_list};

/// pm2's list holds the whole environment of each process.
const LIST_BYTES_MAX: usize = 16 << 20;
/// So long a process has to stay up before pm2 itself counts its start as good.
const UP_MIN: Duration = Duration::from_secs(1);

/// Why pm2 cannot say or do what is wanted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Pm2Error {
    #[error("no pm2 answers in {}: {why}; `pm2 resurrect` brings back what it saved last", .home.display())]
    NotRunning { home: PathBuf, why: io::Error },
    #[error("anybody can put another pm2 in {}: it is world-writable", .home.display())]
    Open { home: PathBuf },
    #[error("pm2 knows no process {name:?}; it knows: {known}")]
    Unknown { name: String, known: String },
    #[error("pm2 would take process {id} for the one that is called {id:?}; give that another name")]
    Ambiguous { id: String },
    #[error("`pm2 {what}`: {source}")]
    Command { what: String, source: CommandError },
    #[error("`pm2 jlist` printed what is no list of processes: {why}")]
    List { why: String },
    #[error("pm2 calls process {id} {status:?}, a state that unship does not know")]
    State { id: u32, status: String },
    #[error("pm2 says it stopped them, but there still run: {still}")]
    StillThere { still: String },
}

/// What a process in pm2's list comes to here.
trait Standing {
    fn is_there(&self) -> Result<bool, Pm2Error>;
    fn stays_up(&self) -> bool;
}

impl Standing for Pm2Process {
    /// pm2's words for what is up, coming up or going down, and for what is down.
    fn is_there(&self) -> Result<bool, Pm2Error> {
        match self.pm2_env.status.as_str() {
            "online" | "launching" | "stopping" | "waiting restart" | "one-launch-status" => Ok(true),
            "stopped" | "errored" => Ok(false),
            status => Err(Pm2Error::State { id: self.pm_id, status: unship_rollback::neutralise(status) }),
        }
    }

    fn stays_up(&self) -> bool {
        let since_ms = Duration::from_millis(self.pm2_env.pm_uptime.unwrap_or(u64::MAX));
        let up = SystemTime::UNIX_EPOCH.checked_add(since_ms).and_then(|since| since.elapsed().ok());
        self.pm2_env.status == "online" && up.is_some_and(|up| up >= UP_MIN)
    }
}

/// pm2, as one service's policy has it.
struct Pm2<'a> {
    site: &'a Path,
    meaning: &'a ServiceMeaning,
    manager: &'a Pm2Manager,
    home: PathBuf,
    deadline: Deadline,
}

impl<'a> Pm2<'a> {
    fn new(
        site: &'a Path,
        meaning: &'a ServiceMeaning,
        manager: &'a Pm2Manager,
        deadline: Deadline,
    ) -> Result<Pm2<'a>, Pm2Error> {
        let home = site.join(&manager.home);
        let not_running = |why| Pm2Error::NotRunning { home: home.clone(), why };
        if fs::metadata(&home).map_err(not_running)?.permissions().mode() & 0o002 != 0 {
            return Err(Pm2Error::Open { home });
        }
        // Any command of pm2 would start a daemon where there is none.
        UnixStream::connect(home.join("rpc.sock")).map_err(not_running)?;
        Ok(Pm2 { site, meaning, manager, home, deadline })
    }

    fn run(&self, arguments: &[String], is_silent: bool) -> Result<Vec<u8>, Pm2Error> {
        let mut env = self.meaning.env.clone();
        env.insert("PM2_HOME".to_owned(), self.home.to_string_lossy().into_owned());
        if is_silent {
            // Nothing but the list: pm2 prints notices among its answers.
            env.insert("PM2_SILENT".to_owned(), "true".to_owned());
        }
        let argv: Vec<String> = std::iter::once(&self.manager.program).chain(arguments).cloned().collect();
        let job = Job {
            env: &env,
            output_bytes_max: LIST_BYTES_MAX,
            // Should it have started a daemon all the same, that is not killed with a command that hangs.
            reach: Reach::Session,
            ..job(self.meaning, &argv)
        };
        let failed = |source| Pm2Error::Command { what: arguments.join(" "), source };
        let output = command::run(self.site, &job, self.deadline).map_err(failed)?;
        if output.dropped_bytes > 0 {
            return Err(Pm2Error::List { why: format!("it is longer than {LIST_BYTES_MAX} bytes") });
        }
        Ok(output.stdout)
    }

    /// The service's processes, at least one.
    fn processes(&self) -> Result<Vec<Pm2Process>, Pm2Error> {
        let all = parse(&self.run(&["jlist".to_owned()], true)?)?;
        let known: Vec<String> = all.iter().map(|entry| unship_rollback::neutralise(&entry.name)).collect();
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|entry| entry.name == self.manager.name);
        // To pm2 a number is a name first.
        if let Some(id) =
            own.iter().map(|entry| entry.pm_id.to_string()).find(|id| others.iter().any(|o| o.name == *id))
        {
            return Err(Pm2Error::Ambiguous { id });
        }
        if own.is_empty() {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Pm2Error::Unknown { name: self.manager.name.clone(), known });
        }
        Ok(own)
    }

    /// `pm2 VERB` for these processes, then `pm2 save`.
    fn change(&self, verb: &str, processes: &[Pm2Process]) -> Result<(), Pm2Error> {
        let ids = processes.iter().map(|entry| entry.pm_id.to_string());
        self.run(&std::iter::once(verb.to_owned()).chain(ids).collect::<Vec<_>>(), false)?;
        self.run(&["save".to_owned()], false).map(drop)
    }
}

/// Reads what `pm2 jlist` printed: one JSON list and nothing else.
fn parse(printed: &[u8]) -> Result<Vec<Pm2Process>, Pm2Error> {
    pm2_list(printed).map_err(|e| Pm2Error::List { why: e.to_string() })
}

/// What pm2 tells. Without a command of policy's a service is healthy when all its processes stay up.
pub(super) fn look(
    site: &Path,
    meaning: &ServiceMeaning,
    manager: &Pm2Manager,
    deadline: Deadline,
) -> Result<ServiceStatus, ServiceError> {
    Ok(seen(&Pm2::new(site, meaning, manager, deadline)?.processes()?)?)
}

fn seen(processes: &[Pm2Process]) -> Result<ServiceStatus, Pm2Error> {
    let mut running = false;
    for entry in processes {
        running |= entry.is_there()?;
    }
    let shown = processes.iter().map(|entry| {
        let Pm2State { status, restart_time, .. } = &entry.pm2_env;
        format!("pm2's process {} is {status}, started again {restart_time} times", entry.pm_id)
    });
    Ok(ServiceStatus {
        running,
        healthy: processes.iter().all(Standing::stays_up),
        pid: processes.iter().find_map(|entry| entry.pid.filter(|pid| *pid != 0)),
        detail: shown.collect::<Vec<_>>().join("; "),
        restarts: Some(processes.iter().map(|entry| entry.pm2_env.restart_time).sum()),
    })
}

pub(super) fn start(
    site: &Path,
    meaning: &ServiceMeaning,
    manager: &Pm2Manager,
    deadline: Deadline,
) -> Result<(), ServiceError> {
    let pm2 = Pm2::new(site, meaning, manager, deadline)?;
    Ok(pm2.change("start", &pm2.processes()?)?)
}

pub(super) fn restart(
    site: &Path,
    meaning: &ServiceMeaning,
    manager: &Pm2Manager,
    deadline: Deadline,
) -> Result<(), ServiceError> {
    let pm2 = Pm2::new(site, meaning, manager, deadline)?;
    Ok(pm2.change("restart", &pm2.processes()?)?)
}

pub(super) fn stop(
    site: &Path,
    meaning: &ServiceMeaning,
    manager: &Pm2Manager,
    deadline: Deadline,
) -> Result<ServiceChange, ServiceError> {
    let pm2 = Pm2::new(site, meaning, manager, deadline)?;
    let processes = pm2.processes()?;
    let before = seen(&processes)?;
    if !before.running {
        return Ok(ServiceChange { changed: false, status: before });
    }
    pm2.change("stop", &processes)?;
    let after = look(site, meaning, manager, deadline)?;
    if after.running {
        return Err(Pm2Error::StillThere { still: after.detail }.into());
    }
    Ok(ServiceChange { changed: true, status: after })
}

#[cfg(test)]
#[path = "pm2_tests.rs"]
mod tests;
