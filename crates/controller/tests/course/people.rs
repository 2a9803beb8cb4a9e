//! What people hand in: approvals that count and those that do not, what is no submission at all, one-time links.

use crate::support::{BEGIN, HOUR, MINUTE, SECOND, State, World, approval, people, plan, planned, setup};
use std::{fs, os::unix::fs::symlink};
use unship_controller::links;
use unship_policy::{Digest, NoticeEvent};
use unship_rollback::incident::{Fact, Wish};

fn asked(quorum: u32) -> World {
    let mut setup = setup();
    setup.decision.quorum = quorum;
    let mut world = World::with(setup, State::default());
    world.fire("ask");
    assert_eq!(world.stage("1.3"), "Asking");
    world
}

#[test]
fn a_yes_of_enough_different_people_begins_the_run() {
    let mut world = asked(2);
    let incident = world.of("1.3").id;
    world.approve(&incident, approval(1, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.count("approval-counted")), ("Asking", 1));
    world.approve(&incident, approval(2, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.count("approval-counted")), ("Stabilising", 2));
    assert_eq!(world.was_told(NoticeEvent::Initiated, "ada and bob said yes"), 1);
}

#[test]
fn what_does_not_count_is_refused_with_its_reason_and_written_down() {
    let ada = || approval(1, |_| ());
    let first = ada();
    for (what, before, given, why) in [
        ("the same person twice", Some(ada()), approval(1, |s| s.reason = "more".into()), "ada has approved already"),
        ("by another key", Some(ada()), approval(3, |_| ()), "ada has approved already"),
        ("replayed", Some(ada()), first, "counted before"),
        ("expired", None, approval(1, |s| (s.approved_ms, s.expires_ms) = (BEGIN - HOUR, BEGIN)), "expired"),
        ("from the future", None, approval(1, |s| s.approved_ms = BEGIN + HOUR), "dated in the future"),
        ("another plan", None, approval(1, |s| s.plan = plan(9)), "not of"),
        ("another story", None, approval(1, |s| s.story = "1.4".into()), "story 1.4"),
        ("another site", None, approval(1, |s| s.site = "elsewhere".into()), "elsewhere"),
        ("a variant", None, approval(1, |s| s.variant = Some("expose".into())), "expose"),
        ("break-glass", None, approval(1, |s| s.break_glass = true), "is what takes approval"),
        ("an unknown key", None, approval(9, |_| ()), "not in the trust root"),
        ("a key that may not", None, approval(4, |_| ()), "may not approve"),
        ("a revoked key", None, approval(5, |_| ()), "is revoked"),
        ("altered", None, approval(1, |_| ()).replace("it hurts", "it burns"), "does not fit"),
        ("none at all", None, "yes".to_owned(), "not an approval"),
    ] {
        let mut world = asked(2);
        world.files.trust(people(true));
        let incident = world.of("1.3").id;
        if let Some(before) = before {
            world.approve(&incident, before);
        }
        let counted = world.count("approval-counted");
        world.take_facts();
        world.approve(&incident, given);
        let refused = world.take_facts().into_iter().find_map(|fact| match fact {
            Fact::ApprovalRefused { incident, reason, .. } => Some((incident, reason)),
            _ => None,
        });
        let (about, reason) = refused.unwrap_or_else(|| panic!("{what}: it is refused"));
        assert!(reason.contains(why) && about == Some(incident), "{what}: {reason}");
        assert_eq!(world.of("1.3").approvals.len(), counted, "{what}");
        assert!(world.orders().is_empty(), "{what}");
    }
}

