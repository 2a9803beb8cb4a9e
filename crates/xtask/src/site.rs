//! `cargo xtask site DIR`: the practice site, whole. Its tree, its live services, policies, a signing key of its own, signed
//! bundles with their native code made ahead of time, and `.unship/` in place.

use crate::{practice, real, repo, toolchain::say};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A story of the practice site.
#[derive(Debug)]
pub struct Story {
    /// As the verbs take it.
    pub id: &'static str,
    /// The guest's file and its manifest's folder, without their endings.
    guest: (&'static str, &'static str),
    /// The stories that must be taken back first.
    pub needs: &'static [&'static str],
    /// The services that must live for it to be taken back.
    services: &'static [&'static str],
}

/// Every story of the practice site.
pub const STORIES: &[Story] = &[
    Story {
        id: "1.1.5",
        guest: ("story_1_1_5", "story-1-1-5"),
        needs: &["1.2", "1.3", "1.4", "1.5", "1.6", "1.7"],
        services: &["api", "core"],
    },
    Story { id: "1.2", guest: ("story_1_2", "story-1-2"), needs: &[], services: &["ingestion", "core"] },
    Story { id: "1.3", guest: ("story_1_3", "story-1-3"), needs: &[], services: &["analytics"] },
    Story { id: "1.4", guest: ("story_1_4", "story-1-4"), needs: &[], services: &["analytics", "core"] },
    Story {
        id: "1.5",
        guest: ("story_1_5", "story-1-5"),
        needs: &[],
        services: &["dagster-webserver", "dagster-daemon"],
    },
    Story { id: "1.6", guest: ("story_1_6", "story-1-6"), needs: &[], services: &["analysis-service"] },
    Story { id: "1.7", guest: ("story_1_7", "story-1-7"), needs: &[], services: &["evidence-builder"] },
    Story { id: "1.8", guest: ("story_1_8", "story-1-8"), needs: &[], services: &[] },
];

/// The story with this id.
///
/// # Errors
/// Those that there are.
pub fn story(id: &str) -> Result<&'static Story> {
    STORIES.iter().find(|story| story.id == id).with_context(|| {
        let known: Vec<&str> = STORIES.iter().map(|story| story.id).collect();
        format!("the practice site has no story {id}; it has {}", known.join(", "))
    })
}

/// What the practice site is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The built `unship`.
    pub unship: PathBuf,
    /// The built `practice`.
    pub practice: PathBuf,
    /// The folder of the built guests.
    pub guests: PathBuf,
}

/// Lays the site out in `dir`, with these stories and those that they need first, and starts the services that they need.
///
/// # Errors
/// When `dir` holds something already, or a part does not work.
pub fn lay_out(dir: &Path, parts: &Parts, stories: &[&Story]) -> Result<()> {
    // The key that signs stays out of the site, as it would in life; nobody needs it again.
    let keys = tempfile::tempdir()?;
    lay_out_with_key(dir, parts, stories, &keys.path().join("release.key"))
}

/// The same, with the signing key kept in the new file `key`.
///
/// # Errors
/// As [`lay_out`].
pub fn lay_out_with_key(dir: &Path, parts: &Parts, stories: &[&Story], key: &Path) -> Result<()> {
    practice::lay_out(dir, &parts.practice)?;
    let dir = dir.canonicalize()?;
    let is_wanted = |id: &str| stories.iter().any(|story| story.id == id || story.needs.contains(&id));
    let stories: Vec<&Story> = STORIES.iter().filter(|story| is_wanted(story.id)).collect();
    if is_wanted("1.5") {
        practice::dagster::lay_out(&dir)?;
    }
    if is_wanted("1.8") {
        real::history::lay_out(&dir)?;
    }
    let services = stories.iter().flat_map(|story| story.services).copied().collect();
    let complete = furnish(&dir, parts, &stories, key)
        .and_then(|()| name_address(&dir))
        .and_then(|()| start_services(&dir, &services))
        .and_then(|()| plan(&dir, parts, &stories));
    if complete.is_err() {
        stop(&dir);
    }
    complete
}

/// Says in the site's policy where its services listen.
fn name_address(dir: &Path) -> Result<()> {
    let host = fs::read_to_string(dir.join(practice::HOST))?;
    let policy = dir.join("policies/site.toml");
    let text = fs::read_to_string(&policy)?.replace("//127.0.0.1:", &format!("//{}:", host.trim()));
    fs::write(policy, text).context("naming the site's address")
}

