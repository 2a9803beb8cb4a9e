//! What is looked after beside incidents: readiness, exposures, post-mortems, policies, the clock.

use crate::support::{BEGIN, HOUR, MINUTE, SECOND, State, World, ended, planned, recovered, setup, without};
use unship_controller::ports::{Exposed, Planned};
use unship_policy::NoticeEvent;
use unship_rollback::{Outcome, RunId, incident::Wish};

fn run(n: u32) -> RunId {
    RunId::new(&format!("r2027010{n}t000000z-0000000{n}")).expect("an id")
}

#[test]
fn each_story_is_planned_at_the_start_and_daily_and_what_is_not_ready_is_told_once() {
    let mut state = State::default();
    state.plans.insert("1.4".into(), Err("no bundle".into()));
    state.plans.insert("1.8".into(), Ok(Planned { weakens: vec!["auth".into()], ..planned(1) }));
    let mut world = World::with(setup(), state);
    let not_ready = |world: &World| world.read(|book| book.readiness().values().filter(|r| r.is_some()).count());
    assert_eq!((not_ready(&world), world.count("ready")), (2, 1));
    assert_eq!(world.was_told(NoticeEvent::NotReady, "no bundle"), 1);
    assert_eq!(world.was_told(NoticeEvent::NotReady, "weakens auth"), 1);
    world.later(24 * HOUR);
    assert_eq!(world.count("not-ready"), 2, "what is as it was is not told again");
    world.restart();
    assert_eq!(world.count("not-ready"), 2, "nor after a restart");
    world.script.state().plans.remove("1.4");
    world.later(23 * HOUR);
    assert_eq!(not_ready(&world), 2);
    world.later(HOUR);
    assert_eq!((not_ready(&world), world.was_told(NoticeEvent::Ready, "1.4")), (1, 1));
}

fn exposed(until_ms: u64) -> State {
    State { exposed: vec![Exposed { run: run(1), story: "1.1.5".into(), until_ms }], ..State::default() }
}

#[test]
fn what_is_exposed_is_taken_back_in_time() {
    let mut world = World::with(setup(), exposed(BEGIN + HOUR));
    assert_eq!(world.count("exposure-began"), 1);
    world.later(HOUR - SECOND);
    assert!(world.script.state().undos.is_empty());
    world.later(SECOND);
    world.later(MINUTE);
    assert_eq!((world.script.state().undos.clone(), world.count("exposure-ended")), (vec![run(1)], 1));
    assert_eq!(world.was_told(NoticeEvent::Closed, "taken back in time"), 1);
}

#[test]
fn what_was_to_end_while_no_daemon_watched_ends_at_its_start() {
    for was_known in [true, false] {
        let mut world = World::with(setup(), if was_known { exposed(BEGIN + HOUR) } else { State::default() });
        world.stop();
        world.now_ms += 2 * HOUR;
        world.script.state().exposed = exposed(BEGIN + HOUR).exposed;
        world.start(None);
        world.later(SECOND);
        assert_eq!((world.script.state().undos.len(), world.count("exposure-ended")), (1, 1), "{was_known}");
    }
}

#[test]
fn an_exposure_that_cannot_be_ended_is_told_once_and_tried_again() {
    let mut state = exposed(BEGIN + HOUR);
    let stuck = || Ok(ended(Outcome::Stuck, None));
    state.undone.extend([Err("the disk is full".to_owned()), Err("the disk is full".to_owned()), stuck()]);
    let mut world = World::with(setup(), state);
    world.later(HOUR);
    for tries in 1..=3 {
        assert_eq!(world.script.state().undos.len(), tries);
        world.later(MINUTE);
    }
    assert_eq!(world.was_told(NoticeEvent::Paged, "the disk is full"), 1);
    assert_eq!(world.was_told(NoticeEvent::Paged, "Stuck"), 1);
    assert_eq!((world.script.state().undos.len(), world.count("exposure-ended")), (4, 1));
}

#[test]
fn an_exposure_that_a_person_ended_is_over_and_one_waits_for_somebody_elses_run() {
    let mut world = World::with(setup(), exposed(BEGIN + HOUR));
    world.script.state().is_busy = true;
    world.later(2 * HOUR);
    assert!(world.script.state().undos.is_empty(), "one run at a time");
    world.script.state().exposed.clear();
    world.settle();
    assert_eq!(world.count("exposure-ended"), 1);
    world.script.state().is_busy = false;
    world.later(MINUTE);
    assert!(world.script.state().undos.is_empty());
}

