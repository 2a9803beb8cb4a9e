//! Tiers and consent: what no policy can grant, whose decision counts, what an update may ask for.

use crate::support::{NOW, ROOT_SEED, file, key, root_text, signed_by, trusted, verify};
use proptest::prelude::*;
use std::collections::BTreeSet;
use unship_policy::{
    Allowed, Basis, Decided, Decision, Digest, GrantError, Moment, NotAllowed, SitePolicy, StoryId, StoryPolicy, Tier,
    TrustRoot, VerifiedBundle, consent, pack, requests, resolve,
};

const SITE: &str = "[site]\nname = \"practice\"\nbundles = \"b\"\n[commands.look]\nargv = [\"bin/look\"]\ntimeout = \"5s\"\n\
                    writes = [\"/\"]\nsimulated-stdout = \"\"\n[http.ask]\nmethod = \"GET\"\nurl = \"https://127.0.0.1:1/\"\ntimeout = \"5s\"\n";

/// Ada and bob approve; two of them must. `vendor` signs for this tier.
fn trust_of(tier: &str, threshold: u32) -> TrustRoot {
    let text = root_text(
        &[
            ("vendor", 1, ""),
            ("ada", 2, "owner = \"ada\""),
            ("bob", 3, "owner = \"bob\""),
            ("ada-too", 4, "owner = \"ada\""),
        ],
        &[("vendor", &["vendor"], 1), ("approver", &["ada", "bob", "ada-too"], threshold)],
    );
    trusted(&text.replace("tier = \"owned\"", &format!("tier = \"{tier}\"")))
}

fn manifest(version: &str, requests: &str) -> String {
    format!(
        "story = \"1.3\"\nversion = \"{version}\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n{requests}\n"
    )
}

fn bundle(trust: &TrustRoot, version: &str, requests: &str) -> VerifiedBundle {
    let packed = pack(b"\0asm\x0d\0\x01\0", &manifest(version, requests)).expect("packed");
    verify(&signed_by(&packed, &[1]), trust, &["vendor"]).expect("verified")
}

fn decided(bundle: &VerifiedBundle, at_ms: u64, expires_ms: Option<u64>) -> Decided {
    Decided::of(bundle, "practice", "looked at", Moment::from_ms(at_ms), expires_ms.map(Moment::from_ms))
}

fn by(decided: &Decided, seed: u8) -> Decision {
    Decision::parse(decided.sign(&key(seed)).expect("signed").as_bytes()).expect("what is written is read")
}

fn asked(trust: &TrustRoot, bundle: &VerifiedBundle, given: &[Decision]) -> Result<Basis, Box<NotAllowed>> {
    consent(bundle, &[], given, trust, "practice").map(|allowed: Allowed| {
        assert_eq!(allowed.bundle(), bundle.digest());
        allowed.basis().clone()
    })
}

fn why(trust: &TrustRoot, bundle: &VerifiedBundle, given: &[Decision]) -> NotAllowed {
    *asked(trust, bundle, given).expect_err("is not allowed")
}

