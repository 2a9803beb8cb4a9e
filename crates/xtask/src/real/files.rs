//! The files of a site with real parts. What both sites have alike is the small one's.

use super::network;
use crate::practice;
use anyhow::{Context as _, Result};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

/// pm2 as the site runs it.
pub const PM2: &str = include_str!("tree/pm2.sh");
/// npm; `@NPM@` stands for its script.
pub const NPM: &str = include_str!("tree/npm.sh");
/// dbt, as pip would write it; `@PYTHON@` stands for the site's interpreter.
pub const DBT: &str = "#!@PYTHON@\nimport sys\nfrom dbt.cli.main import cli\nsys.exit(cli())\n";
/// Where the feeds of the small site ask, and which service that is here.
const PROBED: &[(&str, &str)] =
    &[("127.0.0.1:8443", "api"), ("127.0.0.1:3070", "dagster"), ("127.0.0.1:8447", "evidence-builder")];
/// Where feeds and general triggers begin in `policies/site.toml`.
const FEEDS: &str = "# Where samples come from.";
/// What names mean on a site with real parts; `@HOST@` stands for its address.
const POLICY: &str = include_str!("../../../../policies/real/site.toml");

/// What the site's tree holds, beside the data that is made.
pub const FILES: &[(&str, &str)] = &[
    (".gitignore", include_str!("tree/gitignore")),
    ("package.json", include_str!("tree/package.json")),
    ("package-lock.json", include_str!("tree/package-lock.json")),
    ("ecosystem.config.js", include_str!("tree/ecosystem.config.js")),
    ("core-config.yaml", include_str!("../practice/tree/core-config.yaml")),
    ("core-config.yaml.pre-1.1.5", include_str!("../practice/tree/core-config.yaml.pre-1.1.5")),
    ("config/feature-flags.yaml", include_str!("../practice/tree/feature-flags.yaml")),
    ("config/feature-flags.yaml.backup", include_str!("../practice/tree/feature-flags.yaml.backup")),
    ("config/api-config.yaml", include_str!("../practice/tree/api-config.yaml")),
    ("services/lib/site.js", include_str!("tree/services/lib/site.js")),
    ("services/analysis-service.js", include_str!("tree/services/analysis-service.js")),
    ("services/analytics.js", include_str!("tree/services/analytics.js")),
    ("services/api.js", include_str!("tree/services/api.js")),
    ("services/core.js", include_str!("tree/services/core.js")),
    ("services/evidence-builder.js", include_str!("tree/services/evidence-builder.js")),
    ("services/ingestion.js", include_str!("tree/services/ingestion.js")),
    ("scripts/ask.js", include_str!("tree/scripts/ask.js")),
    ("scripts/build-docs.js", include_str!("tree/scripts/build-docs.js")),
    ("scripts/cancel-queries.js", include_str!("tree/scripts/cancel-queries.js")),
    ("scripts/check-duckdb.js", include_str!("tree/scripts/check-duckdb.js")),
    ("scripts/check-test-infrastructure.js", include_str!("tree/scripts/check-test-infrastructure.js")),
    ("scripts/dagster-stats.js", include_str!("tree/scripts/dagster-stats.js")),
    ("scripts/eda-stats.js", include_str!("tree/scripts/eda-stats.js")),
    ("scripts/feature-toggle.js", include_str!("tree/scripts/feature-toggle.js")),
    ("scripts/healthy.js", include_str!("tree/scripts/healthy.js")),
    ("scripts/ingestion-stats.js", include_str!("tree/scripts/ingestion-stats.js")),
    ("scripts/load-orders.js", include_str!("tree/scripts/load-orders.js")),
    ("scripts/recorded.js", include_str!("tree/scripts/recorded.js")),
    ("scripts/run-tests.js", include_str!("tree/scripts/run-tests.js")),
    ("scripts/start-analytics.js", include_str!("tree/scripts/start-analytics.js")),
    ("scripts/stop-analytics.js", include_str!("tree/scripts/stop-analytics.js")),
    ("scripts/test-rollback-ingestion.js", include_str!("tree/scripts/test-rollback-ingestion.js")),
    ("scripts/test-rollback-security.js", include_str!("tree/scripts/test-rollback-security.js")),
    ("scripts/test-stats.js", include_str!("tree/scripts/test-stats.js")),
    ("scripts/transform.js", include_str!("tree/scripts/transform.js")),
    ("tools/data-services/analytical-engine.js", include_str!("tree/tools/data-services/analytical-engine.js")),
    (
        "tools/data-services/data-ingestion-service.js",
        include_str!("tree/tools/data-services/data-ingestion-service.js"),
    ),
    ("tools/data-services/pyairbyte-wrapper.js", include_str!("tree/tools/data-services/pyairbyte-wrapper.js")),
    ("tools/data-services/publication-engine.js", include_str!("tree/tools/data-services/publication-engine.js")),
    ("tools/data-services/security-service.js", include_str!("tree/tools/data-services/security-service.js")),
    ("tools/data-services/security-service.stub.js", include_str!("tree/tools/data-services/security-service.stub.js")),
    ("tools/data-services/transformation-engine.js", include_str!("tree/tools/data-services/transformation-engine.js")),
    ("tools/data-services/eda-engine.js", include_str!("tree/tools/data-services/eda-engine.js")),
    ("tools/data-services/stubs/basic-analysis.js", include_str!("tree/tools/data-services/stubs/basic-analysis.js")),
    ("tools/data-services/stubs/basic-reporter.js", include_str!("tree/tools/data-services/stubs/basic-reporter.js")),
    ("tools/data-services/stubs/ingestion-stub.js", include_str!("tree/tools/data-services/stubs/ingestion-stub.js")),
    (
        "tools/data-services/stubs/simple-query-engine.js",
        include_str!("tree/tools/data-services/stubs/simple-query-engine.js"),
    ),
    (
        "tools/data-services/stubs/simple-transformation.js",
        include_str!("tree/tools/data-services/stubs/simple-transformation.js"),
    ),
    ("transformations/10-revenue-by-region.sql", include_str!("tree/transformations/10-revenue-by-region.sql")),
    (
        "transformations/simple/10-revenue-by-region.sql",
        include_str!("tree/transformations/simple/10-revenue-by-region.sql"),
    ),
    ("transformations/simple/20-revenue.sql", include_str!("tree/transformations/simple/20-revenue.sql")),
    ("dbt_project/dbt_project.yml", include_str!("tree/dbt_project/dbt_project.yml")),
    ("dbt_project/profiles.yml", include_str!("tree/dbt_project/profiles.yml")),
    ("dbt_project/models/staging/schema.yml", include_str!("tree/dbt_project/models/staging/schema.yml")),
    ("dbt_project/models/staging/stg_orders.sql", include_str!("tree/dbt_project/models/staging/stg_orders.sql")),
    (
        "dbt_project/models/marts/revenue_by_region.sql",
        include_str!("tree/dbt_project/models/marts/revenue_by_region.sql"),
    ),
    ("dbt_project/models/marts/settled_orders.py", include_str!("tree/dbt_project/models/marts/settled_orders.py")),
    (".cache/analysis/.index", "1 table\n"),
    (".cache/analysis/orders.json", "{\"rows\":12400}\n"),
    (".cache/hypotheses/2024-03.md", "Revenue in the north follows the weather. Ask Kim.\n"),
    ("evidence_project/package.json", include_str!("../practice/tree/evidence/package.json")),
    ("evidence_project/pages/index.md", include_str!("../practice/tree/evidence/index.md")),
    (".cache/queries/.index", "3 entries\n"),
    (".cache/queries/.lock", ""),
    (".cache/queries/revenue-by-region.json", "{\"engine\":\"duckdb\",\"rows\":4}\n"),
    (".cache/queries/2024-03/.partial/revenue-by-hour.json", "{\"engine\":\"duckdb\",\"rows\":"),
    (".cache/security/.sessions", include_str!("tree/sessions")),
    (".cache/security/last-seen.json", "{\"practice\":1710374400}\n"),
    (".cache/pyairbyte/.index", "1 stream\n"),
    (".cache/pyairbyte/orders.state.json", "{\"cursor\": 1200}\n"),
];
/// What the services write beside what people ask of them.
const LOGS: &[(&str, &str)] = &[
    ("logs/analytics.log", ""),
    ("logs/api.log", ""),
    ("logs/auth.log", ""),
    ("logs/dagster.log", ""),
    ("logs/eda.log", ""),
    ("logs/security.log", ""),
    ("logs/services.log", ""),
];
/// A key that the api knows, with the digest of it that `.cache/security/.sessions` has.
const KEY: (&str, &str) = ("config/practice.key", "practice-key");
/// The stand-ins for Evidence and what it works with.
const EVIDENCE: &[(&str, &str)] = &[
    ("evidence_project/node_modules/.bin/evidence", include_str!("tree/evidence/evidence.js")),
    ("evidence_project/node_modules/.bin/vite", include_str!("tree/evidence/vite.js")),
];
/// Of the Python process.
const AIRBYTE: &[(&str, &str)] = &[
    ("airbyte/__init__.py", include_str!("tree/airbyte/__init__.py")),
    ("airbyte/__main__.py", include_str!("tree/airbyte/__main__.py")),
];

