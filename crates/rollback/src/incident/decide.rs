//! The decision: from an incident, the policy's data and what is known to what is to be done. No clock and no side effect.
//!
//! In the order of the seed's tree, each question once:
//!
//! 1. Is the story at fault known? Otherwise people are asked.
//! 2. Does a trigger of it act by itself, and does nothing stand against that? Then it is taken back now.
//! 3. Otherwise its severity says: call a person, ask people, or watch.

use super::{Decision, Incident};
use unship_policy::{Course, DecisionPolicy};

/// Runs of one incident that may be refused before a person looks.
const REFUSED_MAX: usize = 2;

/// What is known when it is decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// What the story's plan says; `None` as long as no story is known.
    pub way: Option<Way>,
    /// Nothing is begun without a person: who said so.
    pub paused_by: Option<String>,
    /// Automatic runs of the story within the last 24 hours.
    pub attempts: usize,
    /// What its triggers measure is gone when the story is taken back: that they hold then says nothing.
    pub is_gone_then: bool,
    /// Runs of this incident that were refused before they changed anything.
    pub refused: usize,
}

/// Whether the story could be taken back now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Yes, by a plan.
    Open {
        /// The safety properties that it weakens.
        weakens: Vec<String>,
        /// Only a person's command applies it.
        manual_only: bool,
        /// The story is taken back already.
        already: bool,
    },
    /// No.
    Shut {
        /// Why.
        reason: String,
    },
}

/// What is to be done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What.
    pub decision: Decision,
    /// One line for people and the journal.
    pub reason: String,
    /// How long it is waited for, in milliseconds.
    pub within_ms: Option<u64>,
}

impl Decided {
    fn new(decision: Decision, reason: impl Into<String>) -> Decided {
        Decided { decision, reason: reason.into(), within_ms: None }
    }

    fn within(mut self, within: std::time::Duration) -> Decided {
        self.within_ms = Some(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// Decides about an incident that is open and has no run.
pub fn decide(incident: &Incident, policy: &DecisionPolicy, known: &Known) -> Decided {
    let Some(way) = known.way.as_ref().filter(|_| incident.story.is_some()) else {
        return Decided::new(Decision::Ask, "it is not known which story is at fault").within(policy.ask_within());
    };
    if let Way::Shut { reason } = way {
        return Decided::new(Decision::Page, format!("the story cannot be taken back now: {reason}"));
    }
    if let Way::Open { already: true, .. } = way
        && known.is_gone_then
    {
        return Decided::new(
            Decision::Ignore,
            "the story is taken back already, and what its triggers measure with it",
        );
    }
    if let Way::Open { already: true, .. } = way {
        return Decided::new(Decision::Page, "the story is taken back already, and its trigger fires");
    }
    let hindrance = if incident.auto() { hindrance(way, policy, known) } else { None };
    if incident.auto() && hindrance.is_none() {
        return Decided::new(Decision::Act, "its trigger acts by itself");
    }
    let severity = format!("{:?}", incident.severity()).to_lowercase();
    let because = match hindrance {
        Some(why) => format!("not by itself, since {why}; its severity is {severity}"),
        None => format!("its severity is {severity}"),
    };
    // Trying again what did not help is nothing to wait for.
    if incident.auto() && (known.attempts >= policy.attempts as usize || known.refused >= REFUSED_MAX) {
        return Decided::new(Decision::Page, because);
    }
    match policy.course(incident.severity()) {
        Course::Page => Decided::new(Decision::Page, because),
        Course::Ask { within } => Decided::new(Decision::Ask, because).within(within),
        // Somebody said yes to a run of it already, and the site was not as planned: watching again would waste that.
        Course::Watch { .. } if known.refused > 0 => Decided::new(Decision::Ask, because).within(policy.ask_within()),
        Course::Watch { within, .. } => Decided::new(Decision::Watch, because).within(within),
    }
}

/// Why a trigger that acts by itself may not.
fn hindrance(way: &Way, policy: &DecisionPolicy, known: &Known) -> Option<String> {
    if let Way::Open { manual_only: true, .. } = way {
        return Some("only a person's command takes this story back".to_owned());
    }
    if let Way::Open { weakens, .. } = way
        && !weakens.is_empty()
    {
        return Some(format!("its plan weakens {}, which is never automatic", weakens.join(", ")));
    }
    if let Some(by) = &known.paused_by {
        return Some(format!("{by} paused what acts by itself"));
    }
    if known.refused >= REFUSED_MAX {
        return Some(format!("{} runs of it were refused", known.refused));
    }
    let (attempts, allowed) = (known.attempts, policy.attempts);
    if attempts >= allowed as usize {
        return Some(format!("the story was taken back by itself {attempts} times in 24 h, and {allowed} are allowed"));
    }
    None
}

/// What follows when nobody answered in time: never a rollback.
/// Gives the reason, and whether a person is called.
pub fn at_expiry(policy: &DecisionPolicy) -> (String, bool) {
    ("nobody answered in time".to_owned(), policy.page_at_expiry)
}

/// What follows when the time for watching is over: asking if it still breaches or that cannot be told, else nothing.
pub fn at_watch_end(policy: &DecisionPolicy, still: Option<&str>) -> Decided {
    match still {
        Some(how) => {
            Decided::new(Decision::Ask, format!("after the time for watching {how}")).within(policy.ask_within())
        }
        None => Decided::new(Decision::Ignore, "what was watched is clear"),
    }
}
