//! The decision tree branch by branch, and what the book takes in and refuses. Time is a number here.

use proptest::prelude::*;
use std::time::Duration;
use unship_policy::{Course, DecisionPolicy, Digest, Severity, SitePolicy};
use unship_rollback::{
    Outcome, RunId, Verdict,
    incident::{
        Book, Closing, Decision, Entry, Evidence, Fact, IncidentId, Known, Stage, Way, at_expiry, at_watch_end, decide,
    },
};

const HOUR: u64 = 3_600_000;

fn id(n: u32) -> IncidentId {
    IncidentId::new(&format!("i{n}")).expect("an id")
}

fn run(n: u32) -> RunId {
    RunId::new(&format!("r2026010{n}t000000z-0000000{n}")).expect("an id")
}

fn plan(n: u8) -> Digest {
    Digest::of(&[n])
}

fn opened(n: u32, story: Option<&str>, severity: Severity, auto: bool) -> Fact {
    Fact::IncidentOpened {
        incident: id(n),
        trigger: format!("t/{n}"),
        story: story.map(str::to_owned),
        severity,
        auto,
        evidence: None,
        rule: "x > 1".to_owned(),
        needed_by: None,
    }
}

fn decided(n: u32, decision: Decision, deadline_ms: Option<u64>) -> Fact {
    Fact::Decided { incident: id(n), decision, reason: "so".to_owned(), deadline_ms }
}

fn planned(n: u32, story: &str, digest: Digest) -> Fact {
    Fact::PlanMade { incident: id(n), story: story.to_owned(), digest, effects: Vec::new(), weakens: Vec::new() }
}

fn yes(n: u32, person: &str, digest: Digest, proof: u8) -> Fact {
    Fact::ApprovalCounted {
        incident: id(n),
        key: format!("key of {person}"),
        person: person.to_owned(),
        digest,
        expires_ms: HOUR,
        proof: plan(proof),
    }
}

fn began(n: u32, r: u32, digest: Digest) -> Fact {
    Fact::RunBegan { incident: id(n), run: run(r), story: "1.3".to_owned(), digest }
}

fn ended(n: u32, r: u32, outcome: Outcome) -> Fact {
    let verdict = (outcome == Outcome::Succeeded).then_some(Verdict::Recovered);
    Fact::RunEnded { incident: id(n), run: run(r), outcome, verdict, reason: None }
}

#[track_caller]
fn book(facts: impl IntoIterator<Item = Fact>) -> Book {
    let mut book = Book::default();
    for (at_ms, fact) in (1..).zip(facts) {
        book.advance(&Entry { at_ms, facts: vec![fact] }).expect("it can follow");
    }
    book
}

proptest! {
    /// Else the book of a daemon that was started again is another one than that of the one before.
    #[test]
    fn what_was_measured_is_read_as_it_was_written(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
        let evidence = Some(Evidence { series: "x".to_owned(), value: Some(value), at_ms: 1 });
        let mut fact = opened(1, None, Severity::High, false);
        let Fact::IncidentOpened { evidence: found, .. } = &mut fact else { panic!("it was opened") };
        *found = evidence;
        let entry = Entry { at_ms: 1, facts: vec![fact] };
        let text = serde_json::to_vec(&entry).expect("JSON");
        prop_assert_eq!(serde_json::from_slice::<Entry>(&text).expect("an entry"), entry);
    }
}

