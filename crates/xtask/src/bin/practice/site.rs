//! What the services read of the site, which is the current directory.

use crate::yaml;
use std::fs;

/// Reads one of the site's files.
pub fn text(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// Whether the flags file says that a flag is on; read at every request. One that cannot be read counts as off.
pub fn flag_is_on(flag: &str) -> bool {
    text("config/feature-flags.yaml").is_ok_and(|text| yaml::scalar(&text, &["flags", flag, "enabled"]) == Some("true"))
}

/// What the file's line `// KEY: …` names: its program is no JavaScript for the practice site, which has no Node.
pub fn named_in(path: &str, key: &str) -> Result<String, String> {
    let prefix = format!("// {key}: ");
    let text = text(path)?;
    let named = text.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::trim);
    named.map(str::to_owned).ok_or_else(|| format!("{path} has no line `{prefix}…`"))
}

/// The address that this site's services listen on: each site has one of its own, so that many can live on one machine.
pub fn host() -> String {
    text("run/host").map_or_else(|_| "127.0.0.1".to_owned(), |host| host.trim().to_owned())
}
