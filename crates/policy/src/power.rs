//! One power at a time: the entries of which a request or a grant is made, as `policy check`, `explain` and `tighten` speak
//! of them. The matches here name every field and variant, so that a new capability must say what it is here too.

use crate::{Capabilities, FileRight, Manifest, Name, PathPattern, Place, PointerPattern, StoryPolicy, tables::quoted};
use std::fmt;

/// What may be done with what has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum NamedPower {
    FlagsGet,
    ProcessesList,
    ProcessesStop,
    ServicesStatus,
    ServicesStart,
    ServicesStop,
    ServicesRestart,
    CommandsRun,
    HttpGet,
    HttpCall,
    GitStatus,
    GitRestore,
}

impl NamedPower {
    /// Table and key in manifest and policy.
    pub fn keys(self) -> [&'static str; 2] {
        match self {
            NamedPower::FlagsGet => ["flags", "get"],
            NamedPower::ProcessesList => ["processes", "list"],
            NamedPower::ProcessesStop => ["processes", "stop"],
            NamedPower::ServicesStatus => ["services", "status"],
            NamedPower::ServicesStart => ["services", "start"],
            NamedPower::ServicesStop => ["services", "stop"],
            NamedPower::ServicesRestart => ["services", "restart"],
            NamedPower::CommandsRun => ["commands", "run"],
            NamedPower::HttpGet => ["http", "get"],
            NamedPower::HttpCall => ["http", "call"],
            NamedPower::GitStatus => ["git", "status"],
            NamedPower::GitRestore => ["git", "restore"],
        }
    }
}

/// One entry of a request or a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// A right other than `files.edit`.
    Files(FileRight, PathPattern),
    /// To change one value, or those below it.
    Edit(PathPattern, PointerPattern),
    /// To ask who holds a path open.
    Holders(PathPattern),
    /// To set a flag to this value.
    FlagSet(Name, String),
    /// A power over a plain name.
    Named(NamedPower, Name),
}

/// What a step did with a power, as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// A right was used on a place.
    File(FileRight, Place),
    /// The step asked whether something is there, and what it is.
    Seen(Place),
    /// A directory or file went elsewhere: whatever is held on it, or below, was asked for.
    Moved(Place),
    /// The value at this pointer was changed.
    Edited(Place, String),
    /// Who holds the place was asked.
    Holders(Place),
    /// A flag was set.
    FlagSet(String, String),
    /// Any other power: its key, such as `services.restart`, and the name.
    Named(String, String),
    /// More places than are told one by one: nobody can say that the power with this key was not used.
    Many(String),
}

impl Capabilities {
    /// Every entry.
    pub fn powers(&self) -> Vec<Power> {
        let mut all = Vec::new();
        for (right, paths) in self.files.iter().filter(|(right, _)| **right != FileRight::Edit) {
            all.extend(paths.iter().map(|path| Power::Files(*right, path.clone())));
        }
        for (path, pointers) in &self.edits {
            all.extend(pointers.iter().map(|pointer| Power::Edit(path.clone(), pointer.clone())));
        }
        all.extend(self.processes_holders.iter().cloned().map(Power::Holders));
        for (flag, values) in &self.flags_set {
            all.extend(values.iter().map(|value| Power::FlagSet(flag.clone(), value.clone())));
        }
        for (power, names) in self.named() {
            all.extend(names.iter().map(|name| Power::Named(power, name.clone())));
        }
        all
    }

    /// What of this `permitted` does not cover.
    pub(crate) fn beyond(&self, permitted: &Capabilities) -> Vec<Power> {
        let permitted = permitted.powers();
        self.powers().into_iter().filter(|asked| !permitted.iter().any(|power| power.covers(asked))).collect()
    }
}

impl Power {
    /// Table and key in manifest and policy, such as `files` and `read`.
    pub fn keys(&self) -> [&'static str; 2] {
        match self {
            Power::Files(right, _) => ["files", right.key()],
            Power::Edit(..) => ["files", "edit"],
            Power::Holders(_) => ["processes", "holders"],
            Power::FlagSet(..) => ["flags", "set"],
            Power::Named(power, _) => power.keys(),
        }
    }

    /// The paths that it speaks of.
    pub fn paths(&self) -> Option<&PathPattern> {
        match self {
            Power::Files(_, paths) | Power::Edit(paths, _) | Power::Holders(paths) => Some(paths),
            Power::FlagSet(..) | Power::Named(..) => None,
        }
    }

