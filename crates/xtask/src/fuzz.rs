//! `cargo xtask fuzz`: what reads foreign bytes, under libFuzzer. Its corpus grows in the cache; a finding is a file in the
//! cache and an error. Without a nightly toolchain the targets are replayed with random changes, and that is said.

use crate::{
    repo,
    toolchain::{cache, clean, process::output, say},
    tools,
};
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Fixed, so that the same commit is fuzzed in the same way tomorrow.
const CARGO_FUZZ: &str = "0.13.2";
/// How long each target runs unless the command says otherwise, in seconds.
pub const SECONDS: u64 = 600;
/// How long each runs as a part of the tests.
pub const SECONDS_IN_TESTS: u64 = 4;
/// An input that takes longer than this is a finding.
const SLOW_S: u32 = 10;
/// Megabytes that a target may hold.
const MEMORY_MB: u32 = 2048;
/// Bytes of an input at most: a file that is longer tells nothing more.
const INPUT_BYTES_MAX: u32 = 16 << 10;

/// What the repository has for a target to begin with, besides what is in `fuzz/seeds`.
const OWN_FILES: [(&str, &str); 4] = [
    ("site_policy", "policies"),
    ("story_policy", "policies"),
    ("triggers", "policies/triggers"),
    ("signature", "crates/policy/tests/policy/minisign"),
];
/// A corpus that grew beyond so many files is cut down to those that reach something of their own: all are run at each start.
const CORPUS_FILES_MAX: usize = 8000;

/// What became of a target.
enum Ran {
    /// So many inputs, and all held.
    Inputs(u64),
    /// One did not; it lies among the findings.
    Found,
}

/// Runs targets, all of them unless some are named, so many seconds each.
///
/// # Errors
/// When something was found, or a target does not build or run.
pub fn run(wanted: &[String], seconds: u64) -> Result<()> {
    let all = targets()?;
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown:?}; there are: {}", all.join(", "));
    }
    let chosen: Vec<&String> = all.iter().filter(|name| wanted.is_empty() || wanted.contains(name)).collect();
    let nightly = has_nightly();
    if nightly {
        build()?
    } else {
        say("no nightly toolchain (`rustup toolchain install nightly`): replaying without coverage")
    }
    let (mut found, mut runs) = (Vec::new(), 0);
    for name in chosen {
        let ran = if nightly { fuzz(name, seconds)? } else { replay(name, seconds)? };
        match ran {
            Ran::Inputs(count) => runs += count,
            Ran::Found => found.push(name.as_str()),
        }
    }
    if !found.is_empty() {
        bail!("fuzzing found something in {}; the inputs are in {}", found.join(", "), findings()?.display());
    }
    say(&format!("{runs} inputs, nothing found"));
    Ok(())
}

/// The targets, by the files that cargo-fuzz builds.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(repo().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        names.extend(path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn has_nightly() -> bool {
    output(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])).is_ok()
}

