//! The practice site: a small system like the seed's, with a live service of its own, on which everything can be tried.
//!
//! [`lay_out`] writes its own tree; policies, bundles and `.unship/` are not part of it. Its service is
//! `practice-analytics`, which stands in for Node: it reads the site's engine file and really does what that engine would.

mod data;

use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The service's program, relative to the site.
pub const SERVICE: &str = "bin/practice-analytics";

/// What the site's tree holds, beside the data that is made up.
const FILES: &[(&str, &str)] = &[
    ("tools/data-services/analytical-engine.js", include_str!("tree/analytical-engine.js")),
    ("tools/data-services/security-service.js", include_str!("tree/security-service.js")),
    ("tools/data-services/security-service.stub.js", include_str!("tree/security-service.stub.js")),
    ("tools/data-services/stubs/basic-analysis.js", include_str!("tree/stubs/basic-analysis.js")),
    ("tools/data-services/stubs/basic-reporter.js", include_str!("tree/stubs/basic-reporter.js")),
    ("tools/data-services/stubs/ingestion-stub.js", include_str!("tree/stubs/ingestion-stub.js")),
    ("tools/data-services/stubs/simple-query-engine.js", include_str!("tree/stubs/simple-query-engine.js")),
    ("tools/data-services/stubs/simple-scheduler.js", include_str!("tree/stubs/simple-scheduler.js")),
    ("tools/data-services/stubs/simple-transformation.js", include_str!("tree/stubs/simple-transformation.js")),
    ("scripts/stop-analytics.js", include_str!("tree/stop-analytics.js")),
    ("config/feature-flags.yaml", include_str!("tree/feature-flags.yaml")),
    ("config/api-config.yaml", include_str!("tree/api-config.yaml")),
    (".duckdb/.meta", "format = 1\ncreated = \"2024-03-14\"\n"),
    (".cache/queries/.index", "3 entries\n"),
    (".cache/queries/.lock", ""),
    (".cache/queries/revenue-by-region.json", "{\"engine\":\"duckdb\",\"rows\":4}\n"),
    (".cache/queries/orders-count.json", "{\"engine\":\"duckdb\",\"rows\":1}\n"),
    (".cache/queries/2024-03/revenue-by-day.json", "{\"engine\":\"duckdb\",\"rows\":31}\n"),
    (".cache/queries/2024-03/.partial/revenue-by-hour.json", "{\"engine\":\"duckdb\",\"rows\":"),
];

/// Directories that hold nothing yet: `run` is for the service's pid file, socket and log.
const DIRECTORIES: &[&str] = &["run", ".cache/queries/empty"];

/// Writes the practice site's tree into `dir`, with a copy of the service's program `practice_bin` in it.
///
/// # Errors
/// When `dir` is there and not an empty directory, so that nothing is ever overwritten; and when something cannot be
/// written.
pub fn lay_out(dir: &Path, practice_bin: &Path) -> Result<()> {
    refuse_unless_empty(dir)?;
    for path in DIRECTORIES {
        make_directory(&dir.join(path))?;
    }
    for (path, text) in FILES {
        write(dir.join(path), text.as_bytes())?;
    }
    write(dir.join(".duckdb/analytics.db"), data::database().as_bytes())?;
    write(dir.join(".duckdb/analytics.db.wal"), data::write_ahead_log().as_bytes())?;
    write(dir.join("summaries/revenue-by-region.csv"), data::revenue_by_region().as_bytes())?;

    let service = dir.join(SERVICE);
    make_directory(&dir.join("bin"))?;
    fs::copy(practice_bin, &service).with_context(|| format!("copying {}", practice_bin.display()))?;
    fs::set_permissions(&service, fs::Permissions::from_mode(0o755)).context("making the service executable")?;
    Ok(())
}

fn refuse_unless_empty(dir: &Path) -> Result<()> {
    match fs::read_dir(dir).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(()),
        Ok(true) => bail!("{} is not empty; a practice site is only laid out in a new folder", dir.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("looking into {}", dir.display())),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("creating {}", path.display()))
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<()> {
    make_directory(path.parent().expect("a file in a folder"))?;
    fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))
}
