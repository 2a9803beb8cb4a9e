//! What people hand in: approvals and what is done to them, links, no, close, silence, pause; and files that are none of these.

use crate::world::{HOUR, MINUTE, World, planned, summary, trigger};
use std::{fs, os::unix::fs::symlink};
use unship_policy::{Digest, Statement};
use unship_rollback::{
    Outcome, RunId,
    incident::{Closing, Fact, IncidentId, Stage, Wish},
};

fn asked(site: &str) -> World {
    let world = World::new(site, &[("1.3", trigger("a", "high", false))]);
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Asking { .. }));
    world
}

#[test]
fn an_approval_counts_once_for_one_person_one_plan_one_site_and_a_time() {
    let quorum = "[decision]\nquorum = 2\n[decision.high]\ndo = \"ask\"\nwithin = \"3h\"\n";
    let mut world = asked(quorum);
    let incident = world.incident().id;
    world.approve("ada", "1.3");
    let first = world.facts().into_iter().filter(|fact| matches!(fact, Fact::ApprovalCounted { .. })).count();
    assert_eq!(first, 1);
    type Change = Box<dyn Fn(&mut Statement)>;
    let changed: [(&str, &str, Change, &str); 8] = [
        ("ada", "1.3", Box::new(|s| s.reason = "once more".to_owned()), "has approved already"),
        ("bo", "1.3", Box::new(|s| s.plan = Digest::of(b"another plan")), "plan"),
        ("bo", "1.4", Box::new(|_| ()), "story"),
        ("bo", "1.3", Box::new(|s| s.site = "elsewhere".to_owned()), "site"),
        (
            "bo",
            "1.3",
            Box::new(|s| (s.approved_ms, s.expires_ms) = (s.approved_ms - 2 * HOUR, s.approved_ms - HOUR)),
            "expired",
        ),
        (
            "bo",
            "1.3",
            Box::new(|s| (s.approved_ms, s.expires_ms) = (s.approved_ms + 48 * HOUR, s.expires_ms + 48 * HOUR)),
            "",
        ),
        ("mallory", "1.3", Box::new(|_| ()), ""),
        ("nobody", "1.3", Box::new(|_| ()), ""),
    ];
    for (n, (by, story, change, wanted)) in changed.into_iter().enumerate() {
        let approval = world.approval(by, story, change);
        world.hand_in(by, Wish::Approve { incident: incident.clone(), approval });
        let refusals = world.refusals();
        assert_eq!(refusals.len(), n + 1, "{by}: {refusals:?}");
        assert!(refusals[n].contains(wanted), "{by}: {}", refusals[n]);
        assert!(world.ran().is_empty(), "{by}");
    }
    // Not signed at all, signed and changed, and the very one that counted, once more.
    let good = world.approval("bo", "1.3", |_| {});
    let counted = world.approval("ada", "1.3", |_| {});
    for bad in ["", "{}", &good.replace("practice", "praktice"), &good[..good.len() / 2]] {
        world.hand_in("bo", Wish::Approve { incident: incident.clone(), approval: bad.to_owned() });
    }
    world.hand_in("ada", Wish::Approve { incident: incident.clone(), approval: counted });
    assert_eq!(world.refusals().len(), 8 + 5, "{:?}", world.refusals());
    assert!(world.ran().is_empty());
    world.hand_in("bo", Wish::Approve { incident, approval: good });
    assert_eq!(world.ran(), ["1.3"], "two people");
}

#[test]
fn after_the_site_changed_what_was_said_yes_to_counts_no_more() {
    let mut world = asked("");
    world.operator.script().runs.push_back(Ok(summary(Outcome::Refused, None)));
    let mut other = planned("1.3");
    other.digest = Digest::of(b"as things are now");
    let approval = world.approval("ada", "1.3", |_| {});
    let incident = world.incident().id;
    world.operator.script().plans.insert("1.3".to_owned(), Ok(other.clone()));
    world.hand_in("ada", Wish::Approve { incident: incident.clone(), approval: approval.clone() });
    assert_eq!(world.ran().len(), 1, "it was refused, since the plan is another one now");
    world.later(MINUTE);
    assert_eq!(world.ran().len(), 1);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    world.hand_in("ada", Wish::Approve { incident: incident.clone(), approval });
    assert_eq!(world.ran().len(), 1, "replayed: {:?}", world.refusals());
    let anew = world.approval("ada", "1.3", |s| s.plan = other.digest);
    world.hand_in("ada", Wish::Approve { incident, approval: anew });
    assert_eq!(world.ran().len(), 2);
}

