//! What operators write, and what they sign.

use crate::{Edits, bundles, points_inside, roots};
use std::sync::LazyLock;
use unship_policy::{
    Approval, Decided, Decision, Digest, Moment, SitePolicy, Sought, Statement, StoryId, StoryPolicy, TriggerTests,
    approved, parse_story_triggers,
};
use unship_rollback::trigger::Rule;

/// `policies/site.toml`.
pub fn site_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = SitePolicy::parse(text) {
        points_inside(&error, text);
    }
}

/// `policies/STORY.toml`.
pub fn story_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let id = StoryId::new("1.3").expect("an id");
    match StoryPolicy::parse(text, &id) {
        Ok(policy) => assert_eq!(policy.id, id, "a policy of another story"),
        Err(error) => points_inside(&error, text),
    }
}

/// Triggers, their sentences and their unit tests.
pub fn triggers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = parse_story_triggers(text) {
        points_inside(&error, text);
    }
    if let Err(error) = TriggerTests::parse(text) {
        points_inside(&error, text);
    }
    match Rule::parse(text) {
        Ok(rule) => assert_eq!(Ok(rule), Rule::parse(text), "read twice it is another rule"),
        Err(error) => assert!(error.span.end <= text.len() && !error.message.is_empty(), "{error:?}"),
    }
}

fn statement() -> Statement {
    Statement {
        site: "practice".to_owned(),
        story: "1.3".to_owned(),
        variant: None,
        break_glass: false,
        plan: Digest::of(b"plan"),
        reason: "it is down".to_owned(),
        approved_ms: roots::NOW,
        expires_ms: roots::NOW + 3_600_000,
    }
}

static APPROVAL: LazyLock<String> = LazyLock::new(|| statement().sign(&roots::approver()).expect("signed"));

/// An approval: whatever is done to a good one, it counts for what was signed or not at all.
pub fn approval(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { rest.to_vec() } else { Edits(rest).of(APPROVAL.as_bytes()) };
    let Ok(text) = String::from_utf8(bytes) else { return };
    let Ok(approval) = Approval::parse(&text) else { return };
    let sought = Sought {
        site: "practice",
        story: "1.3",
        variant: None,
        plan: Digest::of(b"plan"),
        break_glass: false,
        approvals: 1,
        now_ms: roots::NOW,
    };
    if approved(&sought, std::slice::from_ref(&approval), roots::trusted()).is_ok() {
        assert_eq!(*approval.statement(), statement(), "it counts for what nobody signed");
    }
}

static CONSENT: LazyLock<(Decided, String)> = LazyLock::new(|| {
    let bundle = bundles::good();
    let decided = Decided::of(&bundle, "practice", "it was read", Moment::from_ms(roots::NOW), None);
    let text = decided.sign(&roots::approver()).expect("signed");
    (decided, text)
});

/// A decision that lets a bundle do what it asks for: whatever is done to a good one, it lets nothing but what was signed.
pub fn consent(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (good, text) = &*CONSENT;
    let bytes = if how % 2 == 0 { rest.to_vec() } else { Edits(rest).of(text.as_bytes()) };
    let Ok(decision) = Decision::parse(&bytes) else { return };
    if decision.judge(roots::trusted(), "practice").is_ok() {
        assert_eq!(decision.decided(), good, "it lets what nobody signed");
    }
}