#[test]
fn a_yes_expires_before_the_quorum_is_reached() {
    let mut world = asked(2);
    let incident = world.of("1.3").id;
    world.approve(&incident, approval(1, |s| s.expires_ms = BEGIN + 5 * MINUTE));
    world.later(6 * MINUTE);
    world.approve(&incident, approval(2, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Asking", 0));
    world.approve(&incident, approval(3, |_| ()));
    assert_eq!(world.orders().len(), 1, "she says it again");
}

#[test]
fn a_key_that_was_revoked_after_its_yes_counts_no_more() {
    let mut world = asked(2);
    let incident = world.of("1.3").id;
    world.approve(&incident, approval(5, |_| ()));
    assert_eq!(world.count("approval-counted"), 1);
    world.files.trust(people(true));
    world.approve(&incident, approval(1, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.orders().len()), ("Asking", 0));
    world.approve(&incident, approval(2, |_| ()));
    assert_eq!(world.orders().len(), 1, "two who may");
}

#[test]
fn what_weakens_a_safety_property_is_not_done_by_the_daemon_whoever_says_yes() {
    let mut world = World::new();
    let weakens = unship_controller::ports::Planned { weakens: vec!["auth".into()], ..planned(1) };
    world.script.state().plans.insert("1.3".into(), Ok(weakens));
    world.fire("ask");
    let incident = world.of("1.3").id;
    for seed in [1, 2] {
        world.approve(&incident, approval(seed, |_| ()));
    }
    assert_eq!((world.count("approval-refused"), world.orders().len()), (2, 0));
}

#[test]
fn where_no_story_was_known_the_first_yes_says_it() {
    let mut world = World::new();
    world.fire("whose");
    let [incident] = &world.incidents()[..] else { panic!("one incident") };
    world.approve(&incident.id, approval(1, |s| s.story = "7.7".into()));
    assert_eq!(world.count("approval-refused"), 1, "a story without a policy");
    world.approve(&incident.id, approval(1, |_| ()));
    assert_eq!((world.stage("1.3").as_str(), world.orders()[0].digest), ("Stabilising", plan(1)));
}

#[test]
fn what_is_no_submission_is_refused_and_keeps_nothing_else_from_being_taken_in() {
    let mut world = asked(1);
    world.take_facts();
    let good = serde_json::to_string(&serde_json::json!({
        "unship_submission": 1, "id": "s99", "by": "dan", "wish": { "wish": "unpause" }
    }))
    .expect("JSON");
    for (name, content, why) in [
        ("a.json", "{".to_owned(), "no submission"),
        ("b.json", good.clone(), "it says that it is s99"),
        ("s99.json", good.replace("\"unship_submission\":1", "\"unship_submission\":2"), "in the form 2"),
        ("s99.json", good.replace("unpause", "obey"), "no submission"),
        ("s99.json", good.replace("\"by\"", "\"more\":1,\"by\""), "no submission"),
        ("c.json", "x".repeat(65 << 10), "longer than any"),
    ] {
        world.drop_in(name, content.as_bytes());
        let facts = world.take_facts();
        let [Fact::SubmissionRefused { reason, .. }] = &facts[..] else { panic!("{name}: {facts:?}") };
        assert!(reason.contains(why), "{name}: {reason}");
    }
    let inbox = world.inbox();
    fs::create_dir(inbox.join("0-folder")).expect("a folder");
    symlink("/etc/passwd", inbox.join("1-link.json")).expect("a symlink");
    for _ in 0..3 {
        world.later(SECOND);
    }
    assert_eq!(world.count("submission-refused"), 2, "each is told of once");
    world.wish(Wish::Pause { reason: "so".into() });
    assert!(world.read(|book| book.paused().is_some()), "what lies behind them is taken in");
    let left: Vec<_> = fs::read_dir(inbox).expect("the inbox").map(|e| e.expect("an entry").file_name()).collect();
    assert_eq!(left, ["0-folder"], "only what cannot be removed is left");
}

#[test]
fn what_was_handed_in_while_no_daemon_watched_is_taken_in_once_in_order() {
    let mut world = asked(1);
    world.stop();
    let incident = "i1".parse_id();
    world.wish(Wish::Pause { reason: "so".into() });
    world.wish(Wish::Unpause);
    world.wish(Wish::Close { incident, reason: "of nothing".into() });
    world.start(None);
    assert_eq!((world.count("paused"), world.count("unpaused"), world.count("submission-refused")), (1, 1, 1));
    world.restart();
    assert_eq!(world.count("submission-taken"), 2);
}

trait ParseId {
    fn parse_id(self) -> unship_rollback::incident::IncidentId;
}

impl ParseId for &str {
    fn parse_id(self) -> unship_rollback::incident::IncidentId {
        unship_rollback::incident::IncidentId::new(self).expect("an id")
    }
}

#[test]
fn a_person_closes_what_is_open_but_not_what_is_being_dealt_with() {
    let mut world = asked(1);
    let incident = world.of("1.3").id;
    world.wish(Wish::Close { incident: incident.clone(), reason: "a false alarm".into() });
    assert_eq!(world.stage("1.3"), "Closed ByHand");
    world.wish(Wish::Close { incident: incident.clone(), reason: "again".into() });
    world.wish(Wish::Deny { incident, reason: "again".into(), owner: None });
    assert_eq!(world.count("submission-refused"), 2);
    world.fire("other");
    let incident = world.of("1.4").id;
    world.wish(Wish::Close { incident: incident.clone(), reason: "now".into() });
    world.wish(Wish::Deny { incident, reason: "too late".into(), owner: None });
    assert_eq!((world.stage("1.4").as_str(), world.count("submission-refused")), ("Stabilising", 4));
}

#[test]
fn users_are_told_what_a_person_approved_of() {
    let mut world = World::new();
    world.fire("act");
    let run = world.orders()[0].run.clone();
    world.wish(Wish::TellUsers { run: run.clone(), text: " ".into() });
    world.wish(Wish::TellUsers { run: run.clone(), text: "x".repeat(4001) });
    assert_eq!(world.count("submission-refused"), 2);
    world.wish(Wish::TellUsers { run: run.clone(), text: "Reports were slow.".into() });
    assert_eq!(world.was_told(NoticeEvent::UsersAffected, "Reports were slow."), 1);
    let approved = world.read(|book| book.text(&run).cloned());
    assert_eq!(approved, Some(("dan".into(), Digest::of(b"Reports were slow."))));
}

fn linked() -> World {
    let mut setup = setup();
    setup.watch.links = Some("https://unship.example".into());
    setup.watch.approvers = vec!["ada".into(), "bob".into(), "mallory".into()];
    let mut world = World::with(setup, State::default());
    world.fire("ask");
    world
}

/// The link of a person, the newest.
fn link_of(world: &World, person: &str) -> Digest {
    let links = world.of("1.3").links;
    let its = links.iter().filter(|(_, l)| l.person == person).max_by_key(|(_, l)| l.expires_ms);
    *its.unwrap_or_else(|| panic!("{person} has a link")).0
}

#[test]
fn a_link_is_made_for_each_approver_while_they_are_asked_and_works_once() {
    let mut world = linked();
    let people: Vec<String> = world.of("1.3").links.into_values().map(|l| l.person).collect();
    assert!(people.len() == 2 && !people.contains(&"mallory".to_owned()), "who may approve: {people:?}");
    let (ada, bob) = (link_of(&world, "ada"), link_of(&world, "bob"));
    world.restart();
    assert!(links::token(&world.store(), &ada).expect("readable").is_some(), "a notice may still have to name it");
    assert_eq!(world.link(Digest::of(b"guessed"), Ok(())).expect_err("none"), "this link is none of this site's");
    assert_eq!(world.link(ada, Ok(())), Ok("ada said yes".into()));
    world.settle();
    assert_eq!(world.orders().len(), 1);
    assert!(world.link(ada, Ok(())).expect_err("used").contains("used before"));
    assert!(world.link(bob, Ok(())).expect_err("late").contains("any more"));
    assert_eq!(world.count("approval-refused"), 2);
    world.stays_clear("ask");
    for link in [ada, bob] {
        assert_eq!(links::token(&world.store(), &link).expect("readable"), None, "what is over leaves no token");
    }
}

#[test]
fn a_link_says_no_as_well_and_expires_with_the_question() {
    let world = linked();
    let said = world.link(link_of(&world, "bob"), Err("it is the disk".into()));
    assert_eq!(said, Ok("bob said no; on-call fixes it forward".into()));

    let mut late = linked();
    let link = link_of(&late, "ada");
    late.later(15 * MINUTE);
    assert!(late.link(link, Ok(())).is_err());

    let mut gone = linked();
    let link = link_of(&gone, "ada");
    gone.files.trust(crate::trust::trusted(&crate::trust::root_text(&[], &[])));
    assert!(gone.link(link, Ok(())).expect_err("she left").contains("may not approve"));
    gone.settle();
    assert!(gone.orders().is_empty());
}

#[test]
fn what_was_watched_and_is_asked_about_has_links_of_its_own() {
    let mut setup = setup();
    setup.watch.links = Some("https://unship.example".into());
    setup.watch.approvers = vec!["ada".into()];
    let mut world = World::with(setup, State::default());
    world.fire("watch");
    world.later(HOUR);
    assert_eq!(world.stage("1.3"), "Asking");
    assert_eq!(world.link(link_of(&world, "ada"), Ok(())), Ok("ada said yes".into()));
}