fn people(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

const READ: &str = "files.read = [\"logs/**\"]\nfiles.clear = [\"cache\"]";

#[test]
fn ones_own_need_no_decision_and_all_others_do() {
    let owned = trust_of("owned", 1);
    assert_eq!(asked(&owned, &bundle(&owned, "1.0.0", READ), &[]).expect("owned"), Basis::Owned);
    for tier in ["partner", "community"] {
        let trust = trust_of(tier, 1);
        let new = bundle(&trust, "1.0.0", READ);
        let error = why(&trust, &new, &[]);
        assert_eq!((error.tier.to_string().as_str(), error.needed, error.beyond.is_none()), (tier, 1, true));
        let decision = by(&decided(&new, NOW, None), 2);
        assert_eq!(asked(&trust, &new, &[decision]).expect("allowed"), Basis::Decided(people(&["ada"])));
        // Or it stands in the policy of the story, for this very digest.
        let declared =
            |digest| consent(&new, &[digest], &[], &trust, "practice").map(|allowed| allowed.basis().clone());
        assert_eq!(declared(new.digest()).expect("declared"), Basis::Declared);
        assert!(declared(Digest::of(b"another")).is_err());
    }
}

#[test]
fn as_many_different_people_as_the_root_says_decide() {
    let trust = trust_of("partner", 2);
    let new = bundle(&trust, "1.0.0", READ);
    let decision = decided(&new, NOW, None);
    let [ada, bob, ada_too] = [2, 3, 4].map(|seed| by(&decision, seed));
    assert_eq!(why(&trust, &new, std::slice::from_ref(&ada)).people, ["ada"]);
    assert_eq!(why(&trust, &new, &[ada.clone(), ada.clone()]).people, ["ada"], "a copy");
    assert_eq!(why(&trust, &new, &[ada.clone(), ada_too]).people, ["ada"], "by another key of hers");
    assert_eq!(asked(&trust, &new, &[ada, bob]).expect("both"), Basis::Decided(people(&["ada", "bob"])));
}

#[test]
fn it_is_allowed_as_long_as_enough_of_the_decisions_count() {
    let hours = |n: u64| NOW + n * 3_600_000;
    let until = |needed: u32, given: &[(u8, Option<u64>)]| {
        let trust = trust_of("partner", needed);
        let new = bundle(&trust, "1.0.0", READ);
        let given: Vec<Decision> =
            given.iter().map(|(seed, end)| by(&decided(&new, NOW, end.map(hours)), *seed)).collect();
        consent(&new, &[], &given, &trust, "practice").expect("allowed").until()
    };
    let at = |n| Some(Moment::from_ms(hours(n)));
    assert_eq!(until(1, &[(2, None)]), None);
    assert_eq!(until(1, &[(2, Some(3))]), at(3));
    assert_eq!(until(1, &[(2, Some(3)), (3, Some(5))]), at(5), "one is enough");
    assert_eq!(until(2, &[(2, Some(3)), (3, Some(5))]), at(3), "both are needed");
    assert_eq!(until(2, &[(2, Some(3)), (3, None)]), at(3));
    assert_eq!(until(2, &[(2, Some(3)), (2, Some(9)), (3, Some(5))]), at(5), "the longest of hers");
    assert_eq!(until(2, &[(2, Some(3)), (4, None), (3, None)]), None, "by whichever key of hers");
}

#[test]
fn an_update_that_asks_for_less_passes_and_one_that_asks_for_more_waits() {
    let trust = trust_of("community", 1);
    let first = bundle(&trust, "1.0.0", READ);
    let given = [by(&decided(&first, NOW - 1000, None), 2)];
    let follows = |requests: &str| asked(&trust, &bundle(&trust, "1.1.0", requests), &given);
    let by_ada = Basis::Follows(first.digest(), people(&["ada"]));
    for less in ["", "files.read = [\"logs/**\"]", "files.read = [\"logs/today.txt\"]\nfiles.clear = [\"cache\"]", READ]
    {
        assert_eq!(follows(less).expect(less), by_ada, "{less}");
    }
    for (more, beyond) in [
        ("files.read = [\"logs/**\", \"secrets\"]", "files.read = [\"secrets\"]"),
        ("files.remove = [\"logs/**\"]", "files.remove = [\"logs/**\"]"),
        ("files.read = [\"**\"]", "files.read = [\"**\"]"),
        ("services.restart = [\"web\"]", "services.restart = [\"web\"]"),
        ("files.clear = [\"Cache\"]", "files.clear = [\"Cache\"]"),
        ("files.clear = [\"c\u{430}che\"]", "files.clear = [\"c\u{430}che\"]"),
    ] {
        let error = *follows(more).expect_err(more);
        let (last, powers) = error.beyond.expect("the difference");
        assert_eq!(last, first.digest());
        assert_eq!(powers.iter().map(ToString::to_string).collect::<Vec<_>>(), [beyond], "{more}");
    }
    // Once that is allowed too, the newest decision is what counts: what it dropped is not had for nothing any more.
    let second = bundle(&trust, "1.1.0", "services.restart = [\"web\"]");
    let both = [given[0].clone(), by(&decided(&second, NOW, None), 2)];
    let error = why(&trust, &bundle(&trust, "1.2.0", READ), &both);
    assert_eq!(error.beyond.expect("the difference").0, second.digest());
    // The very first one is still allowed, by its digest.
    assert!(asked(&trust, &first, &both).is_ok());
}

#[test]
fn a_decision_that_does_not_count_says_why() {
    let trust = trust_of("partner", 1);
    let new = bundle(&trust, "1.0.0", READ);
    let wrong = |decision: Decision, trust: &TrustRoot| {
        let error = why(trust, &new, &[decision]);
        error.wrong.into_iter().map(|(_, e)| e.to_string()).collect::<Vec<_>>().join("; ")
    };
    let good = decided(&new, NOW, None);
    let expired = decided(&new, NOW - 2000, Some(NOW - 1000));
    assert_eq!(wrong(by(&expired, 2), &trust), "it expired at 2027-01-15T07:59:59Z");
    let ahead = decided(&new, NOW + 3_600_000, None);
    assert!(wrong(by(&ahead, 2), &trust).contains("dated in the future"));
    let mut elsewhere = good.clone();
    elsewhere.site = "prod".to_owned();
    assert_eq!(wrong(by(&elsewhere, 2), &trust), "it is for the site \"prod\", and this is \"practice\"");
    assert!(wrong(by(&good, 9), &trust).contains("is not in the trust root"));
    assert!(wrong(by(&good, 1), &trust).contains("the key `vendor` may not decide now"));
    assert!(wrong(by(&good, ROOT_SEED), &trust).contains("the key `root` may not decide now"));
    // Revoked since.
    let text = root_text(
        &[("vendor", 1, ""), ("ada", 2, "owner = \"ada\"")],
        &[("vendor", &["vendor"], 1), ("approver", &["ada"], 1)],
    )
    .replace("tier = \"owned\"", "tier = \"partner\"");
    let revoked =
        format!("{text}[[revoked.key]]\npublic = \"{}\"\nreason = \"r\"\n", unship_policy::Signer::public(&key(2)));
    let later = TrustRoot::begin(&[file(1, &revoked, &[ROOT_SEED])], NOW).expect("a root");
    assert!(wrong(by(&good, 2), &later).contains("or is revoked"));
    // Of another story, it is not about this.
    let mut other = good.clone();
    other.story = "1.4".to_owned();
    assert!(why(&trust, &new, &[by(&other, 2)]).wrong.is_empty());
    // Decided when its signers were one's own, and now they are nobody in particular: a new digest does not go by it.
    let community = trust_of("community", 1);
    let narrower = bundle(&community, "1.1.0", "");
    assert!(asked(&community, &narrower, &[by(&good, 2)]).is_err(), "trusted less than when it was decided");
}

#[test]
fn every_changed_byte_of_a_decision_is_told() {
    let trust = trust_of("partner", 1);
    let new = bundle(&trust, "1.0.0", READ);
    let text = decided(&new, NOW, Some(NOW + 3_600_000)).sign(&key(2)).expect("signed");
    for at in 0..text.len() {
        for bit in [1, 0x20] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= bit;
            let counts = Decision::parse(&bytes).is_ok_and(|decision| decision.judge(&trust, "practice").is_ok());
            assert!(!counts, "byte {at} ^ {bit}");
        }
        assert!(Decision::parse(&text.as_bytes()[..at]).is_err(), "cut at {at}");
    }
    for (reason, expires) in [("", None), ("two\nlines", None), ("r", Some(NOW - 1000))] {
        let decided = Decided::of(&new, "practice", reason, Moment::from_ms(NOW), expires.map(Moment::from_ms));
        assert!(decided.sign(&key(2)).is_err(), "{reason:?}");
    }
}