/// Writes the tree into `dir`.
///
/// # Errors
/// When something cannot be written.
pub fn lay_out(dir: &Path) -> Result<()> {
    // For sockets.
    fs::create_dir_all(dir.join("run"))?;
    write(dir, FILES)?;
    write(dir, &[KEY])?;
    write(dir, EVIDENCE)?;
    for (program, _) in EVIDENCE {
        fs::set_permissions(dir.join(program), fs::Permissions::from_mode(0o755))?;
    }
    practice::publish(dir)?;
    Ok(fs::set_permissions(dir.join(KEY.0), fs::Permissions::from_mode(0o600))?)
}

/// Makes the logs of the services, with nothing in them yet, so that whoever counts their lines counts from the first.
///
/// # Errors
/// When one cannot be written.
pub fn logs(dir: &Path) -> Result<()> {
    write(dir, LOGS)
}

/// Writes the stand-in for PyAirbyte among an environment's packages.
///
/// # Errors
/// When it cannot be written.
pub fn airbyte(packages: &Path) -> Result<()> {
    write(packages, AIRBYTE)
}

/// Writes each file into `dir`, with the folders above it.
///
/// # Errors
/// When one cannot be written.
pub fn write(dir: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (path, text) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().context("a file in a folder")?)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Replaces what names mean on the small site by what they mean on this one. Grants and triggers stay as they are, and so do feeds
/// but for where they ask and look; a story's policy loses only its definitions of names that the site defines.
///
/// # Errors
/// When a policy cannot be read or written.
pub fn policies(dir: &Path, host: &str) -> Result<()> {
    let site = POLICY.replace("@HOST@", host).replace("@SITE@", &dir.display().to_string());
    let small = fs::read_to_string(dir.join("policies/site.toml"))?;
    let feeds = small.find(FEEDS).map(|at| &small[at..]).context("policies/site.toml has no feeds")?;
    // Nothing outside of the site is named: its Node and its pm2 are its own.
    let feeds = feeds.replace("argv = [\"node\", ", "argv = [\"bin/node\", ");
    let pm2 = "kind = \"pm2-restarts\"\n";
    let mut feeds = feeds.replace(pm2, &format!("{pm2}program = \"bin/pm2\"\n"));
    // The service's own runs: what people's own leave in the project says nothing of it.
    feeds = feeds.replace("\"dbt_project/target/run_results.json\"", "\"run/dbt/target/run_results.json\"");
    for (shipped, service) in PROBED {
        feeds = feeds.replace(shipped, &network::address(host, service)?);
    }
    for entry in fs::read_dir(dir.join("policies"))? {
        let path = entry?.path();
        if path.is_dir() {
            continue; // The triggers, which define no name.
        }
        let story = fs::read_to_string(&path)?;
        fs::write(&path, without(&story, &definitions(&site)))?;
    }
    fs::write(dir.join("policies/site.toml"), format!("{site}\n{feeds}"))?;
    Ok(())
}

