//! What follows from a run: well, refused, failed, stuck, of nobody knows; other stories first; somebody else at work.

use crate::support::{HOUR, MINUTE, SECOND, State, World, approval, ended, plan, planned, recovered, setup, stage};
use unship_controller::ports::Planned;
use unship_policy::NoticeEvent;
use unship_rollback::{Outcome, RunId, Verdict, incident::Wish};

fn with_runs(runs: &[Result<unship_controller::ports::RunSummary, String>]) -> World {
    World::with(setup(), State { runs: runs.iter().cloned().collect(), ..State::default() })
}

#[test]
fn a_run_that_ends_well_is_over_when_its_triggers_stayed_clear() {
    let mut world = World::new();
    world.fire("act");
    world.stays_clear("act");
    assert_eq!(world.stage("1.3"), "Closed Recovered");
    assert_eq!(world.was_told(NoticeEvent::Complete, "stayed clear"), 1);
    assert_eq!(world.orders().len(), 1);
}

#[test]
fn a_run_that_does_not_end_well_is_a_persons_and_no_second_one_is_begun() {
    let unsure = |outcome, verdict| Ok(ended(outcome, verdict));
    for (run, event, verdict) in [
        (unsure(Outcome::Undone, None), NoticeEvent::Failed, Verdict::NotRecovered),
        (unsure(Outcome::Stuck, None), NoticeEvent::Stuck, Verdict::NotRecovered),
        (unsure(Outcome::Succeeded, Some(Verdict::NotRecovered)), NoticeEvent::NotRecovered, Verdict::NotRecovered),
        (unsure(Outcome::Succeeded, Some(Verdict::Unknown)), NoticeEvent::NotRecovered, Verdict::Unknown),
        (unsure(Outcome::Succeeded, None), NoticeEvent::NotRecovered, Verdict::Unknown),
    ] {
        let mut world = with_runs(&[run]);
        world.fire("act");
        for _ in 0..3 {
            world.later(2 * HOUR);
            world.fire("act");
        }
        let incident = world.of("1.3");
        assert_eq!(world.stage("1.3"), "NotRecovered");
        assert_eq!(incident.verdict.expect("a verdict").0, verdict);
        assert_eq!(world.was_told(event, ""), 1, "{event:?}");
        assert_eq!((world.orders().len(), world.incidents().len()), (1, 1), "it never loops");
        world.calm("act");
        assert_eq!(world.stage("1.3"), "Closed Cleared");
    }
}

#[test]
fn a_trigger_that_breaches_again_in_the_window_is_not_recovered_whichever_of_the_story_it_is() {
    for (again, why) in [("act", "breaches again"), ("ask", "fired after the run")] {
        let mut world = World::new();
        world.fire("act");
        world.later(MINUTE);
        world.calm("act");
        world.fire(again);
        assert_eq!(world.stage("1.3"), "NotRecovered", "{again}");
        assert_eq!(world.was_told(NoticeEvent::NotRecovered, why), 1, "{again}: {:?}", world.told());
        assert_eq!(world.orders().len(), 1, "{again}");
    }
}

#[test]
fn without_data_nobody_knows_and_where_policy_calls_that_well_it_is_well() {
    for (trigger, wanted) in [("act", "NotRecovered"), ("event", "Closed Recovered")] {
        let mut world = World::new();
        world.fire(trigger);
        world.later(15 * MINUTE);
        assert_eq!(world.stage("1.3"), wanted, "{trigger}");
    }
}

#[test]
fn a_refused_run_is_planned_anew_once_and_then_a_person_is_called() {
    let refused = || Ok(ended(Outcome::Refused, None));
    let mut once = with_runs(&[refused()]);
    once.fire("act");
    assert_eq!((once.stage("1.3").as_str(), once.orders().len()), ("Stabilising", 2));

    let mut again = with_runs(&[refused(), refused()]);
    again.fire("act");
    assert_eq!((again.stage("1.3").as_str(), again.orders().len()), ("Paged", 2));
    assert_eq!(again.was_told(NoticeEvent::Paged, "2 runs of it were refused"), 1);
    assert_eq!(again.count("post-mortem-due"), 0, "nothing was done");
}

