//! The way back of story 1.3: analytics answers from the simple query engine again, and DuckDB's data is kept aside.
//!
//! The order matters. The flag goes off first, so that nothing opens the database again; queries are stopped and the
//! database is released before it is moved; the engine is swapped while the service still runs the old one in memory;
//! only then does the service restart. Every step looks before it acts, so that the story can be taken back from
//! wherever an earlier attempt ended.

use std::{fs, time::Duration};
use unship_step::{
    Context as _, Result, check, commands, ensure, files, flags,
    processes::{self, Process},
    progress, services, wait,
};

const FLAG: &str = "duckdb_analytics";
const SERVICE: &str = "analytics";
const ENGINE: &str = "tools/data-services/analytical-engine.js";
const STUB: &str = "tools/data-services/stubs/simple-query-engine.js";
const CACHE: &str = ".cache/queries";

/// The database is a directory that holds everything, or a file with its write-ahead log beside it. They belong
/// together: without its log, a database has lost its latest transactions.
const DATABASE: [&str; 2] = [".duckdb", ".duckdb.wal"];

/// How long a stopped query may take to let go of the database.
const RELEASE: Duration = Duration::from_secs(5);

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "stub-present" => stub_present,
    // The way back, in order.
    "disable-duckdb" => disable_duckdb,
    "stop-queries" => stop_queries,
    "release-database" => release_database,
    "backup-data" => backup_data,
    "replace-engine" => replace_engine,
    "clear-cache" => clear_cache,
    "restart-analytics" => restart_analytics,
    // Is the system well again?
    "flag-off" => flag_off,
    "engine-is-stub" => engine_is_stub,
    "database-released" => database_released,
    "analytics-answers" => analytics_answers,
}

fn disable_duckdb() -> Result {
    flags::set(FLAG, "off")?;
    Ok(())
}

fn stop_queries() -> Result {
    let output = commands::run("stop-analytics")?;
    if let Some(said) = output.stdout.lines().next_back() {
        progress!("{said}");
    }
    Ok(())
}

/// Moving a database away from under an open handle would lose what is still to be written to it.
fn release_database() -> Result {
    wait::until_none("the database is still open: ", RELEASE, || {
        let holders = holders_of(&database()?)?;
        Ok((!holders.is_empty()).then(|| processes::listed(&holders)))
    })
}

fn backup_data() -> Result {
    DATABASE.into_iter().try_for_each(files::set_aside_if_present)
}

fn replace_engine() -> Result {
    files::replace(ENGINE, STUB)?;
    Ok(())
}

/// Answers of the old engine must not outlive it.
fn clear_cache() -> Result {
    files::clear_if_present(CACHE)
}

fn restart_analytics() -> Result {
    services::restart(SERVICE)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flag_off()?;
    engine_is_stub()?;
    let left = database()?;
    ensure!(left.is_empty(), "{} is still in place", left.join(" and "));
    Ok(())
}

/// An engine replaced by an empty file, or by DuckDB itself, would be worse than the one in place.
fn stub_present() -> Result {
    check::replacement_without(STUB, "duckdb", "DuckDB")
}

fn flag_off() -> Result {
    check::flag(FLAG, "off")
}

fn engine_is_stub() -> Result {
    check::same_bytes(ENGINE, STUB)
}

/// Under its new name too: a process that had it open before the move holds it still.
fn database_released() -> Result {
    let mut places = Vec::new();
    for entry in fs::read_dir(".").context("listing the site")? {
        let name = entry.context("listing the site")?.file_name();
        places.extend(name.into_string().ok().filter(|name| name.starts_with(DATABASE[0])));
    }
    let holders = holders_of(&places)?;
    ensure!(holders.is_empty(), "the database is open: {}", processes::listed(&holders));
    Ok(())
}

fn analytics_answers() -> Result {
    check::healthy(SERVICE)
}

/// Those parts of the database that are in place.
fn database() -> Result<Vec<String>> {
    let mut parts = Vec::new();
    for path in DATABASE {
        if files::present(path)? {
            parts.push(path.to_owned());
        }
    }
    Ok(parts)
}

/// Each process once, whatever it holds.
fn holders_of(paths: &[String]) -> Result<Vec<Process>> {
    let mut holders: Vec<Process> = Vec::new();
    for path in paths {
        holders.extend(processes::holders(path)?);
    }
    holders.sort_by_key(|process| process.pid);
    holders.dedup_by_key(|process| process.pid);
    Ok(holders)
}
