//! `RECORD`: the files of an installed distribution, a line of comma-separated values each (path, digest, size), with paths
//! relative to the folder of packages or absolute, as the specification of installed projects has it.

use unship_step::{Context as _, Result, ensure};

/// The paths that a record lists, as they are written.
///
/// # Errors
/// When a line does not begin with a path.
pub fn paths(record: &str) -> Result<Vec<String>> {
    let lines = record.lines().enumerate().filter(|(_, line)| !line.is_empty());
    lines.map(|(at, line)| first_value(line).context(format!("line {}", at + 1))).collect()
}

/// A value is quoted where it holds a comma or a quote, which then stands twice.
fn first_value(line: &str) -> Result<String> {
    let Some(quoted) = line.strip_prefix('"') else {
        return Ok(line.split(',').next().unwrap_or_default().to_owned());
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            value.push(character);
            continue;
        }
        match characters.next() {
            Some('"') => value.push('"'),
            Some(',') | None => return Ok(value),
            Some(_) => break,
        }
    }
    unship_step::fail!("a quoted path does not end");
}

/// Where a listed path leads: a plain path that lies in `environment`. Each `..` must be of the folder of packages itself.
///
/// # Errors
/// When it leads anywhere else, or nowhere.
pub fn inside(environment: &str, packages: &str, listed: &str) -> Result<String> {
    ensure!(!listed.is_empty() && !listed.starts_with('/'), "{listed:?} is no relative path");
    ensure!(
        !listed.chars().any(|c| c.is_control() || c == '\\'),
        "{listed:?} holds a control character or a backslash"
    );
    let mut base = packages;
    let mut rest = listed;
    while let Some(behind) = rest.strip_prefix("../") {
        base = base.rsplit_once('/').map_or("", |(above, _)| above);
        rest = behind;
    }
    let is_inside = base == environment || base.strip_prefix(environment).is_some_and(|below| below.starts_with('/'));
    ensure!(is_inside, "{listed:?} leads out of {environment}");
    ensure!(rest.split('/').all(|name| !matches!(name, "" | "." | "..")), "{listed:?} is no plain path");
    Ok(format!("{base}/{rest}"))
}