#[test]
fn each_branch_of_the_decision_tree() {
    let open = Some(Way::Open { weakens: Vec::new(), manual_only: false, already: false });
    let base = Known { way: open, ..Known::default() };
    let manual =
        Known { way: Some(Way::Open { weakens: Vec::new(), manual_only: true, already: false }), ..base.clone() };
    let weakens = Known {
        way: Some(Way::Open { weakens: vec!["auth".into()], manual_only: false, already: false }),
        ..base.clone()
    };
    let already =
        Known { way: Some(Way::Open { weakens: Vec::new(), manual_only: false, already: true }), ..base.clone() };
    let gone = Known { is_gone_then: true, ..already.clone() };
    let not_yet = Known { is_gone_then: true, ..base.clone() };
    let shut = Known { way: Some(Way::Shut { reason: "no bundle".into() }), ..base.clone() };
    let paused = Known { paused_by: Some("ada".into()), ..base.clone() };
    let spent = Known { attempts: 1, ..base.clone() };
    let refused = Known { refused: 2, ..base.clone() };
    let (quarter, hour) = (Some(15 * 60_000), Some(HOUR));
    use Severity::{Critical, High, Medium};
    let story = Some("1.3");
    for (what, story, severity, auto, known, decision, within, why) in [
        ("auto, whatever the severity", story, Medium, true, &base, Decision::Act, None, "acts by itself"),
        ("auto, whatever the severity", story, High, true, &base, Decision::Act, None, "acts by itself"),
        ("auto, whatever the severity", story, Critical, true, &base, Decision::Act, None, "acts by itself"),
        ("critical calls a person", story, Critical, false, &base, Decision::Page, None, "critical"),
        ("high asks", story, High, false, &base, Decision::Ask, quarter, "high"),
        ("medium watches", story, Medium, false, &base, Decision::Watch, hour, "medium"),
        ("no story is known", None, Critical, true, &Known::default(), Decision::Ask, quarter, "which story"),
        ("1.8 never runs by itself", story, High, true, &manual, Decision::Ask, quarter, "only a person"),
        ("weakening is never automatic", story, Critical, true, &weakens, Decision::Page, None, "weakens auth"),
        ("paused", story, High, true, &paused, Decision::Ask, quarter, "ada paused"),
        ("an exhausted budget pages", story, Medium, true, &spent, Decision::Page, None, "1 are allowed"),
        ("refused again and again", story, Medium, true, &refused, Decision::Page, None, "2 runs of it were refused"),
        ("no way back", story, Medium, true, &shut, Decision::Page, None, "no bundle"),
        ("taken back already", story, Medium, true, &already, Decision::Page, None, "taken back already"),
        (
            "and its measure with it",
            story,
            High,
            true,
            &gone,
            Decision::Ignore,
            None,
            "what its triggers measure with it",
        ),
        ("its measure is there yet", story, High, true, &not_yet, Decision::Act, None, "acts by itself"),
    ] {
        let book = book([opened(1, story, severity, auto)]);
        let found = decide(book.incident(&id(1)).expect("it"), &DecisionPolicy::default(), known);
        assert_eq!((found.decision, found.within_ms), (decision, within), "{what}");
        assert!(found.reason.contains(why), "{what}: {}", found.reason);
    }
    let policy = DecisionPolicy::default();
    assert!(at_expiry(&policy).1, "whoever is not answered is denied, and a person is called");
    assert_eq!(at_watch_end(&policy, Some("x still breaches")).decision, Decision::Ask);
    assert_eq!(at_watch_end(&policy, None).decision, Decision::Ignore);
}

