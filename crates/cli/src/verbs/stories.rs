//! `unship stories`: which stories the site can take back, and how they stand.

use crate::{context::Context, error::Result, exit::Exit, history::History, needs::demand_order, site::Site};
use std::collections::BTreeSet;
use unship_policy::{NamedPower, Power, ResolvedStory, StoryId, StoryPolicy};

/// Lists the stories that have a policy here, whether their bundle may run, how their last run ended, and what the policy lets
/// each change. Nothing is run or changed.
#[derive(clap::Args)]
pub struct Args {}

/// Runs the verb.
pub fn run(context: &Context, _: &Args) -> Result<Exit> {
    let site = context.site()?;
    let history = History::read(&site.store()?)?;
    let ids = site.story_ids()?;
    if ids.is_empty() {
        context.out.text("no story has a policy here");
    }
    let (mut known, mut ready_count) = (0u32, 0u32);
    for id in ids {
        let policy = site.story(&id).ok();
        let resolved = resolved(&site, &id, policy.as_ref());
        let title = policy.as_ref().map(|p| p.title.clone()).unwrap_or_default();
        let manual_only = policy.as_ref().is_some_and(|p| p.manual_only);
        let needs_first: Vec<&str> = policy.iter().flat_map(|p| &p.needs_first).map(|(id, _)| id.as_str()).collect();
        let (ready, why) = match &resolved {
            Ok(story) => (true, format!("bundle {}", story.bundle.manifest().version_text())),
            Err(e) => (false, e.json()["message"].as_str().unwrap_or_default().to_owned()),
        };
        let last = history.last_of(id.as_str());
        let last_text = last.map_or_else(
            || "never run".to_owned(),
            |run| run.ended().map_or_else(|| "in flight".to_owned(), |(outcome, ..)| format!("last run {outcome}")),
        );
        known += 1;
        ready_count += u32::from(ready);
        let ready_text = if ready { "ready" } else { "NOT READY" };
        let needs = if needs_first.is_empty() { String::new() } else { format!("; after {}", needs_first.join(", ")) };
        let manual = if manual_only { "; by a person only" } else { "" };
        context
            .out
            .text(format!("{id:<6} {title}: {ready_text} ({why}){needs}{manual}; {last_text}", id = id.as_str()));
        let touches = policy.as_ref().map(touches).unwrap_or_default();
        for (kind, names) in &touches {
            context.out.text(format!("         {kind}: {}", names.join(", ")));
        }
        let touches: serde_json::Map<_, _> =
            touches.into_iter().map(|(kind, names)| (kind.to_owned(), names.into())).collect();
        context.out.object(&serde_json::json!({
            "type": "story", "story": id.as_str(), "title": title, "ready": ready, "why": why,
            "manual_only": manual_only, "needs_first": needs_first, "touches": touches,
            "last_run": last.and_then(|run| run.run()), "last_outcome": last.and_then(|run| run.ended()).map(|(outcome, ..)| outcome),
        }));
    }
    context.out.summary(serde_json::json!({ "stories": known, "ready": ready_count }));
    Ok(Exit::Done)
}

/// What a story's policy lets its steps change, by kind, each name once.
fn touches(policy: &StoryPolicy) -> Vec<(&'static str, Vec<String>)> {
    const KINDS: [&str; 7] = ["flags", "files", "processes", "services", "commands", "calls", "git"];
    let mut all: BTreeSet<(&str, String)> = BTreeSet::new();
    for power in policy.granted().flat_map(|(_, powers)| powers.powers()) {
        match power {
            Power::FlagSet(flag, _) => all.insert(("flags", flag.to_string())),
            Power::Files(right, paths) if right.changes() => all.insert(("files", paths.as_str().to_owned())),
            Power::Edit(paths, _) => all.insert(("files", paths.as_str().to_owned())),
            Power::Named(NamedPower::ProcessesStop, name) => all.insert(("processes", name.to_string())),
            Power::Named(NamedPower::ServicesStart | NamedPower::ServicesStop | NamedPower::ServicesRestart, name) => {
                all.insert(("services", name.to_string()))
            }
            Power::Named(NamedPower::CommandsRun, name) => all.insert(("commands", name.to_string())),
            Power::Named(NamedPower::HttpCall, name) => all.insert(("calls", name.to_string())),
            Power::Named(NamedPower::GitRestore, name) => all.insert(("git", name.to_string())),
            Power::Files(..)
            | Power::Holders(_)
            | Power::Named(
                NamedPower::FlagsGet
                | NamedPower::ProcessesList
                | NamedPower::ServicesStatus
                | NamedPower::HttpGet
                | NamedPower::GitStatus,
                _,
            ) => false,
        };
    }
    let named = |kind| all.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect::<Vec<_>>();
    KINDS.into_iter().map(|kind| (kind, named(kind))).filter(|(_, names)| !names.is_empty()).collect()
}

/// The story, if its bundle may run and what it needs first is in order.
fn resolved(site: &Site, id: &StoryId, policy: Option<&StoryPolicy>) -> Result<ResolvedStory> {
    policy.map_or(Ok(()), |policy| demand_order(site, policy))?;
    site.resolved(id)
}
