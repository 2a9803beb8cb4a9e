//! The state machine of a run: which records may follow which.

mod back;
mod checklist;

use unship_policy::{Digest, OnFail};
use unship_rollback::{
    DirectoryChange, Effect, Event, FoundEffect, Line, Modified, Next, Outcome, Plan, PlannedEffect, PlannedUnit,
    Probe, Record, RunId, RunState, UnitRole, Verdict,
};

/// A precondition, two steps with two effects and one, a verification.
fn plan(already: bool) -> Plan {
    let effect = |path: &str| PlannedEffect { effect: Effect::DirCreated { path: path.to_owned() }, notes: Vec::new() };
    let unit = |name: &str, role, effects| PlannedUnit { name: name.to_owned(), title: name.to_owned(), role, effects };
    Plan {
        format: Plan::FORMAT,
        story: "1.3".to_owned(),
        variant: None,
        version: "1.0.0".to_owned(),
        title: "t".to_owned(),
        bundle: Digest::of(b"bundle"),
        resolved: Digest::of(b"resolved"),
        on_fail: OnFail::Undo,
        already,
        clock_ms: 0,
        units: vec![
            unit("before", UnitRole::Precondition, Vec::new()),
            unit("first", UnitRole::Step, vec![effect("a"), effect("b-{run}")]),
            unit("second", UnitRole::Step, vec![effect("c")]),
            unit("after", UnitRole::Verification, Vec::new()),
        ],
        weakens: Vec::new(),
        checklist: Vec::new(),
        trust: None,
    }
}

const RUN: &str = "r20260101t000000z-0000";

fn record(what: Event) -> Record {
    Record { at_ms: 7, run: RunId::new(RUN).expect("an id"), what }
}

fn started(plan: Plan) -> Event {
    let (story, digest, by) = (plan.story.clone(), plan.digest(), "me".to_owned());
    Event::RunStarted { story, digest, by, plan: Box::new(plan), permission: None }
}

fn modified(s: i64) -> Modified {
    Modified { s, ns: 0 }
}

fn changed(unit: &str, before: i64, left: i64) -> Event {
    let change = DirectoryChange { path: ".".to_owned(), before: modified(before), left: modified(left) };
    Event::DirectoriesChanged { unit: unit.to_owned(), directories: vec![change] }
}

fn found(n: usize) -> FoundEffect {
    FoundEffect { n, state: Probe::Applied, image: None }
}

fn resumed(found: Vec<FoundEffect>) -> Event {
    Event::RunResumed { by: "me".to_owned(), found }
}

fn turned(found: Vec<FoundEffect>) -> Event {
    let (by, reason) = ("me".to_owned(), "why".to_owned());
    Event::UndoStarted { by, reason, found, foreign: Vec::new(), forced: Vec::new() }
}

fn undone(unit: &str, n: usize) -> Event {
    Event::EffectUndone { unit: unit.to_owned(), n, note: None }
}

fn left(unit: &str, n: usize) -> Event {
    Event::EffectLeft { unit: unit.to_owned(), n, reason: "it cannot".to_owned() }
}

fn undo_fails(unit: &str, n: usize) -> Event {
    Event::UndoFailed { unit: unit.to_owned(), n, reason: "it failed".to_owned() }
}

fn begins(unit: &str) -> Event {
    Event::UnitStarted { unit: unit.to_owned() }
}

fn succeeds(unit: &str) -> Event {
    Event::UnitSucceeded { unit: unit.to_owned() }
}

fn fails(unit: &str, broken: bool) -> Event {
    Event::UnitFailed { unit: unit.to_owned(), reason: "why".to_owned(), broken }
}

fn applied(unit: &str, n: usize, path: &str) -> Event {
    let effect = Effect::DirCreated { path: path.to_owned() };
    Event::EffectApplied { unit: unit.to_owned(), n, effect, image: None }
}

fn says(unit: &str) -> Event {
    let line = Line { source: "info".to_owned(), text: "hello".to_owned() };
    Event::LineLogged { unit: unit.to_owned(), line }
}

fn denied(unit: &str) -> Event {
    Event::AccessDenied { unit: unit.to_owned(), what: "files.read on x".to_owned(), rule: "none".to_owned() }
}

fn summed(unit: &str) -> Event {
    Event::AccessSummed { unit: unit.to_owned(), right: "read".to_owned(), place: "x".to_owned(), count: 2 }
}

fn ended(outcome: Outcome, verdict: Option<Verdict>) -> Event {
    Event::RunEnded { outcome, verdict, reason: None }
}

