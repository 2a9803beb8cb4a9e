//! What recorded runs made use of, unit by unit: the side of `policy tighten` that reads the journal.

use crate::{Effect, Event, Record, RunId, text_path};
use std::collections::{BTreeMap, BTreeSet};
use unship_policy::{FileRight, Place, Power, Use};

/// What the units of some runs used.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    units: BTreeMap<String, UnitUsage>,
    /// Of the unit in hand, by run.
    open: BTreeMap<RunId, BTreeSet<Use>>,
}

/// What one unit used, in each run in which it ended well. Only then is what it did not use unused: a unit that failed did
/// not come to its end.
#[derive(Debug, Clone, Default)]
pub struct UnitUsage {
    /// One set a run.
    pub runs: Vec<BTreeSet<Use>>,
    /// How often it came to nothing.
    pub failures: usize,
}

impl UnitUsage {
    /// Whether any run used `power`.
    pub fn uses(&self, power: &Power) -> bool {
        self.runs.iter().flatten().any(|used| power.is_used_by(used))
    }

    /// The places on which `power` was used, if they can stand in its stead: every run used the same ones, there was more
    /// than one run, and each of them can be written as a pattern.
    pub fn places(&self, power: &Power) -> Option<BTreeSet<Place>> {
        let of = |run: &BTreeSet<Use>| -> Option<BTreeSet<Place>> {
            let uses = run.iter().filter(|used| power.is_used_by(used));
            uses.map(|used| match used {
                Use::File(_, place) | Use::Seen(place) | Use::Holders(place) => Some(place.clone()),
                Use::Moved(_) | Use::Edited(..) | Use::FlagSet(..) | Use::Named(..) | Use::Many(_) => None,
            })
            .collect()
        };
        let (first, rest) = self.runs.split_first()?;
        let places = of(first)?;
        let same = !rest.is_empty() && rest.iter().all(|run| of(run).as_ref() == Some(&places));
        (same && !places.is_empty()).then_some(places)
    }
}

impl Usage {
    /// Takes in the next record. Records of different runs may come in any order, those of one in their own.
    pub fn take(&mut self, record: &Record) {
        let mut add = |uses: Vec<Use>| self.open.entry(record.run.clone()).or_default().extend(uses);
        match &record.what {
            Event::UnitStarted { .. } => {
                self.open.remove(&record.run);
            }
            Event::AccessSummed { right, place, .. } => add(access(right, place)),
            Event::EffectApplied { effect, .. } => add(of_effect(effect)),
            Event::UnitSucceeded { unit } => {
                let used = self.open.remove(&record.run).unwrap_or_default();
                self.units.entry(unit.clone()).or_default().runs.push(used);
            }
            Event::UnitFailed { unit, .. } => {
                self.open.remove(&record.run);
                self.units.entry(unit.clone()).or_default().failures += 1;
            }
            Event::RunRefused { .. }
            | Event::RunStarted { .. }
            | Event::DirectoriesChanged { .. }
            | Event::AccessDenied { .. }
            | Event::LineLogged { .. }
            | Event::RunResumed { .. }
            | Event::UndoStarted { .. }
            | Event::EffectUndone { .. }
            | Event::EffectLeft { .. }
            | Event::UndoFailed { .. }
            | Event::ImagesRemoved { .. }
            | Event::ItemTicked { .. }
            | Event::RunEnded { .. } => {}
        }
    }

    /// What a unit used; `None`: none of the runs came to it.
    pub fn unit(&self, name: &str) -> Option<&UnitUsage> {
        self.units.get(name)
    }
}

/// A place as the journal writes it.
fn place(text: &str) -> Option<Place> {
    let (folder, path) = text.split_once(':').unwrap_or(("site", text));
    let bytes = if path == "." { Vec::new() } else { text_path(path)? };
    // A path of other bytes than UTF-8 is no pattern's; it counts as seen in many places.
    Some(Place { folder: folder.to_owned(), path: String::from_utf8(bytes).ok()?.into() })
}

fn access(right: &str, text: &str) -> Vec<Use> {
    let Some(place) = place(text).filter(|_| !text.starts_with('(')) else {
        return vec![Use::Many(key_of(right))];
    };
    match right {
        "see" => vec![Use::Seen(place)],
        "holders" => vec![Use::Holders(place)],
        _ => match FileRight::ALL.into_iter().find(|known| known.key() == right) {
            Some(right) => vec![Use::File(right, place)],
            None => vec![Use::Named(right.to_owned(), text.to_owned())],
        },
    }
}

/// The key in a policy of a right as the journal calls it.
fn key_of(right: &str) -> String {
    match right {
        "see" => right.to_owned(),
        "holders" => "processes.holders".to_owned(),
        _ if right.contains('.') => right.to_owned(),
        _ => format!("files.{right}"),
    }
}

