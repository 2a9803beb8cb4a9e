//! What the policies name and this machine does not have.

use std::path::Path;
use unship_host::providers::command;
use unship_policy::{At, Definitions, Finding, Gravity};

/// Programs that a run would not find here, or not run.
pub fn programs(site: &Path, definitions: &Definitions) -> Vec<Finding> {
    let mut found = Vec::new();
    for (table, name, key, program) in unship_policy::programs(definitions) {
        if let Err(e) = command::find(site, &program) {
            let message = format!("`{key}` of `[{table}.{name}]` cannot run on this machine: {e}");
            found.push(Finding::new(Gravity::Error, At::Definition(table, name.to_string()), message));
        }
    }
    found
}

/// Folders, repositories and the flags file, where they are not there.
pub fn places(site: &Path, definitions: &Definitions) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut missing = |table: &'static str, name: &str, message: String| {
        found.push(Finding::new(Gravity::Error, At::Definition(table, name.to_owned()), message));
    };
    for (name, path) in &definitions.folders {
        if !site.join(path).is_dir() {
            missing("folders", name, format!("the folder {name:?} is {path}, where no folder is"));
        }
    }
    for (name, git) in &definitions.git {
        if !site.join(&git.repository).join(".git").exists() {
            let message = format!("`[git.{name}]` speaks of {}, which is no working tree of git", git.repository);
            missing("git", name.as_str(), message);
        }
    }
    if let Some(flags) = &definitions.flags
        && !site.join(&flags.file).is_file()
    {
        missing("flags", "", format!("the flags file {} is not there", flags.file));
    }
    found
}
