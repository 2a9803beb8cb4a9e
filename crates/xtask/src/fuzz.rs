//! `cargo xtask fuzz`: what reads foreign bytes, under libFuzzer. Its corpus grows in the cache; a finding is a file in the
//! cache and an error. Without a nightly toolchain the targets are replayed with random changes, and that is said.

use crate::{
    repo,
    toolchain::{cache, clean, process::output, say},
    tools,
};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
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
/// So many stay at most, the smallest: one that hardly shrinks would be cut down after each run.
const CORPUS_FILES_KEPT: usize = 6000;
/// How a target is built and run; without a sanitizer, for what is tried here has no `unsafe` of its own.
const FLAGS: [&str; 4] = ["--features", "libfuzzer", "--sanitizer", "none"];

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
    let status = cargo_fuzz()?.arg("build").args(FLAGS).status()?;
    if !status.success() {
        bail!("the fuzz targets do not build ({status})");
    }
    Ok(())
}

fn fuzz(name: &str, seconds: u64) -> Result<Ran> {
    let mut command = cargo_fuzz()?;
    command.arg("run").args(FLAGS).arg(name);
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
        return failed(name, &log);
    };
    let coverage = log.lines().rev().find_map(|line| line.split("cov: ").nth(1)?.split(' ').next()).unwrap_or("?");
    let new = stat("new_units_added").unwrap_or(0);
    say(&format!("fuzz {name}: {runs} inputs, {new} new in its corpus, {coverage} edges, nothing found"));
    // Now, and not before: an input that came to be a finding would be left out, and nobody told.
    cut_down(name)?;
    Ok(Ran::Inputs(runs))
}

/// A target that ended badly found something if it says which input; otherwise it could not run.
fn failed(name: &str, log: &str) -> Result<Ran> {
    let lines: Vec<&str> = log.lines().collect();
    eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    if !names_an_input(log) {
        bail!("the fuzz target {name} could not run");
    }
    say(&format!("fuzz {name}: FOUND something"));
    Ok(Ran::Found)
}

/// Whether libFuzzer, or our replay, says where the input lies. To count the findings would not do: the same input again is
/// written over the one that is there.
fn names_an_input(log: &str) -> bool {
    log.lines().any(|line| line.contains("Test unit written to ") || line.contains(" found something; the input is "))
}

/// Leaves of a corpus that has grown large what reaches something of its own. cargo-fuzz's `cmin` would do it in the repository,
/// which may lie on another disk than the cache, and does not tell when it fails.
fn cut_down(name: &str) -> Result<()> {
    let corpus = folder(&format!("corpus/{name}"))?;
    let before = names(&corpus)?;
    if before.len() <= CORPUS_FILES_MAX {
        return Ok(());
    }
    let kept = tempfile::Builder::new().prefix(".kept-").tempdir_in(folder("corpus")?)?;
    let mut command = cargo_fuzz()?;
    command.arg("run").args(FLAGS).arg(name).args([kept.path(), &corpus]).args(["--", "-merge=1"]);
    command.arg(format!("-timeout={SLOW_S}")).arg(format!("-rss_limit_mb={MEMORY_MB}"));
    let out = command.output().context("cannot run cargo-fuzz")?;
    if !out.status.success() {
        bail!("the corpus of {name} cannot be cut down: {}", String::from_utf8_lossy(&out.stderr));
    }
    keep(&corpus, &before, kept.path(), CORPUS_FILES_KEPT)?;
    say(&format!("fuzz {name}: its corpus of {} inputs is cut down to {}", before.len(), names(&corpus)?.len()));
    Ok(())
}

/// Takes the smallest files of `kept` into `corpus`, and away from it what else it had `before`. It is never gone as a whole, and
/// what another run added meanwhile stays.
fn keep(corpus: &Path, before: &BTreeSet<OsString>, kept: &Path, count: usize) -> Result<()> {
    let size = |file: &OsString| fs::metadata(kept.join(file)).map(|meta| meta.len());
    let mut stay = names(kept)?.into_iter().map(|file| Ok((size(&file)?, file))).collect::<Result<Vec<_>>>()?;
    if stay.is_empty() {
        bail!("nothing of {} would be left", corpus.display());
    }
    stay.sort();
    stay.truncate(count);
    let stay: BTreeSet<OsString> = stay.into_iter().map(|(_, file)| file).collect();
    for file in &stay {
        fs::rename(kept.join(file), corpus.join(file))?;
    }
    for file in before.difference(&stay) {
        // Another run that cuts it down at the same time may have been faster.
        let _ = fs::remove_file(corpus.join(file));
    }
    Ok(())
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    Ok(entries.map(|entry| Ok(entry?.file_name())).collect::<Result<_, std::io::Error>>()?)
}

fn replay(name: &str, seconds: u64) -> Result<Ran> {
    let mut command = clean("cargo");
    command.args(["run", "--quiet", "--release", "--locked", "--manifest-path"]).arg(repo().join("fuzz/Cargo.toml"));
    command.args(["--features", "replay", "--bin", "replay", "--", name, &seconds.to_string()]).args(corpora(name)?);
    let out = command.current_dir(findings()?).env("CARGO_TARGET_DIR", target()).output()?;
    let said = String::from_utf8_lossy(&out.stdout);
    let runs = said.lines().find_map(|line| line.strip_suffix(" runs")?.parse::<u64>().ok());
    let (Some(runs), true) = (runs, out.status.success()) else {
        return failed(name, &String::from_utf8_lossy(&out.stderr));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_target_that_names_an_input_found_something() {
        for (log, is_found) in [
            (
                "==7== ERROR: libFuzzer: deadly signal\nartifact_prefix='/c/'; Test unit written to /c/consent-crash-0",
                true,
            ),
            (
                "==7== ERROR: libFuzzer: timeout after 10 seconds\nartifact_prefix='/c/'; Test unit written to /c/x-timeout-0",
                true,
            ),
            ("replay: journal found something; the input is journal-00 (Ok(()))", true),
            ("error: could not compile `unship-fuzz`\nError: failed to build fuzz script", false),
            ("ERROR: The required directory \"/c/corpus\" does not exist", false),
            ("", false),
        ] {
            assert_eq!(names_an_input(log), is_found, "{log}");
        }
    }

    #[test]
    fn a_corpus_is_cut_down_to_the_smallest_of_what_is_kept() {
        let (corpus, kept) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let write =
            |folder: &Path, file: &str, size: usize| fs::write(folder.join(file), vec![0; size]).expect("written");
        for (file, size) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            write(corpus.path(), file, size);
        }
        let before = names(corpus.path()).expect("names");
        write(corpus.path(), "meanwhile", 9);
        assert!(keep(corpus.path(), &before, kept.path(), 2).is_err(), "nothing would be left");
        assert_eq!(names(corpus.path()).expect("names").len(), 5, "and nothing is gone");
        for (file, size) in [("d", 4), ("c", 3), ("b", 2)] {
            write(kept.path(), file, size);
        }
        keep(corpus.path(), &before, kept.path(), 2).expect("cut down");
        let left = ["b", "c", "meanwhile"].map(OsString::from);
        assert_eq!(names(corpus.path()).expect("names"), BTreeSet::from(left));
    }
}
