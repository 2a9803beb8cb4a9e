//! A virtual environment of Python's, by its own records: what is installed, which files belong to it, and who needs it.
//!
//! The records are `pyvenv.cfg` (PEP 405), and in each `*.dist-info` the files `METADATA` (Name, Version, Requires-Dist) and
//! `RECORD`. They were written by those who are taken out, so nothing in them is trusted: what leads out of the environment
//! refuses the whole, and so does what somebody who stays needs.

use crate::record;
use std::{collections::BTreeSet, fs, io, path::Path};
use unship_step::{Context as _, Result, ensure, fail};

/// The environment that the service analyses in, and no other; policy grants what lies in it by this path.
const ENVIRONMENT: &str = ".venv-eda";
const CONFIGURATION: &str = ".venv-eda/pyvenv.cfg";
const LIBRARIES: &str = ".venv-eda/lib";
/// Holds what is installed, beside a version's number.
const SITE_PACKAGES: &str = "site-packages";

/// One that is its own: what is removed from it is removed from no other.
pub struct Environment {
    /// The folder of its packages.
    pub packages: String,
}

/// What one installation brought.
pub struct Distribution {
    /// Normalised: lower case, words joined by single hyphens (PEP 503).
    pub name: String,
    pub version: String,
    /// Normalised names of what it cannot do without.
    needs: BTreeSet<String>,
    /// Its own folder among the packages.
    record: String,
}

/// A distribution that can go.
pub struct Leaving {
    pub name: String,
    pub version: String,
    /// Paths of its files that are there, byte code beside its sources included, each a regular file of the environment.
    pub files: BTreeSet<String>,
}

impl Environment {
    /// The environment. Needs `files.read` on its configuration, and on what it looks into.
    ///
    /// # Errors
    /// When it is none, shares the packages of the system, or has not exactly one folder of packages.
    pub fn open() -> Result<Environment> {
        let text = match fs::read_to_string(CONFIGURATION) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => fail!(
                "{CONFIGURATION} is not there: {ENVIRONMENT} is no environment of its own, and a shared interpreter's \
                 packages are others' too"
            ),
            Err(error) => fail!("reading {CONFIGURATION}: {error}"),
        };
        // Where it says nothing, Python shares.
        let value = |line: &str| {
            Some(line.split_once('=')?)
                .filter(|(key, _)| key.trim() == "include-system-site-packages")
                .map(|(_, value)| value.trim().to_lowercase())
        };
        let shared = text.lines().find_map(value);
        ensure!(
            shared.as_deref() == Some("false"),
            "{ENVIRONMENT} shares the packages of the system (include-system-site-packages in {CONFIGURATION}): nothing is \
             removed from it"
        );
        let mut found = Vec::new();
        for version in names_in(LIBRARIES)? {
            let packages = format!("{LIBRARIES}/{version}/{SITE_PACKAGES}");
            if version.starts_with("python3") && Path::new(&packages).is_dir() {
                found.push(packages);
            }
        }
        ensure!(found.len() == 1, "{LIBRARIES} holds {} folders of packages, not one", found.len());
        Ok(Environment { packages: found.remove(0) })
    }

    /// Those of `wanted` that are installed.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn installed(&self, wanted: &[&str]) -> Result<Vec<Distribution>> {
        let mut all = self.distributions()?;
        all.retain(|distribution| wanted.contains(&distribution.name.as_str()));
        Ok(all)
    }

    /// Those of `wanted` that are installed, ready to go.
    ///
    /// # Errors
    /// When somebody who stays needs one of them, or a record lists what is not a file of this environment.
    pub fn leaving(&self, wanted: &[&str]) -> Result<Vec<Leaving>> {
        let (leaving, staying): (Vec<_>, Vec<_>) =
            self.distributions()?.into_iter().partition(|distribution| wanted.contains(&distribution.name.as_str()));
        for stays in staying {
            if let Some(goes) = leaving.iter().find(|goes| stays.needs.contains(&goes.name)) {
                fail!("{} {} needs {}, and would be left without it", stays.name, stays.version, goes.name);
            }
        }
        leaving.into_iter().map(|distribution| self.files_of(distribution)).collect()
    }

    fn distributions(&self) -> Result<Vec<Distribution>> {
        let folders = names_in(&self.packages)?.into_iter().filter(|name| name.ends_with(".dist-info"));
        folders.map(|folder| Distribution::read(&format!("{}/{folder}", self.packages))).collect()
    }

    fn files_of(&self, distribution: Distribution) -> Result<Leaving> {
        let Distribution { name, version, record, .. } = distribution;
        let text =
            fs::read_to_string(&record).context(format!("{name} {version} has no record of its files, {record}"))?;
        let mut files = BTreeSet::new();
        for listed in record::paths(&text).context(record.clone())? {
            let path = record::inside(ENVIRONMENT, &self.packages, &listed).context(record.clone())?;
            files.extend(byte_code(&path)?);
            match fs::symlink_metadata(&path) {
                Ok(metadata) => ensure!(metadata.is_file(), "{record}: {path} is not a regular file"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => fail!("{record}: looking for {path}: {error}"),
            }
            files.insert(path);
        }
        Ok(Leaving { name, version, files })
    }
}

impl Distribution {
    fn read(folder: &str) -> Result<Distribution> {
        let metadata = format!("{folder}/METADATA");
        let text = fs::read_to_string(&metadata).context(format!("reading {metadata}"))?;
        // Behind the first empty line stands a description, which may hold anything.
        let fields = || text.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(':'));
        let first = |wanted: &str| {
            let value = fields().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim());
            value.filter(|value| !value.is_empty()).context(format!("{metadata} has no {wanted}"))
        };
        let needs = fields().filter(|(key, _)| key.eq_ignore_ascii_case("Requires-Dist"));
        let needs = needs.filter_map(|(_, value)| required(value)).collect();
        let (name, version) = (normalised(first("Name")?), first("Version")?.to_owned());
        Ok(Distribution { name, version, needs, record: format!("{folder}/RECORD") })
    }
}

/// The name in a requirement such as `pandas (>=1.5) ; python_version > "3.8"`. What an extra alone needs is needed by
/// nobody who does without.
fn required(requirement: &str) -> Option<String> {
    let (name, marker) = requirement.split_once(';').unwrap_or((requirement, ""));
    let is_of_extra = marker.split(|c: char| !c.is_alphanumeric()).any(|word| word == "extra");
    let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.trim().chars().take_while(|c| is_in_name(*c)).collect();
    (!is_of_extra).then(|| normalised(&name))
}

/// As PEP 503 compares names.
fn normalised(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// What Python made of a source: not every record lists it.
fn byte_code(source: &str) -> Result<Vec<String>> {
    let Some((folder, name)) = source.strip_suffix(".py").and_then(|stem| stem.rsplit_once('/')) else {
        return Ok(Vec::new());
    };
    let cache = format!("{folder}/__pycache__");
    if !unship_step::files::present(&cache)? {
        return Ok(Vec::new());
    }
    // `NAME.cpython-311.pyc`, `NAME.cpython-311.opt-1.pyc`.
    let is_of_source =
        |file: &String| file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) && file.ends_with(".pyc");
    Ok(names_in(&cache)?.into_iter().filter(is_of_source).map(|file| format!("{cache}/{file}")).collect())
}

/// The names in a folder, sorted. One that is not UTF-8 is nobody's whom we know.
fn names_in(folder: &str) -> Result<Vec<String>> {
    let doing = || format!("looking into {folder}");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).context(doing())? {
        names.extend(entry.context(doing())?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}