    /// Whether it permits all that `asked` is.
    pub fn covers(&self, asked: &Power) -> bool {
        match (self, asked) {
            (Power::Files(mine, paths), Power::Files(theirs, asked)) => mine == theirs && paths.covers(asked),
            (Power::Edit(paths, pointer), Power::Edit(asked, value)) => paths.covers(asked) && pointer.covers(value),
            (Power::Holders(paths), Power::Holders(asked)) => paths.covers(asked),
            (Power::FlagSet(..), Power::FlagSet(..)) | (Power::Named(..), Power::Named(..)) => self == asked,
            _ => false,
        }
    }

    /// Whether `used` asked for it. Never wrongly false: where the journal cannot tell, it counts as used.
    pub fn is_used_by(&self, used: &Use) -> bool {
        let key = self.keys().join(".");
        match (self, used) {
            (_, Use::Many(many)) => *many == key || (many == "see" && self.gives_sight()),
            (Power::Files(right, paths), Use::File(used, place)) => {
                // Who may read a directory may list it.
                let is_meant = right == used || (*right == FileRight::Read && *used == FileRight::List);
                is_meant && paths.matches(place)
            }
            (Power::Files(..) | Power::Holders(_), Use::Seen(place)) => {
                self.gives_sight() && self.paths().is_some_and(|paths| paths.matches(place))
            }
            (Power::Files(_, paths) | Power::Edit(paths, _), Use::Moved(place)) => {
                let inside = Place { folder: place.folder.clone(), path: place.path.join("\u{0}") };
                paths.matches(place) || paths.lies_below(place) || paths.matches(&inside)
            }
            (Power::Edit(paths, pointer), Use::Edited(place, value)) => paths.matches(place) && pointer.matches(value),
            (Power::Holders(paths), Use::Holders(place)) => paths.matches(place),
            (Power::FlagSet(flag, value), Use::FlagSet(used, to)) => flag.as_str() == used && value == to,
            (Power::Named(_, name), Use::Named(used, named)) => *used == key && name.as_str() == named,
            _ => false,
        }
    }

    /// Whether a step may hold it only to see what is there.
    fn gives_sight(&self) -> bool {
        match self {
            Power::Files(right, _) => !right.changes(),
            Power::Holders(_) => true,
            Power::Edit(..) | Power::FlagSet(..) | Power::Named(..) => false,
        }
    }
}

/// As a policy would write it.
impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.keys().join(".");
        match self {
            Power::Files(_, paths) | Power::Holders(paths) => write!(f, "{key} = [{}]", quoted(paths.as_str())),
            Power::Edit(paths, pointer) => {
                write!(f, "{key} = {{ {} = [{}] }}", quoted(paths.as_str()), quoted(pointer.as_str()))
            }
            Power::FlagSet(flag, value) => write!(f, "{key} = {{ {flag} = {} }}", quoted(value)),
            Power::Named(_, name) => write!(f, "{key} = [\"{name}\"]"),
        }
    }
}

impl StoryPolicy {
    /// What each step and check is permitted, by its name.
    pub fn granted(&self) -> impl Iterator<Item = (&Name, &Capabilities)> {
        self.grants.iter().map(|(unit, (powers, _))| (unit, powers))
    }
}

/// What the units of `manifest` request and `story` does not permit, as the tables of TOML that would: to paste into the
/// policy. Empty when nothing is missing.
pub fn missing(manifest: &Manifest, story: &StoryPolicy) -> String {
    let mut text = String::new();
    for unit in &manifest.units {
        let granted = story.granted().find(|(name, _)| **name == unit.name).map(|(_, powers)| powers);
        let missing = unit.requests.beyond(granted.unwrap_or(&Capabilities::default()));
        if !missing.is_empty() {
            let there = if granted.is_some() { " # this table is there: add to it" } else { "" };
            text.push_str(&format!("[grants.{}]{there}\n{}\n", unit.name, as_lines(&missing).join("\n")));
        }
    }
    text
}