/// Signed, read again, and by it the bundle may be applied: whatever was asked for is what was decided.
fn goes_by_its_decision(requests: &str) {
    let trust = trust_of("partner", 1);
    let new = bundle(&trust, "1.0.0", requests);
    let decided = decided(&new, NOW, None);
    let decision = by(&decided, 2);
    assert_eq!(decision.decided(), &decided);
    for line in &decided.requests {
        assert!(
            !line.contains(|c: char| c.escape_debug().len() > 1 && !"'\"\\".contains(c)),
            "{line:?} is plainly seen"
        );
    }
    assert_eq!(
        asked(&trust, &new, std::slice::from_ref(&decision)).expect("allowed"),
        Basis::Decided(people(&["ada"]))
    );
    // The same requests in another version go by it as well: what was written down covers what was asked for.
    let update = bundle(&trust, "1.0.1", requests);
    assert!(
        matches!(asked(&trust, &update, &[decision]).expect("allowed"), Basis::Follows(digest, _) if digest == new.digest())
    );
}

#[test]
fn what_is_not_plainly_seen_can_be_decided_about() {
    for odd in [
        "cafe\u{301}",
        "a\u{ad}b",
        "a\u{a0}b",
        "a\u{7f}b",
        "a\u{202e}b",
        "a\tb",
        "a'b",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{e0001}",
    ] {
        let text = toml::Value::from(odd);
        goes_by_its_decision(&format!("files.read = [{text}]\nflags.set = {{ f = [{text}] }}"));
    }
}

