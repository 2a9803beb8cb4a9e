//! What is wrong with a story's policy, all of it: what `policy check` can say without looking at the machine.

use crate::{
    GrantError, Manifest, Name, PathPattern, SitePolicy, StoryPolicy, definitions,
    grant::misfits,
    meaning::{ServiceManager, ServiceMeaning},
    power::{NamedPower, Power},
    tables::Definitions,
};
use std::{collections::BTreeSet, ops::Range};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gravity {
    /// The file says what cannot be meant.
    Error,
    /// The files are well formed, but the story is refused as things are.
    Refusal,
    /// It works, and somebody should look at it.
    Warning,
}

/// Which place of a story's policy, or of the site's, a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// Bytes of the story's policy.
    Span(Range<usize>),
    /// An entry of a unit's grant.
    Power(Name, Power),
    /// What a table of the story's own, or of the site's, defines: such as `commands` and `stop`.
    Definition(&'static str, String),
    /// The file as a whole.
    File,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Gravity,
    /// One sentence.
    pub message: String,
    /// Where.
    pub at: At,
    /// What would make it right.
    pub help: Option<String>,
}

impl Finding {
    /// One without help.
    pub fn new(severity: Gravity, at: At, message: impl Into<String>) -> Finding {
        Finding { severity, message: message.into(), at, help: None }
    }

    /// With what would make it right.
    pub fn help(mut self, help: impl Into<String>) -> Finding {
        self.help = Some(help.into());
        self
    }
}

/// All that is wrong with `story` on `site`; with the bundle's manifest, requests and grants are compared too.
pub fn findings(story: &StoryPolicy, site: &SitePolicy, manifest: Option<&Manifest>) -> Vec<Finding> {
    let definitions = match definitions(story, site) {
        Ok(definitions) => definitions,
        Err(e) => {
            let at = e.span.map_or(At::File, At::Span);
            return vec![Finding { severity: Gravity::Error, message: e.message, at, help: e.help }];
        }
    };
    let mut found = without_meaning(story, &definitions);
    found.extend(undo_without_meaning(&definitions));
    if let Some(manifest) = manifest {
        let misfits = misfits(manifest, story, &definitions);
        found.extend(misfits.into_iter().filter_map(|misfit| of_misfit(misfit, story, manifest)));
        found.extend(unrequested(story, manifest));
    }
    let used = Names::used_by(story, &definitions);
    for (table, name) in Names::defined(&story.definitions).0 {
        if !used.0.contains(&(table, name.clone())) {
            found.push(unused(table, name, "no grant of this story"));
        }
    }
    found
}

/// What the site defines, and neither one of `stories` nor a feed uses.
pub fn unused_of_site(site: &SitePolicy, stories: &[StoryPolicy]) -> Vec<Finding> {
    let mut used = Names::default();
    for story in stories {
        if let Ok(definitions) = definitions(story, site) {
            used.0.append(&mut Names::used_by(story, &definitions).0);
        }
    }
    used.0.extend(site.feeds.values().filter_map(|feed| Some(("processes", feed.process.as_ref()?.to_string()))));
    let defined = Names::defined(&site.definitions).0.into_iter();
    let by_nobody = |(table, name)| unused(table, name, "neither a story nor a feed");
    defined.filter(|name| !used.0.contains(name)).map(by_nobody).collect()
}

fn unused(table: &'static str, name: String, nobody: &str) -> Finding {
    let shown = if name.is_empty() { format!("[{table}]") } else { format!("[{table}.{name}]") };
    Finding::new(Gravity::Warning, At::Definition(table, name), format!("`{shown}` is defined, and {nobody} uses it"))
        .help("remove it, or grant what it is for")
}

fn without_meaning(story: &StoryPolicy, definitions: &Definitions) -> Vec<Finding> {
    let mut found = Vec::new();
    for (unit, granted) in story.granted() {
        for power in granted.powers().into_iter().filter(|power| power.words(definitions).is_none()) {
            let message = format!("`{power}` is granted to `{unit}`, but no policy says what that means");
            let help = match &power {
                Power::Named(NamedPower::FlagsGet, _) => "say in `[flags]` where the flags live".to_owned(),
                Power::FlagSet(_, value) => format!("`[flags]` must say how {value:?} is written, in `values`"),
                Power::Named(named, name) => format!("define `[{}.{name}]` here or in site.toml", named.keys()[0]),
                Power::Files(_, paths) | Power::Edit(paths, _) | Power::Holders(paths) => {
                    format!("name the folder {:?} under `[folders]`", paths.folder())
                }
            };
            found.push(Finding::new(Gravity::Error, At::Power(unit.clone(), power), message).help(help));
        }
    }
    found
}

/// A call that is taken back by a call that nobody defines.
fn undo_without_meaning(definitions: &Definitions) -> Vec<Finding> {
    let undone = definitions.http.iter().filter_map(|(name, call)| Some((name, call.undo.as_ref()?)));
    undone
        .filter(|(_, undo)| !definitions.http.contains_key(*undo))
        .map(|(name, undo)| {
            let message = format!("`[http.{name}]` is taken back by the call {undo}, which no policy defines");
            Finding::new(Gravity::Error, At::Definition("http", name.to_string()), message)
        })
        .collect()
}

