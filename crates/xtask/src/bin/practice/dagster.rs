//! Dagster, standing in for the real one: a webserver with as much of its GraphQL as policies use, and a daemon that keeps one run
//! in flight while story 1.5's flag is on. Both need Dagster's home and the history of runs.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site,
    worker::DAGSTER_RUN,
};
use std::path::Path;

pub const WEBSERVER: Service = Service("dagster-webserver");
pub const DAEMON: Service = Service("dagster-daemon");
/// Dagster's own.
const PORT: u16 = 3070;
const INSTANCE: &str = "var/dagster/home/dagster.yaml";
const HISTORY: &str = ".dagster/storage";

pub fn serve_web() -> Result<String, String> {
    WEBSERVER.serve(
        || {
            demand_instance()?;
            http::listen(&address(), answer)?;
            Ok(((), "Dagster's interface".to_owned()))
        },
        |(), request| match request {
            "health" => Ok("the webserver answers\n".to_owned()),
            _ => Err("no such request".into()),
        },
    )
}

pub fn serve_daemon() -> Result<String, String> {
    DAEMON.serve(
        || {
            demand_instance()?;
            DAGSTER_RUN.keep()?;
            Ok(((), "Dagster's schedules".to_owned()))
        },
        |(), request| match request {
            "health" => Ok("the daemon lives\n".to_owned()),
            _ => Err("no such request".into()),
        },
    )
}

/// Where it listens.
pub fn address() -> String {
    format!("{}:{PORT}", site::host())
}

fn demand_instance() -> Result<(), String> {
    for path in [INSTANCE, HISTORY] {
        if !Path::new(path).exists() {
            return Err(format!("{path} is not there: this is no instance of Dagster"));
        }
    }
    Ok(())
}

fn answer(request: &Request) -> Response {
    match (request.method.as_str(), request.path.split('?').next().unwrap_or_default()) {
        ("GET", "/server_info") => (200, "{\"dagster_webserver_version\":\"practice\"}\n".to_owned()),
        ("GET", "/graphql") => (200, runs_in_flight()),
        ("POST", "/graphql") if request.body.contains("terminateRuns") => terminate(&request.body),
        ("POST", "/graphql") => (200, "{\"data\":{\"version\":\"practice\"}}\n".to_owned()),
        _ => (404, "there is nothing of that name\n".to_owned()),
    }
}

/// The run's id is its last argument.
fn run_id() -> &'static str {
    DAGSTER_RUN.args.last().copied().unwrap_or_default()
}

fn runs_in_flight() -> String {
    let runs = if DAGSTER_RUN.lives() { format!("{{\"runId\":\"{}\"}}", run_id()) } else { String::new() };
    format!("{{\"data\":{{\"runsOrError\":{{\"results\":[{runs}]}}}}}}\n")
}

/// As the real one does, it fails when it is to end no run at all.
fn terminate(body: &str) -> Response {
    if body.contains("\"runs\": []") {
        return (500, "Internal Server Error".to_owned());
    }
    let ended = if body.contains(run_id()) { DAGSTER_RUN.end() } else { Ok(()) };
    match ended {
        Ok(()) => (200, "{\"data\":{\"terminateRuns\":{\"__typename\":\"TerminateRunsResult\"}}}\n".to_owned()),
        Err(why) => (
            200,
            format!("{{\"data\":{{\"terminateRuns\":{{\"__typename\":\"PythonError\",\"message\":{why:?}}}}}}}\n"),
        ),
    }
}
