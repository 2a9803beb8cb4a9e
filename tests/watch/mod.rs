//! `unship watch` through the built binary, on a rehearsal site whose clock the test sets. The clock is a stand-in for the
//! machine's; samples, policies, plans, runs and the book are the real ones.

mod service;

use crate::support::{Practice, Site};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    process::{Child, ChildStdout, Stdio},
};

mod aftermath;
mod alertmanager;
mod night;
mod people;
mod server;

/// Any time: the clock is the test's.
const BEGIN: u64 = 1_790_000_000_000;
const MINUTE: u64 = 60_000;

fn site() -> Practice {
    let site = Site::practice();
    arm(&site);
    site
}

/// For rehearsals, and somebody may push samples.
fn arm(site: &Site) {
    let policy = site.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
    let watch = "\n[watch]\nlisten = \"127.0.0.1:0\"\nsamples-token = \"file:run/samples.token\"\n";
    site.write("policies/site.toml", &(policy + watch));
    secret(site, "run/samples.token", "s3cret\n");
}

/// A file that nobody else can read.
fn secret(site: &Site, path: &str, text: &str) {
    site.write(path, text);
    fs::set_permissions(site.at(path), fs::Permissions::from_mode(0o600)).expect("private");
}

/// What the daemon's server answered; `text` is all of it, with its head.
struct Answer {
    status: u16,
    text: String,
}

struct Daemon {
    child: Child,
    out: BufReader<ChildStdout>,
    address: String,
}

impl Daemon {
    fn start(site: &Site, inject: &[&str]) -> Daemon {
        Daemon::start_at(site, BEGIN, inject)
    }

    /// Its clock shows `now_ms`, or what the book says if that is later.
    fn start_at(site: &Site, now_ms: u64, inject: &[&str]) -> Daemon {
        let args: Vec<&str> = inject.iter().flat_map(|fault| ["--inject", fault]).collect();
        Daemon::start_with(site, now_ms, &args, Stdio::null())
    }

    /// With more arguments, and that standard input.
    fn start_with(site: &Site, now_ms: u64, args: &[&str], stdin: Stdio) -> Daemon {
        let mut command = site.command(["watch", "--json", "--clock", &now_ms.to_string()]);
        let mut child =
            command.args(args).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let line: Value = serde_json::from_str(&line).expect("the line that says where it listens");
        Daemon { address: line["listen"].as_str().expect("an address").to_owned(), child, out }
    }

    /// Posts; the status, or `None` where the daemon died.
    fn post(&self, path: &str, body: &str) -> Option<u16> {
        Some(self.ask("POST", path, body)?.status)
    }

    /// Asks whoever listens; `None` where the daemon died.
    fn ask(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: unship\r\nAuthorization: Bearer s3cret\r\nConnection: close\r\n"
        );
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, text: answer })
    }

    /// It is so late, and all that follows has been done. `false`: it died of that.
    fn clock(&self, now_ms: u64) -> bool {
        self.post("/v1/clock", &now_ms.to_string()) == Some(204)
    }

    /// A query took so many seconds, now.
    fn query(&self, now_ms: u64, seconds: f64) -> bool {
        let line =
            format!("{{\"metric\":\"duckdb_query_seconds\",\"labels\":{{}},\"value\":{seconds},\"at\":{now_ms}}}\n");
        self.clock(now_ms) && self.post("/v1/samples", &line) == Some(200)
    }

    /// Ends it as a service manager does; the kinds of all facts that it told.
    fn stop(mut self) -> Vec<String> {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        self.ended()
    }

    fn ended(&mut self) -> Vec<String> {
        let lines = self.out.by_ref().lines().map_while(Result::ok);
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
        let kinds = lines.filter_map(|line| line["what"]["fact"].as_str().map(str::to_owned)).collect();
        self.child.wait().expect("it ends");
        kinds
    }
}