/// What an effect took: what is not a file is told by the access that came before it.
fn of_effect(effect: &Effect) -> Vec<Use> {
    let on = |rights: &[FileRight], path: &str| -> Vec<Use> {
        match place(path) {
            Some(place) => rights.iter().map(|right| Use::File(*right, place.clone())).collect(),
            None => rights.iter().map(|right| Use::Many(key_of(right.key()))).collect(),
        }
    };
    let moved = |path: &str| match place(path) {
        Some(place) => vec![Use::Moved(place)],
        None => FileRight::ALL.iter().map(|right| Use::Many(key_of(right.key()))).collect(),
    };
    match effect {
        // What it made it may have opened again to write more.
        Effect::FileCreated { path, .. } => on(&[FileRight::Create, FileRight::Write], path),
        Effect::FileWritten { path, .. } | Effect::MetadataChanged { path } => on(&[FileRight::Write], path),
        Effect::FileReplaced { path, source, .. } => {
            [on(&[FileRight::Replace], path), on(&[FileRight::Read], source)].concat()
        }
        Effect::FileEdited { path, pointer, .. } => match place(path) {
            Some(place) => vec![Use::Edited(place, pointer.clone())],
            None => vec![Use::Many("files.edit".to_owned())],
        },
        Effect::Renamed { from, to, .. } => [moved(from), moved(to)].concat(),
        Effect::LinkCreated { path, to, hard } => {
            let linked = if *hard { moved(to) } else { Vec::new() };
            [on(&[FileRight::Create], path), moved(path), linked].concat()
        }
        Effect::SetAside { from, .. } => on(&[FileRight::SetAside], from),
        Effect::Removed { path } | Effect::DirRemoved { path } => on(&[FileRight::Remove], path),
        Effect::DirCreated { path } => on(&[FileRight::Create], path),
        Effect::DirCleared { path, .. } => on(&[FileRight::Clear], path),
        Effect::FlagSet { flag, to, .. } => vec![Use::FlagSet(flag.clone(), to.clone())],
        Effect::ProcessStopped { selector, .. } => vec![Use::Named("processes.stop".to_owned(), selector.clone())],
        Effect::ServiceChanged { service, action } => {
            vec![Use::Named(format!("services.{action}"), service.clone())]
        }
        Effect::HttpCalled { call, .. } => vec![Use::Named("http.call".to_owned(), call.clone())],
        Effect::CommandRan { command, .. } => vec![Use::Named("commands.run".to_owned(), command.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unship_policy::PathPattern;

    fn record(what: Event) -> Record {
        Record { at_ms: 0, run: RunId::new("r20260101t000000z-00000000").expect("an id"), what }
    }

    fn usage(events: Vec<Event>) -> Usage {
        let mut usage = Usage::default();
        events.into_iter().for_each(|what| usage.take(&record(what)));
        usage
    }

    fn started() -> Event {
        Event::UnitStarted { unit: "u".into() }
    }

    fn accessed(right: &str, place: &str) -> Event {
        Event::AccessSummed { unit: "u".into(), right: right.into(), place: place.into(), count: 1 }
    }

    fn succeeded() -> Event {
        Event::UnitSucceeded { unit: "u".into() }
    }

    fn read(path: &str) -> Power {
        Power::Files(FileRight::Read, PathPattern::new(path).expect("a pattern"))
    }

    #[test]
    fn a_unit_that_failed_says_nothing_of_what_it_did_not_use() {
        let failed = Event::UnitFailed { unit: "u".into(), reason: "no".into(), broken: false };
        let usage =
            usage(vec![started(), accessed("read", "a"), failed, started(), accessed("read", "b"), succeeded()]);
        let unit = usage.unit("u").expect("it ran");
        assert_eq!((unit.runs.len(), unit.failures), (1, 1));
        assert!(unit.uses(&read("b")) && !unit.uses(&read("a")), "what a failed attempt read is not in the sum");
        assert!(usage.unit("v").is_none());
    }

    #[test]
    fn places_stand_in_for_a_pattern_only_when_two_runs_used_the_same() {
        let run = |place: &str| vec![started(), accessed("read", place), succeeded()];
        let places = |runs: &[&str]| {
            let usage = usage(runs.iter().flat_map(|place| run(place)).collect());
            usage.unit("u").expect("it ran").places(&read("a/*")).map(|places| places.len())
        };
        assert_eq!(places(&["a/x"]), None, "one run does not show what varies");
        assert_eq!(places(&["a/x", "a/x"]), Some(1));
        assert_eq!(places(&["a/x", "a/y"]), None);
        assert_eq!(places(&["(more places)", "(more places)"]), None, "not told one by one");
    }

    #[test]
    fn what_the_journal_writes_is_read_back() {
        let usage = usage(vec![
            started(),
            accessed("services.restart", "api"),
            accessed("list", "."),
            accessed("see", "data:x/y"),
            Event::EffectApplied {
                unit: "u".into(),
                n: 0,
                effect: Effect::Renamed { from: "d".into(), to: "e".into(), replaced: true },
                image: None,
            },
            succeeded(),
        ]);
        let unit = usage.unit("u").expect("it ran");
        let files = |right, path: &str| Power::Files(right, PathPattern::new(path).expect("a pattern"));
        for used in [
            files(FileRight::List, "."),
            files(FileRight::Read, "data:x/*"),
            files(FileRight::Rename, "d"),
            files(FileRight::Write, "d/**"),
            files(FileRight::Remove, "e"),
        ] {
            assert!(unit.uses(&used), "{used}");
        }
        for unused in [files(FileRight::List, "x"), files(FileRight::Read, "x/y"), files(FileRight::Remove, "f")] {
            assert!(!unit.uses(&unused), "{unused}");
        }
    }
}
