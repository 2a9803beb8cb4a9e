//! The way back of story 1.5: jobs are started by the simple scheduler again, and Dagster is kept aside with all that it knows.
//!
//! The order matters. The flag goes off first, so that no run begins; then those in flight are ended, which only a webserver that
//! lives can do; then Dagster stops, and only when no run writes any more its home and its history are taken from under it.
//! The scheduler starts last. What Dagster would have started in between nobody starts: that is on the checklist.
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

use std::time::Duration;
use unship_step::{Context as _, Result, check, ensure, files, flags, http, processes, progress, services, wait};

const FLAG: &str = "dagster_orchestration";
const WEBSERVER: &str = "dagster-webserver";
/// Its schedules, sensors and queue.
const DAEMON: &str = "dagster-daemon";
/// The runs that live, as the operator's policy tells them from all others.
const RUNS: &str = "dagster-runs";
const END_RUNS: &str = "end-runs";
/// What a run does when it is ended may take as long.
const RUNS_END_WITHIN: Duration = Duration::from_secs(30);
/// Where it is, policy says: never the home of whoever takes the story back.
const HOME: &str = "dagster:home";
/// The history of all runs. It is evidence: kept, not cleared.
const HISTORY: &str = ".dagster/storage";
const SCHEDULER: &str = "scheduler";
const SCHEDULE: &str = "scheduler-schedule";
const ORCHESTRATOR: &str = "tools/data-services/workflow-orchestrator.js";
const STUB: &str = "tools/data-services/stubs/simple-scheduler.js";

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "scheduler-supplied" => scheduler_supplied,
    "home-named" => home_named,
    // The way back, in order.
    "disable-dagster" => disable_dagster,
    "end-runs" => end_runs,
    "stop-dagster" => stop_dagster,
    "set-home-aside" => set_home_aside,
    "set-history-aside" => set_history_aside,
    "replace-orchestrator" => replace_orchestrator,
    "start-scheduler" => start_scheduler,
    // Is the system well again?
    "flag-off" => flag_off,
    "dagster-stopped" => dagster_stopped,
    "home-aside" => home_aside,
    "orchestrator-is-simple" => orchestrator_is_simple,
    "scheduler-schedules" => scheduler_schedules,
}

fn disable_dagster() -> Result {
    flags::set(FLAG, "off")?;
    Ok(())
}

/// One that hangs or crashed is started first: nobody else can say which runs are in flight.
fn end_runs() -> Result {
    services::start(WEBSERVER)?;
    let answer = http::call(END_RUNS)?;
    // GraphQL tells of failures under a status of success.
    ensure!(answer.body.contains("TerminateRunsResult"), "the runs in flight are not ended: {}", answer.body);
    progress!("the runs in flight are ended; what they did not finish, the checklist tells");
    Ok(())
}

/// A run that is ended still writes its last words.
fn stop_dagster() -> Result {
    services::stop(DAEMON)?;
    services::stop(WEBSERVER)?;
    wait::until_none("runs still live: ", RUNS_END_WITHIN, || {
        let live = processes::list(RUNS)?;
        Ok((!live.is_empty()).then(|| processes::listed(&live)))
    })
}

fn set_home_aside() -> Result {
    files::set_aside_if_present(HOME)
}

fn set_history_aside() -> Result {
    files::set_aside_if_present(HISTORY)
}

fn replace_orchestrator() -> Result {
    files::replace(ORCHESTRATOR, STUB)?;
    Ok(())
}

fn start_scheduler() -> Result {
    services::start(SCHEDULER)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flag_off()?;
    orchestrator_is_simple()?;
    home_aside()?;
    dagster_stopped()
}

fn scheduler_supplied() -> Result {
    check::replacement_without(STUB, "dagster", "Dagster")
}

/// A Dagster that lives has a home. Where policy names another place, its real one would stay, and nobody would notice.
fn home_named() -> Result {
    let lives = services::status(WEBSERVER)?.running | services::status(DAEMON)?.running;
    let is_there = files::present(HOME)?;
    ensure!(
        is_there || !lives,
        "Dagster lives, but {HOME} is not there: `[folders] dagster` must name what holds its home"
    );
    Ok(())
}

fn flag_off() -> Result {
    check::flag(FLAG, "off")
}

fn dagster_stopped() -> Result {
    for service in [WEBSERVER, DAEMON] {
        let status = services::status(service)?;
        ensure!(!status.running, "{service} still runs: {}", status.detail);
    }
    check::no_process(RUNS)
}

fn home_aside() -> Result {
    check::absent(HOME)?;
    check::absent(HISTORY)
}

fn orchestrator_is_simple() -> Result {
    check::same_bytes(ORCHESTRATOR, STUB)
}

/// It runs, and has something to start. Which jobs, the person on call reads.
fn scheduler_schedules() -> Result {
    check::healthy(SCHEDULER)?;
    let answer = http::get(SCHEDULE)?;
    ensure!(answer.status == 200, "{SCHEDULE} answers {}: {}", answer.status, answer.body);
    let jobs: Vec<&str> = answer.body.lines().filter(|line| !line.trim().is_empty()).collect();
    let first = jobs.first().context("the scheduler runs, and has no job to start")?;
    progress!("the scheduler has {} jobs; first: {first}", jobs.len());
    Ok(())
}