fn refused() -> Event {
    Event::RunRefused { story: "1.3".to_owned(), reason: "why".to_owned(), denials: Vec::new() }
}

/// A whole run in which all goes well.
fn good() -> Vec<Event> {
    vec![
        started(plan(false)),
        begins("before"),
        summed("before"),
        succeeds("before"),
        begins("first"),
        says("first"),
        // The order within a step is the step's own.
        applied("first", 1, &format!("b-{RUN}")),
        denied("first"),
        applied("first", 0, "a"),
        changed("first", 1, 2),
        succeeds("first"),
        begins("second"),
        applied("second", 0, "c"),
        succeeds("second"),
        begins("after"),
        succeeds("after"),
        ended(Outcome::Succeeded, Some(Verdict::Recovered)),
    ]
}

/// Every legal run: its records, and how it ends.
fn legal() -> Vec<(&'static str, Vec<Event>, Outcome, Option<Verdict>)> {
    let good = good();
    let cut = |n: usize, rest: &[Event]| [&good[..n], rest].concat();
    let none: Option<Verdict> = None;
    vec![
        ("all goes well", good.clone(), Outcome::Succeeded, Some(Verdict::Recovered)),
        ("refused", vec![refused()], Outcome::Refused, none),
        (
            "taken back already",
            vec![
                started(plan(true)),
                begins("after"),
                succeeds("after"),
                ended(Outcome::Succeeded, Some(Verdict::Recovered)),
            ],
            Outcome::Succeeded,
            Some(Verdict::Recovered),
        ),
        (
            "a precondition says no",
            cut(3, &[fails("before", false), ended(Outcome::Refused, None)]),
            Outcome::Refused,
            none,
        ),
        (
            "a step fails and is taken back, newest first",
            cut(
                9,
                &[
                    fails("first", false),
                    turned(vec![]),
                    undone("first", 1),
                    undone("first", 0),
                    ended(Outcome::Undone, None),
                ],
            ),
            Outcome::Undone,
            none,
        ),
        (
            "a step breaks after what it could not write down",
            cut(
                7,
                &[
                    fails("first", true),
                    turned(vec![found(0)]),
                    undone("first", 1),
                    undone("first", 0),
                    ended(Outcome::Undone, None),
                ],
            ),
            Outcome::Undone,
            none,
        ),
        (
            "taking back fails",
            cut(14, &[turned(vec![]), undone("second", 0), undo_fails("first", 1), ended(Outcome::Stuck, None)]),
            Outcome::Stuck,
            none,
        ),
        (
            "one effect stays, the others are taken back",
            cut(
                14,
                &[
                    turned(vec![]),
                    undone("second", 0),
                    left("first", 1),
                    undone("first", 0),
                    ended(Outcome::Stuck, None),
                ],
            ),
            Outcome::Stuck,
            none,
        ),
        (
            "a verification says no",
            cut(15, &[fails("after", false), ended(Outcome::Succeeded, Some(Verdict::NotRecovered))]),
            Outcome::Succeeded,
            Some(Verdict::NotRecovered),
        ),
        (
            "a verification cannot say",
            cut(15, &[fails("after", true), ended(Outcome::Succeeded, Some(Verdict::Unknown))]),
            Outcome::Succeeded,
            Some(Verdict::Unknown),
        ),
        (
            "it is cut off in a step and goes on",
            [&good[..7], &[resumed(vec![found(0)]), undone("first", 1), undone("first", 0)], &good[4..]].concat(),
            Outcome::Succeeded,
            Some(Verdict::Recovered),
        ),
        (
            "it is cut off in a step, goes on, is cut off again and is taken back",
            [
                &good[..7],
                &[
                    resumed(vec![found(0)]),
                    undone("first", 1),
                    resumed(vec![found(0)]),
                    turned(vec![found(0)]),
                    undone("first", 0),
                    ended(Outcome::Undone, None),
                ],
            ]
            .concat(),
            Outcome::Undone,
            none,
        ),
        (
            "it is cut off between steps and taken back, and cut off on the way",
            cut(
                11,
                &[
                    turned(vec![]),
                    undone("first", 1),
                    resumed(vec![]),
                    undone("first", 0),
                    ended(Outcome::Undone, None),
                ],
            ),
            Outcome::Undone,
            none,
        ),
    ]
}

