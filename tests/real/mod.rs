//! The practice site with real parts (`cargo xtask site DIR --real`): Node services under pm2, Python, dbt, DuckDB, git.

mod feeds;
mod site;
mod stories;

use crate::support::{Ran, Site, xtask};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// The key that the site's api knows.
const KEY: &str = "practice-key";
/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A site with real parts, all of its services running. Dropping it ends them.
pub struct Real(Site);

impl Deref for Real {
    type Target = Site;
    fn deref(&self) -> &Site {
        &self.0
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let stopped = Ran::of(xtask().args(["site", "--stop"]).arg(self.path()));
        // The test may be on its way out by a panic already.
        if stopped.status != Some(0) {
            eprintln!("{}", stopped.stderr);
        }
    }
}

/// An answer over HTTP.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Asks whoever listens at `address`.
fn get(address: &str, path: &str, key: Option<&str>) -> Answer {
    let key = key.map(|key| format!("x-api-key: {key}\r\n")).unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{key}connection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(SOON)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    // The body comes in pieces, each behind its length.
    let body = if head.to_lowercase().contains("transfer-encoding: chunked") {
        body.split("\r\n").nth(1).unwrap_or_default()
    } else {
        body
    };
    Answer { status, body: body.to_owned() }
}

impl Real {
    /// With the stories whose parts are light. None of them needs another one first.
    fn new() -> Real {
        Real::with(&["1.2", "1.3", "1.4", "1.8"])
    }

    /// With these stories alone.
    pub fn with(stories: &[&str]) -> Real {
        let stories = stories.iter().flat_map(|story| ["--story", story]);
        Real(Site::laid_out(&["--real"].into_iter().chain(stories).collect::<Vec<_>>()))
    }

    /// What git says of the site.
    fn git(&self, args: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(args).current_dir(self.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        Ran::of(&mut git).exits(0).stdout
    }

    /// A program of the site's, in the site.
    fn tool(&self, program: &str, args: &[&str]) -> Ran {
        Ran::of(&mut self.tool_command(program, args))
    }

    fn tool_command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(self.at(program));
        command.args(args).current_dir(self.path()).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/dev/null");
        command
    }

    /// `npm run SCRIPT ARG…`.
    fn npm(&self, script: &str, args: &[&str]) -> Ran {
        self.tool("bin/npm", &[&["run", "--silent", script], args].concat())
    }

    /// Asks a service of the site.
    fn get(&self, service: &str, path: &str, key: Option<&str>) -> Answer {
        let network: serde_json::Value = serde_json::from_str(&self.read("config/network.json")).expect("JSON");
        let host = network["host"].as_str().expect("a host");
        let port = ["ports", "more"].into_iter().find_map(|of| network[of][service].as_u64()).expect("a port");
        get(&format!("{host}:{port}"), path, key)
    }

    /// What answers for each service that a story swaps, by its own word.
    fn engines(&self) -> [String; 4] {
        let word = |service, key: &str| {
            let answer = self.get(service, "/health", None);
            assert_eq!(answer.status, 200, "{service}: {answer:?}");
            answer.json()[key].as_str().expect("a word").to_owned()
        };
        [("analytics", "engine"), ("ingestion", "engine"), ("api", "security"), ("core", "engine")]
            .map(|(service, key)| word(service, key))
    }

    /// The processes of builds: whatever works in the project, and Node with a program of the project.
    fn builds(&self) -> Vec<u32> {
        let project = self.path().canonicalize().expect("the site").join("evidence_project");
        let builds = |pid: &u32| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let names_project = String::from_utf8_lossy(&line).contains(&format!("{}/", project.display()));
            // The dead have no command line any more.
            !line.is_empty() && (names_project || fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == project))
        };
        pids().filter(builds).collect()
    }

    /// The processes of this site whose command line holds `text`.
    fn processes(&self, text: &str) -> Vec<u32> {
        let site = self.path().canonicalize().expect("the site");
        let runs = |pid: &u32| {
            let process = PathBuf::from(format!("/proc/{pid}"));
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(text) && fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == site)
        };
        let mut pids: Vec<u32> = pids().filter(runs).collect();
        pids.sort_unstable();
        pids
    }

    /// The one process of a service.
    fn pid(&self, service: &str) -> u32 {
        let pids = self.processes(&format!("/services/{service}.js"));
        assert_eq!(pids.len(), 1, "{service}: {pids:?}");
        pids[0]
    }
}

/// Of every process.
fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("processes");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Waits until `holds`.
#[track_caller]
fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "in vain for {} s: {what}", SOON.as_secs());
        std::thread::sleep(POLL);
    }
}

/// What the process `pid` holds open below `dir`.
fn held(pid: u32, dir: &Path) -> Vec<PathBuf> {
    let handles = fs::read_dir(format!("/proc/{pid}/fd")).expect("its handles");
    let targets = handles.filter_map(|handle| fs::read_link(handle.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(dir)).collect()
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill").success());
}
