//! Approvals: what counts, what does not and in which words; safety properties and approvers as files say them.

use crate::support::{key, root_text, trusted};
use unship_policy::{
    Approval, ApprovalError, Digest, Root, Signer as _, SitePolicy, Sought, Statement, StoryId, StoryPolicy, TrustRoot,
    approved, definitions,
};

const NOW: u64 = crate::support::NOW;
const HOUR: u64 = 3_600_000;

/// Keys 1 and 2 are Ada's and Bob's, 3 is Ada's second, 4 may not approve.
fn trust() -> TrustRoot {
    let [ada, bob, carol] = ["ada", "bob", "carol"].map(|owner| format!("owner = \"{owner}\""));
    trusted(&root_text(
        &[("ada", 1, &ada), ("bob", 2, &bob), ("ada-too", 3, &ada), ("build", 4, &carol)],
        &[("approver", &["ada", "bob", "ada-too"], 1), ("release", &["bob", "build"], 1)],
    ))
}

fn plan() -> Digest {
    Digest::of(b"plan")
}

fn statement() -> Statement {
    Statement {
        site: "practice".to_owned(),
        story: "1.1.5".to_owned(),
        variant: Some("expose".to_owned()),
        plan: plan(),
        break_glass: false,
        reason: "the incident of tonight".to_owned(),
        approved_ms: NOW - HOUR,
        expires_ms: NOW + HOUR,
    }
}

fn signed(change: impl FnOnce(&mut Statement), seed: u8) -> Approval {
    let mut statement = statement();
    change(&mut statement);
    Approval::parse(&statement.sign(&key(seed)).expect("signed")).expect("what was signed parses")
}

fn good(seed: u8) -> Approval {
    signed(|_| (), seed)
}

fn sought() -> Sought<'static> {
    Sought {
        site: "practice",
        story: "1.1.5",
        variant: Some("expose"),
        plan: plan(),
        break_glass: false,
        approvals: 2,
        now_ms: NOW,
    }
}

fn wrong(given: &[Approval]) -> Vec<String> {
    let errors = approved(&sought(), given, &trust()).expect_err("is refused");
    let place = |index: Option<usize>| index.map_or_else(|| "all".to_owned(), |index| index.to_string());
    errors.into_iter().map(|(index, error)| format!("{}: {error}", place(index))).collect()
}

#[test]
fn two_people_by_their_own_keys_are_enough() {
    let proof = approved(&sought(), &[good(1), good(2)], &trust()).expect("approved");
    assert_eq!((proof.plan(), proof.people()), (plan(), &["ada".to_owned(), "bob".to_owned()][..]));
    // The clocks of two machines may be a little apart.
    let early = signed(|s| s.approved_ms = NOW + 60_000, 2);
    assert!(approved(&sought(), &[good(1), early], &trust()).is_ok());
}

#[test]
fn what_does_not_count_is_named() {
    let few = "all: 1 of the 2 approvals that it needs are given";
    let other = Digest::of(b"another");
    let cases = [
        (vec![good(1)], vec![few.to_owned()]),
        (vec![], vec!["all: 0 of the 2 approvals that it needs are given".to_owned()]),
        (
            vec![good(1), good(1)],
            vec!["1: the key `ada` has approved already: each counts once".to_owned(), few.to_owned()],
        ),
        (
            vec![good(1), good(3)],
            vec!["1: ada has approved already with another key: each person counts once".to_owned(), few.to_owned()],
        ),
        (
            vec![good(1), good(9)],
            vec![format!("1: the key {} is not in the trust root", key(9).public()), few.to_owned()],
        ),
        (
            vec![good(1), good(4)],
            vec![
                "1: the key `build` may not approve now: by the trust root it does not hold the role `approver`, or its time is over or to come"
                    .to_owned(),
                few.to_owned(),
            ],
        ),
        (
            vec![good(1), signed(|s| s.site = "prod".to_owned(), 2)],
            vec![
                "1: it approves of something on the site \"prod\", and this is \"practice\"".to_owned(),
                few.to_owned(),
            ],
        ),
        (
            vec![good(1), signed(|s| s.story = "1.3".to_owned(), 2)],
            vec![
                "1: it approves of story 1.3, variant expose, not of story 1.1.5, variant expose".to_owned(),
                few.to_owned(),
            ],
        ),
        (
            vec![good(1), signed(|s| s.variant = None, 2)],
            vec!["1: it approves of story 1.1.5, not of story 1.1.5, variant expose".to_owned(), few.to_owned()],
        ),
        (
            vec![good(1), signed(|s| s.plan = other, 2)],
            vec![format!("1: it approves of the plan {other}, not of {}", plan()), few.to_owned()],
        ),
        (vec![good(1), signed(|s| s.expires_ms = NOW, 2)], vec!["1: it has expired".to_owned(), few.to_owned()]),
        (
            vec![good(1), signed(|s| (s.approved_ms, s.expires_ms) = (NOW + HOUR, NOW + 2 * HOUR), 2)],
            vec!["1: it is dated in the future".to_owned(), few.to_owned()],
        ),
        // One that does not count is told even where the others are enough.
        (
            vec![good(1), good(2), good(4)],
            vec![
                "2: the key `build` may not approve now: by the trust root it does not hold the role `approver`, or its time is over or to come"
                    .to_owned(),
            ],
        ),
    ];
    for (given, messages) in cases {
        assert_eq!(wrong(&given), messages);
    }
}

