//! The practice site: a small system like the seed's, with live services of its own, on which everything can be tried.
//!
//! [`lay_out`] writes its own tree; policies, bundles and `.unship/` are not part of it. All that lives on it are stand-ins
//! for Node, Python, dbt and Dagster: one small program, `practice`, under the name of each. The services read the site's own files
//! and really do what those say; `python3`, `dbt` and `dagster` have the real ones' command lines and do nothing but live.

pub mod dagster;
mod data;
mod environment;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The service of story 1.3, relative to the site.
pub const ANALYTICS: &str = "bin/practice-analytics";

/// Every name of the stand-ins' program: the services, and what they start.
const PROGRAMS: &[&str] = &[
    ANALYTICS,
    "bin/practice-analysis-service",
    "bin/practice-api",
    "bin/practice-core",
    "bin/practice-dagster-daemon",
    "bin/practice-dagster-webserver",
    "bin/practice-ingestion",
    "bin/practice-scheduler",
    ".venv/bin/dagster",
    "bin/practice-evidence-builder",
    "bin/npm",
    "bin/node",
    ".venv/bin/python3",
    ".venv/bin/dbt",
    ".venv-eda/bin/python3",
];

/// The loopback address that the site's services listen on.
pub const HOST: &str = "run/host";

/// A key that the site's public interface knows, and where clients of this site have it from.
const API_KEY: (&str, &str) = ("config/practice.key", "practice-key");

/// What the site's tree holds, beside the data that is made up.
const FILES: &[(&str, &str)] = &[
    ("tools/data-services/analytical-engine.js", include_str!("tree/analytical-engine.js")),
    ("tools/data-services/data-ingestion-service.js", include_str!("tree/data-ingestion-service.js")),
    ("tools/data-services/eda-engine.js", include_str!("tree/eda-engine.js")),
    ("tools/data-services/pyairbyte-wrapper.js", include_str!("tree/pyairbyte-wrapper.js")),
    ("tools/data-services/publication-engine.js", include_str!("tree/publication-engine.js")),
    ("tools/data-services/security-service.js", include_str!("tree/security-service.js")),
    ("tools/data-services/security-service.stub.js", include_str!("tree/security-service.stub.js")),
    ("tools/data-services/stubs/basic-analysis.js", include_str!("tree/stubs/basic-analysis.js")),
    ("tools/data-services/stubs/basic-reporter.js", include_str!("tree/stubs/basic-reporter.js")),
    ("tools/data-services/stubs/ingestion-stub.js", include_str!("tree/stubs/ingestion-stub.js")),
    ("tools/data-services/stubs/simple-query-engine.js", include_str!("tree/stubs/simple-query-engine.js")),
    ("tools/data-services/stubs/simple-scheduler.js", include_str!("tree/stubs/simple-scheduler.js")),
    ("tools/data-services/stubs/simple-transformation.js", include_str!("tree/stubs/simple-transformation.js")),
    ("tools/data-services/transformation-engine.js", include_str!("tree/transformation-engine.js")),
    ("tools/data-services/workflow-orchestrator.js", include_str!("tree/workflow-orchestrator.js")),
    ("config/jobs.json", include_str!("tree/jobs.json")),
    (".dagster/storage/history/runs.db", "3d0c5a2e-nightly STARTED\n"),
    (".dagster/storage/history/.index", "1 run\n"),
    (".dagster/storage/schedules/schedules.db", "nightly 0 2 * * *\n"),
    ("transformations/revenue.js", include_str!("tree/transformations/revenue.js")),
    ("transformations/simple/orders.js", include_str!("tree/transformations/simple/orders.js")),
    ("transformations/simple/revenue.js", include_str!("tree/transformations/simple/revenue.js")),
    ("dbt_project/dbt_project.yml", include_str!("tree/dbt/dbt_project.yml")),
    ("dbt_project/models/revenue_by_region.sql", include_str!("tree/dbt/revenue_by_region.sql")),
    ("dbt_project/target/manifest.json", "{\"nodes\":{}}\n"),
    ("dbt_project/target/.partial_parse", ""),
    ("logs/dbt/dbt.log", "revenue_by_region: 1 of 3 models failed\n"),
    (".cache/analysis/.index", "1 table\n"),
    (".cache/analysis/orders.json", "{\"rows\":12400}\n"),
    (".cache/hypotheses/2024-03.md", "Revenue in the north follows the weather. Ask Kim.\n"),
    ("evidence_project/package.json", include_str!("tree/evidence/package.json")),
    ("evidence_project/pages/index.md", include_str!("tree/evidence/index.md")),
    // Another tool's: a bare `target` is no affair of dbt's.
    ("target/release/report", "built\n"),
    ("scripts/stop-analytics.js", include_str!("tree/stop-analytics.js")),
    ("config/feature-flags.yaml", include_str!("tree/feature-flags.yaml")),
    ("config/api-config.yaml", include_str!("tree/api-config.yaml")),
    ("config/feature-flags.yaml.backup", include_str!("tree/feature-flags.yaml.backup")),
    ("core-config.yaml", include_str!("tree/core-config.yaml")),
    ("core-config.yaml.pre-1.1.5", include_str!("tree/core-config.yaml.pre-1.1.5")),
    (".cache/security/last-seen.json", "{\"practice\":1710374400}\n"),
    (".cache/pyairbyte/.state/orders.json", "{\"cursor\":\"2024-03-14T02:00:00Z\"}\n"),
    (".cache/pyairbyte/orders-0001.jsonl", "{\"id\":12399}\n"),
    (".duckdb/.meta", "format = 1\ncreated = \"2024-03-14\"\n"),
    (".cache/queries/.index", "3 entries\n"),
    (".cache/queries/.lock", ""),
    (".cache/queries/revenue-by-region.json", "{\"engine\":\"duckdb\",\"rows\":4}\n"),
    (".cache/queries/orders-count.json", "{\"engine\":\"duckdb\",\"rows\":1}\n"),
    (".cache/queries/2024-03/revenue-by-day.json", "{\"engine\":\"duckdb\",\"rows\":31}\n"),
    (".cache/queries/2024-03/.partial/revenue-by-hour.json", "{\"engine\":\"duckdb\",\"rows\":"),
];

