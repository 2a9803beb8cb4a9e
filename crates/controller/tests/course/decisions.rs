//! Each branch of the decision tree, and each default at expiry.

use crate::support::{HOUR, MINUTE, SECOND, State, World, approval, plan, planned, setup, stage};
use std::time::Duration;
use unship_policy::NoticeEvent;
use unship_rollback::incident::Wish;

/// The trigger, what is planned, where it ends, of what somebody is told, and why.
type Row = (&'static str, fn(&mut State), &'static str, NoticeEvent, &'static str);

#[test]
fn each_branch_ends_as_the_tree_says() {
    let nothing = |_: &mut State| ();
    let manual = |s: &mut State| {
        s.plans.insert("1.8".into(), Ok(unship_controller::ports::Planned { manual_only: true, ..planned(1) }));
    };
    let weakens = |s: &mut State| {
        let plan = unship_controller::ports::Planned { weakens: vec!["auth".into()], ..planned(1) };
        s.plans.insert("1.3".into(), Ok(plan));
    };
    let shut = |s: &mut State| {
        s.plans.insert("1.3".into(), Err("no bundle".into()));
    };
    let already = |s: &mut State| {
        let plan = unship_controller::ports::Planned { already: true, ..planned(1) };
        s.plans.insert("1.3".into(), Ok(plan));
    };
    let rows: &[Row] = &[
        ("act", nothing, "Stabilising", NoticeEvent::Initiated, "acts by itself"),
        ("act-high", nothing, "Stabilising", NoticeEvent::Initiated, "acts by itself"),
        ("act-critical", nothing, "Stabilising", NoticeEvent::Initiated, "acts by itself"),
        ("page", nothing, "Paged", NoticeEvent::Paged, "its severity is critical"),
        ("ask", nothing, "Asking", NoticeEvent::ApprovalNeeded, "its severity is high"),
        ("watch", nothing, "Watching", NoticeEvent::Progress, "its severity is medium"),
        ("manual", manual, "Asking", NoticeEvent::ApprovalNeeded, "its severity is high"),
        ("act-critical", weakens, "Paged", NoticeEvent::Paged, "weakens auth, which is never automatic"),
        ("act", shut, "Paged", NoticeEvent::Paged, "no bundle"),
        ("act", already, "Paged", NoticeEvent::Paged, "taken back already"),
        ("whose", nothing, "Asking", NoticeEvent::ApprovalNeeded, "not known which story"),
        ("last", nothing, "Stabilising", NoticeEvent::Initiated, "acts by itself"),
    ];
    for (trigger, change, wanted, event, why) in rows {
        let mut state = State::default();
        change(&mut state);
        let mut world = World::with(setup(), state);
        world.fire(trigger);
        let [incident] = &world.incidents()[..] else { panic!("{trigger}: one incident") };
        assert_eq!(stage(incident), *wanted, "{trigger} {why}");
        assert_eq!(world.was_told(*event, why), 1, "{trigger} {why}: {:?}", world.told());
        assert_eq!(world.orders().len(), usize::from(*wanted == "Stabilising"), "{trigger}");
    }
}

#[test]
fn the_story_at_fault_is_the_series_label_where_policy_knows_it() {
    for (label, story) in [("1.4", Some("1.4")), ("9.9", None)] {
        let mut world = World::new();
        assert!(world.labelled("label", 10.0, &[("story", label)]));
        let [incident] = &world.incidents()[..] else { panic!("one incident") };
        assert_eq!(incident.story.as_deref(), story);
        assert_eq!(stage(incident), if story.is_some() { "Stabilising" } else { "Asking" });
    }
}

#[test]
fn whoever_is_not_answered_is_denied_and_a_person_is_called() {
    for (page, event) in [(true, NoticeEvent::Paged), (false, NoticeEvent::Progress)] {
        let mut setup = setup();
        setup.decision.page_at_expiry = page;
        let mut world = World::with(setup, State::default());
        world.fire("ask");
        world.later(15 * MINUTE - SECOND);
        assert_eq!(world.stage("1.3"), "Asking");
        world.later(SECOND);
        assert_eq!(world.stage("1.3"), "FixForward");
        assert_eq!(world.was_told(event, "nobody answered in time"), 1);
        world.later(HOUR);
        assert!(world.orders().is_empty(), "nothing is ever taken back without an answer");
        world.calm("ask");
        assert_eq!(world.stage("1.3"), "Closed FixedForward");
    }
}

#[test]
fn no_leaves_it_to_its_owner_until_its_triggers_clear() {
    for (owner, has_it) in [(None, "on-call"), (Some("bob"), "bob")] {
        for trigger in ["ask", "page", "watch"] {
            let mut world = World::new();
            world.fire(trigger);
            let incident = world.of("1.3").id;
            let owner = owner.map(str::to_owned);
            world.wish(Wish::Deny { incident: incident.clone(), reason: "it is the disk".into(), owner });
            assert!(format!("{:?}", world.of("1.3").stage).contains(has_it), "{trigger}");
            assert_eq!(world.was_told(NoticeEvent::Answered, "said no: it is the disk"), 1, "{trigger}");
            world.approve(&incident, approval(1, |_| ()));
            assert_eq!(world.count("approval-refused"), 1, "a yes after the no");
            world.later(2 * HOUR);
            assert_eq!(world.stage("1.3"), "FixForward", "{trigger}");
            world.calm(trigger);
            assert_eq!(world.stage("1.3"), "Closed FixedForward", "{trigger}");
            assert!(world.orders().is_empty());
        }
    }
}

#[test]
fn what_is_watched_is_over_when_it_clears_and_asked_about_when_it_does_not() {
    let mut clears = World::new();
    clears.fire("watch");
    clears.later(59 * MINUTE);
    clears.calm("watch");
    assert_eq!(clears.stage("1.3"), "Watching", "it is watched for the hour");
    clears.later(MINUTE);
    assert_eq!(clears.stage("1.3"), "Closed Cleared");

    let mut stays = World::new();
    stays.fire("watch");
    stays.later(59 * MINUTE);
    stays.sample("watch", 10.0);
    stays.later(MINUTE);
    assert_eq!(stays.stage("1.3"), "Asking");
    assert_eq!(stays.was_told(NoticeEvent::ApprovalNeeded, "still breaches"), 1);

    let mut silent = World::new();
    silent.fire("watch");
    silent.later(HOUR);
    assert_eq!(silent.stage("1.3"), "Asking");
    assert_eq!(silent.was_told(NoticeEvent::ApprovalNeeded, "nobody can tell"), 1);
}

#[test]
fn what_is_watched_and_becomes_worse_is_asked_about_at_once() {
    let mut world = World::new();
    world.fire("watch");
    world.later(MINUTE);
    world.sample("watch", 10.1);
    assert_eq!(world.stage("1.3"), "Watching", "a tenth of the threshold is allowed");
    world.sample("watch", 10.2);
    assert_eq!(world.stage("1.3"), "Asking");
    assert_eq!((world.count("escalated"), world.orders().len()), (1, 0));
    let incident = world.of("1.3").id;
    world.approve(&incident, approval(1, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Stabilising", 1));
}

#[test]
fn a_critical_incident_whose_triggers_clear_is_over() {
    let mut world = World::new();
    world.fire("page");
    world.later(4 * MINUTE);
    assert_eq!(world.stage("1.3"), "Paged");
    world.calm("page");
    assert_eq!(world.stage("1.3"), "Closed Cleared");
    assert_eq!(world.was_told(NoticeEvent::Closed, "its triggers cleared"), 1);
}

#[test]
fn another_trigger_of_the_story_joins_and_what_is_worse_is_decided_anew() {
    for (first, second, wanted) in [
        ("ask", "page", "Paged"),
        ("watch", "ask", "Asking"),
        ("watch", "act", "Stabilising"),
        ("page", "ask", "Paged"),
        ("ask", "watch", "Asking"),
    ] {
        let mut world = World::new();
        world.fire(first);
        world.fire(second);
        let [incident] = &world.incidents()[..] else { panic!("{first}, {second}: one incident") };
        assert_eq!((stage(incident).as_str(), incident.triggers.len()), (wanted, 2), "{first}, {second}");
    }
}

#[test]
fn while_paused_people_are_asked_and_what_they_say_yes_to_is_begun() {
    let mut world = World::new();
    world.wish(Wish::Pause { reason: "a release".into() });
    world.fire("act-high");
    assert_eq!(world.stage("1.3"), "Asking");
    assert!(world.of("1.3").decided.expect("decided").1.contains("dan paused"));
    world.restart();
    assert!(world.read(|book| book.paused().is_some()), "a pause survives the daemon");
    let incident = world.of("1.3").id;
    world.approve(&incident, approval(1, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.orders()[0].digest), ("Stabilising", plan(1)));
    world.wish(Wish::Unpause);
    world.fire("other");
    assert_eq!(world.stage("1.4"), "Stabilising", "after the pause it acts by itself");
}

#[test]
fn a_silence_covers_one_trigger_or_all_and_ends_by_itself() {
    for (silenced, fires_meanwhile) in [(Some("act"), Some("other")), (None, None)] {
        let mut world = World::new();
        let until_ms = world.now_ms + 10 * MINUTE;
        world.wish(Wish::Silence { trigger: silenced.map(str::to_owned), until_ms });
        world.restart();
        world.fire("act");
        assert_eq!(world.incidents().len(), 0);
        world.fire("other");
        assert_eq!(world.incidents().len(), usize::from(fires_meanwhile.is_some()));
        world.clock(until_ms);
        world.fire("act");
        assert_eq!(world.stage("1.3"), "Stabilising", "what still breaches at its end fires then");
    }
    let mut world = World::new();
    for (trigger, after, why) in
        [(None, 0, "ends"), (None, 8 * 24 * HOUR, "within 7 days"), (Some("none"), MINUTE, "no trigger")]
    {
        let until_ms = world.now_ms + after;
        world.take_facts();
        world.wish(Wish::Silence { trigger: trigger.map(str::to_owned), until_ms });
        assert!(format!("{:?}", world.take_facts()).contains(why), "{why}");
    }
}

#[test]
fn a_time_of_the_policys_own_is_kept() {
    let mut setup = setup();
    setup.decision.high = unship_policy::Course::Ask { within: Duration::from_secs(60) };
    setup.decision.owner = "night-shift".into();
    let mut world = World::with(setup, State::default());
    world.fire("ask");
    world.later(MINUTE);
    assert!(format!("{:?}", world.of("1.3").stage).contains("night-shift"));
}

#[test]
fn what_breaches_again_so_soon_begins_nothing_and_is_told_once() {
    let mut world = World::new();
    world.fire("act");
    world.stays_clear("act");
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Closed Recovered", 1));
    let told = |world: &World, why: &str| world.was_told(NoticeEvent::Paged, &format!("begins nothing: {why}"));
    for _ in 0..3 {
        world.fire("act");
    }
    assert_eq!((told(&world, "its cooldown lasts until"), told(&world, "it fired as often")), (1, 0));
    world.calm("act");
    world.later(2 * HOUR);
    for _ in 0..3 {
        world.fire("act");
    }
    assert_eq!((told(&world, "its cooldown lasts until"), told(&world, "it fired as often as it may")), (1, 1));
    assert_eq!((world.incidents().len(), world.orders().len()), (1, 1));
    world.later(24 * HOUR);
    world.fire("act");
    assert_eq!((world.incidents().len(), world.orders().len()), (2, 2), "it breaches still when the day is over");
}

#[test]
fn what_breaches_again_while_its_incident_is_open_is_known() {
    let mut world = World::new();
    world.fire("act");
    world.stays_clear("act");
    world.fire("ask");
    assert_eq!(world.incidents().len(), 2);
    world.fire("act");
    assert_eq!(world.was_told(NoticeEvent::Paged, "begins nothing"), 0, "people are asked about the story");
}
