//! The way back of story 1.4: rows are transformed by the simple engine again, and dbt's project is kept aside.
//!
//! The order matters. The flag goes off first, so that no run of dbt begins; those that run are stopped, and then what
//! they left running in the warehouse; only then the project is taken from under them and the engine swapped. The
//! warehouse keeps the tables that dbt built: they are read by others, and no step here may drop them.
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

use std::{
    fs, io,
    path::{Path, PathBuf},
};
use unship_step::{Context as _, Result, check, commands, ensure, fail, files, flags, processes, progress, services};

const FLAG: &str = "dbt_transformations";
/// The service that loads the engine and runs dbt.
const CORE: &str = "core";
/// The runs of dbt that change the warehouse, as the operator's policy tells them from all others.
const RUNS: &str = "dbt";
const CANCEL_QUERIES: &str = "cancel-queries";
const ENGINE: &str = "tools/data-services/transformation-engine.js";
const STUB: &str = "tools/data-services/stubs/simple-transformation.js";
const PROJECT: &str = "dbt_project";
/// What dbt compiled. A bare `target` beside it belongs to another tool.
const COMPILED: &str = "dbt_project/target";
/// Evidence of what went wrong: kept, not cleared.
const LOGS: &str = "logs/dbt";
const TRANSFORMATIONS: &str = "transformations";
/// Each file of it takes its place in [`TRANSFORMATIONS`] again.
const SIMPLE: &str = "transformations/simple";

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "engine-supplied" => engine_supplied,
    "transformations-supplied" => transformations_supplied,
    // The way back, in order.
    "disable-dbt" => disable_dbt,
    "stop-runs" => stop_runs,
    "cancel-queries" => cancel_queries,
    "clear-compiled" => clear_compiled,
    "set-project-aside" => set_project_aside,
    "set-logs-aside" => set_logs_aside,
    "replace-engine" => replace_engine,
    "restore-transformations" => restore_transformations,
    "restart-core" => restart_core,
    // Is the system well again?
    "flag-off" => flag_off,
    "runs-gone" => runs_gone,
    "engine-is-simple" => engine_is_simple,
    "transformations-are-simple" => transformations_are_simple,
    "project-aside" => project_aside,
    "core-answers" => core_answers,
}

fn disable_dbt() -> Result {
    flags::set(FLAG, "off")?;
    Ok(())
}

fn stop_runs() -> Result {
    let stopped = processes::stop(RUNS)?;
    progress!("{stopped} runs of dbt stopped");
    Ok(())
}

/// A query goes on in the warehouse when the process that asked is gone.
fn cancel_queries() -> Result {
    let output = commands::run(CANCEL_QUERIES)?;
    if let Some(said) = output.stdout.lines().next_back() {
        progress!("{said}");
    }
    progress!("the tables that dbt built stay in the warehouse");
    Ok(())
}

fn clear_compiled() -> Result {
    files::clear_if_present(COMPILED)
}

fn set_project_aside() -> Result {
    files::set_aside_if_present(PROJECT)
}

fn set_logs_aside() -> Result {
    files::set_aside_if_present(LOGS)
}

fn replace_engine() -> Result {
    files::replace(ENGINE, STUB)?;
    Ok(())
}

fn restore_transformations() -> Result {
    for (simple, place) in simple_transformations()? {
        if is_same(&simple, &place)? {
            continue;
        }
        fs::copy(&simple, &place).context(format!("copying {} to {}", simple.display(), place.display()))?;
        progress!("{} is the simple one again", place.display());
    }
    Ok(())
}

fn restart_core() -> Result {
    services::restart(CORE)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flag_off()?;
    engine_is_simple()?;
    transformations_are_simple()?;
    project_aside()?;
    runs_gone()
}

/// Story 1.4 was shipped without a way back for its engine: without this file, there would be none afterwards.
fn engine_supplied() -> Result {
    if !files::present(STUB)? {
        fail!("{STUB} is not there: the author of story 1.4 must supply the engine that takes over");
    }
    check::replacement_without(STUB, "dbt", "dbt")
}

fn transformations_supplied() -> Result {
    let supplied = simple_transformations()?;
    ensure!(!supplied.is_empty(), "{SIMPLE} is empty: the author of story 1.4 must supply what dbt's models replaced");
    Ok(())
}

fn flag_off() -> Result {
    check::flag(FLAG, "off")
}

fn runs_gone() -> Result {
    check::no_process(RUNS)
}

fn engine_is_simple() -> Result {
    check::same_bytes(ENGINE, STUB)
}

fn transformations_are_simple() -> Result {
    for (simple, place) in simple_transformations()? {
        ensure!(is_same(&simple, &place)?, "{} is not the simple one", place.display());
    }
    Ok(())
}

fn project_aside() -> Result {
    check::absent(PROJECT)
}

fn core_answers() -> Result {
    check::healthy(CORE)
}

/// Every file in [`SIMPLE`], hidden ones too, with its place in [`TRANSFORMATIONS`], always in the same order.
fn simple_transformations() -> Result<Vec<(PathBuf, PathBuf)>> {
    let looking = || format!("looking into {SIMPLE}");
    let mut files = Vec::new();
    for entry in fs::read_dir(SIMPLE).context(looking())? {
        let entry = entry.context(looking())?;
        let is_file = entry.file_type().context(looking())?.is_file();
        ensure!(is_file, "{} is not a regular file; nothing else is restored", entry.path().display());
        files.push((entry.path(), Path::new(TRANSFORMATIONS).join(entry.file_name())));
    }
    files.sort();
    Ok(files)
}

/// A file that is not there is no other's equal.
fn is_same(path: &Path, other: &Path) -> Result<bool> {
    let wanted = fs::read(path).context(format!("reading {}", path.display()))?;
    match fs::read(other) {
        Ok(found) => Ok(found == wanted),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => fail!("reading {}: {error}", other.display()),
    }
}
