//! The decision tree, branch by branch, and what follows a run.

use crate::world::{DECIDED, HOUR, MINUTE, World, planned, summary, trigger};
use unship_controller::ports::Planned;
use unship_rollback::{
    Outcome, Verdict,
    incident::{Closing, Decision, Fact, Stage, Wish},
};

const STABLE: &str = "[decision]\nstability = \"1m\"\n";

fn one(severity: &str, auto: bool) -> World {
    World::new(STABLE, &[("1.3", trigger("a", severity, auto))])
}

/// The trigger is clear, from now on.
fn clears(world: &World) {
    world.sample("a", 0.0, &[]);
    world.later(MINUTE);
    world.sample("a", 0.0, &[]);
}

#[test]
fn what_acts_by_itself_acts_at_once_whatever_its_severity() {
    for severity in ["medium", "high", "critical"] {
        let world = one(severity, true);
        world.sample("a", 9.0, &[]);
        assert_eq!(world.ran(), ["1.3"], "{severity}");
        assert!(matches!(world.stage(), Stage::Stabilising { .. }), "{severity}: {:?}", world.stage());
        clears(&world);
        assert_eq!(world.stage(), Stage::Closed { how: Closing::Recovered }, "{severity}");
        assert_eq!(world.told(), ["progress", "initiated", "progress", "complete"], "{severity}");
    }
}

#[test]
fn critical_calls_a_person_and_begins_when_one_says_yes() {
    let mut world = one("critical", false);
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::Paged);
    assert!(world.told().contains(&"paged".to_owned()));
    world.later(24 * HOUR);
    assert!(world.ran().is_empty(), "nobody said yes");
    world.approve("ada", "1.3");
    assert_eq!(world.ran(), ["1.3"]);
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::ApprovalCounted { person, .. } if person == "ada")));
    let began = world.told_last();
    assert!(world.told().iter().any(|event| event == "answered"), "{began}");
}

#[test]
fn high_asks_for_fifteen_minutes_then_denies_and_calls_a_person() {
    let world = one("high", false);
    world.sample("a", 9.0, &[]);
    let Stage::Asking { until_ms } = world.stage() else { panic!("{:?}", world.stage()) };
    assert_eq!(until_ms, world.now() + 15 * MINUTE);
    assert!(world.told_last().starts_with("approval-needed"), "{}", world.told_last());
    world.at(until_ms - 1);
    assert!(matches!(world.stage(), Stage::Asking { .. }));
    world.at(until_ms);
    assert_eq!(world.stage(), Stage::FixForward { owner: "on-call".to_owned() });
    assert!(world.told_last().starts_with("paged: denied: nobody answered in time"), "{}", world.told_last());
    world.later(HOUR);
    assert!(world.ran().is_empty());
    clears(&world);
    assert_eq!(world.stage(), Stage::Closed { how: Closing::FixedForward });
    assert!(world.told_last().starts_with("closed"), "{}", world.told_last());
}

#[test]
fn high_begins_when_enough_people_said_yes_in_time() {
    let mut world = World::new("[decision]\nquorum = 2\n", &[("1.3", trigger("a", "high", false))]);
    world.sample("a", 9.0, &[]);
    world.approve("ada", "1.3");
    assert!(world.ran().is_empty(), "one of two");
    world.approve("bo", "1.3");
    assert_eq!(world.ran(), ["1.3"]);
}

#[test]
fn medium_is_watched_for_an_hour_and_over_when_it_is_clear() {
    let world = one("medium", false);
    world.sample("a", 9.0, &[]);
    let Stage::Watching { until_ms } = world.stage() else { panic!("{:?}", world.stage()) };
    assert_eq!(until_ms, world.now() + HOUR);
    world.later(30 * MINUTE);
    clears(&world);
    assert!(matches!(world.stage(), Stage::Watching { .. }), "it is watched to the end");
    world.at(until_ms);
    assert_eq!(world.stage(), Stage::Closed { how: Closing::Cleared });
    assert!(world.ran().is_empty());
}

#[test]
fn medium_that_still_breaches_after_an_hour_is_asked_about() {
    let world = one("medium", false);
    world.sample("a", 9.0, &[]);
    world.later(30 * MINUTE);
    world.sample("a", 9.0, &[]);
    world.later(30 * MINUTE);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    assert!(world.told_last().starts_with("approval-needed"), "{}", world.told_last());
}