fn replay(events: &[Event]) -> Result<RunState, (usize, String)> {
    let mut state = RunState::default();
    for (index, event) in events.iter().enumerate() {
        state.advance(&record(event.clone())).map_err(|e| (index, e.to_string()))?;
    }
    Ok(state)
}

#[test]
fn every_prefix_of_a_legal_run_is_legal() {
    for (case, events, outcome, verdict) in legal() {
        for len in 0..events.len() {
            let state = replay(&events[..len]).unwrap_or_else(|e| panic!("{case}, {len}: {e:?}"));
            assert!(state.ended().is_none(), "{case}: ended after {len}");
        }
        let state = replay(&events).unwrap_or_else(|e| panic!("{case}: {e:?}"));
        let (o, v, _) = state.ended().unwrap_or_else(|| panic!("{case} did not end"));
        assert_eq!((*o, *v), (outcome, verdict), "{case}");
        assert_eq!(state.next(), Next::Nothing, "{case}");
    }
}

/// Everything that any legal run holds, and some that none does.
fn vocabulary() -> Vec<Event> {
    let mut all: Vec<Event> = Vec::new();
    for (_, events, ..) in legal() {
        for event in events {
            if !all.contains(&event) {
                all.push(event);
            }
        }
    }
    all.extend([
        begins("nobody"),
        succeeds("nobody"),
        fails("nobody", false),
        says("nobody"),
        applied("before", 0, "a"),
        applied("after", 0, "a"),
        applied("first", 2, "a"),
        applied("first", 0, "elsewhere"),
        applied("first", 1, "a"),
        ended(Outcome::Undone, None),
        ended(Outcome::Succeeded, None),
        ended(Outcome::Stuck, Some(Verdict::Recovered)),
        Event::ImagesRemoved { entries: 3 },
    ]);
    all
}

/// What was found belongs to the step in hand, or to the next one: its beginning may have been lost, and so may the end of
/// a check before it.
fn finds(events: &[Event], done: usize) -> bool {
    let recorded = |unit, path: &str| events.contains(&applied(unit, 0, path));
    match done {
        0 | 1 => !recorded("first", "a"),
        2 => !recorded("second", "c"),
        _ => false,
    }
}

/// What may follow after each prefix of the good run, by the index into [`vocabulary`], said independently of the code:
/// names of records.
fn may_follow(events: &[Event], next: &Event) -> bool {
    let unit_in_hand = events.iter().rev().find_map(|event| match event {
        Event::UnitStarted { unit } => Some(Some(unit.as_str())),
        Event::UnitSucceeded { .. } | Event::UnitFailed { .. } => Some(None),
        _ => None,
    });
    let in_hand = unit_in_hand.flatten();
    let done = events.iter().filter(|e| matches!(e, Event::UnitSucceeded { .. })).count();
    let names = ["before", "first", "second", "after"];
    match next {
        Event::RunStarted { .. } | Event::RunRefused { .. } => events.is_empty(),
        Event::RunResumed { found, .. } => {
            let over = matches!(events.last(), Some(Event::RunEnded { .. }));
            !events.is_empty() && !over && (found.is_empty() || finds(events, done))
        }
        Event::UndoStarted { found, .. } => !events.is_empty() && (found.is_empty() || finds(events, done)),
        Event::EffectUndone { .. } | Event::EffectLeft { .. } | Event::UndoFailed { .. } => false,
        // Its plan has no checklist; one that has is in `checklist`.
        Event::ItemTicked { .. } => false,
        Event::ImagesRemoved { .. } => matches!(events.last(), Some(Event::RunEnded { .. })),
        Event::UnitStarted { unit } => {
            !events.is_empty() && in_hand.is_none() && names.get(done) == Some(&unit.as_str())
        }
        Event::RunEnded { outcome, verdict, .. } => {
            done == 4
                && !matches!(events.last(), Some(Event::RunEnded { .. }))
                && (*outcome, *verdict) == (Outcome::Succeeded, Some(Verdict::Recovered))
        }
        Event::EffectApplied { unit, n, effect, .. } => {
            let planned = match (unit.as_str(), n) {
                ("first", 0) => "a".to_owned(),
                ("first", 1) => format!("b-{RUN}"),
                ("second", 0) => "c".to_owned(),
                _ => return false,
            };
            in_hand == Some(unit)
                && *effect == Effect::DirCreated { path: planned }
                && !events
                    .iter()
                    .any(|e| matches!(e, Event::EffectApplied { unit: u, n: m, .. } if (u, m) == (unit, n)))
        }
        Event::AccessSummed { unit, .. }
        | Event::AccessDenied { unit, .. }
        | Event::LineLogged { unit, .. }
        | Event::DirectoriesChanged { unit, .. }
        | Event::UnitSucceeded { unit }
        | Event::UnitFailed { unit, .. } => in_hand == Some(unit),
    }
}