#[test]
fn after_the_site_changed_the_plan_is_another_and_approvals_of_the_old_one_are_void() {
    for trigger in ["ask", "watch"] {
        let mut world = with_runs(&[Ok(ended(Outcome::Refused, None))]);
        world.fire(trigger);
        world.script.state().plans.insert("1.3".into(), Ok(planned(2)));
        let incident = world.of("1.3").id;
        world.approve(&incident, approval(1, |_| ()));
        assert_eq!(world.stage("1.3"), "Asking", "{trigger}");
        assert_eq!((world.of("1.3").plan, world.orders().len()), (Some(plan(2)), 1));
        world.approve(&incident, approval(1, |s| s.reason = "again".into()));
        assert_eq!((world.count("approval-refused"), world.orders().len()), (1, 1), "of the old plan");
        world.approve(&incident, approval(1, |s| s.plan = plan(2)));
        assert_eq!((world.stage("1.3").as_str(), world.orders()[1].digest), ("Stabilising", plan(2)));
    }
}

#[test]
fn of_a_run_that_nobody_can_tell_of_a_person_is_told_once_and_it_is_asked_again() {
    let dark = || Err("the disk does not answer".to_owned());
    let mut world = with_runs(&[dark(), dark(), dark(), Ok(recovered())]);
    world.fire("act");
    for _ in 0..3 {
        assert_eq!(world.stage("1.3"), "Running");
        world.later(MINUTE);
    }
    let ids: Vec<RunId> = world.orders().into_iter().map(|order| order.run).collect();
    assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "the same run: {ids:?}");
    assert_eq!(world.was_told(NoticeEvent::Paged, "the disk does not answer"), 1);
    assert_eq!(world.stage("1.3"), "Stabilising");
}

#[test]
fn a_story_that_was_taken_back_first_and_is_in_the_way_still_is_a_persons() {
    let mut world = World::new();
    world.script.state().plans.insert("1.3".into(), Ok(Planned { unmet: vec!["1.4".into()], ..planned(1) }));
    world.fire("act");
    let of_first: Vec<String> =
        world.incidents().iter().filter(|i| i.story.as_deref() == Some("1.4")).map(stage).collect();
    assert!(of_first.len() == 2 && of_first.contains(&"Closed Recovered".to_owned()), "{of_first:?}");
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Waiting", 1));
    assert_eq!(world.was_told(NoticeEvent::Paged, "1 are allowed"), 1, "it never loops");
    assert_eq!(world.count("waits"), 2);
}

#[test]
fn when_what_comes_first_is_done_it_goes_on_and_when_that_is_denied_a_person_is_called() {
    for (answer_is_yes, wanted) in [(true, "Stabilising"), (false, "Paged")] {
        let mut world = World::new();
        world.script.state().plans.insert("1.3".into(), Ok(Planned { unmet: vec!["1.4".into()], ..planned(1) }));
        world.fire("ask");
        let first = world.of("1.4");
        assert_eq!((world.stage("1.3").as_str(), world.stage("1.4").as_str()), ("Waiting", "Asking"));
        assert_eq!(first.needed_by, Some(world.of("1.3").id));
        world.script.state().plans.remove("1.3");
        if answer_is_yes {
            world.approve(&first.id, approval(1, |s| s.story = "1.4".into()));
            assert_eq!(world.stage("1.3"), "Asking", "each is asked about");
            let incident = world.of("1.3").id;
            world.approve(&incident, approval(1, |_| ()));
            let stories: Vec<String> = world.orders().into_iter().map(|order| order.story).collect();
            assert_eq!(stories, ["1.4", "1.3"]);
        } else {
            world.wish(Wish::Deny { incident: first.id, reason: "no".into(), owner: None });
            assert_eq!(world.was_told(NoticeEvent::Paged, "story 1.4, which comes first, is not taken back"), 1);
        }
        assert_eq!(world.stage("1.3"), wanted);
    }
}

