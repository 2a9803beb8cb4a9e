//! The way back of story 1.7: a plain page with the figures is published again, and what Evidence.dev published is gone.
//!
//! The order matters. The flag goes off first, so that no build begins; then the service stops, which would start one; only
//! then the builds that are left, with all that they started. The project is taken when nobody builds from it any more.
//! In `public/` others have files too: only what the last build's manifest lists goes, and of that only what is still as
//! the build made it. The manifest stays, so that the verification can tell that the pages are gone.
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

mod manifest;

use manifest::{Found, Manifest};
use std::fs;
use unship_step::{Context as _, Result, check, ensure, files, flags, http, processes, progress, services, warn};

const FLAG: &str = "evidence_publications";
/// The service that loads the engine and starts the builds.
const BUILDER: &str = "evidence-builder";
/// The builds and all that they started, as the operator's policy tells them from all other processes.
const BUILDS: &str = "evidence-build";
const ENGINE: &str = "tools/data-services/publication-engine.js";
const STUB: &str = "tools/data-services/stubs/basic-reporter.js";
const PROJECT: &str = "evidence_project";
const BUILD: &str = ".evidence/build";
const REPORT: &str = "evidence-report";
/// What only the basic reporter writes.
const BASIC_TITLE: &str = "<title>Figures</title>";
/// HTTP: OK.
const OK: u16 = 200;

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "reporter-supplied" => reporter_supplied,
    "manifest-sound" => manifest_sound,
    // The way back, in order.
    "disable-publications" => disable_publications,
    "stop-builder" => stop_builder,
    "stop-builds" => stop_builds,
    "set-project-aside" => set_project_aside,
    "remove-published" => remove_published,
    "clear-build" => clear_build,
    "replace-engine" => replace_engine,
    "start-builder" => start_builder,
    // Is the system well again?
    "flag-off" => flag_off,
    "builds-gone" => builds_gone,
    "project-aside" => project_aside,
    "published-gone" => published_gone,
    "engine-is-basic" => engine_is_basic,
    "builder-answers" => builder_answers,
}

fn disable_publications() -> Result {
    flags::set(FLAG, "off")?;
    Ok(())
}

fn stop_builder() -> Result {
    services::stop(BUILDER)?;
    Ok(())
}

/// A build outlives the service that started it, and the workers of a build would outlive it.
fn stop_builds() -> Result {
    let stopped = processes::stop(BUILDS)?;
    progress!("{stopped} processes of builds stopped");
    Ok(())
}

fn set_project_aside() -> Result {
    files::set_aside_if_present(PROJECT)
}

/// A page that was changed since its build is somebody's work: it is told and left.
fn remove_published() -> Result {
    let mut removed = 0;
    for page in Manifest::of_site()?.pages() {
        match page.found()? {
            Found::Gone => {}
            Found::AsBuilt => {
                fs::remove_file(&page.path).context(format!("removing {}", page.path))?;
                removed += 1;
            }
            Found::Changed => warn!("{} was changed since it was built: it stays", page.path),
        }
    }
    progress!("{removed} published files removed");
    Ok(())
}

fn clear_build() -> Result {
    files::clear_if_present(BUILD)
}

fn replace_engine() -> Result {
    files::replace(ENGINE, STUB)?;
    Ok(())
}

fn start_builder() -> Result {
    services::start(BUILDER)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flag_off()?;
    engine_is_basic()?;
    project_aside()?;
    builds_gone()?;
    published_gone()
}

/// A reporter that needs Evidence would bring back what is to be taken out.
fn reporter_supplied() -> Result {
    check::replacement_without(STUB, "evidence", "Evidence")
}

/// Before anything is done: afterwards nobody could tell the build's pages from others.
fn manifest_sound() -> Result {
    for page in Manifest::of_site()?.pages() {
        page.found()?;
    }
    Ok(())
}

fn flag_off() -> Result {
    check::flag(FLAG, "off")
}

fn builds_gone() -> Result {
    check::no_process(BUILDS)
}

fn project_aside() -> Result {
    check::absent(PROJECT)
}

fn published_gone() -> Result {
    for page in Manifest::of_site()?.pages() {
        ensure!(page.found()? != Found::AsBuilt, "{} is still published as it was built", page.path);
    }
    Ok(())
}

fn engine_is_basic() -> Result {
    check::same_bytes(ENGINE, STUB)
}

/// A healthy service proves little: what it publishes must be the basic reporter's.
fn builder_answers() -> Result {
    check::healthy(BUILDER)?;
    let report = http::get(REPORT)?;
    ensure!(report.status == OK, "{REPORT} answers {}, not {OK}", report.status);
    ensure!(report.body.contains(BASIC_TITLE), "{REPORT} answers, but not with the basic reporter's page");
    Ok(())
}
