//! Dagster on a site with real parts: webserver and daemon from the package registry, in an environment of their own, with a job
//! that is always in flight. It takes a quarter of a gigabyte and seconds to start, so only sites with story 1.5 have it.

use super::{files, parts, python, script};
use crate::{practice, toolchain::process::within};
use anyhow::{Context as _, Result};
use std::{fs, path::Path, time::Duration};

/// All of one release.
pub const PYTHON_PACKAGES: &[&str] = &["dagster==1.13.27", "dagster-webserver==1.13.27"];
const ENVIRONMENT: &str = ".venv-dagster";
/// For pm2; where it is, the site has Dagster.
const ECOSYSTEM: &str = "dagster/ecosystem.config.js";
/// Its programs, each with the module and the function that it is.
const PROGRAMS: &[(&str, &str)] = &[
    ("dagster-webserver", "from dagster_webserver.cli import main"),
    ("dagster-daemon", "from dagster._daemon.cli import main"),
];
const START_LIMIT: Duration = Duration::from_secs(60);

const FILES: &[(&str, &str)] = &[
    (ECOSYSTEM, include_str!("tree/dagster/ecosystem.config.js")),
    ("dagster/definitions.py", include_str!("tree/dagster/definitions.py")),
    ("services/scheduler.js", include_str!("tree/services/scheduler.js")),
    ("config/jobs.json", include_str!("tree/dagster/jobs.json")),
    ("tools/data-services/workflow-orchestrator.js", include_str!("../practice/tree/workflow-orchestrator.js")),
    ("tools/data-services/stubs/simple-scheduler.js", include_str!("../practice/tree/stubs/simple-scheduler.js")),
];
/// Dagster's instance; `@SITE@` stands for the site.
const INSTANCE: &str = include_str!("tree/dagster/dagster.yaml");

/// Writes its files, and links the environment to what was installed.
///
/// # Errors
/// When Dagster cannot be installed, or something cannot be written.
pub fn lay_out(dir: &Path, python: &Path) -> Result<()> {
    let packages = parts::packages(python, "dagster", PYTHON_PACKAGES)?;
    files::write(dir, FILES)?;
    practice::dagster::link(dir)?;
    let home = practice::dagster::beside(dir).join("home");
    fs::create_dir(&home)?;
    fs::write(home.join("dagster.yaml"), INSTANCE.replace("@SITE@", &dir.display().to_string()))?;
    // It wants the folder of its databases to be there.
    fs::create_dir_all(dir.join(".dagster/storage"))?;
    let environment = dir.join(ENVIRONMENT);
    python::environment(python, &environment, python::Pip::Without)?;
    fs::write(python::site_packages(&environment)?.join("parts.pth"), format!("{}\n", packages.display()))?;
    let interpreter = environment.join("bin/python3");
    // Not a link: a run has nothing in its command line that tells whose it is, but the file that it runs.
    let shared = interpreter.canonicalize()?;
    fs::remove_file(&interpreter)?;
    fs::copy(shared, &interpreter).context("copying Python's interpreter")?;
    for (name, import) in PROGRAMS {
        let text = format!("#!{}\nimport sys\n{import}\nsys.exit(main())\n", interpreter.display());
        script(&environment.join("bin").join(name), &text)?;
    }
    Ok(())
}

/// Starts Dagster, if the site has it. The scheduler is known to pm2, and does not run.
///
/// # Errors
/// When something does not start.
pub fn start(dir: &Path) -> Result<()> {
    if !dir.join(ECOSYSTEM).exists() {
        return Ok(());
    }
    let pm2 = |args: &[&str]| within(START_LIMIT, &mut super::command(dir, "bin/pm2", args));
    // The webserver makes the databases; two that do so at once spoil them.
    pm2(&["start", ECOSYSTEM, "--only", "dagster-webserver"])?;
    super::run(dir, "bin/node", &["scripts/healthy.js", "dagster"]).context("Dagster does not answer")?;
    pm2(&["start", ECOSYSTEM, "--only", "dagster-daemon,scheduler"])?;
    pm2(&["stop", "scheduler"])
}
