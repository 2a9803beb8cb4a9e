//! `cargo xtask bench`: story 1.3 beside the seed's bash script, on fresh copies of one practice site, by turns. It
//! measures and judges nothing: times are of the machine at hand.

use crate::{
    practice,
    site::{self, Parts},
    toolchain::say,
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const SCRIPT: &str = include_str!("seed/rollback-1.3.sh");

/// What is measured, in the order of the table.
#[derive(Default)]
struct Times {
    bash: Vec<Duration>,
    plan_cold: Vec<Duration>,
    plan_warm: Vec<Duration>,
    apply_warm: Vec<Duration>,
    undo: Vec<Duration>,
    flushes: Vec<u64>,
}

/// Measures `runs` rounds after one that does not count, and prints the table.
///
/// # Errors
/// When a side does not do its work: the times of a failure mean nothing.
pub fn run(parts: &Parts, runs: usize) -> Result<()> {
    if runs == 0 {
        bail!("at least one run is needed");
    }
    let folder = tempfile::Builder::new().prefix("unship-bench-").tempdir()?;
    let root = folder.path().canonicalize()?;
    let script = root.join("rollback-1.3.sh");
    fs::write(&script, SCRIPT)?;
    let base = root.join("base");
    site::lay_out(&base, parts, &[site::story("1.3")?])?;
    site::stop(&base);
    let bench = Bench { root, base, script, unship: parts.unship.clone() };
    let mut times = Times::default();
    for round in 0..=runs {
        // Whoever is second finds a warmer machine: they take turns.
        if round % 2 == 0 {
            bench.bash(&mut times)?;
            bench.unship(&mut times)?;
        } else {
            bench.unship(&mut times)?;
            bench.bash(&mut times)?;
        }
        if round == 0 {
            times = Times::default();
        }
        say(&format!("round {round} of {runs}"));
    }
    print(&times, runs, fs::metadata(parts.guests.join("story_1_3.wasm"))?.len());
    Ok(())
}

struct Bench {
    root: PathBuf,
    base: PathBuf,
    script: PathBuf,
    unship: PathBuf,
}

impl Bench {
    fn bash(&self, times: &mut Times) -> Result<()> {
        self.on_a_copy(|copy| {
            times.bash.push(timed(Command::new("bash").arg(&self.script).current_dir(copy))?.0);
            let stub = fs::read(copy.join("tools/data-services/stubs/simple-query-engine.js"))?;
            let flags = fs::read_to_string(copy.join("config/feature-flags.yaml"))?;
            let off = flags.contains("duckdb_analytics:\n    enabled: false");
            if !off
                || copy.join(".duckdb").exists()
                || fs::read(copy.join("tools/data-services/analytical-engine.js"))? != stub
            {
                bail!("the script did not take story 1.3 back");
            }
            Ok(())
        })
    }

    fn unship(&self, times: &mut Times) -> Result<()> {
        self.on_a_copy(|copy| {
            for code in fs::read_dir(copy.join(".unship/code"))? {
                fs::remove_file(code?.path())?;
            }
            times.plan_cold.push(timed(&mut self.verb(copy, &["plan", "1.3"]))?.0);
            times.plan_warm.push(timed(&mut self.verb(copy, &["plan", "1.3"]))?.0);
            let (time, out) = timed(&mut self.verb(copy, &["apply", "1.3", "--yes", "--json"]))?;
            times.apply_warm.push(time);
            let last = out.lines().last().context("apply said nothing")?;
            let summary: serde_json::Value = serde_json::from_str(last)?;
            times.flushes.push(summary["flushes"].as_u64().context("apply did not count its flushes")?);
            let run = summary["run"].as_str().context("apply did not name its run")?;
            times.undo.push(timed(&mut self.verb(copy, &["undo", run]))?.0);
            if !copy.join(".duckdb").exists() {
                bail!("undo did not take the run back");
            }
            Ok(())
        })
    }

    fn verb(&self, copy: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.unship);
        command.args(args).arg("--site").arg(copy).env("XDG_CACHE_HOME", self.root.join("cache"));
        command
    }

    /// Runs `body` on a fresh copy of the site whose service runs; neither copy nor service is left.
    fn on_a_copy(&self, body: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let copy = self.root.join("copy");
        site::run(Command::new("cp").arg("-a").arg(&self.base).arg(&copy))?;
        let started = site::run(Command::new(copy.join(practice::ANALYTICS)).arg("start").current_dir(&copy));
        // The copy itself is not what is measured, nor is its way to the disk.
        let done = started.and_then(|_| site::run(Command::new("sync").arg("-f").arg(&copy))).and_then(|_| body(&copy));
        site::stop(&copy);
        fs::remove_dir_all(&copy)?;
        done
    }
}

/// The time of a whole process that succeeds, and what it printed.
fn timed(command: &mut Command) -> Result<(Duration, String)> {
    command.stdin(Stdio::null());
    let begun = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    let time = begun.elapsed();
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok((time, String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn print(times: &Times, runs: usize, guest_bytes: u64) {
    println!("Story 1.3 on the practice site, {runs} runs each, whole processes, by turns:\n");
    println!("| what                       |   median |  fastest |  slowest |");
    println!("|----------------------------|---------:|---------:|---------:|");
    row("bash, the seed's script", &times.bash);
    row("unship plan, cache emptied", &times.plan_cold);
    row("unship plan, warm", &times.plan_warm);
    row("unship apply --yes, warm", &times.apply_warm);
    row("unship undo", &times.undo);
    let (least, most) = (times.flushes.iter().min().unwrap_or(&0), times.flushes.iter().max().unwrap_or(&0));
    let flushes = if least == most { least.to_string() } else { format!("{least} to {most}") };
    println!("\nJournal flushes of one apply: {flushes}. Size of the guest: {guest_bytes} bytes.");
}

fn row(what: &str, times: &[Duration]) {
    let mut sorted = times.to_vec();
    sorted.sort();
    let ms = |time: Option<&Duration>| format!("{:.1} ms", time.map_or(0.0, |t| t.as_secs_f64() * 1000.0));
    println!(
        "| {what:<26} | {:>8} | {:>8} | {:>8} |",
        ms(sorted.get(sorted.len() / 2)),
        ms(sorted.first()),
        ms(sorted.last())
    );
}