#[test]
fn no_keeps_the_incident_open_with_an_owner_until_it_clears() {
    let mut world = asked("");
    let incident = world.incident().id;
    let deny = |owner: Option<&str>| Wish::Deny {
        incident: incident.clone(),
        reason: "we mend it\n\u{202e}".to_owned(),
        owner: owner.map(str::to_owned),
    };
    world.hand_in("ada", deny(Some("bo")));
    assert_eq!(world.stage(), Stage::FixForward { owner: "bo".to_owned() });
    let detail = world.told_last();
    assert!(detail.starts_with("answered: ada said no") && !detail.contains(['\n', '\u{202e}']), "{detail:?}");
    world.approve("ada", "1.3");
    assert!(world.ran().is_empty(), "no is no: {:?}", world.refusals());
    world.hand_in("ada", deny(None));
    assert!(world.refusals().iter().any(|why| why.contains("too late to say no")), "{:?}", world.refusals());
    world.sample("a", 0.0, &[]);
    assert_eq!(world.stage(), Stage::Closed { how: Closing::FixedForward });
    world.hand_in("ada", deny(None));
    assert!(world.refusals().iter().any(|why| why.contains("is over")), "{:?}", world.refusals());
}

#[test]
fn a_trigger_that_was_closed_by_hand_fires_again_when_it_breaches_again() {
    let mut world = asked("");
    let incident = world.incident().id;
    world.hand_in("ada", Wish::Close { incident, reason: "a false alarm".to_owned() });
    assert_eq!(world.stage(), Stage::Closed { how: Closing::ByHand });
    world.sample("a", 0.0, &[]);
    world.sample("a", 9.0, &[]);
    assert_eq!(world.incidents().len(), 2);
}

#[test]
fn what_is_paused_asks_instead_and_goes_on_when_the_pause_is_over() {
    let mut world = World::new("", &[("1.3", trigger("a", "high", true))]);
    world.hand_in("ada", Wish::Pause { reason: "a release".to_owned() });
    world.sample("a", 9.0, &[]);
    assert!(matches!(world.stage(), Stage::Asking { .. }), "{:?}", world.stage());
    assert!(world.told_last().contains("ada paused what acts by itself"), "{}", world.told_last());
    // It outlives the daemon.
    let mut world = world.again(MINUTE);
    assert!(world.book.read(|book| book.paused().is_some()));
    world.hand_in("ada", Wish::Unpause);
    world.approve("ada", "1.3");
    assert_eq!(world.ran(), ["1.3"]);
    world.hand_in("ada", Wish::Unpause);
    assert!(world.book.read(|book| book.paused().is_none()));
}

#[test]
fn a_silence_holds_one_trigger_or_all_and_ends_by_itself() {
    for name in [Some("a-high".to_owned()), None] {
        let mut world = World::new("", &[("1.3", trigger("a", "high", false))]);
        let until_ms = world.now() + HOUR;
        world.hand_in("ada", Wish::Silence { trigger: name.clone(), until_ms });
        world.sample("a", 9.0, &[]);
        assert!(world.incidents().is_empty(), "{name:?}");
        let world = world.again(MINUTE);
        world.sample("a", 9.0, &[]);
        assert!(world.incidents().is_empty(), "{name:?}: another daemon knows it too");
        world.at(until_ms);
        world.sample("a", 0.0, &[]);
        world.sample("a", 9.0, &[]);
        assert_eq!(world.incidents().len(), 1, "{name:?}");
    }
    let mut world = World::new("", &[("1.3", trigger("a", "high", false))]);
    let now = world.now();
    for (trigger, until_ms) in [(None, now), (None, now - 1), (None, now + 8 * 24 * HOUR), (Some("b-high"), now + HOUR)]
    {
        world.hand_in("ada", Wish::Silence { trigger: trigger.map(str::to_owned), until_ms });
    }
    assert_eq!(world.refusals().len(), 4, "{:?}", world.refusals());
}