#[test]
fn the_tree_is_data_of_the_policy_with_the_seeds_values_as_shipped() {
    let site = |more: &str| SitePolicy::parse(&format!("[site]\nname = \"s\"\nbundles = \"bundles\"\n{more}"));
    assert_eq!(site("").expect("good").decision, DecisionPolicy::default());
    let text = "[decision]\nowner = \"ada\"\nquorum = 2\nattempts = 3\nstability = \"5m\"\npage-at-expiry = false\n\
        critical = { do = \"ask\", within = \"1m\" }\nhigh = { do = \"page\" }\nmedium = { do = \"watch\", within = \"2h\", worse-percent = 0 }\n";
    let found = site(text).expect("good").decision;
    let minutes = |n: u64| Duration::from_secs(60 * n);
    assert_eq!((found.quorum, found.attempts, found.stability, found.page_at_expiry), (2, 3, minutes(5), false));
    assert_eq!((found.critical, found.high), (Course::Ask { within: minutes(1) }, Course::Page));
    assert_eq!(found.medium, Course::Watch { within: minutes(120), worse_percent: 0 });
    for (bad, why) in [
        ("[decision]\nquorom = 1\n", "unknown field `quorom`"),
        ("[decision]\nquorum = 0\n", "1 to 10 people"),
        ("[decision]\nattempts = 11\n", "0 to 10 attempts"),
        ("[decision]\nowner = \" \"\n", "names who has"),
        ("[decision]\nstability = \"25h\"\n", "longer than 24 h"),
        ("[decision]\nhigh = { do = \"page\", within = \"1m\" }\n", "has no deadline"),
        ("[decision]\nhigh = { do = \"ask\", worse-percent = 1 }\n", "only what is watched"),
        ("[decision]\nhigh = { do = \"act\" }\n", "unknown variant `act`"),
        ("[watch]\nlisten = \"here\"\n", "an address and a port"),
        ("[watch]\napprovers = [\"ada\"]\n", "there are none without `links`"),
        ("[watch]\nlinks = \"https://a/?b\"\n", "no query"),
        ("[watch]\nlinks = \"https://a\"\napprovers = [\"ada\", \"ada\"]\n", "named once"),
        ("[watch]\nsamples-token = \"s3cret\"\n", "a file of the site"),
        ("[watch]\nsamples-token = \"file:../x\"\n", "a file of the site"),
        ("[watch]\nlateness = \"11m\"\n", "to 600 s"),
        ("[watch]\nready-every = \"1s\"\n", "from 60 s"),
    ] {
        let error = site(bad).expect_err(bad).message;
        assert!(error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn the_book_refuses_what_cannot_follow_and_is_unchanged_then() {
    let asked = [
        opened(1, Some("1.3"), Severity::High, false),
        planned(1, "1.3", plan(1)),
        decided(1, Decision::Ask, Some(HOUR)),
    ];
    let acting =
        [opened(1, Some("1.3"), Severity::High, true), planned(1, "1.3", plan(1)), decided(1, Decision::Act, None)];
    let with = |facts: &[Fact], more: &[Fact]| facts.iter().chain(more).cloned().collect::<Vec<_>>();
    for (what, before, fact) in [
        ("a second incident about a story", asked.to_vec(), opened(2, Some("1.3"), Severity::High, false)),
        ("an ask without a deadline", asked.to_vec(), decided(1, Decision::Ask, None)),
        ("an incident that is not there", asked.to_vec(), decided(2, Decision::Page, None)),
        ("the same person twice", with(&asked, &[yes(1, "ada", plan(1), 1)]), yes(1, "ada", plan(1), 2)),
        ("another plan's digest", asked.to_vec(), yes(1, "ada", plan(2), 1)),
        ("a run of another plan", acting.to_vec(), began(1, 1, plan(2))),
        ("a second run at a time", with(&acting, &[began(1, 1, plan(1))]), began(1, 2, plan(1))),
        ("a run that never began", acting.to_vec(), ended(1, 1, Outcome::Succeeded)),
        (
            "no in the middle of a run",
            with(&acting, &[began(1, 1, plan(1))]),
            Fact::Denied { incident: id(1), by: "ada".into(), reason: "no".into(), owner: "bob".into() },
        ),
        (
            "a stability window after a failed run",
            with(&acting, &[began(1, 1, plan(1)), ended(1, 1, Outcome::Undone)]),
            Fact::StabilityBegan { incident: id(1), until_ms: HOUR },
        ),
        (
            "a notice that does not wait",
            asked.to_vec(),
            Fact::NoticeDelivered {
                notice: unship_rollback::incident::NoticeId::new("n1").expect("an id"),
                answer: String::new(),
            },
        ),
        ("a post-mortem that is not due", asked.to_vec(), Fact::PostMortemWritten { run: run(1) }),
        ("an exposure that never began", asked.to_vec(), Fact::ExposureEnded { run: run(1), how: "so".into() }),
    ] {
        let mut found = book(before);
        let unchanged = found.clone();
        found.advance(&Entry { at_ms: 99, facts: vec![Fact::Unpaused { by: "ada".into() }, fact] }).expect_err(what);
        assert_eq!(found, unchanged, "{what}");
    }
}

#[test]
fn what_was_refused_takes_new_approvals_and_counts_as_no_attempt() {
    let found = book([
        opened(1, Some("1.3"), Severity::High, true),
        planned(1, "1.3", plan(1)),
        decided(1, Decision::Act, None),
        began(1, 1, plan(1)),
        ended(1, 1, Outcome::Refused),
        Fact::Escalated { incident: id(1), reason: "the site changed".into() },
        planned(1, "1.3", plan(2)),
        decided(1, Decision::Ask, Some(HOUR)),
        yes(1, "ada", plan(2), 1),
        began(1, 2, plan(2)),
        ended(1, 2, Outcome::Refused),
        Fact::Escalated { incident: id(1), reason: "the site changed".into() },
        decided(1, Decision::Ask, Some(HOUR)),
    ]);
    let incident = found.incident(&id(1)).expect("it");
    assert!(
        incident.approvers(&plan(2), 20).is_empty() && found.has_counted(&plan(1)),
        "it is used up, and not replayed"
    );
    assert_eq!(found.attempts("1.3", 0), 0);
}

#[test]
fn a_worse_trigger_is_decided_upon_anew_and_a_milder_one_is_not() {
    let joined = |severity, auto| Fact::TriggerJoined {
        incident: id(1),
        trigger: "t/2".into(),
        severity,
        auto,
        evidence: None,
        rule: "y > 1".into(),
    };
    for (severity, auto, anew) in [
        (Severity::Critical, false, true),
        (Severity::High, true, true),
        (Severity::High, false, false),
        (Severity::Medium, false, false),
    ] {
        let found = book([
            opened(1, Some("1.3"), Severity::High, false),
            planned(1, "1.3", plan(1)),
            decided(1, Decision::Ask, Some(HOUR)),
            joined(severity, auto),
        ]);
        assert_eq!(found.incident(&id(1)).expect("it").stage == Stage::Opened, anew, "{severity:?} {auto}");
    }
}

#[test]
fn facts_are_read_back_as_they_were_written_and_unknown_ones_are_refused() {
    let facts = vec![
        opened(1, Some("1.3"), Severity::High, true),
        planned(1, "1.3", plan(1)),
        decided(1, Decision::Act, None),
        began(1, 1, plan(1)),
        ended(1, 1, Outcome::Succeeded),
        Fact::StabilityBegan { incident: id(1), until_ms: HOUR },
        Fact::VerdictReached { incident: id(1), verdict: Verdict::Recovered, reason: "well".into() },
        Fact::IncidentClosed { incident: id(1), how: Closing::Recovered, reason: "well".into() },
    ];
    let entry = Entry { at_ms: 7, facts };
    let text = serde_json::to_string(&entry).expect("JSON");
    assert_eq!(serde_json::from_str::<Entry>(&text).expect("an entry"), entry);
    for fact in &entry.facts {
        assert!(text.contains(&format!("{{\"fact\":\"{}\"", fact.kind())) && Fact::KINDS.contains(&fact.kind()));
    }
    let mut live = Book::default();
    live.advance(&entry).expect("it can follow");
    let mut back = Book::default();
    back.replay(&entry).expect("it can follow");
    assert_eq!(live, back);
    for bad in [
        text.replace("watch", "x").replace("\"at_ms\":7", "\"at_ms\":7,\"more\":1"),
        text.replace("\"incident\":\"i1\"", "\"incident\":\"../1\""),
        text.replace("run-began", "run-begun"),
    ] {
        assert!(serde_json::from_str::<Entry>(&bad).is_err(), "{bad}");
    }
}
