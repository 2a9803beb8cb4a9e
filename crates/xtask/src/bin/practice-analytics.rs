//! The live analytics service of the practice site, standing in for Node: portable, nothing to install.
//!
//! The site is the current directory. The service reads its engine from `tools/data-services/analytical-engine.js`,
//! listens on `run/analytics.sock` and says its process id in `run/analytics.pid`; its log is `run/analytics.log`.
//! A lock on `run/analytics.lock` makes it the only one: it goes with its holder's life, so that whatever an earlier
//! service left behind is safely taken over. SIGTERM ends it at once.

#[path = "../practice/engine.rs"]
mod engine;
#[path = "../practice/service.rs"]
mod service;

use std::{env, process::ExitCode};

const USAGE: &str = "\
The analytics service of the practice site, which is the current directory.

practice-analytics start          starts the service in the background; returns once it answers
practice-analytics serve          is the service, in the foreground
practice-analytics healthy        exits 0 when the service answers a small query within 1 s
practice-analytics stop-queries   has it cancel its queries and close the database
practice-analytics query SQL      asks it; exits 1 with the reason when there is no answer
";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["start"] => service::start(),
        ["serve"] => service::serve(),
        ["healthy"] => service::ask("health", service::HEALTH_TIMEOUT),
        ["stop-queries"] => service::ask("stop-queries", service::ANSWER_TIMEOUT),
        ["query", sql] => service::ask(&format!("query {}", sql.replace('\n', " ")), service::ANSWER_TIMEOUT),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
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