#[test]
fn medium_that_becomes_worse_is_asked_about_before_the_hour_is_over() {
    let world = one("medium", false);
    world.sample("a", 6.0, &[]);
    assert!(matches!(world.stage(), Stage::Watching { .. }));
    world.later(MINUTE);
    world.sample("a", 6.1, &[]);
    assert!(matches!(world.stage(), Stage::Watching { .. }), "not by a tenth of the threshold");
    world.later(MINUTE);
    world.sample("a", 60.0, &[]);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    assert!(world.facts().iter().any(|fact| matches!(fact, Fact::Escalated { .. })));
}

#[test]
fn a_worse_trigger_of_the_same_story_joins_and_raises_what_is_watched() {
    let triggers = [("1.3", trigger("a", "medium", false) + &trigger("b", "critical", false))];
    let world = World::new(STABLE, &triggers);
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Watching { .. }));
    world.sample("b", 9.0, &[]);
    let incident = world.incident();
    assert_eq!(incident.triggers.len(), 2, "one incident, two triggers");
    let is_raised = matches!(incident.stage, Stage::Asking { .. } | Stage::Paged);
    assert!(is_raised, "what was watched became worse: {:?}", incident.stage);
}

fn plan_says(world: &World, story: &str, change: impl FnOnce(&mut Planned)) {
    let mut plan = planned(story);
    change(&mut plan);
    world.operator.script().plans.insert(story.to_owned(), Ok(plan));
}

#[test]
fn a_story_that_only_a_person_takes_back_never_goes_by_itself() {
    let world = World::new("", &[("1.8", trigger("a", "critical", true))]);
    plan_says(&world, "1.8", |plan| plan.manual_only = true);
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::Paged);
    world.later(24 * HOUR);
    assert!(world.ran().is_empty());
}

#[test]
fn a_safety_property_is_never_weakened_automatically() {
    let world = World::new("", &[("1.3", trigger("a", "high", true))]);
    plan_says(&world, "1.3", |plan| plan.weakens = vec!["authentication".to_owned()]);
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    assert!(world.told_last().contains("weakens authentication, which is never automatic"), "{}", world.told_last());
    assert!(world.ran().is_empty());
}

#[test]
fn where_nobody_knows_the_story_people_are_asked_and_their_approval_names_it() {
    let general = trigger("a", "critical", false) + "attribution = \"ask\"\n";
    let mut world = World::new(STABLE, &[("site", general)]);
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    world.approve("ada", "1.4");
    assert_eq!(world.ran(), ["1.4"]);
    assert_eq!(world.incident().story.as_deref(), Some("1.4"));
}

#[test]
fn a_label_names_the_story_and_one_that_is_none_does_not() {
    for (label, wanted) in [("1.4", Some("1.4")), ("9.9", None)] {
        let general = trigger("a", "critical", true) + "attribution = \"label\"\n";
        let world = World::new(STABLE, &[("site", general)]);
        world.sample("a", 9.0, &[("story", label)]);
        assert_eq!(world.incident().story.as_deref(), wanted);
        assert_eq!(world.ran().len(), usize::from(wanted.is_some()));
    }
}

#[test]
fn what_cannot_be_taken_back_now_calls_a_person_with_the_reason() {
    let world = one("medium", true);
    world.operator.script().plans.insert("1.3".to_owned(), Err("the stub is gone".to_owned()));
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::Paged);
    assert!(world.told_last().contains("the stub is gone"), "{}", world.told_last());
    let world = one("medium", true);
    plan_says(&world, "1.3", |plan| plan.already = true);
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::Paged, "it is taken back already, and its trigger fires");
    assert!(world.ran().is_empty());
}

#[test]
fn stories_go_in_their_order_one_run_at_a_time() {
    let world = World::new(STABLE, &[("1.2", trigger("a", "critical", true))]);
    let needs = [("1.2", &["1.4", "1.3"][..]), ("1.4", &["1.8"][..])];
    let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect();
    world.operator.script().needs = needs.map(|(story, first)| (story.to_owned(), owned(first))).into();
    world.sample("a", 9.0, &[]);
    // What comes first has no trigger of its own: its verifications are what there is.
    assert_eq!(world.ran(), ["1.8", "1.4", "1.3", "1.2"]);
    let incidents = world.incidents();
    assert_eq!(incidents.len(), 4);
    assert_eq!(incidents.iter().filter(|incident| incident.needed_by.is_some()).count(), 3);
}

#[test]
fn stories_that_need_each_other_first_are_a_persons() {
    let world = World::new(STABLE, &[("1.2", trigger("a", "critical", true))]);
    let needs = [("1.2", "1.3"), ("1.3", "1.2")].map(|(story, first)| (story.to_owned(), vec![first.to_owned()]));
    world.operator.script().needs = needs.into();
    world.sample("a", 9.0, &[]);
    world.later(HOUR);
    assert!(world.ran().is_empty());
    assert!(world.incidents().iter().any(|incident| incident.stage == Stage::Paged), "{:#?}", world.incidents());
}