#[test]
fn a_post_mortem_is_due_when_policy_says_reminded_of_once_and_written() {
    let mut world = World::new();
    world.fire("act");
    let run = world.orders()[0].run.clone();
    let due_ms = world.read(|book| book.post_mortems()[&run].due_ms);
    assert_eq!(due_ms, world.now_ms + HOUR, "`due` of the policy");
    world.clock(due_ms - 1);
    assert_eq!(world.count("post-mortem-overdue"), 0);
    world.restart();
    world.clock(due_ms);
    world.later(HOUR);
    assert_eq!(world.was_told(NoticeEvent::PostMortemDue, run.as_str()), 1);
    world.wish(Wish::PostMortem { run: run.clone() });
    world.wish(Wish::PostMortem { run });
    assert_eq!((world.count("post-mortem-written"), world.count("submission-refused")), (1, 1));
}

#[test]
fn a_post_mortem_that_was_written_in_time_is_not_reminded_of() {
    let mut world = World::new();
    world.fire("act");
    let run = world.orders()[0].run.clone();
    world.wish(Wish::PostMortem { run });
    world.later(3 * HOUR);
    assert_eq!(world.count("post-mortem-overdue"), 0);
}

#[test]
fn bad_policies_are_refused_and_the_old_ones_stay() {
    let mut world = World::new();
    world.files.set(Err("policies/site.toml:3: unknown field `quorom`".into()));
    world.reload();
    assert_eq!((world.count("policy-refused"), world.count("policy-reloaded")), (1, 0));
    world.fire("act");
    assert_eq!(world.stage("1.3"), "Stabilising");
}

#[test]
fn new_policies_hold_at_once_and_what_is_under_way_goes_on() {
    let mut world = World::new();
    world.fire("ask");
    world.fire("watch");
    let mut new = setup();
    new.rules = without("watch");
    new.decision.owner = "night-shift".into();
    world.files.set(Ok(new));
    world.reload();
    assert_eq!(world.count("policy-reloaded"), 1);
    world.fire("ask");
    assert_eq!(world.incidents().len(), 1, "what fired stays fired");
    world.later(15 * MINUTE);
    assert!(format!("{:?}", world.of("1.3").stage).contains("night-shift"), "{:?}", world.of("1.3").stage);
    world.calm("ask");
    assert_eq!(world.stage("1.3"), "FixForward", "nobody can tell of a trigger whose rule is gone");
    let incident = world.of("1.3").id;
    world.wish(Wish::Close { incident, reason: "looked at it".into() });
    assert_eq!(world.stage("1.3"), "Closed ByHand");
    world.fire("watch");
    assert_eq!(world.incidents().len(), 1);
}

#[test]
fn a_run_that_was_cut_off_is_ended_before_anything_else_begins() {
    let state = State { finished: Some((run(1), recovered())), ..State::default() };
    let mut world = World::with(setup(), state);
    world.fire("act");
    assert_eq!(world.script.state().asked, ["finish", "run"]);
    assert_eq!(world.was_told(NoticeEvent::Paged, "was cut off, and ended now"), 1);
}

#[test]
fn a_clock_that_is_set_back_is_told_once_and_nothing_waits_for_the_old_time() {
    let mut world = World::new();
    world.fire("ask");
    world.script.state().plans.insert("1.4".into(), Err("no bundle".into()));
    world.clock(BEGIN - 30 * 24 * HOUR);
    world.later(SECOND);
    assert_eq!(world.count("clock-set-back"), 1);
    assert_eq!(world.count("not-ready"), 1, "readiness is looked at by the new time");
    world.restart();
    assert_eq!(world.count("clock-set-back"), 1);
    assert_eq!(world.stage("1.3"), "Asking");
    world.fire("other");
    assert_eq!(world.stage("1.4"), "Paged", "triggers fire by the new time");
}

#[test]
fn a_run_of_somebody_else_that_ended_while_no_daemon_watched_inhibits_nothing() {
    let mut world = World::new();
    world.script.state().is_busy = true;
    world.later(SECOND);
    world.stop();
    world.script.state().is_busy = false;
    world.start(None);
    world.fire("act");
    assert_eq!(world.stage("1.3"), "Stabilising");
}
