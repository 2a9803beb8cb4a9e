//! What a trigger measures may be gone with its story: what that means for the verdict, and for the nights after it.

use crate::support::{HOUR, MINUTE, State, World, planned, setup};
use unship_controller::ports::Planned;
use unship_rollback::{
    Verdict,
    incident::{Closing, Fact, NoticeEvent},
};

fn verdicts(world: &World) -> Vec<(Verdict, String)> {
    let of = |fact: Fact| match fact {
        Fact::VerdictReached { verdict, reason, .. } => Some((verdict, reason)),
        _ => None,
    };
    world.take_facts().into_iter().filter_map(of).collect()
}

/// The story is taken back already.
fn taken_back() -> State {
    let plans = [("1.3".to_owned(), Ok(Planned { already: true, ..planned(1) }))];
    State { plans: plans.into(), ..State::default() }
}

#[test]
fn no_data_is_well_where_policy_says_that_what_is_measured_may_be_gone() {
    for (trigger, wanted, why) in [
        ("quiet", Verdict::Recovered, "stayed clear; without data, as policy has it: 1.3/quiet"),
        ("act", Verdict::Unknown, "1.3/act has had no data since"),
    ] {
        let mut world = World::new();
        world.fire(trigger);
        assert_eq!(world.stage("1.3"), "Stabilising");
        world.later(16 * MINUTE);
        let told = verdicts(&world);
        assert!(told.len() == 1 && told[0].0 == wanted && told[0].1.contains(why), "{told:?}");
    }
}

#[test]
fn what_may_be_gone_and_is_not_must_be_well() {
    let mut world = World::new();
    world.fire("quiet");
    world.later(2 * MINUTE);
    world.fire("quiet");
    let told = verdicts(&world);
    assert!(told.len() == 1 && told[0] == (Verdict::NotRecovered, "1.3/quiet breaches again".to_owned()), "{told:?}");
}

#[test]
fn what_is_gone_for_certain_is_not_judged_and_wakes_nobody_until_it_is_back() {
    let mut world = World::new();
    world.fire("gone");
    assert_eq!(verdicts(&world), [(Verdict::Recovered, "its verifications say so".to_owned())]);
    assert_eq!(world.stage("1.3"), "Closed Recovered");
    // It looks as bad as before, for two days.
    for _ in 0..96 {
        world.later(30 * MINUTE);
        world.fire("gone");
    }
    assert_eq!((world.incidents().len(), world.was_told(NoticeEvent::Paged, "")), (1, 0));
    // A restart changes nothing of that.
    world.restart();
    world.fire("gone");
    assert_eq!((world.incidents().len(), world.was_told(NoticeEvent::Paged, "")), (1, 0));
    // It is shipped again, is well, and then is not.
    world.calm("gone");
    world.later(MINUTE);
    world.fire("gone");
    assert_eq!((world.incidents().len(), world.orders().len()), (2, 2));
}

#[test]
fn what_is_gone_for_certain_speaks_against_no_other_triggers_verdict() {
    let mut world = World::new();
    world.fire("act");
    world.later(MINUTE);
    world.calm("act");
    world.fire("gone");
    world.stays_clear("act");
    let told = verdicts(&world);
    assert!(told.len() == 1 && told[0].0 == Verdict::Recovered, "{told:?}");
    for _ in 0..6 {
        world.later(30 * MINUTE);
        world.fire("gone");
    }
    assert_eq!((world.incidents().len(), world.was_told(NoticeEvent::Paged, "")), (1, 0));
}

#[test]
fn where_somebody_took_the_story_back_by_hand_nobody_is_called_for_what_is_gone() {
    let mut world = World::with(setup(), taken_back());
    world.fire("gone");
    let closed = world.take_facts().into_iter().find_map(|fact| match fact {
        Fact::IncidentClosed { how, reason, .. } => Some((how, reason)),
        _ => None,
    });
    let (how, reason) = closed.expect("it is over");
    assert_eq!((how, world.orders().len(), world.was_told(NoticeEvent::Paged, "")), (Closing::GoneAlready, 0, 0));
    assert!(reason.contains("what its triggers measure with it"), "{reason}");
    world.later(25 * HOUR);
    world.fire("gone");
    assert_eq!((world.incidents().len(), world.was_told(NoticeEvent::Paged, "")), (1, 0));
    // What is still there and fires all the same is a person's.
    world.fire("act");
    assert_eq!(world.was_told(NoticeEvent::Paged, "taken back already, and its trigger fires"), 1);
}