/// A misfit of bundle and policy as a finding; none for what is told of the policy alone.
fn of_misfit(misfit: GrantError, story: &StoryPolicy, manifest: &Manifest) -> Option<Finding> {
    let message = misfit.to_string();
    match misfit {
        GrantError::Policy(e) => {
            let at = e.span.map_or(At::File, At::Span);
            Some(Finding { severity: Gravity::Error, message: e.message, at, help: e.help })
        }
        GrantError::NotPermitted { span, unit, power, .. } => {
            let at = span.map_or(At::File, At::Span);
            let help = format!("`[grants.{unit}]` with `{power}` permits it; or use a bundle that asks for less");
            Some(Finding::new(Gravity::Refusal, at, message).help(help))
        }
        GrantError::BeyondTier { .. } => Some(Finding::new(Gravity::Refusal, At::File, message)),
        GrantError::NotSafe { call, .. } => {
            let is_here = story.definitions.http.keys().any(|name| name.as_str() == call);
            let at = if is_here { At::Definition("http", call) } else { At::File };
            Some(Finding::new(Gravity::Refusal, at, message))
        }
        // Told by `without_meaning` where it is granted, and as not permitted where it is not.
        GrantError::NoMeaning { unit, .. } => {
            debug_assert!(manifest.units.iter().any(|known| known.name.as_str() == unit));
            None
        }
    }
}

/// Grants that no request of their unit makes use of.
fn unrequested(story: &StoryPolicy, manifest: &Manifest) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, granted) in story.granted() {
        let Some(unit) = manifest.units.iter().find(|unit| unit.name == *name) else { continue };
        let requested = unit.requests.powers();
        for power in granted.powers() {
            if !requested.iter().any(|asked| power.covers(asked)) {
                let message = format!("`{power}` is granted to `{name}`, which does not request it");
                let help = "remove it: `unship policy tighten` writes the change";
                found.push(Finding::new(Gravity::Warning, At::Power(name.clone(), power), message).help(help));
            }
        }
    }
    found
}

/// Names with a meaning, by table; `flags` has one meaning and no name.
#[derive(Default)]
struct Names(BTreeSet<(&'static str, String)>);

impl Names {
    fn defined(all: &Definitions) -> Names {
        // Every field is named, so that a new table must say here what it defines.
        let Definitions { folders, flags, commands, services, processes, http, git, safety: _ } = all;
        let mut names = Names::default();
        names.add("folders", folders.keys().filter(|name| *name != crate::pattern::DEFAULT_FOLDER));
        names.add("flags", flags.iter().map(|_| ""));
        names.add("commands", commands.keys());
        names.add("services", services.keys());
        names.add("processes", processes.keys());
        names.add("http", http.keys());
        names.add("git", git.keys());
        names
    }

    fn add<T: ToString>(&mut self, table: &'static str, names: impl Iterator<Item = T>) {
        self.0.extend(names.map(|name| (table, name.to_string())));
    }

    fn used_by(story: &StoryPolicy, definitions: &Definitions) -> Names {
        let mut names = Names::default();
        for (_, granted) in story.granted() {
            for power in granted.powers() {
                match &power {
                    Power::Files(_, paths) | Power::Edit(paths, _) | Power::Holders(paths) => names.folder(paths),
                    Power::FlagSet(..) | Power::Named(NamedPower::FlagsGet, _) => names.add("flags", [""].into_iter()),
                    Power::Named(named, name) => names.add(named.keys()[0], [name].into_iter()),
                }
            }
        }
        let undo: Vec<&Name> = definitions.http.values().filter_map(|call| call.undo.as_ref()).collect();
        names.add("http", undo.into_iter());
        for call in definitions.http.values() {
            names.add("http", call.fill.values().map(|fill| &fill.from));
            names.add("processes", call.simulated_ends.iter());
        }
        for command in definitions.commands.values() {
            command.simulated_releases.iter().for_each(|paths| names.folder(paths));
        }
        names
    }

    fn folder(&mut self, paths: &PathPattern) {
        self.add("folders", [paths.folder()].into_iter());
    }
}

/// The programs that a site's and a story's names stand for: table, name, key, and the program.
pub fn programs(definitions: &Definitions) -> Vec<(&'static str, &Name, &'static str, String)> {
    let mut all: Vec<(&'static str, &Name, &'static str, String)> = Vec::new();
    let first = |argv: &[String]| argv.first().cloned().unwrap_or_default();
    for (name, meaning) in &definitions.commands {
        let lines = [("argv", Some(&meaning.argv)), ("undo", meaning.undo.as_ref())];
        for (key, argv) in lines.into_iter().filter_map(|(key, argv)| Some((key, argv?))) {
            all.push(("commands", name, key, argv.first().map(ToString::to_string).unwrap_or_default()));
        }
    }
    for (name, ServiceMeaning { manager, timeout: _, env: _ }) in &definitions.services {
        match manager {
            ServiceManager::PidFile(manager) => {
                all.push(("services", name, "start", first(&manager.start)));
                all.push(("services", name, "healthy", first(&manager.healthy)));
            }
            ServiceManager::Pm2(manager) => {
                all.push(("services", name, "program", manager.program.clone()));
                all.extend(manager.healthy.iter().map(|healthy| ("services", name, "healthy", first(healthy))));
            }
        }
    }
    all
}