/// The lines of TOML that grant `powers`, each key once.
pub fn as_lines(powers: &[Power]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut seen: Vec<[&str; 2]> = Vec::new();
    for keys in powers.iter().map(Power::keys) {
        if seen.contains(&keys) {
            continue;
        }
        seen.push(keys);
        let same = || powers.iter().filter(|power| power.keys() == keys);
        let mut items: Vec<String> = Vec::new();
        let mut tables: Vec<(String, Vec<String>)> = Vec::new();
        for power in same() {
            match power {
                Power::Files(_, paths) | Power::Holders(paths) => items.push(quoted(paths.as_str())),
                Power::Named(_, name) => items.push(format!("\"{name}\"")),
                Power::Edit(paths, pointer) => {
                    push(&mut tables, quoted(paths.as_str()), quoted(pointer.as_str()));
                }
                Power::FlagSet(flag, value) => push(&mut tables, flag.to_string(), quoted(value)),
            }
        }
        let key = keys.join(".");
        lines.push(if tables.is_empty() {
            format!("{key} = [{}]", items.join(", "))
        } else {
            let entries: Vec<String> = tables.iter().map(|(k, v)| format!("{k} = [{}]", v.join(", "))).collect();
            format!("{key} = {{ {} }}", entries.join(", "))
        });
    }
    lines
}

fn push(tables: &mut Vec<(String, Vec<String>)>, key: String, value: String) {
    match tables.iter_mut().find(|(known, _)| *known == key) {
        Some((_, values)) => values.push(value),
        None => tables.push((key, vec![value])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        Place { folder: "site".into(), path: path.into() }
    }

    fn files(right: FileRight, path: &str) -> Power {
        Power::Files(right, PathPattern::new(path).expect("a pattern"))
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn what_counts_as_used() {
        let read = |path: &str| files(FileRight::Read, path);
        let holders = |path: &str| Power::Holders(PathPattern::new(path).expect("a pattern"));
        let used = |right, path: &str| Use::File(right, place(path));
        let restart = Power::Named(NamedPower::ServicesRestart, name("api"));
        let edit = |pointer: &str| {
            let (path, pointer) = (PathPattern::new("a.yaml"), PointerPattern::new(pointer));
            Power::Edit(path.expect("a pattern"), pointer.expect("a pointer"))
        };
        for (power, used, expect) in [
            (read("a/*"), used(FileRight::Read, "a/b"), true),
            (read("a/*"), used(FileRight::Read, "a"), false),
            (read("a/*"), used(FileRight::Write, "a/b"), false),
            (read("a/**"), used(FileRight::List, "a"), true),
            (files(FileRight::List, "a"), used(FileRight::Read, "a"), false),
            (read("a"), Use::Seen(place("a")), true),
            (files(FileRight::Write, "a"), Use::Seen(place("a")), false),
            (holders("a"), Use::Seen(place("a")), true),
            (holders("a"), Use::Holders(place("a")), true),
            (holders("a"), Use::Holders(place("b")), false),
            (files(FileRight::Create, "a/b/*"), Use::Moved(place("a")), true),
            (files(FileRight::Create, "b"), Use::Moved(place("a")), false),
            (read("a"), Use::Many("files.read".into()), true),
            (read("a"), Use::Many("see".into()), true),
            (files(FileRight::Write, "a"), Use::Many("files.read".into()), false),
            (edit("/x/**"), Use::Edited(place("a.yaml"), "/x/y".into()), true),
            (edit("/x"), Use::Edited(place("a.yaml"), "/y".into()), false),
            (restart.clone(), Use::Named("services.restart".into(), "api".into()), true),
            (restart.clone(), Use::Named("services.stop".into(), "api".into()), false),
            (restart, Use::Named("services.restart".into(), "core".into()), false),
            (Power::FlagSet(name("f"), "off".into()), Use::FlagSet("f".into(), "off".into()), true),
            (Power::FlagSet(name("f"), "on".into()), Use::FlagSet("f".into(), "off".into()), false),
        ] {
            assert_eq!(power.is_used_by(&used), expect, "{power} by {used:?}");
        }
    }

    #[test]
    fn powers_are_written_as_a_policy_would() {
        let policy = r#"[story]
id = "1"
title = "t"
bundle = "b"
signed-by = ["r"]
[grants.x]
files.read = ["a", "b/**"]
files.edit = { "c.yaml" = ["/p", "/q"] }
flags.set = { f = ["off", "shadow"] }
commands.run = ["go"]
processes.holders = ["d"]
"#;
        let id = crate::StoryId::new("1").expect("an id");
        let parsed = StoryPolicy::parse(policy, &id).expect("a policy");
        let (_, powers) = parsed.granted().next().expect("a unit");
        let lines = as_lines(&powers.powers());
        let (head, _) = policy.split_once("files.read").expect("the grants");
        let again = StoryPolicy::parse(&format!("{head}{}\n", lines.join("\n")), &id).expect("a policy");
        assert_eq!(again.granted().next().expect("a unit").1, powers, "{lines:?}");
    }
}
