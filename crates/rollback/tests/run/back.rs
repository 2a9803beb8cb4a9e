//! The way back: in which order effects are taken back, and what may follow.

use super::*;
use unship_rollback::{Image, ServiceAction, Standing};

#[test]
fn on_its_way_back_no_record_can_be_lost_doubled_or_swapped() {
    let on_the_way =
        |e: &Event| matches!(e, Event::EffectUndone { .. } | Event::EffectLeft { .. } | Event::UndoFailed { .. });
    for (case, events, ..) in legal() {
        // Before a step runs again, a run may be cut off once more and look again.
        let turn = events.iter().position(|e| matches!(e, Event::UndoStarted { .. })).unwrap_or(events.len());
        for (at, event) in events.iter().enumerate().skip(turn).filter(|(_, event)| on_the_way(event)) {
            let mut lost = events.clone();
            lost.remove(at);
            assert!(replay(&lost).is_err(), "{case}: record {at} is lost");
            let mut twice = events.clone();
            twice.insert(at, event.clone());
            assert!(replay(&twice).is_err(), "{case}: record {at} twice");
            if on_the_way(&events[at - 1]) {
                let mut swapped = events.clone();
                swapped.swap(at, at - 1);
                assert!(replay(&swapped).is_err(), "{case}: record {at} before the one before it");
            }
        }
    }
}

#[test]
fn what_ended_can_be_undone_once() {
    let back =
        [turned(vec![]), undone("second", 0), undone("first", 1), undone("first", 0), ended(Outcome::Undone, None)];
    let state = replay(&[good(), back.to_vec()].concat()).expect("legal");
    assert_eq!(state.ended().map(|e| e.0), Some(Outcome::Undone));
    assert!(!state.may_be_undone() && state.applied().iter().all(|a| a.standing == Standing::Undone));
    assert!(replay(&[good(), back.to_vec(), back.to_vec()].concat()).is_err(), "a second time");
    assert!(replay(&[vec![refused()], vec![turned(vec![])]].concat()).is_err(), "nothing was done");
    let removed = Event::ImagesRemoved { entries: 1 };
    let gone = [good(), vec![removed]].concat();
    assert!(replay(&gone).expect("legal").has_lost_images());
    assert!(replay(&[gone, back.to_vec()].concat()).is_err(), "there is nothing to take it back from");
}

#[test]
fn a_stuck_run_can_be_taken_up_again_where_it_stuck() {
    let stuck =
        [&good()[..14], &[turned(vec![]), undone("second", 0), undo_fails("first", 1), ended(Outcome::Stuck, None)]]
            .concat();
    assert!(!replay(&stuck).expect("legal").may_lose_images());
    let rest = [turned(vec![]), undone("first", 1), undone("first", 0), ended(Outcome::Undone, None)];
    let state = replay(&[stuck, rest.to_vec()].concat()).expect("legal");
    assert_eq!(state.ended().map(|e| e.0), Some(Outcome::Undone));
}

#[test]
fn on_fail_stop_leaves_everything_and_says_stuck() {
    let mut plan = plan(false);
    plan.on_fail = OnFail::Stop;
    let events = [&[started(plan)], &good()[1..9], &[fails("first", false)]].concat();
    let state = replay(&events).expect("legal");
    assert!(matches!(state.next(), Next::End { outcome: Outcome::Stuck, .. }), "{:?}", state.next());
    assert_eq!(state.uncertain_unit(), Some(1), "what it made without a record is to be looked for");
}

#[test]
fn an_undo_item_knows_which_directories_keep_their_times() {
    let (by, reason) = ("me".to_owned(), "why".to_owned());
    let foreign = vec![".".to_owned()];
    let turned = Event::UndoStarted { by, reason, found: vec![], foreign: foreign.clone(), forced: vec![] };
    match replay(&[&good()[..11], &[turned]].concat()).expect("legal").next() {
        Next::Undo(item) => assert_eq!((item.number, item.foreign), (1, foreign)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restarted_service_is_restarted_last() {
    let service = |action| PlannedEffect {
        effect: Effect::ServiceChanged { service: "s".to_owned(), action },
        notes: Vec::new(),
    };
    let made = |n, action, was: &str| Event::EffectApplied {
        unit: "second".to_owned(),
        n,
        effect: Effect::ServiceChanged { service: "s".to_owned(), action },
        image: Some(Image::Value { was: was.to_owned() }),
    };
    let order = |was: &str| {
        let mut plan = plan(false);
        plan.units[2].effects = vec![service(ServiceAction::Stop), service(ServiceAction::Restart)];
        let mut events = [&[started(plan)], &good()[1..12]].concat();
        events.extend([made(0, ServiceAction::Stop, "running"), made(1, ServiceAction::Restart, was), turned(vec![])]);
        let mut order = Vec::new();
        while let Next::Undo(item) = replay(&events).expect("legal").next() {
            events.push(undone(&item.applied.unit, item.applied.n));
            order.push(item.applied.name());
        }
        order
    };
    assert_eq!(order("running"), ["second/0", "first/1", "first/0", "second/1"]);
    // One that did not run before is stopped where its turn comes.
    assert_eq!(order("stopped"), ["second/1", "second/0", "first/1", "first/0"]);
}

#[test]
fn a_step_that_began_after_a_check_whose_end_is_lost_is_looked_at() {
    let mut plan = plan(false);
    plan.units.insert(2, PlannedUnit { name: "looks".to_owned(), effects: Vec::new(), ..plan.units[2].clone() });
    let first = replay(&[started(plan.clone())]).expect("legal");
    assert_eq!((first.next(), first.uncertain_unit()), (Next::Unit(0), Some(1)));
    // What it made is taken back, then all runs from where the records end.
    let mut events = vec![started(plan.clone()), resumed(vec![found(0), found(1)])];
    for n in [1, 0] {
        let Next::Undo(item) = replay(&events).expect("legal").next() else { panic!("nothing is taken back") };
        assert_eq!(item.applied.name(), format!("first/{n}"));
        events.push(undone("first", n));
    }
    let state = replay(&events).expect("legal");
    assert_eq!((state.next(), state.applied().len()), (Next::Unit(0), 0));
    // Between two steps with effects, the second one is looked at, and never one that is done.
    let events = [&[started(plan)], &good()[1..11]].concat();
    let state = replay(&events).expect("legal");
    assert_eq!((state.next(), state.uncertain_unit()), (Next::Unit(2), Some(3)));
    let turned = replay(&[events.clone(), vec![turned(vec![found(0)])]].concat()).expect("legal");
    assert!(matches!(turned.next(), Next::Undo(item) if item.applied.name() == "second/0"));
    assert!(replay(&[events, vec![resumed(vec![found(1)])]].concat()).is_err(), "it has one effect");
}
