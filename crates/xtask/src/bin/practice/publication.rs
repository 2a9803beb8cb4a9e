//! The builder of publications, standing in for Node: it keeps a build of Evidence going while story 1.7's flag is on, and
//! publishes. And the build itself, as processes look in life: `npm run build`, which runs Node with Evidence's own program,
//! which has Vite work for it.

use crate::{
    http::{self, Request, Response},
    service::Service,
    site,
    worker::{EVIDENCE_BUILD, Worker},
};
use std::{
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    thread,
};

pub const BUILDER: Service = Service("evidence-builder");
const ENGINE: &str = "tools/data-services/publication-engine.js";
const SUMMARY: &str = "summaries/revenue-by-region.csv";
/// What Evidence built last.
const PUBLISHED: &str = "public/index.html";
const PORT: u16 = 8447;

const NODE: &str = "bin/node";
const EVIDENCE: &[&str] = &["evidence_project/node_modules/.bin/evidence", "build"];
const VITE: &[&str] = &["evidence_project/node_modules/.bin/vite", "build"];

#[derive(Debug, Clone, Copy)]
enum Engine {
    Evidence,
    /// Writes a plain page from the nightly summaries.
    Basic,
}

pub fn serve() -> Result<String, String> {
    BUILDER.serve(
        || {
            let engine = Engine::from_site()?;
            http::listen(&address(), move |request| engine.answer(request))?;
            if let Engine::Evidence = engine {
                Worker::keep(EVIDENCE_BUILD)?;
            }
            Ok((engine, format!("with {}", engine.name())))
        },
        |engine, request| match request {
            "health" => Ok(format!("the builder publishes with {}\n", engine.name())),
            _ => Err("no such request".into()),
        },
    )
}

/// Where it listens.
pub fn address() -> String {
    format!("{}:{PORT}", site::host())
}

impl Engine {
    fn from_site() -> Result<Engine, String> {
        match site::named_in(ENGINE, "engine")?.as_str() {
            "evidence" => Ok(Engine::Evidence),
            "basic" => Ok(Engine::Basic),
            other => Err(format!("{ENGINE} names an engine that nobody knows: {other}")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Engine::Evidence => "evidence",
            Engine::Basic => "basic",
        }
    }

    fn answer(self, request: &Request) -> Response {
        let page = match (request.method.as_str(), request.path.as_str(), self) {
            ("GET", "/", Engine::Evidence) => site::text(PUBLISHED),
            ("GET", "/", Engine::Basic) => site::text(SUMMARY).map(|summary| basic_page(&summary)),
            _ => return (404, "there is nothing of that name\n".to_owned()),
        };
        page.map_or_else(|why| (503, why + "\n"), |page| (200, page))
    }
}

/// As `stubs/basic-reporter.js` writes it.
fn basic_page(summary: &str) -> String {
    let figures = summary.lines().skip(1).filter_map(|line| line.split_once(','));
    let items: String = figures.map(|(name, value)| format!("<li>{name}: {value}</li>")).collect();
    format!("<!doctype html><title>Figures</title><ul>{items}</ul>\n")
}

/// Is npm: holds the build's lock, so that there is one at a time, and ends with Evidence.
pub fn npm(args: &[&str]) -> Result<String, String> {
    if args != EVIDENCE_BUILD.args {
        return Err("npm has no such script here".to_owned());
    }
    let _alone = EVIDENCE_BUILD.alone()?;
    let status = node_command(EVIDENCE).status().map_err(|error| format!("{NODE}: {error}"))?;
    Err(format!("evidence build ended with {status}"))
}

/// Is Node: Evidence has Vite work in a process group of its own, and Vite works until it is stopped.
pub fn node(args: &[&str]) -> Result<String, String> {
    let _vite = match args {
        EVIDENCE => Some(node_command(VITE).process_group(0).spawn().map_err(|error| format!("{NODE}: {error}"))?),
        VITE => None,
        _ => return Err("Node has nothing to do here".to_owned()),
    };
    loop {
        thread::park();
    }
}

fn node_command(args: &[&str]) -> Command {
    let mut command = Command::new(NODE);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