#[test]
fn after_each_prefix_exactly_what_may_follow_is_taken_and_a_refusal_changes_nothing() {
    let good = good();
    for len in 0..=good.len() {
        let prefix = &good[..len];
        let state = replay(prefix).expect("legal");
        for event in vocabulary() {
            // A run that is taken back already has another plan; its beginning is a beginning all the same.
            let mut next = state.clone();
            let taken = next.advance(&record(event.clone()));
            assert_eq!(taken.is_ok(), may_follow(prefix, &event), "after {len} records: {event:?}: {taken:?}");
            if taken.is_err() {
                assert_eq!(format!("{state:?}"), format!("{next:?}"), "after {len} records: {event:?} left a trace");
            }
        }
    }
}

#[test]
fn a_record_of_another_run_does_not_follow() {
    let state = replay(&good()[..4]).expect("legal");
    let mut other = record(begins("first"));
    other.run = RunId::new("r20260101t000000z-ffff").expect("an id");
    let mut next = state.clone();
    assert!(next.advance(&other).is_err());
    assert_eq!(format!("{state:?}"), format!("{next:?}"));
}

#[test]
fn a_plan_that_is_not_the_one_of_its_digest_is_no_beginning() {
    let plan = plan(false);
    let digest = Digest::of(b"another");
    let (story, by) = (plan.story.clone(), "me".to_owned());
    let event = Event::RunStarted { story, digest, by, plan: Box::new(plan), permission: None };
    assert!(replay(&[event]).is_err());
}

#[test]
fn what_comes_next_is_a_unit_until_the_run_ends() {
    let good = good();
    let next = |len: usize| replay(&good[..len]).expect("legal").next();
    assert_eq!(next(0), Next::Nothing);
    assert_eq!(next(1), Next::Unit(0));
    assert_eq!(next(4), Next::Unit(1));
    assert_eq!(next(11), Next::Unit(2));
    assert_eq!(next(14), Next::Unit(3));
    assert!(matches!(
        next(16),
        Next::End { outcome: Outcome::Succeeded, verdict: Some(Verdict::Recovered), reason: None }
    ));
    assert_eq!(next(17), Next::Nothing);
}

/// What frames a run: each of these stands in its place, once.
fn frames(event: &Event) -> bool {
    !matches!(
        event,
        Event::LineLogged { .. }
            | Event::AccessSummed { .. }
            | Event::AccessDenied { .. }
            | Event::DirectoriesChanged { .. }
            | Event::EffectApplied { .. }
    )
}

#[test]
fn a_record_twice_lost_or_moved_is_illegal() {
    // A run may be cut off, and turned back, at any time; what stands then in which order is held below.
    let forward = legal().into_iter().filter(|(_, events, ..)| {
        !events.iter().any(|e| matches!(e, Event::RunResumed { .. } | Event::UndoStarted { .. }))
    });
    for (case, events, ..) in forward {
        for (at, event) in events.iter().enumerate() {
            // Twice: an effect too is made once.
            if frames(event) || matches!(event, Event::EffectApplied { .. }) {
                for to in 0..=events.len() {
                    let mut changed = events.clone();
                    changed.insert(to, event.clone());
                    assert!(replay(&changed).is_err(), "{case}: record {at} again at {to}");
                }
            }
            if !frames(event) {
                continue;
            }
            // Lost, unless it is the last: then the run is in flight.
            let mut changed = events.clone();
            changed.remove(at);
            if at + 1 < events.len() {
                assert!(replay(&changed).is_err(), "{case}: record {at} is lost");
            }
            // Moved over another one that frames the run, or over an effect.
            for to in 0..events.len() {
                let between = &events[at.min(to)..=at.max(to)];
                let passes = between
                    .iter()
                    .filter(|e| *e != event)
                    .any(|e| frames(e) || matches!(e, Event::EffectApplied { .. }));
                let mut moved = changed.clone();
                moved.insert(to, event.clone());
                // A step may fail before any of its effects.
                let failure = matches!(event, Event::UnitFailed { .. });
                if to != at && passes && !failure {
                    assert!(replay(&moved).is_err(), "{case}: record {at} moved to {to}");
                }
            }
        }
    }
}
