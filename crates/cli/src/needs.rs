//! What a story's policy demands before it is applied: `needs-first`, the stories that must be taken back before it, and
//! whether they are; `manual-only`, that a person asks for it.

use crate::{
    error::{CliError, Result},
    history::History,
    out::Out,
    site::{Site, read_text},
    story,
    wiring::SystemClock,
};
use std::ops::Range;
use unship_host::runner::Setting;
use unship_policy::{StoryId, StoryPolicy};
use unship_rollback::{Clock as _, Outcome, RunId, UnitEnd, neutralise};

/// A story that another one needs first, and how it stands.
#[derive(Debug)]
pub struct Need {
    /// The story that must be taken back.
    pub story: StoryId,
    /// Whether it is.
    pub standing: Standing,
}

/// See the module.
#[derive(Debug)]
pub struct Conditions {
    /// In the policy's order.
    pub needs: Vec<Need>,
    /// Nothing but a person's command applies the story.
    pub manual_only: bool,
}

/// By what a needed story is known to be taken back, or why it is not.
#[derive(Debug)]
pub enum Standing {
    /// The journal has a run of it that Succeeded and was not undone.
    ByRun(RunId),
    /// No run says so, but its own `already` check does: it was taken back by hand.
    ByHand,
    /// Neither says so.
    Not(String),
}

impl Need {
    /// Whether the story that needs this may go ahead.
    pub fn is_met(&self) -> bool {
        !matches!(self.standing, Standing::Not(_))
    }

    /// How it stands, for people.
    pub fn words(&self) -> String {
        match &self.standing {
            Standing::ByRun(run) => format!("taken back by run {run}"),
            Standing::ByHand => "taken back by hand: its check says so".to_owned(),
            Standing::Not(why) => format!("NOT taken back: {why}"),
        }
    }

    fn show(&self, out: Out) {
        out.text(format!("  needs first: story {}, {}", self.story, self.words()));
        let run = match &self.standing {
            Standing::ByRun(run) => Some(run),
            Standing::ByHand | Standing::Not(_) => None,
        };
        let why = match &self.standing {
            Standing::Not(why) => Some(why),
            Standing::ByRun(_) | Standing::ByHand => None,
        };
        out.object(&serde_json::json!({
            "type": "need", "story": self.story.as_str(), "taken_back": self.is_met(), "run": run, "why": why,
        }));
    }
}

/// Demands that every story which `policy` needs first, directly or by way of others, has a policy at this site, and that
/// none of them needs itself in the end.
///
/// # Errors
/// A configuration error at the place that names the story at fault.
pub fn demand_order(site: &Site, policy: &StoryPolicy) -> Result<()> {
    let known = site.story_ids()?;
    let (mut way, mut done) = (vec![policy.id.clone()], Vec::new());
    walk(site, policy, &known, &mut way, &mut done)
}

/// Depth first. `way` leads from the first story to this one; `done` are those below which all is in order.
fn walk(
    site: &Site,
    policy: &StoryPolicy,
    known: &[StoryId],
    way: &mut Vec<StoryId>,
    done: &mut Vec<StoryId>,
) -> Result<()> {
    for (id, span) in &policy.needs_first {
        if done.contains(id) {
            continue;
        }
        if let Some(at) = way.iter().position(|above| above == id) {
            let circle: Vec<&str> = way[at..].iter().chain([id]).map(StoryId::as_str).collect();
            let message = format!("story {id} would need itself first: {}", circle.join(" needs "));
            return Err(at_fault(site, policy, span.clone(), message));
        }
        if !known.contains(id) {
            let message = format!("story {} needs story {id} first, which has no policy at this site", policy.id);
            return Err(at_fault(site, policy, span.clone(), message));
        }
        way.push(id.clone());
        walk(site, &site.story(id)?, known, way, done)?;
        done.extend(way.pop());
    }
    Ok(())
}

fn at_fault(site: &Site, policy: &StoryPolicy, span: Range<usize>, message: String) -> CliError {
    let file = site.path.join(format!("policies/{}.toml", policy.id));
    let text = read_text(&file).unwrap_or_default();
    let error = unship_policy::FileError { message, span: Some(span), help: None };
    CliError::in_file(&file, &text, error)
}

impl Conditions {
    /// How each story that `policy` needs first stands now. The journal is asked first; where it has no run that says so,
    /// the story's own `already` check, which changes nothing.
    ///
    /// # Errors
    /// Those of [`demand_order`].
    pub fn look(site: &Site, policy: &StoryPolicy, history: &History) -> Result<Conditions> {
        demand_order(site, policy)?;
        let stand = |id: &StoryId| match taken_back_by(history, id) {
            Some(run) => Standing::ByRun(run.clone()),
            None => by_hand(site, id),
        };
        let needs = policy.needs_first.iter().map(|(id, _)| Need { story: id.clone(), standing: stand(id) }).collect();
        Ok(Conditions { needs, manual_only: policy.manual_only })
    }

    /// For people and programs.
    pub fn show(&self, out: Out) {
        for need in &self.needs {
            need.show(out);
        }
        if self.manual_only {
            out.text("  By a person's command only: nothing applies it by itself.");
        }
    }

    /// The stories that are not taken back yet.
    pub fn unmet(&self) -> Vec<&Need> {
        self.needs.iter().filter(|need| !need.is_met()).collect()
    }
}

/// The newest run of the story that did something, if it Succeeded and still stands. A run that was refused did nothing;
/// one that found the story taken back already says nothing once an earlier one is undone.
fn taken_back_by<'a>(history: &'a History, id: &StoryId) -> Option<&'a RunId> {
    let outcome = |run: &unship_rollback::RunState| run.ended().map(|(outcome, ..)| *outcome);
    let did_something = |run: &&unship_rollback::RunState| {
        run.story() == id.as_str()
            && outcome(run) != Some(Outcome::Refused)
            && run.plan().is_some_and(|plan| !plan.already)
    };
    let newest = history.runs().iter().rev().find(did_something)?;
    newest.run().filter(|_| outcome(newest) == Some(Outcome::Succeeded))
}

fn by_hand(site: &Site, id: &StoryId) -> Standing {
    let checked = || -> Result<Option<UnitEnd>> {
        let story = story::link(site.resolved(id)?, &site.store()?)?;
        let clock_ms = SystemClock.now_ms();
        let run = super::verbs::plan::run_id(clock_ms)?;
        let setting = Setting { site: &site.path, run: run.as_str(), clock_ms };
        story.already(setting).map_err(|e| CliError::user("the site's folders cannot be used").because(&e))
    };
    match checked() {
        Ok(Some(UnitEnd::Succeeded)) => Standing::ByHand,
        Ok(Some(UnitEnd::Failed(why) | UnitEnd::Broken(why))) => {
            Standing::Not(format!("no run of it stands, and its check says: {why}"))
        }
        Ok(None) => Standing::Not("no run of it stands, and it has no check that could say so".to_owned()),
        Err(e) => {
            Standing::Not(format!("no run of it stands, and its check cannot be asked: {}", neutralise(e.message())))
        }
    }
}
