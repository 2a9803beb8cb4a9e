//! The simple scheduler, standing in for Node: it takes over when Dagster is out, and says what it will start.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site,
};
use serde::Deserialize;

pub const SCHEDULER: Service = Service("scheduler");
const ENGINE: &str = "tools/data-services/workflow-orchestrator.js";
const JOBS: &str = "config/jobs.json";
const PORT: u16 = 8455;

#[derive(Deserialize)]
struct Job {
    name: String,
    /// Of the day, in UTC.
    hour: u8,
}

pub fn serve() -> Result<String, String> {
    SCHEDULER.serve(
        || {
            let schedule = schedule()?;
            let listed = schedule.clone();
            http::listen(&address(), move |request| answer(request, &listed))?;
            Ok((schedule, "the schedule".to_owned()))
        },
        |schedule, request| match request {
            "health" => Ok(format!("the simple scheduler has {} jobs\n", schedule.lines().count())),
            _ => Err("no such request".into()),
        },
    )
}

/// Where it listens.
pub fn address() -> String {
    format!("{}:{PORT}", site::host())
}

/// A line for each job.
fn schedule() -> Result<String, String> {
    match site::named_in(ENGINE, "engine")?.as_str() {
        "simple" => {}
        "dagster" => return Err(format!("{ENGINE} leaves all schedules to Dagster")),
        other => return Err(format!("{ENGINE} names an engine that nobody knows: {other}")),
    }
    let jobs: Vec<Job> = serde_json::from_str(&site::text(JOBS)?).map_err(|error| format!("{JOBS}: {error}"))?;
    Ok(jobs.into_iter().map(|Job { name, hour }| format!("{name} at {hour:02}:00 UTC\n")).collect())
}

fn answer(request: &Request, schedule: &str) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/schedule") => (200, schedule.to_owned()),
        _ => (404, "there is nothing of that name\n".to_owned()),
    }
}