#[test]
fn where_what_comes_first_fails_a_person_is_called_and_nothing_else_is_begun() {
    let world = World::new(STABLE, &[("1.2", trigger("a", "critical", true))]);
    world.operator.script().needs = [("1.2".to_owned(), vec!["1.3".to_owned()])].into();
    world.operator.script().runs.push_back(Ok(summary(Outcome::Undone, None)));
    world.sample("a", 9.0, &[]);
    world.later(MINUTE);
    assert_eq!(world.ran(), ["1.3"]);
    let waiting = world.incidents().into_iter().find(|i| i.needed_by.is_none()).expect("the first");
    assert_eq!(waiting.stage, Stage::Paged, "story 1.3, which comes first, is not taken back");
}

#[test]
fn a_run_that_fails_is_stuck_or_does_not_help_calls_a_person_and_is_not_repeated() {
    let cases = [
        (summary(Outcome::Undone, None), "failed"),
        (summary(Outcome::Stuck, None), "stuck"),
        (summary(Outcome::Succeeded, Some(Verdict::NotRecovered)), "progress"),
        (summary(Outcome::Succeeded, Some(Verdict::Unknown)), "progress"),
    ];
    for (ended, event) in cases {
        let world = one("critical", true);
        world.operator.script().runs.push_back(Ok(ended.clone()));
        world.sample("a", 9.0, &[]);
        assert_eq!(world.stage(), Stage::NotRecovered, "{ended:?}");
        let told = world.told();
        assert_eq!(told[told.len() - 2..], [event.to_owned(), "not-recovered".to_owned()], "{ended:?}");
        world.sample("a", 9.0, &[]);
        world.later(24 * HOUR);
        assert_eq!(world.ran(), ["1.3"], "never a loop");
    }
}

#[test]
fn a_run_that_is_refused_is_planned_anew_and_twice_is_enough() {
    let world = one("critical", true);
    for _ in 0..5 {
        world.operator.script().runs.push_back(Ok(summary(Outcome::Refused, None)));
    }
    world.sample("a", 9.0, &[]);
    world.later(HOUR);
    assert_eq!(world.ran().len(), 2, "{:?}", world.ran());
    assert_eq!(world.stage(), Stage::Paged);
}

#[test]
fn a_trigger_that_fires_in_the_stability_window_is_not_recovered_and_no_second_run() {
    let world = one("critical", true);
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Stabilising { .. }));
    world.sample("a", 9.0, &[]);
    assert_eq!(world.stage(), Stage::NotRecovered);
    assert!(world.told_last().starts_with("not-recovered"), "{}", world.told_last());
    assert_eq!(world.ran(), ["1.3"]);
    world.later(MINUTE);
    clears(&world);
    assert_eq!(world.stage(), Stage::Closed { how: Closing::Cleared });
}

#[test]
fn without_data_in_the_stability_window_nobody_can_say_that_it_is_well() {
    let world = one("critical", true);
    world.sample("a", 9.0, &[]);
    world.later(MINUTE + DECIDED);
    assert_eq!(world.stage(), Stage::NotRecovered);
    assert!(world.told_last().contains("Unknown"), "{}", world.told_last());
}

#[test]
fn a_story_is_taken_back_by_itself_once_a_day_and_then_a_person_is_called() {
    let mut world = one("critical", true);
    world.sample("a", 9.0, &[]);
    clears(&world);
    assert_eq!(world.stage(), Stage::Closed { how: Closing::Recovered });
    world.later(HOUR);
    world.sample("a", 9.0, &[]);
    let second = world.incidents().pop().expect("another");
    assert_eq!(second.stage, Stage::Paged, "{second:#?}");
    assert_eq!(world.ran().len(), 1);
    world.hand_in("ada", Wish::Close { incident: second.id, reason: "looked at".to_owned() });
    world.later(25 * HOUR);
    world.sample("a", 0.0, &[]);
    world.sample("a", 9.0, &[]);
    assert_eq!(world.ran().len(), 2, "a day later it may again: {:#?}", world.incidents().last());
}

/// The words of the journal are those of the tree.
#[test]
fn a_decision_is_written_down_as_what_it_is() {
    let world = one("high", false);
    world.sample("a", 9.0, &[]);
    let decided: Vec<Decision> = world
        .facts()
        .into_iter()
        .filter_map(|f| if let Fact::Decided { decision, .. } = f { Some(decision) } else { None })
        .collect();
    assert_eq!(decided, [Decision::Ask]);
}