#[test]
fn a_statement_that_would_count_too_long_or_gives_no_reason_is_neither_signed_nor_read() {
    let begin = NOW - HOUR;
    for (expires_ms, reason, error) in [
        (begin + 24 * HOUR + 1, "why", ApprovalError::BadTerm),
        (begin, "why", ApprovalError::BadTerm),
        (begin - 1, "why", ApprovalError::BadTerm),
        (NOW, " ", ApprovalError::BadReason),
        (NOW, "a\u{1b}[31m", ApprovalError::BadReason),
    ] {
        let statement = Statement { expires_ms, reason: reason.to_owned(), ..statement() };
        assert_eq!(statement.sign(&key(1)), Err(error));
    }
}

#[test]
fn no_changed_byte_goes_unseen() {
    let text = statement().sign(&key(2)).expect("signed");
    for at in 0..text.len() {
        for with in [b'0', b'1', b'x', b' ', b'"'] {
            let mut bytes = text.clone().into_bytes();
            if bytes[at] == with {
                continue;
            }
            bytes[at] = with;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            if let Ok(approval) = Approval::parse(&changed) {
                assert!(approved(&sought(), &[good(1), approval], &trust()).is_err(), "byte {at}: {changed}");
            }
        }
    }
    let bob = "the signature by the key `bob` does not fit: the approval was altered after it was signed";
    let altered = Approval::parse(&text.replacen("tonight", "todayyy", 1)).expect("it is written as one");
    assert_eq!(wrong(&[good(1), altered])[0], format!("1: {bob}"));
}

#[test]
fn what_is_not_written_as_an_approval_is_none() {
    let text = statement().sign(&key(1)).expect("signed");
    let newer = text.replacen("\"unship_approval\":1", "\"unship_approval\":2", 1);
    assert_eq!(Approval::parse(&newer), Err(ApprovalError::Newer(2)));
    let cases = [
        String::new(),
        "{}".to_owned(),
        text.trim_end().to_owned(),
        format!(" {text}"),
        format!("{text}{text}"),
        text.replacen("\"unship_approval\":1", "\"unship_approval\":0", 1),
        text.replacen("\"reason\"", "\"cause\"", 1),
        text.replacen("\"reason\"", "\"more\":1,\"reason\"", 1),
        text.replacen("\"site\":\"practice\",", "", 1),
        text.replacen("\"site\":\"practice\"", "\"site\":\"practice\",\"site\":\"practice\"", 1),
        text.replacen("\"site\":\"practice\"", "\"site\":\"pract\\u0069ce\"", 1),
        text.replacen("sha256:", "", 1),
        text.replacen("unship-public-ed25519:", "unship-secret-ed25519:", 1),
        format!("{}{}", " ".repeat(20_000), text),
    ];
    for case in cases {
        assert!(matches!(Approval::parse(&case), Err(ApprovalError::Malformed(_))), "{case}");
    }
}

const SAFETY: &str = r#"
[flags]
file = "flags.yaml"
pointer = "/{flag}"
values = { on = "true" }
[safety.authentication]
title = "Who calls says who they are"
holds-while = [{ file = "api.yaml", pointer = "/auth", value = "true" }, { flag = "login", value = "on" }]
approvals = 2
lapses-after = "4h"
"#;