/// Text as long as a manifest may be, of what grows most when it is written down.
#[test]
fn all_that_a_manifest_can_ask_for_can_be_decided_about() {
    for value in ["\"", "\\", "\u{301}", "\u{7f}", "\u{e0001}"] {
        let room = unship_policy::MANIFEST_BYTES_MAX - 1000;
        let one = |n: usize| toml::Value::from(format!("{}{n}", value.repeat(200))).to_string() + ",";
        let values: String = (0..room / one(10_000).len()).map(one).collect();
        goes_by_its_decision(&format!("flags.set = {{ f = [{values}] }}"));
    }
    let paths: String = (0..9000).map(|n| format!("\"data/{n}.json\",")).collect();
    goes_by_its_decision(&format!("files.read = [{paths}]"));
}

proptest! {
    #[test]
    fn whatever_can_be_asked_for_can_be_decided_about(
        paths in proptest::collection::btree_set("[^\\\\/*?\\[\\]{}:.\u{0}]{1,12}", 1..8),
        values in proptest::collection::btree_set(".{1,12}", 1..4),
    ) {
        let list = |texts: &BTreeSet<String>| {
            texts.iter().map(|text| toml::Value::from(text.as_str()).to_string()).collect::<Vec<_>>().join(",")
        };
        let requests = format!("files.read = [{}]\nflags.set = {{ f = [{}] }}", list(&paths), list(&values));
        if pack(b"\0asm\x0d\0\x01\0", &manifest("1.0.0", &requests)).is_ok() {
            goes_by_its_decision(&requests);
        }
    }
}

#[test]
fn a_tier_caps_what_any_policy_can_grant() {
    let site = SitePolicy::parse(SITE).expect("a site policy");
    let id = StoryId::new("1.3").expect("an id");
    let resolved = |tier: &str, requests: &str| {
        let trust = trust_of(tier, 1);
        let text = format!(
            "[story]\nid = \"1.3\"\ntitle = \"t\"\nbundle = \"b.wasm\"\nsigned-by = [\"vendor\"]\n[grants.s]\n{requests}\n"
        );
        let story = StoryPolicy::parse(&text, &id).expect("a policy");
        resolve(bundle(&trust, "1.0.0", requests), &story, &site)
    };
    for power in ["commands.run = [\"look\"]", "http.get = [\"ask\"]"] {
        assert!(resolved("owned", power).is_ok() && resolved("partner", power).is_ok(), "{power}");
        let error = resolved("community", power).expect_err(power);
        assert!(matches!(&error, GrantError::BeyondTier { tier: Tier::Community, .. }), "{error}");
        assert_eq!(
            error.to_string(),
            format!(
                "the step `s` requests `{power}`, which no bundle of the tier community may have, whatever a policy grants"
            )
        );
    }
    let limits = |tier: &str| resolved(tier, READ).expect("resolved").limits;
    assert_eq!(format!("{:?}", limits("owned")), format!("{:?}", limits("partner")));
    assert!(limits("community").memory_bytes_max < limits("owned").memory_bytes_max);
    assert!(
        limits("community").cpu < limits("owned").cpu && limits("community").effects_max < limits("owned").effects_max
    );
    assert!(Tier::Owned.may_weaken() && !Tier::Partner.may_weaken() && !Tier::Community.may_weaken());
}

#[test]
fn what_all_steps_ask_for_is_listed_once_and_in_one_order() {
    let trust = trust_of("owned", 1);
    let text = "files.read = [\"b\", \"a\"]\n[[step]]\nname = \"u\"\ntitle = \"t\"\nfiles.read = [\"a\"]\nflags.set = { f = \"off\" }";
    let listed: Vec<String> =
        requests(bundle(&trust, "1.0.0", text).manifest()).iter().map(ToString::to_string).collect();
    assert_eq!(listed, ["files.read = [\"a\"]", "files.read = [\"b\"]", "flags.set = { f = \"off\" }"]);
}
