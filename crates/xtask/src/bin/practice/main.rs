//! Everything that lives on the practice site, standing in for Node, Python and dbt: portable, nothing to install. It is one
//! program, and the name that it is called by says which part it plays.
//!
//! The site is the current directory. Services read their program's name from the site's JavaScript files and really do what
//! that one would; see each module.

mod analysis;
mod api;
mod core;
mod dagster;
mod engine;
mod http;
mod ingestion;
mod publication;
mod scheduler;
mod service;
mod site;
mod worker;
mod yaml;

use analysis::ANALYSIS;
use api::API;
use core::CORE;
use dagster::{DAEMON, WEBSERVER};
use ingestion::INGESTION;
use publication::BUILDER;
use scheduler::SCHEDULER;
use service::{ANSWER_TIMEOUT, HEALTH_TIMEOUT, Service};
use std::{env, path::Path, process::ExitCode};

const USAGE: &str = "\
A part of the practice site, which is the current directory; a stand-in, told by the name that it is called by.

practice-NAME start               starts the service in the background; returns once it answers
practice-NAME serve               is the service, in the foreground
practice-NAME healthy             exits 0 when the service answers within 1 s
practice-analytics stop-queries   has it cancel its queries and close the database
practice-analytics query SQL      asks it; exits 1 with the reason when there is no answer
practice-api get PATH [KEY]       asks by HTTP; prints the status and the answer
practice-ingestion get PATH       likewise
practice-scheduler get PATH       likewise
practice-dagster-webserver get PATH   likewise
practice-analysis-service get PATH, practice-evidence-builder get PATH
                                  likewise
python3, dbt, dagster             live until they are stopped
python3 -I -c CODE                 for `import MODULE`: looks whether its environment has the module
npm run build                     runs a build of Evidence by node, until that is stopped

NAME is analysis-service, analytics, api, core, dagster-daemon, dagster-webserver, evidence-builder, ingestion or
scheduler.
";

const ANALYTICS: Service = Service("analytics");

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The file's own name: an argument vector says what it likes.
    let path = env::current_exe().unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(result) = play(&path, name, &args) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match result {
        Ok(answer) => {
            print!("{answer}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// `None` for what there is not.
fn play(path: &Path, name: &str, args: &[&str]) -> Option<Result<String, String>> {
    let service = match name {
        "practice-analytics" => ANALYTICS,
        "practice-analysis-service" => ANALYSIS,
        "practice-api" => API,
        "practice-core" => CORE,
        "practice-dagster-daemon" => DAEMON,
        "practice-dagster-webserver" => WEBSERVER,
        "practice-ingestion" => INGESTION,
        "practice-scheduler" => SCHEDULER,
        "dagster" => return Some(worker::DAGSTER_RUN.work(args)),
        "practice-evidence-builder" => BUILDER,
        "python3" => return Some(analysis::import(path, args).unwrap_or_else(|| worker::CONNECTOR.work(args))),
        "dbt" => return Some(worker::DBT_RUN.work(args)),
        "npm" => return Some(publication::npm(args)),
        "node" => return Some(publication::node(args)),
        _ => return None,
    };
    Some(match (service.0, args) {
        (_, ["start"]) => service.start(),
        (_, ["healthy"]) => service.ask("health", HEALTH_TIMEOUT),
        ("analytics", ["serve"]) => engine::serve(ANALYTICS),
        ("analytics", ["stop-queries"]) => service.ask("stop-queries", ANSWER_TIMEOUT),
        ("analytics", ["query", sql]) => service.ask(&format!("query {}", sql.replace('\n', " ")), ANSWER_TIMEOUT),
        ("analysis-service", ["serve"]) => analysis::serve(),
        ("analysis-service", ["get", path]) => http::get(&analysis::address(), path, None),
        ("api", ["serve"]) => api::serve(),
        ("api", ["get", path]) => api::address().and_then(|address| http::get(&address, path, None)),
        ("api", ["get", path, key]) => api::address().and_then(|address| http::get(&address, path, Some(key))),
        ("core", ["serve"]) => core::serve(),
        ("dagster-daemon", ["serve"]) => dagster::serve_daemon(),
        ("dagster-webserver", ["serve"]) => dagster::serve_web(),
        ("dagster-webserver", ["get", path]) => http::get(&dagster::address(), path, None),
        ("evidence-builder", ["serve"]) => publication::serve(),
        ("evidence-builder", ["get", path]) => http::get(&publication::address(), path, None),
        ("ingestion", ["serve"]) => ingestion::serve(),
        ("ingestion", ["get", path]) => http::get(&ingestion::address(), path, None),
        ("scheduler", ["serve"]) => scheduler::serve(),
        ("scheduler", ["get", path]) => http::get(&scheduler::address(), path, None),
        _ => return None,
    })
}