fn folder(of: &str) -> Result<PathBuf> {
    let folder = cache::folder()?.join("fuzz").join(of);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

fn findings() -> Result<PathBuf> {
    folder("findings")
}

/// Where a target begins: its grown corpus first, which new inputs go to.
fn corpora(name: &str) -> Result<Vec<PathBuf>> {
    let own = OWN_FILES.iter().filter(|(target, _)| *target == name).map(|(_, folder)| repo().join(folder));
    let seeds = repo().join("fuzz/seeds").join(name);
    let rest = own.chain([seeds]).filter(|folder| folder.is_dir());
    Ok([folder(&format!("corpus/{name}"))?].into_iter().chain(rest).collect())
}

fn build() -> Result<()> {
    say("building the fuzz targets");
    let status = cargo_fuzz()?.args(["build", "--features", "libfuzzer", "--sanitizer", "none"]).status()?;
    if !status.success() {
        bail!("the fuzz targets do not build ({status})");
    }
    Ok(())
}

fn fuzz(name: &str, seconds: u64) -> Result<Ran> {
    cut_down(name)?;
    let before = found(name)?;
    let mut command = cargo_fuzz()?;
    command.args(["run", "--features", "libfuzzer", "--sanitizer", "none", name]);
    command.args(corpora(name)?).arg("--");
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-timeout={SLOW_S}"));
    command.arg(format!("-rss_limit_mb={MEMORY_MB}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    command.arg(format!("-artifact_prefix={}/{name}-", findings()?.display()));
    command.args(["-print_final_stats=1", "-verbosity=1"]);
    let out = command.output().context("cannot run cargo-fuzz")?;
    let log = String::from_utf8_lossy(&out.stderr);
    let stat = |key: &str| {
        let value = log.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(key)?.strip_prefix(':'));
        value.and_then(|value| value.trim().parse::<u64>().ok())
    };
    let (Some(runs), true) = (stat("number_of_executed_units"), out.status.success()) else {
        return failed(name, &log, before);
    };
    let coverage = log.lines().rev().find_map(|line| line.split("cov: ").nth(1)?.split(' ').next()).unwrap_or("?");
    let new = stat("new_units_added").unwrap_or(0);
    say(&format!("fuzz {name}: {runs} inputs, {new} new in its corpus, {coverage} edges, nothing found"));
    Ok(Ran::Inputs(runs))
}

/// A target that ended badly found something if it says which input; otherwise it could not run.
fn failed(name: &str, log: &str, before: usize) -> Result<Ran> {
    let lines: Vec<&str> = log.lines().collect();
    eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    if found(name)? == before {
        bail!("the fuzz target {name} could not run");
    }
    say(&format!("fuzz {name}: FOUND something"));
    Ok(Ran::Found)
}

/// How many findings there are of a target.
fn found(name: &str) -> Result<usize> {
    let prefix = format!("{name}-");
    let is_its = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&prefix);
    Ok(fs::read_dir(findings()?)?.map_while(Result::ok).filter(is_its).count())
}

fn cut_down(name: &str) -> Result<()> {
    let corpus = folder(&format!("corpus/{name}"))?;
    if fs::read_dir(&corpus)?.count() <= CORPUS_FILES_MAX {
        return Ok(());
    }
    say(&format!("fuzz {name}: cutting its corpus down"));
    let mut command = cargo_fuzz()?;
    command.args(["cmin", "--features", "libfuzzer", "--sanitizer", "none", name]).arg(&corpus);
    let out = command.output().context("cannot run cargo-fuzz")?;
    if !out.status.success() {
        bail!("the corpus of {name} cannot be cut down: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}

fn replay(name: &str, seconds: u64) -> Result<Ran> {
    let before = found(name)?;
    let mut command = clean("cargo");
    command.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]).arg(repo().join("fuzz/Cargo.toml"));
    command.args(["--features", "replay", "--bin", "replay", "--", name, &seconds.to_string()]).args(corpora(name)?);
    let out = command.current_dir(findings()?).env("CARGO_TARGET_DIR", target()).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    let runs = said.lines().find_map(|line| line.strip_suffix(" runs")?.parse::<u64>().ok());
    let (Some(runs), true) = (runs, out.status.success()) else {
        return failed(name, &String::from_utf8_lossy(&out.stderr), before);
    };
    say(&format!("fuzz {name}: {runs} inputs replayed, nothing found"));
    Ok(Ran::Inputs(runs))
}

/// Outside the folder that the host side is built in: other flags, another toolchain.
fn target() -> PathBuf {
    repo().join("target/fuzz")
}

/// cargo-fuzz of the one version, on the nightly toolchain.
fn cargo_fuzz() -> Result<Command> {
    let program = tools::need("cargo-fuzz", CARGO_FUZZ)?;
    let mut command = clean("rustup");
    command.args(["run", "nightly"]).arg(program).arg("fuzz");
    command.current_dir(repo().join("fuzz")).env("CARGO_TARGET_DIR", target()).stdin(Stdio::null());
    Ok(command)
}