#[test]
fn what_is_no_submission_is_refused_named_and_gone_and_the_rest_is_taken_in() {
    let mut world = World::new("", &[("1.3", trigger("a", "high", false))]);
    world.leave_file("nonsense.json", b"{");
    world.leave_file("another.json", br#"{"unship_submission":1,"id":"s1","by":"x","wish":{"wish":"unpause"}}"#);
    world.leave_file(
        "future.json",
        br#"{"unship_submission":2,"id":"s20270115t080000z-000000ff","by":"x","wish":{"wish":"unpause"}}"#,
    );
    world.leave_file(
        "unknown.json",
        br#"{"unship_submission":1,"id":"s20270115t080000z-000000fe","by":"x","wish":{"wish":"wish"}}"#,
    );
    world.leave_file(
        "more.json",
        br#"{"unship_submission":1,"id":"s20270115t080000z-000000fd","by":"x","more":1,"wish":{"wish":"unpause"}}"#,
    );
    fs::write(world.inbox().join("long.json"), vec![b' '; 100 << 10]).expect("written");
    symlink("/etc/passwd", world.inbox().join("link.json")).expect("made");
    fs::create_dir(world.inbox().join("folder.json")).expect("made");
    world.hand_in("ada", Wish::Pause { reason: "we look".to_owned() });
    world.calm();
    assert!(world.book.read(|book| book.paused().is_some()), "the good one was taken in: {:?}", world.refusals());
    let named = |name: &str| {
        world
            .facts()
            .iter()
            .any(|f| matches!(f, Fact::SubmissionRefused { submission, .. } if submission.contains(name)))
    };
    for name in ["nonsense", "another", "future", "unknown", "more", "long"] {
        assert!(named(name), "{name}: {:?}", world.facts());
        assert!(!world.inbox().join(format!("{name}.json")).exists(), "{name} is gone");
    }
    assert!(!world.facts().iter().any(|fact| format!("{fact:?}").contains("root:")), "nothing of another file is read");
}

#[test]
fn what_is_handed_in_while_no_daemon_is_there_is_taken_in_by_the_next() {
    let world = asked("[decision.high]\ndo = \"ask\"\nwithin = \"3h\"\n");
    let incident = world.incident().id;
    let approval = world.approval("ada", "1.3", |_| {});
    // Handed in while nobody is there.
    let mut next = world.again_with(MINUTE, "ada", Wish::Approve { incident, approval });
    next.calm();
    assert_eq!(next.ran(), ["1.3"]);
    next.approve("ada", "1.3");
    assert_eq!(next.ran().len(), 1, "and once");
}

#[test]
fn a_one_time_link_works_once_in_time_and_for_its_plan() {
    let site =
        "[watch]\nlinks = \"https://unship.example.org\"\napprovers = [\"ada\", \"bo\"]\n[decision]\nquorum = 2\n";
    let world = asked(site);
    let links = |world: &World| -> Vec<(Digest, String)> {
        world.incident().links.iter().map(|(link, made)| (*link, made.person.clone())).collect()
    };
    let made = links(&world);
    assert_eq!(made.len(), 2, "one for each approver");
    let of = |person: &str| made.iter().find(|(_, owner)| owner == person).expect("a link").0;
    assert!(world.link(Digest::of(b"guessed"), Ok(())).is_err());
    assert_eq!(world.link(of("ada"), Ok(())), Ok("ada said yes".to_owned()));
    assert!(world.link(of("ada"), Ok(())).expect_err("used").contains("works once"));
    assert!(world.ran().is_empty());
    // A signed yes of the same person is no second person.
    let mut world = world;
    world.approve("ada", "1.3");
    assert!(world.ran().is_empty(), "{:?}", world.refusals());
    // It outlives the daemon.
    let world = world.again(MINUTE);
    assert_eq!(world.link(of("bo"), Ok(())), Ok("bo said yes".to_owned()));
    assert_eq!(world.ran(), ["1.3"]);
}

#[test]
fn a_link_says_no_as_well_and_is_nothing_after_its_time() {
    let site = "[watch]\nlinks = \"https://unship.example.org\"\napprovers = [\"ada\"]\n";
    let world = asked(site);
    let link = *world.incident().links.keys().next().expect("a link");
    let said = world.link(link, Err("said no by a one-time link".to_owned())).expect("counted");
    assert!(said.starts_with("ada said no"), "{said}");
    assert!(matches!(world.stage(), Stage::FixForward { .. }));
    let world = asked(site);
    let link = *world.incident().links.keys().next().expect("a link");
    world.later(15 * MINUTE);
    assert!(world.link(link, Ok(())).is_err());
    assert!(world.ran().is_empty());
}

#[test]
fn users_are_told_a_text_of_a_run_that_there_is() {
    let mut world = World::new("", &[("1.3", trigger("a", "high", true))]);
    world.sample("a", 9.0, &[]);
    let run = world.incident().runs[0].clone();
    let unknown = RunId::new("r20270115t080000z-ffffffff").expect("an id");
    for (run, text) in [(unknown, "sorry"), (run.clone(), " "), (run.clone(), &*"x".repeat(5000))] {
        world.hand_in("ada", Wish::TellUsers { run, text: text.to_owned() });
    }
    assert_eq!(world.refusals().len(), 3, "{:?}", world.refusals());
    world.hand_in("ada", Wish::TellUsers { run, text: "Reports were slow from 08:00 to 08:10.".to_owned() });
    assert!(world.told_last().starts_with("users-affected: Reports were slow"), "{}", world.told_last());
}

#[test]
fn wishes_about_what_there_is_not_are_refused() {
    let mut world = World::new("", &[("1.3", trigger("a", "high", false))]);
    let nothing = IncidentId::new("i20270115t080000z-00000001").expect("an id");
    let run = RunId::new("r20270115t080000z-ffffffff").expect("an id");
    world.hand_in("x", Wish::Deny { incident: nothing.clone(), reason: "no".to_owned(), owner: None });
    world.hand_in("x", Wish::Close { incident: nothing.clone(), reason: "no".to_owned() });
    let approval = world.approval("ada", "1.3", |_| {});
    world.hand_in("x", Wish::Approve { incident: nothing, approval });
    world.hand_in("x", Wish::PostMortem { run });
    assert_eq!(world.refusals().len(), 4, "{:?}", world.refusals());
}
