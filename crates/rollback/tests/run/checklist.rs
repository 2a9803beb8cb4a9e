//! Ticks: a person's word about an item of the checklist, at any time of a run that began, once each.

use super::*;
use unship_policy::ChecklistItem;

fn listed() -> Plan {
    let item = |name: &str| ChecklistItem { name: name.to_owned(), title: format!("about {name}") };
    plan(false).with_checklist(&[item("a"), item("b")])
}

fn ticked(item: &str, by: &str) -> Event {
    Event::ItemTicked { item: item.to_owned(), by: by.to_owned(), noted_by: "me".to_owned() }
}

/// A good run with the checklist, as records.
fn run() -> Vec<Event> {
    let mut events = good();
    events[0] = started(listed());
    events
}

fn after(events: &[Event]) -> RunState {
    let mut state = RunState::default();
    for event in events {
        state.advance(&record(event.clone())).expect("it can follow");
    }
    state
}

#[test]
fn an_item_is_ticked_at_any_time_once_and_moves_nothing() {
    let events = run();
    for at in 1..=events.len() {
        let mut state = after(&events[..at]);
        let (next, stands) = (state.next(), state.where_it_stands());
        state.advance(&record(ticked("b", "Ada"))).unwrap_or_else(|e| panic!("after {at} records: {e}"));
        assert_eq!((state.next(), state.where_it_stands()), (next, stands));
        let ticks: Vec<_> =
            state.checklist().into_iter().map(|t| (t.item.name, t.tick.map(|t| (t.by, t.at_ms)))).collect();
        assert_eq!(ticks, [("a".to_owned(), None), ("b".to_owned(), Some(("Ada".to_owned(), 7)))]);
        let mut twice = state.clone();
        assert!(twice.advance(&record(ticked("b", "Bob"))).is_err(), "a second time, after {at} records");
        assert_eq!(twice.checklist(), state.checklist());
        for event in &events[at..] {
            state.advance(&record(event.clone())).expect("the run goes on as if nothing were");
        }
        assert_eq!(state.ended().map(|(outcome, ..)| *outcome), Some(Outcome::Succeeded));
    }
}

#[test]
fn what_is_not_on_the_list_cannot_be_ticked() {
    assert!(after(&run()).advance(&record(ticked("c", "Ada"))).is_err());
    assert!(after(&[]).advance(&record(ticked("a", "Ada"))).is_err(), "before the run began");
    assert!(after(&[refused()]).advance(&record(ticked("a", "Ada"))).is_err(), "a refused run has no plan");
}

#[test]
fn the_digest_covers_the_list_and_an_empty_one_leaves_it_as_it_was() {
    assert_ne!(listed().digest(), plan(false).digest());
    let mut other = listed();
    other.checklist[1].title.push('!');
    assert_ne!(listed().digest(), other.digest());
    // What a journal from before there were checklists holds reads as it did.
    let old = serde_json::to_value(plan(false)).expect("JSON");
    assert!(old.get("checklist").is_none());
    assert_eq!(serde_json::from_value::<Plan>(old).expect("a plan").digest(), plan(false).digest());
    assert!(listed().difference(&plan(false)).contains(&"- checklist: a, b".to_owned()));
}
