//! From what the terms say to what the rule says: four answers, joined so that what is unknown stays unknown unless the
//! rest decides alone (Kleene's logic).

use super::{Node, slot::Standing};
use serde::{Deserialize, Serialize};

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It does not hold.
    Ok,
    /// It holds.
    Breach,
    /// There is no data, or not enough, or it is too old.
    NoData,
    /// There is data that says nothing: NaN, a baseline of 0, more series or points than are kept.
    Error,
}

/// How many series of a term stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    ok: u32,
    breach: u32,
    error: u32,
    held: u32,
    pub pending: u32,
    /// Series that there was no room for.
    pub refused: u64,
}

impl Tally {
    /// Without any series but those that there was no room for.
    pub fn refusing(refused: u64) -> Tally {
        Tally { refused, ..Tally::default() }
    }

    /// Counts a series in, or out.
    pub fn change(&mut self, standing: Standing, is_pending: bool, comes: bool) {
        let count = |n: &mut u32| *n = if comes { *n + 1 } else { *n - 1 };
        match standing {
            Standing::Ok => count(&mut self.ok),
            Standing::Breach => count(&mut self.breach),
            Standing::Error => count(&mut self.error),
            Standing::Held => count(&mut self.held),
            Standing::Unseen | Standing::TooLittle | Standing::Stale => {}
        }
        if is_pending {
            count(&mut self.pending);
        }
    }

    /// One series that breaches is enough. A series that went away while it breached, or that there was no room for, is
    /// no reason to call it well.
    pub fn answer(&self) -> Answer {
        if self.breach > 0 {
            Answer::Breach
        } else if self.error > 0 || self.refused > 0 {
            Answer::Error
        } else if self.held > 0 || self.ok == 0 {
            Answer::NoData
        } else {
            Answer::Ok
        }
    }
}

/// Since when the expression of a `for` has held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub since: i64,
    /// It has held for long enough, at a sample.
    is_long: bool,
}

/// When a rule is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub at: i64,
    /// At a sample of one of its series. Else something became too old: that makes nothing true.
    pub is_sample: bool,
}

/// What the node says. `held` has a place for each `for` of an expression of the rule.
pub(super) fn answer(node: &Node, tallies: &[Tally], held: &mut [Option<Held>], asked: Asked) -> Answer {
    match node {
        Node::Term(term) => tallies[*term].answer(),
        Node::Not(node) => opposite(answer(node, tallies, held, asked)),
        Node::And(nodes) => opposite(any(nodes, tallies, held, asked, opposite)),
        Node::Or(nodes) => any(nodes, tallies, held, asked, |answer| answer),
        Node::For { node, ms, index } => {
            let answer = answer(node, tallies, held, asked);
            if answer != Answer::Breach {
                held[*index] = None;
                return answer;
            }
            let held = held[*index].get_or_insert(Held { since: asked.at, is_long: false });
            held.is_long |= asked.is_sample && asked.at.saturating_sub(held.since) >= *ms;
            if held.is_long { Answer::Breach } else { Answer::Ok }
        }
    }
}

fn opposite(answer: Answer) -> Answer {
    match answer {
        Answer::Ok => Answer::Breach,
        Answer::Breach => Answer::Ok,
        unknown => unknown,
    }
}

/// One that holds is enough; all are asked, as each may have to note since when it holds.
fn any(
    nodes: &[Node],
    tallies: &[Tally],
    held: &mut [Option<Held>],
    asked: Asked,
    each: fn(Answer) -> Answer,
) -> Answer {
    let mut all = Answer::Ok;
    for node in nodes {
        all = match (all, each(answer(node, tallies, held, asked))) {
            (Answer::Breach, _) | (_, Answer::Breach) => Answer::Breach,
            (Answer::Error, _) | (_, Answer::Error) => Answer::Error,
            (Answer::NoData, _) | (_, Answer::NoData) => Answer::NoData,
            (Answer::Ok, Answer::Ok) => Answer::Ok,
        };
    }
    all
}