/// The headers of tables that define a name, such as `[services.api]`.
fn definitions(policy: &str) -> Vec<&str> {
    let kinds = ["[commands.", "[services.", "[processes.", "[http.", "[git."];
    policy.lines().filter(|line| kinds.iter().any(|kind| line.starts_with(kind))).map(str::trim_end).collect()
}

/// A policy without these tables. The comment right above a table belongs to it.
fn without(policy: &str, headers: &[&str]) -> String {
    let (mut kept, mut comment) = (String::new(), String::new());
    let mut drops = false;
    for line in policy.lines() {
        if line.starts_with('#') {
            comment.push_str(line);
            comment.push('\n');
            continue;
        }
        if line.starts_with('[') {
            drops = headers.contains(&line.trim_end());
        }
        if !drops {
            kept.push_str(&comment);
            kept.push_str(line);
            kept.push('\n');
        }
        comment.clear();
    }
    kept + if drops { "" } else { &comment }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_loses_the_definitions_that_the_site_has() {
        let story = "[story]\nid = \"1\"\n\n# Of the small site.\n[commands.stop]\nargv = [\"a\"]\n# What \
                     follows goes too.\nundo = [\"b\"]\n\n# A grant.\n[grants.x]\ncommands.run = [\"stop\"]\n# The end.\n";
        let site = "[commands.stop]\nargv = [\"b\"]\n[services.api]\nmanager = \"pm2\"\n[limits]\n";
        assert_eq!(definitions(site), ["[commands.stop]", "[services.api]"]);
        let left = without(story, &definitions(site));
        assert_eq!(left, "[story]\nid = \"1\"\n\n# A grant.\n[grants.x]\ncommands.run = [\"stop\"]\n# The end.\n");
        assert_eq!(without(story, &[]), story);
    }
}