/// What makes a site of a tree: policies, a trust file, `.unship/`, signed bundles.
///
/// # Errors
/// When `unship` refuses something.
pub fn furnish(dir: &Path, parts: &Parts, stories: &[&Story], key: &Path) -> Result<()> {
    fs::create_dir(dir.join("policies"))?;
    fs::create_dir(dir.join("bundles"))?;
    for name in stories.iter().map(|story| story.id).chain(["site"]) {
        let file = format!("policies/{name}.toml");
        fs::copy(repo().join(&file), dir.join(&file)).with_context(|| format!("copying {file}"))?;
    }
    fs::create_dir(dir.join("policies/triggers"))?;
    let own = stories.iter().flat_map(|story| [format!("{}.toml", story.id), format!("{}.test.toml", story.id)]);
    for name in own.chain(["site.test.toml".to_owned()]) {
        let file = format!("policies/triggers/{name}");
        fs::copy(repo().join(&file), dir.join(&file)).with_context(|| format!("copying {file}"))?;
    }
    let public = run(Command::new(&parts.unship).arg("keygen").arg(key))?;
    run(Command::new(&parts.unship).arg("init").arg("--site").arg(dir))?;
    let trust = ["trust", "init", "--release", public.trim(), "--expires-in", "3650d", "--key"];
    run(Command::new(&parts.unship).args(trust).arg(key).arg("--site").arg(dir))?;
    for story in stories {
        let (built, source) = story.guest;
        let manifest = repo().join("steps-wasm").join(source).join("unship.toml");
        let to = dir.join(format!("bundles/story-{}.wasm", story.id));
        bundle(parts, &parts.guests.join(format!("{built}.wasm")), &manifest, &to, key)?;
    }
    Ok(())
}

/// Plans each story once: that makes the native code, so that no rollback ever has to.
///
/// # Errors
/// When one cannot be planned as the site is.
pub fn plan(dir: &Path, parts: &Parts, stories: &[&Story]) -> Result<()> {
    for story in stories {
        run(Command::new(&parts.unship).args(["plan", story.id, "--site"]).arg(dir))?;
    }
    Ok(())
}

/// Starts them at the same time; returns when each answers.
fn start_services(dir: &Path, services: &BTreeSet<&str>) -> Result<()> {
    let start = |service: &str| {
        let program = dir.join(format!("bin/practice-{service}"));
        // Not its pipes: they would stay open as long as the service lives.
        let status = Command::new(program)
            .arg("start")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("the service {service} does not start; see run/{service}.log");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let starting: Vec<_> = services.iter().map(|service| scope.spawn(move || start(service))).collect();
        starting.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

/// Packs and signs one bundle.
///
/// # Errors
/// When `unship` refuses it.
pub fn bundle(parts: &Parts, component: &Path, manifest: &Path, to: &Path, key: &Path) -> Result<()> {
    run(Command::new(&parts.unship).arg("pack").arg(component).arg("--manifest").arg(manifest).arg("-o").arg(to))?;
    run(Command::new(&parts.unship).arg("sign").arg(to).arg("--key").arg(key))?;
    Ok(())
}

/// How long the site's processes may take to end.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Ends everything that lives on the site, and waits a few seconds at most until it is gone.
pub fn stop(dir: &Path) {
    let begun = Instant::now();
    loop {
        let alive = alive(dir);
        if alive.is_empty() || begun.elapsed() >= GONE_WITHIN {
            return;
        }
        // Again each time round: a service may just have started another process.
        let _ = Command::new("kill").args(&alive).stderr(Stdio::null()).status();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The processes whose executable lies in the site.
fn alive(dir: &Path) -> Vec<OsString> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_ours = |path: &Path| fs::read_link(path.join("exe")).is_ok_and(|exe| exe.starts_with(dir));
    pids.filter(|entry| is_ours(&entry.path())).map(|entry| entry.file_name()).collect()
}

/// Standard output of a command that succeeds.
///
/// # Errors
/// What it said otherwise.
pub fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!(
            "{command:?} ended with {status}:\n{}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Builds everything that a site needs.
///
/// # Errors
/// When something does not build.
pub fn parts(guests: PathBuf) -> Result<Parts> {
    say("building unship (the first time about five minutes: it brings its own WebAssembly engine)");
    let built = crate::toolchain::clean("cargo")
        .args(["build", "--quiet", "--release", "--locked", "-p", "unship-cli", "-p", "xtask"])
        .current_dir(repo())
        .status()?;
    if !built.success() {
        bail!("unship does not build ({built})");
    }
    let release = release();
    Ok(Parts { unship: release.join("unship"), practice: release.join("practice"), guests })
}

/// Where cargo puts what it builds in the one profile that is used.
fn release() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repo().join("target"), |dir| repo().join(dir));
    target.join("release")
}