#[test]
fn what_comes_first_goes_in_its_order() {
    let mut world = World::new();
    let needs = |first: &[&str]| Ok(Planned { unmet: first.iter().map(ToString::to_string).collect(), ..planned(1) });
    world.script.state().plans.insert("1.3".into(), needs(&["1.4", "1.8"]));
    world.fire("ask");
    assert_eq!(world.incidents().len(), 2, "1.8 is not begun before 1.4 is over");
    world.script.state().plans.insert("1.3".into(), needs(&["1.8"]));
    let first = world.of("1.4").id;
    world.approve(&first, approval(1, |s| s.story = "1.4".into()));
    assert_eq!((world.stage("1.3").as_str(), world.of("1.8").needed_by), ("Waiting", Some(world.of("1.3").id)));
}

#[test]
fn stories_that_need_each_other_are_a_persons() {
    let mut world = World::new();
    let needs = |story: &str| Ok(Planned { unmet: vec![story.to_owned()], ..planned(1) });
    world.script.state().plans.extend([("1.3".to_owned(), needs("1.4")), ("1.4".to_owned(), needs("1.3"))]);
    world.fire("act");
    assert_eq!(world.was_told(NoticeEvent::Paged, "need each other first"), 1);
    assert_eq!(
        world.was_told(NoticeEvent::Paged, "which comes first, is not taken back"),
        0,
        "1.4 may still be helped"
    );
    assert!(world.orders().is_empty());
}

#[test]
fn while_somebody_else_is_at_work_nothing_begins_and_what_is_observed_says_nothing() {
    let mut world = World::new();
    world.script.state().is_busy = true;
    world.later(SECOND);
    world.fire("act");
    assert!(world.incidents().is_empty(), "the run itself may be the cause");
    world.script.state().is_busy = false;
    world.later(SECOND);
    world.fire("act");
    assert_eq!(world.stage("1.3"), "Stabilising");

    // It began between the decision and the run.
    let mut asked = World::new();
    asked.fire("ask");
    asked.script.state().is_busy = true;
    let incident = asked.of("1.3").id;
    asked.approve(&incident, approval(1, |_| ()));
    let held = |world: &World| world.was_told(NoticeEvent::Paged, "somebody else's run has held the site");
    asked.later(14 * MINUTE);
    assert_eq!(held(&asked), 0, "a run takes so long");
    asked.later(MINUTE);
    asked.later(HOUR);
    assert_eq!((asked.stage("1.3").as_str(), asked.orders().len()), ("Asking", 0), "what people said counts still");
    assert_eq!(held(&asked), 1, "told once");
    asked.script.state().is_busy = false;
    asked.later(SECOND);
    assert_eq!((asked.stage("1.3").as_str(), asked.orders().len()), ("Stabilising", 1));
    asked.later(HOUR);
    assert_eq!(held(&asked), 1, "its own runs are no one else's");
}

#[test]
fn two_stories_are_taken_back_one_after_the_other() {
    let mut world = World::new();
    world.fire("act");
    world.fire("other");
    let order: Vec<&str> = world.kinds().into_iter().filter(|k| k.starts_with("run-")).collect();
    assert_eq!(order, ["run-began", "run-ended", "run-began", "run-ended"]);
}

#[test]
fn a_story_is_taken_back_by_itself_as_often_as_policy_says() {
    let mut world = World::new();
    world.fire("act");
    world.stays_clear("act");
    assert_eq!(world.stage("1.3"), "Closed Recovered");
    world.fire("act-high");
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Paged", 1));
    assert_eq!(world.was_told(NoticeEvent::Paged, "1 are allowed"), 1);
}
