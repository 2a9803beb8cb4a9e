//! What operators write, and what they sign.

use crate::{Edits, bundles, forge, points_inside, roots};
use std::sync::LazyLock;
use unship_policy::{
    Approval, Basis, Decided, Decision, Digest, Moment, SitePolicy, Sought, Statement, StoryId, StoryPolicy,
    TriggerTests, approved, definitions, findings, misfits, missing, parse_story_triggers, requests, resolve,
};
use unship_rollback::trigger::Rule;

/// `policies/site.toml`.
pub fn site_policy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = SitePolicy::parse(text) {
        points_inside(&error, text);
    }
}

static SITE: LazyLock<SitePolicy> = LazyLock::new(|| {
    SitePolicy::parse(include_str!("../../policies/site.toml")).expect("the shipped policy of a site")
});

/// What permits the bundle of these targets, and what a fuzzer begins with.
const PERMITS: &str = "[story]\nid = \"1.3\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"release\"]\n[grants.s]\n\
    files.read = [\"logs/**\"]\nfiles.edit = { \"*.yaml\" = [\"/**\"] }\nflags.set = { f = [\"on\", \"off\"] }\n\
    [flags.f]\nfile = \"flags.yaml\"\npointer = \"/f\"\non = \"true\"\noff = \"false\"\n";

/// `policies/STORY.toml`: what it permits is what is found to be permitted, by whichever way that is asked.
pub fn story_policy(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { Edits(rest).of(PERMITS.as_bytes()) } else { data.to_vec() };
    let Ok(text) = std::str::from_utf8(&bytes) else { return };
    let id = StoryId::new("1.3").expect("an id");
    let policy = match StoryPolicy::parse(text, &id) {
        Ok(policy) => policy,
        Err(error) => return points_inside(&error, text),
    };
    assert_eq!(policy.id, id, "a policy of another story");
    let bundle = bundles::good();
    for found in findings(&policy, &SITE, Some(bundle.manifest())) {
        assert!(!found.message.is_empty(), "{found:?}");
    }
    let lacks = missing(bundle.manifest(), &policy);
    let unfit = definitions(&policy, &SITE).map(|definitions| misfits(bundle.manifest(), &policy, &definitions).len());
    match resolve(bundle, &policy, &SITE) {
        Ok(_) => assert_eq!((lacks.as_str(), unfit.ok()), ("", Some(0)), "it is permitted, and something is missing"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Sentences of one input, at most.
const SENTENCES_MAX: usize = 64;

/// Triggers, their sentences and their unit tests.
pub fn triggers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = parse_story_triggers(text) {
        points_inside(&error, text);
    }
    if let Err(error) = TriggerTests::parse(text) {
        points_inside(&error, text);
    }
    for line in text.lines().take(SENTENCES_MAX) {
        // As it is, and what a file has between its quotes.
        sentence(line);
        if let Some((_, quoted)) = line.split_once('"') {
            sentence(quoted.rsplit_once('"').map_or(quoted, |(inside, _)| inside));
        }
    }
}

fn sentence(text: &str) {
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

/// An approval: whatever is done to a good one, it counts for what was signed or not at all; and of what an approver may sign only
/// what is about the very matter counts.
pub fn approval(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (bytes, signed) = match how % 3 {
        0 => (rest.to_vec(), statement()),
        1 => (Edits(rest).of(APPROVAL.as_bytes()), statement()),
        _ => {
            let good = serde_json::to_vec(&statement()).expect("JSON");
            let Ok(said) = serde_json::from_slice::<Statement>(&Edits(rest).of(&good)) else { return };
            let Ok(text) = said.sign(&roots::approver()) else { return };
            let read = Approval::parse(&text).unwrap_or_else(|e| panic!("what was signed cannot be read: {e}"));
            assert_eq!(*read.statement(), said);
            (text.into_bytes(), said)
        }
    };
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
        assert_eq!(*approval.statement(), signed, "it counts for what nobody signed");
        let about = (&signed.site[..], &signed.story[..], &signed.variant, signed.plan, signed.break_glass);
        assert_eq!(about, ("practice", "1.3", &None, sought.plan, false), "it counts for another matter");
        assert!(signed.expires_ms > roots::NOW, "it counts for ever");
    }
}

static CONSENT: LazyLock<(Decided, String)> = LazyLock::new(|| {
    let bundle = bundles::good();
    let decided = Decided::of(&bundle, "practice", "it was read", Moment::from_ms(roots::NOW), None);
    let text = decided.sign(&roots::approver()).expect("signed");
    (decided, text)
});

/// A decision that lets a bundle do what it asks for: whatever is done to a good one, it lets nothing but what was signed; there is
/// one way to write what an approver signs; and whatever a manifest asks for can be decided about.
pub fn consent(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (good, text) = &*CONSENT;
    match how % 4 {
        0 | 1 => {
            let bytes = if how % 4 == 0 { rest.to_vec() } else { Edits(rest).of(text.as_bytes()) };
            let Ok(decision) = Decision::parse(&bytes) else { return };
            if decision.judge(roots::trusted(), "practice").is_ok() {
                assert_eq!(decision.decided(), good, "it lets what nobody signed");
            }
        }
        2 => {
            let payload = Edits(rest).of(&forge::payload(text.as_bytes()).expect("a payload"));
            let text = forge::dsse("application/vnd.unship.consent+json", &payload, &roots::approver());
            let Ok(decision) = Decision::parse(text.as_bytes()) else { return };
            let again = decision.decided().sign(&roots::approver()).expect("what can be read can be signed");
            assert_eq!(again, text, "there is one way to write it");
            if decision.judge(roots::trusted(), "practice").is_ok() {
                assert_eq!(decision.decided().site, "practice");
            }
        }
        _ => {
            let lists: Vec<String> = rest
                .split(|b| *b == 0)
                .map(|text| serde_json::to_string(&String::from_utf8_lossy(text)).expect("a string"))
                .map(|text| text.replace('\u{7f}', "\\u007f"))
                .collect();
            let asks = format!("files.read = [{0}]\nflags.set = {{ f = [{0}] }}", lists.join(","));
            let step = "[[step]]\nname = \"s\"\ntitle = \"t\"";
            let manifest = format!("story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n{step}\n{asks}\n");
            let Some(bundle) = bundles::with_manifest(&manifest) else { return };
            let decided = Decided::of(&bundle, "practice", "it was read", Moment::from_ms(roots::NOW), None);
            let text = decided.sign(&roots::approver()).expect("whatever is asked for can be decided about");
            let decision = Decision::parse(text.as_bytes()).expect("what was signed is read");
            assert_eq!(*decision.decided(), decided);
            assert!(!requests(bundle.manifest()).is_empty());
            let basis = unship_policy::consent(&bundle, &[], &[decision], roots::trusted(), "practice");
            assert_eq!(*basis.expect("it is allowed").basis(), Basis::Owned, "its signers are the site's own");
        }
    }
}
