//! The way back of story 1.6: rows are counted again, nothing guesses, and the packages that guessed are gone from their
//! environment.
//!
//! The order matters. The two flags, which are one story, go off first and together: a failure of the second takes the first
//! back, since a step that fails is undone. Then the service stops, which has the packages loaded; only then they go, and
//! the engine is swapped. What the service had worked out can be worked out again and is cleared; hypotheses are people's
//! own by now, and are set aside.
//!
//! **The packages are removed file by file through the gate, not by `pip uninstall`; a deliberate choice.** The environment's own records
//! say what belongs to a package (see [`environment`]), so pip is not needed for it. That way each file is granted, planned
//! and journalled, and the host keeps the very bytes: undo needs no pip, no index and no cache of wheels, works offline, and
//! gives back what was there, patches by hand included, where a new installation would bring whatever is offered by then.
//!
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

mod environment;
mod record;

use environment::Environment;
use std::{collections::BTreeSet, fs, path::Path};
use unship_step::{Context as _, Result, check, commands, ensure, fail, files, flags, http, progress, services, warn};

/// Two flags, one story.
const FLAGS: [&str; 2] = ["automated_eda", "hypothesis_generation"];
const ANALYSIS: &str = "analysis-service";
const ENGINE: &str = "tools/data-services/eda-engine.js";
const STUB: &str = "tools/data-services/stubs/basic-analysis.js";
const CACHE: &str = ".cache/analysis";
const HYPOTHESES: &str = ".cache/hypotheses";
/// Distributions by their normalised names. The first was renamed to the second, and somebody may have either.
const PACKAGES: [&str; 4] = ["pandas-profiling", "ydata-profiling", "sweetviz", "autoviz"];
/// What Python imports them as.
const MODULES: [&str; 4] = ["pandas_profiling", "ydata_profiling", "sweetviz", "autoviz"];
/// One that others need too, and that stays.
const STAYS: &str = "tqdm";
/// Ask the environment's own Python; their one parameter is [`MODULE`].
const MISSING: &str = "module-missing";
const PRESENT: &str = "module-present";
const MODULE: &str = "module";
const SUMMARY: &str = "analysis-summary";
const BASIC: &str = "\"engine\":\"basic\"";
/// HTTP: OK.
const OK: u16 = 200;

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "engine-supplied" => engine_supplied,
    "packages-removable" => packages_removable,
    // The way back, in order.
    "disable-eda" => disable_eda,
    "stop-analysis" => stop_analysis,
    "remove-packages" => remove_packages,
    "ask-python" => ask_python,
    "clear-cache" => clear_cache,
    "set-hypotheses-aside" => set_hypotheses_aside,
    "replace-engine" => replace_engine,
    "start-analysis" => start_analysis,
    // Is the system well again?
    "flags-off" => flags_off,
    "packages-gone" => packages_gone,
    "hypotheses-aside" => hypotheses_aside,
    "engine-is-basic" => engine_is_basic,
    "analysis-answers" => analysis_answers,
}

fn disable_eda() -> Result {
    for flag in FLAGS {
        flags::set(flag, "off")?;
    }
    Ok(())
}

fn stop_analysis() -> Result {
    services::stop(ANALYSIS)?;
    Ok(())
}

fn remove_packages() -> Result {
    let environment = Environment::open()?;
    let leaving = environment.leaving(&PACKAGES)?;
    let mut folders = BTreeSet::new();
    for package in leaving {
        for path in &package.files {
            fs::remove_file(path).context(format!("removing {path}"))?;
            let above = Path::new(path).ancestors().skip(1).map(Path::to_owned);
            folders.extend(above.take_while(|folder| folder.starts_with(&environment.packages)));
        }
        progress!("{} {} removed, {} files", package.name, package.version, package.files.len());
    }
    // Whatever lies below a folder comes behind it.
    for folder in folders.into_iter().rev().filter(|folder| *folder != Path::new(&environment.packages)) {
        let doing = || format!("looking into {}", folder.display());
        match fs::read_dir(&folder).context(doing())?.count() {
            0 => fs::remove_dir(&folder).context(format!("removing {}", folder.display()))?,
            left => warn!("{} stays: {left} entries in it are no package's", folder.display()),
        }
    }
    Ok(())
}

/// The proof of the removal by whom it concerns.
fn ask_python() -> Result {
    for module in MODULES {
        let said = commands::run_with(MISSING, &[(MODULE, module)])?.stderr;
        // It may fail for other reasons as well. Planning asks nobody.
        let is_missing = said.is_empty() || said.contains(&format!("No module named '{module}'"));
        ensure!(is_missing, "Python does not say that {module} is missing: {said}");
    }
    commands::run_with(PRESENT, &[(MODULE, STAYS)])?;
    Ok(())
}

fn clear_cache() -> Result {
    files::clear_if_present(CACHE)
}

fn set_hypotheses_aside() -> Result {
    files::set_aside_if_present(HYPOTHESES)
}

fn replace_engine() -> Result {
    files::replace(ENGINE, STUB)?;
    Ok(())
}

fn start_analysis() -> Result {
    services::start(ANALYSIS)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flags_off()?;
    engine_is_basic()?;
    hypotheses_aside()?;
    packages_gone()
}

/// An engine that asks Python would bring back what is to be taken out.
fn engine_supplied() -> Result {
    check::replacement_without(STUB, "child_process", "another process")
}

/// Says which versions go, so that they stand in the plan.
fn packages_removable() -> Result {
    for package in Environment::open()?.leaving(&PACKAGES)? {
        progress!("{} {} can go, {} files", package.name, package.version, package.files.len());
    }
    Ok(())
}

fn flags_off() -> Result {
    FLAGS.into_iter().try_for_each(|flag| check::flag(flag, "off"))
}

fn packages_gone() -> Result {
    let environment = Environment::open()?;
    if let Some(left) = environment.installed(&PACKAGES)?.first() {
        fail!("{} {} is still in {}", left.name, left.version, environment.packages);
    }
    Ok(())
}

fn hypotheses_aside() -> Result {
    check::absent(HYPOTHESES)
}

fn engine_is_basic() -> Result {
    check::same_bytes(ENGINE, STUB)
}

/// A healthy service proves little: the answer must be the basic engine's.
fn analysis_answers() -> Result {
    check::healthy(ANALYSIS)?;
    let summary = http::get(SUMMARY)?;
    ensure!(summary.status == OK, "{SUMMARY} answers {}, not {OK}", summary.status);
    ensure!(
        summary.body.contains(BASIC),
        "{SUMMARY} answers, but not by the basic engine: {}",
        summary.body.trim_end()
    );
    Ok(())
}