#[test]
fn a_safety_property_at_fault_is_pointed_at() {
    let site = format!("[site]\nname = \"s\"\nbundles = \"b\"\n{SAFETY}");
    let property = SitePolicy::parse(&site).expect("it parses").definitions.safety.into_values().next().expect("one");
    assert_eq!((property.approvals, property.lapses_after.as_secs(), property.holds_while.len()), (2, 4 * 3600, 2));
    let shown: Vec<String> = property.holds_while.iter().map(|c| format!("{} {}", c.at, c.value)).collect();
    assert_eq!(shown, ["api.yaml /auth true", "flag login on"]);
    let table = [
        ("approvals = 2", "approvals = 1", "1", "a weakening needs 2 to 10 people"),
        ("approvals = 2", "approvals = 11", "11", "a weakening needs 2 to 10 people"),
        ("approvals = 2\n", "", "[safety.authentication]", "missing field `approvals`"),
        ("\"4h\"", "\"25h\"", "\"25h\"", "a weakening lasts 24 hours at most"),
        ("\"4h\"", "\"for ever\"", "\"for ever\"", "is not a duration"),
        ("lapses-after", "lapses", "lapses", "unknown field `lapses`"),
        ("\"api.yaml\"", "\"../api.yaml\"", "\"../api.yaml\"", "../api.yaml"),
        ("\"api.yaml\"", "\"api.conf\"", "\"api.conf\"", "only values of .yaml, .yml, .json and .toml files"),
        ("\"api.yaml\"", "\"*.yaml\"", "\"*.yaml\"", "not a pattern"),
        ("\"/auth\"", "\"auth\"", "\"auth\"", "is not a pointer"),
        ("\"/auth\"", "\"/**\"", "\"/**\"", "told by single values"),
        (
            "pointer = \"/auth\", ",
            "",
            "{ file = \"api.yaml\", value = \"true\" }",
            "`file` and `pointer`, or by `flag`",
        ),
        (", value = \"true\" }", " }", "{ file = \"api.yaml\", pointer = \"/auth\" }", "missing field `value`"),
        ("flag = \"login\",", "flag = \"log in\",", "\"log in\"", "is not a name"),
        ("[safety.authentication]", "[safety.\"a b\"]", "\"a b\"", "is not a name"),
    ];
    for (from, to, place, message) in table {
        assert!(site.contains(from), "{from}");
        let text = site.replacen(from, to, 1);
        let error = SitePolicy::parse(&text).expect_err(message);
        assert!(error.message.contains(message), "{message}: {error}");
        assert_eq!(error.span.map(|span| &text[span]), Some(place), "{message}");
    }
    let none = site.replacen(
        "[{ file = \"api.yaml\", pointer = \"/auth\", value = \"true\" }, { flag = \"login\", value = \"on\" }]",
        "[]",
        1,
    );
    assert!(SitePolicy::parse(&none).expect_err("empty").message.contains("1 to 50 values"));
}

#[test]
fn a_property_is_defined_once_and_its_flags_have_a_meaning() {
    let site =
        |text: &str| SitePolicy::parse(&format!("[site]\nname = \"s\"\nbundles = \"b\"\n{text}")).expect("a site");
    let story = |text: &str| {
        let head = "[story]\nid = \"1\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"release\"]\n";
        StoryPolicy::parse(&format!("{head}{text}"), &StoryId::new("1").expect("an id")).expect("a story")
    };
    let refused = |site_text: &str, story_text: &str| {
        let error = definitions(&story(story_text), &site(site_text)).expect_err("refused");
        (error.message, error.span.is_some())
    };
    assert_eq!(definitions(&story(""), &site(SAFETY)).expect("merged").safety.len(), 1);
    let only = &SAFETY[SAFETY.find("[safety").expect("the table")..];
    let (message, has_place) = refused(SAFETY, only);
    assert_eq!(
        (message.as_str(), has_place),
        ("the safety property \"authentication\" is defined in site.toml already", true)
    );
    let (message, has_place) = refused("", only);
    let why = "the safety property `authentication` cannot be looked at: it is told by the flag login, and no policy has `[flags]`";
    assert_eq!((message.as_str(), has_place), (why, true));
    let (message, _) = refused(&SAFETY.replacen("value = \"on\"", "value = \"yes\"", 1), "");
    assert!(message.ends_with("no policy says how a flag is \"yes\""), "{message}");
}

#[test]
fn an_approver_is_somebody() {
    let text = root_text(&[("ada", 1, "owner = \"ada\"")], &[("approver", &["ada"], 1)]);
    assert!(Root::parse(&text).is_ok());
    let cases = [
        ("owner = \"ada\"\n", "", "ada", "it must be known whose it is"),
        ("= \"ada\"\n", "= \"\"\n", "\"\"", "names nobody"),
        ("= \"ada\"\n", "= \"Ada\"\n", "\"Ada\"", "names nobody"),
        ("= \"ada\"\n", "= \" ada\"\n", "\" ada\"", "names nobody"),
        ("owner =", "person =", "person", "unknown field `person`"),
    ];
    for (from, to, place, message) in cases {
        let text = text.replacen(from, to, 1);
        let error = Root::parse(&text).expect_err(message);
        assert!(error.message.contains(message), "{message}: {error}");
        assert_eq!(error.span.map(|span| &text[span]), Some(place), "{message}");
    }
}