const INDEX: &str = "<!doctype html><title>Evidence</title><h1>Revenue by region</h1>\n";

/// What lies beside what Evidence's last build published.
const BESIDE: &[(&str, &str)] = &[
    (".evidence/build/index.html", INDEX),
    (".evidence/build/.manifest.json", "{}\n"),
    ("public/robots.txt", "User-agent: *\nAllow: /\n"),
];

/// What Evidence's last build published, listed in [`MANIFEST`].
const PUBLISHED: &[(&str, &str)] = &[
    ("public/index.html", INDEX),
    ("public/revenue/index.html", "<!doctype html><title>Evidence</title><h1>Revenue by day</h1>\n"),
    ("public/_app/immutable/start.js", "export const version = 1;\n"),
];

/// A line a file, as `sha256sum` writes it.
const MANIFEST: &str = ".evidence/published.sha256";

/// Directories that hold nothing yet: `run` is for the services' pid files, sockets and logs.
const DIRECTORIES: &[&str] = &["run", ".cache/queries/empty"];

/// Writes the practice site's tree into `dir`, with a copy of the stand-ins' program `practice_bin` in it.
///
/// # Errors
/// When `dir` is there and not an empty directory, so that nothing is ever overwritten; and when something cannot be
/// written.
pub fn lay_out(dir: &Path, practice_bin: &Path) -> Result<()> {
    refuse_unless_empty(dir)?;
    for path in DIRECTORIES {
        make_directory(&dir.join(path))?;
    }
    publish(dir)?;
    environment::lay_out(dir)?;
    for (path, text) in FILES {
        write(dir.join(path), text.as_bytes())?;
    }
    write(dir.join(".duckdb/analytics.db"), data::database().as_bytes())?;
    write(dir.join(".duckdb/analytics.db.wal"), data::write_ahead_log().as_bytes())?;
    write(dir.join("summaries/revenue-by-region.csv"), data::revenue_by_region().as_bytes())?;

    write(dir.join(HOST), loopback().as_bytes())?;
    write(dir.join(API_KEY.0), API_KEY.1.as_bytes())?;
    fs::set_permissions(dir.join(API_KEY.0), fs::Permissions::from_mode(0o600)).context("making the key a secret")?;
    write(dir.join(".cache/security/.sessions"), session(API_KEY.1).as_bytes())?;

    let first = dir.join(ANALYTICS);
    write(first.clone(), &fs::read(practice_bin).with_context(|| format!("reading {}", practice_bin.display()))?)?;
    fs::set_permissions(&first, fs::Permissions::from_mode(0o755)).context("making the program executable")?;
    for name in PROGRAMS.iter().filter(|name| **name != ANALYTICS) {
        let path = dir.join(name);
        make_directory(path.parent().expect("a program in a folder"))?;
        // One file under each of its names: what it is called by tells what it is.
        fs::hard_link(&first, &path).with_context(|| format!("linking {}", path.display()))?;
    }
    Ok(())
}

/// Writes what a build of Evidence leaves behind: its own folder, the pages, and the manifest of these.
///
/// # Errors
/// When something cannot be written.
pub fn publish(dir: &Path) -> Result<()> {
    for (path, text) in BESIDE.iter().chain(PUBLISHED) {
        write(dir.join(path), text.as_bytes())?;
    }
    let lines = PUBLISHED.iter().map(|(path, text)| format!("{}  {path}\n", sha256(text)));
    write(dir.join(MANIFEST), lines.collect::<String>().as_bytes())
}

/// How the site writes down that a key may come in: it does not hold the key itself.
fn session(key: &str) -> String {
    sha256(key) + "\n"
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An address that no other site is likely to have: many can live on one machine.
fn loopback() -> String {
    let random = RandomState::new().build_hasher().finish();
    let part = |shift: u32| (random >> shift) % 254 + 1;
    format!("127.{}.{}.{}\n", part(0), part(16), part(32))
}

/// # Errors
/// When `dir` is there and not an empty directory.
pub fn refuse_unless_empty(dir: &Path) -> Result<()> {
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