/// Six slow queries within the hour, then quick ones until the stability window is over.
fn night(site: &Site, inject: &[&str]) -> Vec<String> {
    let mut daemon = Daemon::start(site, inject);
    let (mut kinds, mut deaths) = (Vec::new(), 0);
    let slow = (1..=6).map(|i| (i * MINUTE, 130.0));
    let quick = [8, 12, 18].map(|i| (i * MINUTE, 0.4));
    let times = slow.chain([(6 * MINUTE + 11_000, f64::NAN)]).chain(quick).chain([(23 * MINUTE, f64::NAN)]);
    for (after, seconds) in times {
        let now_ms = BEGIN + after;
        let go = |daemon: &Daemon| if seconds.is_nan() { daemon.clock(now_ms) } else { daemon.query(now_ms, seconds) };
        while !go(&daemon) {
            deaths += 1;
            assert!(deaths < 3, "it dies again and again");
            kinds.extend(daemon.ended());
            daemon = Daemon::start(site, &[]);
        }
    }
    assert_eq!(deaths, usize::from(!inject.is_empty()), "each fault hits");
    kinds.extend(daemon.stop());
    kinds
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|k| *k == kind).count()
}

#[test]
fn from_samples_to_a_story_taken_back_and_stable() {
    let site = site();
    let kinds = night(&site, &[]);
    let wanted = [
        "incident-opened",
        "plan-made",
        "decided",
        "run-began",
        "run-ended",
        "post-mortem-due",
        "stability-began",
        "verdict-reached",
        "incident-closed",
        "watch-ended",
    ];
    let told: Vec<&str> = kinds.iter().map(String::as_str).filter(|k| wanted.contains(k)).collect();
    assert_eq!(told, wanted);
    assert_eq!(
        site.read("tools/data-services/analytical-engine.js"),
        site.read("tools/data-services/stubs/simple-query-engine.js")
    );
    let runs = site.unship(["runs", "--json"]).exits(0);
    assert_eq!(runs.json().iter().filter(|line| line["outcome"] == "Succeeded").count(), 1);
    let _ = site.unship(["journal", "verify"]).exits(0).prints("the daemon's journal is intact too");
}

#[test]
fn killed_at_any_stage_and_started_again_it_takes_the_story_back_once() {
    for stage in [
        "incident-opened",
        "decided",
        "run-began",
        "run-ended",
        "stability-began",
        "verdict-reached",
        "incident-closed",
    ] {
        let site = site();
        let kinds = night(&site, &[&format!("kill@{stage}")]);
        assert_eq!(count(&kinds, "incident-opened"), 1, "{stage}");
        let incidents = site.unship(["incidents", "--all", "--json"]).exits(0);
        let incidents = incidents.json();
        let incidents: Vec<&Value> = incidents.iter().filter(|line| line["type"] == "incident").collect();
        assert_eq!(incidents.len(), 1, "{stage}");
        assert_eq!(
            (incidents[0]["stage"].as_str(), incidents[0]["verdict"].as_str()),
            (Some("closed"), Some("Recovered")),
            "{stage}"
        );
        let runs = site.unship(["runs", "--json"]).exits(0);
        let runs = runs.json();
        let runs: Vec<&Value> = runs.iter().filter(|line| line["outcome"].is_string()).collect();
        assert_eq!((runs.len(), runs[0]["outcome"].as_str()), (1, Some("Succeeded")), "{stage}");
        let _ = site.unship(["journal", "verify"]).exits(0);
    }
}

#[test]
fn a_clock_and_faults_are_for_rehearsal_sites_alone() {
    let site = Site::practice();
    for args in [["--clock", "1"], ["--inject", "kill@run-began"]] {
        let _ = site.unship(["watch"].into_iter().chain(args)).exits(3).says("rehearsal site only");
    }
    let _ = site.unship(["watch", "--inject", "kill@nothing"]).exits(2).says("no fault of the daemon's");
    let _ = site.unship(["incidents"]).exits(1).says("no daemon has ever watched this site");
}

#[test]
fn a_token_that_others_can_read_is_no_secret() {
    let site = site();
    fs::set_permissions(site.at("run/samples.token"), fs::Permissions::from_mode(0o644)).expect("open");
    let _ = site.unship(["watch"]).exits(1).says("others may read or write it").says("chmod 0600 run/samples.token");
}
