//! The trust root: its chain from version to version, what it lets sign, and every attack on either.

use crate::support::{
    NOW, ROOT_SEED, file, head, key, key_table, narrowed, release, role_table, root_text, signed_by, trusted, verify,
};
use unship_policy::{
    Accepted, Bundle, BundleError, Digest, Lapse, Memory, Moment, Narrowed, Root, RootError, RootFile, SecretKey,
    SecretKeyError, Signer as _, StoryId, StoryPattern, Tier, TrustRoot, Wanted, attach_minisig, pack,
};

const DAY_MS: u64 = 24 * 3600 * 1000;
const MANIFEST: &str = "story = \"1.3\"\nversion = \"1.4.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n";

fn packed() -> Vec<u8> {
    pack(b"\0asm\x0d\0\x01\0", MANIFEST).expect("packed")
}

/// A root whose role `root` these seeds hold, with this threshold; each key is named after its seed.
fn rooted(version: u32, seeds: &[u8], threshold: u32, more: &str) -> String {
    let names: Vec<String> = seeds.iter().map(|seed| format!("k{seed}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let keys: String = seeds.iter().zip(&names).map(|(seed, name)| key_table(name, *seed, "")).collect();
    format!("{}{keys}{}{more}", head(version), role_table("root", &names, threshold))
}

fn accepted(file: &RootFile) -> Accepted {
    Accepted { version: file.version, digest: Digest::of(file.text.as_bytes()) }
}

fn follow(files: &[RootFile], from: &RootFile) -> Result<u32, RootError> {
    TrustRoot::follow(files, accepted(from), Memory::default(), NOW).map(|trust| trust.root().version)
}

/// v1 by keys 1–3, two of them; v2 by 2–4; v3 by 3–5.
fn three() -> [RootFile; 3] {
    [
        file(1, &rooted(1, &[1, 2, 3], 2, ""), &[1, 2]),
        file(2, &rooted(2, &[2, 3, 4], 2, ""), &[2, 3]),
        file(3, &rooted(3, &[3, 4, 5], 2, ""), &[3, 4]),
    ]
}

#[test]
fn a_site_goes_from_version_to_version_however_long_it_was_offline() {
    let [one, two, three] = three();
    let all = [one.clone(), two.clone(), three.clone()];
    assert_eq!(follow(&all[..1], &one), Ok(1));
    assert_eq!(follow(&all[..2], &one), Ok(2));
    assert_eq!(follow(&all, &one), Ok(3), "two versions later, in one go");
    assert_eq!(follow(&all, &two), Ok(3));
    assert_eq!(follow(&all[2..], &three), Ok(3), "what is older is not needed any more");
    let shuffled = [three.clone(), one.clone(), two];
    assert_eq!(follow(&shuffled, &one), Ok(3));
    assert_eq!(TrustRoot::begin(&shuffled, NOW).map(|trust| trust.root().version), Ok(3));
    assert_eq!(TrustRoot::begin(&[three], NOW).map(|trust| trust.root().version), Ok(3));
}

#[test]
fn none_is_skipped_replayed_or_put_in_the_place_of_another() {
    let [one, two, three] = three();
    assert_eq!(follow(&[one.clone(), three.clone()], &one), Err(RootError::Skipped { missing: 2 }));
    assert_eq!(follow(std::slice::from_ref(&three), &two), Err(RootError::Skipped { missing: 2 }));
    assert_eq!(
        follow(&[one.clone(), two.clone()], &three),
        Err(RootError::WentBack { accepted: 3, newest: 2 }),
        "an old state of the folder"
    );
    assert_eq!(follow(&[], &one), Err(RootError::None));
    // The accepted version with another content, however well signed.
    let other = file(2, &rooted(2, &[2, 3, 4], 1, ""), &[2, 3]);
    assert_eq!(follow(&[other.clone(), three.clone()], &two), Err(RootError::Replaced { version: 2 }));
    // A site that went by version 2 remembers it, though its pin says 1.
    let memory = Memory { root: Some(accepted(&two)), ..Memory::default() };
    let by_memory = |files: &[RootFile]| {
        TrustRoot::follow(files, accepted(&one), memory.clone(), NOW).map(|trust| trust.root().version)
    };
    assert_eq!(by_memory(std::slice::from_ref(&one)), Err(RootError::WentBack { accepted: 2, newest: 1 }));
    assert_eq!(by_memory(&[one.clone(), other]), Err(RootError::Replaced { version: 2 }));
    assert_eq!(by_memory(&[one.clone(), two.clone(), three]), Ok(3));
    // A file under another version's name.
    let renamed = RootFile { version: 2, ..one.clone() };
    assert_eq!(follow(&[one.clone(), renamed], &one), Err(RootError::OtherVersion { version: 2, says: 1 }));
    let dated_back = rooted(2, &[2, 3, 4], 2, "").replace("issued = 2027-01-01", "issued = 2026-12-31");
    let error = follow(&[one.clone(), file(2, &dated_back, &[2, 3])], &one);
    assert!(matches!(error, Err(RootError::IssuedBefore { version: 2, .. })), "{error:?}");
}

#[test]
fn a_version_needs_enough_keys_of_the_one_before_it_and_of_its_own() {
    let [one, ..] = three();
    let text = rooted(2, &[2, 3, 4], 2, "");
    let few = |by: &[u8]| match follow(&[one.clone(), file(2, &text, by)], &one) {
        Err(RootError::TooFew { by, given, needed, .. }) => (by, given, needed),
        other => panic!("{other:?}"),
    };
    assert_eq!(few(&[]), (1, 0, 2));
    assert_eq!(few(&[2]), (1, 1, 2));
    assert_eq!(few(&[2, 4]), (1, 1, 2), "4 is not of the old ones");
    assert_eq!(few(&[1, 2]), (2, 1, 2), "1 is not of the new ones");
    assert_eq!(few(&[7, 8, 9]), (1, 0, 2), "strangers");
    assert_eq!(follow(&[one.clone(), file(2, &text, &[1, 2, 4])], &one), Ok(2));
    // A first version must carry its own signatures, and a stranger's count for nothing.
    let text = rooted(1, &[1, 2], 2, "");
    assert!(matches!(TrustRoot::begin(&[file(1, &text, &[1, 9])], NOW), Err(RootError::TooFew { given: 1, .. })));
    // One key listed twice does not make two: neither under two names, nor in two ways of signing.
    let twice = format!("{text}{}", key_table("again", 1, ""));
    let error = Root::parse(&twice).expect_err("refused");
    assert!(error.message.contains("under a second name"), "{error}");
    let point = key(1).public().to_string();
    let digits = point.rsplit(':').next().expect("digits");
    let bytes: Vec<u8> = (0..32).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hex")).collect();
    let minisign = minisign_public(*b"ABCDEFGH", &bytes);
    let error = Root::parse(&format!("{text}[keys.mini]\npublic = \"{minisign}\"\n")).expect_err("refused");
    assert!(error.message.contains("under a second name"), "{error}");
    // Nor does the same signature, written twice into the envelope.
    let mut doubled = file(1, &text, &[1]);
    let envelope = String::from_utf8(doubled.signatures.clone()).expect("JSON");
    let (before, list) = envelope.split_once('[').expect("a list");
    let entry = list.split_once(']').expect("its end").0;
    doubled.signatures = format!("{before}[{entry},{entry}]}}\n").into_bytes();
    let error = TrustRoot::begin(&[doubled], NOW).expect_err("refused").to_string();
    assert!(error.contains("signed it twice; each counts once"), "{error}");
}

#[test]
fn revoked_keys_sign_no_root_and_what_is_revoked_stays_so() {
    let [one, ..] = three();
    let revoke = |seed: u8| format!("[[revoked.key]]\npublic = \"{}\"\nreason = \"lost\"\n", key(seed).public());
    // The new version revokes a key of the old one: that key's signature on it does not count.
    let text = rooted(2, &[1, 2, 3], 2, &revoke(1));
    let error = follow(&[one.clone(), file(2, &text, &[1, 2])], &one).expect_err("refused").to_string();
    assert!(error.contains("1 of the 2 keys") && error.contains("the key `k1` is revoked"), "{error}");
    let two = file(2, &text, &[2, 3]);
    assert_eq!(follow(&[one.clone(), two.clone()], &one), Ok(2));
    // Nor on any later one.
    let by_revoked = file(3, &rooted(3, &[1, 2, 3], 2, &revoke(1)), &[1, 3]);
    assert!(matches!(follow(&[two.clone(), by_revoked], &two), Err(RootError::TooFew { given: 1, .. })));
    let forgotten = file(3, &rooted(3, &[2, 3], 2, ""), &[2, 3]);
    let error = follow(&[two.clone(), forgotten], &two).expect_err("refused").to_string();
    assert!(error.starts_with("version 3 of the trust root takes back that the key"), "{error}");
    let digest = Digest::of(b"bundle");
    let bundle = format!("[[revoked.bundle]]\ndigest = \"{digest}\"\nreason = \"wipes the wrong cache\"\n");
    let with = file(1, &rooted(1, &[1], 1, &bundle), &[1]);
    let without = file(2, &rooted(2, &[1], 1, ""), &[1]);
    let error = follow(&[with.clone(), without], &with).expect_err("refused").to_string();
    assert!(error.contains("takes back that the bundle"), "{error}");
}

#[test]
fn every_changed_byte_of_a_root_or_its_envelope_is_told() {
    let [one, two, _] = three();
    for at in 0..two.text.len() {
        let mut text = two.text.clone().into_bytes();
        text[at] ^= 1;
        let Ok(text) = String::from_utf8(text) else { continue };
        assert!(follow(&[one.clone(), RootFile { text, ..two.clone() }], &one).is_err(), "byte {at} of the text");
    }
    for at in 0..two.signatures.len() {
        let mut signatures = two.signatures.clone();
        signatures[at] ^= 1;
        let bad = RootFile { signatures, ..two.clone() };
        assert!(follow(&[one.clone(), bad], &one).is_err(), "byte {at} of the envelope");
        let cut = RootFile { signatures: two.signatures[..at].to_vec(), ..two.clone() };
        assert!(follow(&[one.clone(), cut], &one).is_err(), "cut at {at}");
    }
}

#[test]
fn a_clock_that_was_set_back_is_noticed() {
    let text = root_text(&[], &[]);
    let one = file(1, &text, &[ROOT_SEED]);
    let at = |now_ms, newest_ms| {
        let memory = Memory { newest_ms, ..Memory::default() };
        TrustRoot::follow(std::slice::from_ref(&one), accepted(&one), memory, now_ms).map(drop)
    };
    assert_eq!(at(NOW, Some(NOW - DAY_MS)), Ok(()));
    assert_eq!(at(NOW, Some(NOW + 60_000)), Ok(()), "clocks are a little apart");
    let error = at(NOW, Some(NOW + DAY_MS)).expect_err("refused").to_string();
    assert!(error.starts_with("the clock was set back: it says 2027-01-15T08:00:00Z"), "{error}");
    let issued: Moment = "2027-01-01T00:00:00Z".parse().expect("a moment");
    let error = at(issued.ms() - DAY_MS, None).expect_err("refused").to_string();
    assert!(error.contains("the clock was set back, or the root is dated ahead"), "{error}");
}

#[test]
fn a_clock_that_ran_ahead_is_given_up_for_its_very_moment_by_the_roots_keys() {
    let text = |ahead: &str| format!("{}{ahead}", root_text(&[], &[]));
    let one = file(1, &text(""), &[ROOT_SEED]);
    let wrong = Moment::from_ms(NOW + 1000 * DAY_MS);
    let second = text(&format!("[clock]\nran-ahead-to = [{wrong}]\n")).replacen("version = 1", "version = 2", 1);
    let at = |files: &[RootFile], now_ms, newest_ms| {
        let memory = Memory { newest_ms: Some(newest_ms), ..Memory::default() };
        TrustRoot::follow(files, accepted(&one), memory, now_ms).map(|trust| trust.accepted().version)
    };
    let both = [one.clone(), file(2, &second, &[ROOT_SEED])];
    assert!(matches!(at(&both[..1], NOW, wrong.ms()), Err(RootError::SetBack { .. })));
    // To the second: the journal writes milliseconds.
    assert_eq!((at(&both, NOW, wrong.ms()), at(&both, NOW, wrong.ms() + 999)), (Ok(2), Ok(2)));
    for other in [wrong.ms() - 1000, wrong.ms() + 1000, NOW + DAY_MS] {
        assert!(matches!(at(&both, NOW, other), Err(RootError::SetBack { .. })), "of another moment it says nothing");
    }
    let issued: Moment = "2027-01-01T00:00:00Z".parse().expect("a moment");
    let before = at(&both, issued.ms() - DAY_MS, wrong.ms());
    assert!(matches!(before, Err(RootError::NotYet { .. })), "set back beyond its issue it is noticed");
    // What was written since then counts again, and what was written before does still.
    let after = |moments: &[u64], now_ms| {
        let mut memory = Memory::default();
        moments.iter().for_each(|at_ms| memory.wrote(*at_ms));
        TrustRoot::follow(&both, accepted(&one), memory, now_ms).map(drop)
    };
    let ahead = wrong.ms();
    assert_eq!(after(&[NOW - DAY_MS, ahead - DAY_MS, ahead, NOW], NOW), Ok(()), "all of the time that it was ahead");
    for moments in [&[NOW - DAY_MS, ahead, NOW][..], &[ahead, NOW, NOW - 3 * DAY_MS]] {
        assert!(matches!(after(moments, NOW - 2 * DAY_MS), Err(RootError::SetBack { .. })), "{moments:?}");
    }
    let alone = [one.clone(), file(2, &second, &[7])];
    assert!(at(&alone, NOW, wrong.ms()).is_err(), "signed by nobody who may");
    let root = Root::parse(&second).expect("a root");
    assert_eq!(Root::parse(&root.to_text()).expect("written").clock_ran_ahead_to, [wrong].into());
    for bad in ["ran-ahead-to = 2031-01-01T00:00:00Z", "ran-ahead-to = [2031-01-01]", "ran-ahead = []", ""] {
        assert!(Root::parse(&text(&format!("[clock]\n{bad}\n"))).is_err(), "{bad:?}");
    }
}

#[test]
fn what_expires_is_told_30_days_before_and_refused_after() {
    let until = |keys: &str, now_ms: u64| {
        let text = root_text(&[("one", 1, keys)], &[("release", &["one"], 1)]);
        TrustRoot::begin(&[file(1, &text, &[ROOT_SEED])], now_ms).expect("a trust root")
    };
    let end: Moment = "2028-01-01T00:00:00Z".parse().expect("a moment");
    assert!(until("", end.ms() - 31 * DAY_MS).warnings().is_empty());
    let warnings = until("", end.ms() - 30 * DAY_MS).warnings();
    assert_eq!(warnings, ["the trust root, version 1, expires at 2028-01-01T00:00:00Z, in 30 days"]);
    let bundle = signed_by(&packed(), &[1]);
    assert!(verify(&bundle, &until("", end.ms() - 1), &["release"]).is_ok());
    let expired = until("", end.ms());
    assert_eq!(expired.warnings(), ["the trust root, version 1, expired at 2028-01-01T00:00:00Z"]);
    let lapse = Lapse::Root { version: 1, at: end };
    assert_eq!(verify(&bundle, &expired, &["release"]).map(drop), Err(BundleError::Expired(vec![lapse.clone()])));
    // Accepted where it is asked for, and then it says so; a wrong or missing signature never is.
    let story = StoryId::new("1.3").expect("an id");
    let roles = crate::support::roles(&["release"]);
    let wanted = Wanted { story: &story, site: "practice", roles: &roles, accept_expired: true };
    let all = |bytes: &[u8], trust: &TrustRoot| Bundle::parse(bytes.into()).and_then(|b| b.verify(trust, &wanted));
    assert_eq!(all(&bundle, &expired).expect("accepted").lapses(), [lapse]);
    assert!(matches!(all(&packed(), &expired), Err(BundleError::Unsigned)));
    assert!(matches!(all(&signed_by(&packed(), &[2]), &expired), Err(BundleError::NotTrusted { .. })));
    // A key's own time.
    let early = until("not-before = 2027-02-01T00:00:00Z", NOW);
    let error = verify(&bundle, &early, &["release"]).expect_err("refused").to_string();
    assert!(error.contains("the key `one` does not count yet"), "{error}");
    let late = until("not-after = 2027-01-10T00:00:00Z", NOW);
    let error = verify(&bundle, &late, &["release"]).expect_err("refused").to_string();
    assert!(error.starts_with("the key `one` expired at 2027-01-10T00:00:00Z"), "{error}");
    assert_eq!(all(&bundle, &late).expect("accepted").lapses().len(), 1);
    assert!(all(&bundle, &early).is_err(), "not yet is not expired");
}

#[test]
fn roles_bind_keys_to_stories_with_a_threshold_of_different_keys() {
    let keys = [("one", 1, ""), ("two", 2, ""), ("three", 3, "")];
    let both = root_text(&keys, &[("release", &["one", "two"], 2)]);
    let trust = trusted(&both);
    let error = verify(&signed_by(&packed(), &[1, 3]), &trust, &["release"]).expect_err("refused").to_string();
    assert!(error.starts_with("1 of the 2 keys with the role `release`"), "{error}");
    assert!(verify(&signed_by(&packed(), &[1, 2]), &trust, &["release"]).is_ok());
    let others = trusted(&both.replace("stories = [\"*\"]", "stories = [\"1.1.*\", \"2.*\"]"));
    let error = verify(&signed_by(&packed(), &[1, 2]), &others, &["release"]).expect_err("refused").to_string();
    assert_eq!(error, "the role `release` may not sign story 1.3: in the trust root it is for 1.1.*, 2.*");
    for role in ["root", "nobody"] {
        let error = verify(&signed_by(&packed(), &[1, 2, ROOT_SEED]), &trust, &[role]).expect_err("refused");
        assert_eq!(error, BundleError::UnknownRole(role.to_owned()));
    }
    let covers = |pattern: &str, story: &str| {
        StoryPattern::parse(pattern).expect("a pattern").covers(&StoryId::new(story).expect("an id"))
    };
    assert!(covers("1.3", "1.3") && !covers("1.3", "1.30") && covers("1.*", "1.1.5") && covers("*", "9"));
    assert!(!covers("1.*", "1") && !covers("1.*", "11.2"));
    // How far a bundle is trusted is the least of what was demanded.
    let two = root_text(&keys, &[("release", &["one"], 1), ("vendor", &["two"], 1)]);
    let (head, vendor) = two.split_once("[roles.vendor]").expect("the role");
    let trust = trusted(&format!("{head}[roles.vendor]{}", vendor.replace("owned", "community")));
    let tier = |demanded: &[&str]| verify(&signed_by(&packed(), &[1, 2]), &trust, demanded).expect("signed").tier();
    assert_eq!((tier(&["release"]), tier(&["release", "vendor"])), (Tier::Owned, Tier::Community));
}

#[test]
fn revoked_is_revoked() {
    let bundle = signed_by(&packed(), &[1]);
    let digest = Bundle::parse(bundle.as_slice().into()).expect("a bundle").digest();
    let base = root_text(&[("one", 1, ""), ("two", 2, "")], &[("release", &["one", "two"], 1)]);
    let by_digest = format!("{base}[[revoked.bundle]]\ndigest = \"{digest}\"\nreason = \"wipes the wrong cache\"\n");
    let error = verify(&bundle, &trusted(&by_digest), &["release"]).expect_err("refused").to_string();
    assert_eq!(error, "this very bundle is revoked: wipes the wrong cache");
    let by_key = format!("{base}[[revoked.key]]\npublic = \"{}\"\nreason = \"laptop stolen\"\n", key(1).public());
    let trust = trusted(&by_key);
    let error = verify(&bundle, &trust, &["release"]).expect_err("refused").to_string();
    assert!(error.contains("the key `one` is revoked: laptop stolen"), "{error}");
    assert!(verify(&signed_by(&packed(), &[1, 2]), &trust, &["release"]).is_ok(), "another key is enough");
}

#[test]
fn an_older_version_than_one_that_ran_is_refused() {
    let bundle = signed_by(&packed(), &[1]);
    let text = root_text(&[("one", 1, "")], &[("release", &["one"], 1)]);
    let one = file(1, &text, &[ROOT_SEED]);
    let after = |ran: [u32; 3]| {
        let bundles = [(StoryId::new("1.3").expect("an id"), ran)].into();
        let memory = Memory { bundles, ..Memory::default() };
        let trust = TrustRoot::follow(std::slice::from_ref(&one), accepted(&one), memory, NOW).expect("a root");
        verify(&bundle, &trust, &["release"]).map(drop)
    };
    assert_eq!(after([1, 4, 0]), Ok(()));
    assert_eq!(after([1, 3, 99]), Ok(()));
    for ran in [[1, 4, 1], [1, 10, 0], [2, 0, 0]] {
        assert!(matches!(after(ran), Err(BundleError::Older { .. })), "{ran:?}");
    }
}

#[test]
fn a_signature_is_for_one_story_and_for_the_sites_and_times_that_it_names() {
    let trust = release(1);
    let for_sites = |sites: &[&str]| {
        let narrow = Narrowed { sites: sites.iter().map(ToString::to_string).collect(), ..Narrowed::default() };
        verify(&narrowed(&packed(), &narrow, &[1]), &trust, &["release"]).map(drop)
    };
    assert_eq!(for_sites(&["staging", "practice"]), Ok(()));
    for site in ["staging", "Practice", "practice ", "prаctice", "practice\u{202e}"] {
        assert!(matches!(for_sites(&[site]), Err(BundleError::OtherSite { .. })), "{site:?}");
    }
    let moment = |text: &str| Some(text.parse().expect("a moment"));
    let timed = |not_before, expires| {
        let narrow = Narrowed { not_before, expires, ..Narrowed::default() };
        verify(&narrowed(&packed(), &narrow, &[1]), &trust, &["release"]).map(drop)
    };
    assert_eq!(timed(moment("2027-01-01T00:00:00Z"), moment("2027-02-01T00:00:00Z")), Ok(()));
    assert!(matches!(timed(moment("2027-02-01T00:00:00Z"), None), Err(BundleError::NotYet(_))));
    assert!(matches!(timed(None, moment("2027-01-02T00:00:00Z")), Err(BundleError::Expired(_))));
    // The envelope of another bundle, story or site does not fit this one.
    let other = pack(b"\0asm\x0d\0\x01\0", &MANIFEST.replacen("1.3", "1.4", 1)).expect("packed");
    let (mine, theirs) = (packed(), signed_by(&other, &[1]));
    let moved = [&mine[..], &theirs[other.len()..]].concat();
    assert!(matches!(verify(&moved, &trust, &["release"]), Err(BundleError::Altered(_))));
    assert!(matches!(verify(&theirs, &trust, &["release"]), Err(BundleError::OtherStory { .. })));
    // A second signer does not widen what the first one narrowed.
    let narrow = Narrowed { sites: vec!["staging".to_owned()], ..Narrowed::default() };
    let once = narrowed(&packed(), &narrow, &[1]);
    let bundle = Bundle::parse(once.into()).expect("a bundle");
    assert!(matches!(unship_policy::sign(&bundle, Narrowed::default(), &key(2)), Err(BundleError::Unsignable(_))));
}

fn minisign_public(id: [u8; 8], point: &[u8]) -> String {
    format!("minisign:{}", base64(&[&b"Ed"[..], &id, point].concat()))
}

/// What an independent hand would write: `base64(1)` of these bytes.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i) & 63) as usize];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[test]
fn keys_under_a_passphrase_open_with_it_alone() {
    let secret = key(9);
    let text = secret.to_encrypted_text("correct horse", &[7; 32]).expect("encrypted");
    assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n") && SecretKey::is_encrypted(&text));
    let opened = SecretKey::open(&text, Some("correct horse")).expect("opens");
    assert_eq!(opened.public(), secret.public());
    let fails = |text: &str, passphrase| SecretKey::open(text, passphrase).map(drop);
    assert_eq!(fails(&text, None), Err(SecretKeyError::NeedsPassphrase));
    assert_eq!(fails(&text, Some("correct hors")), Err(SecretKeyError::WrongPassphrase));
    assert_eq!(fails(&secret.to_text(), Some("x")), Err(SecretKeyError::NotEncrypted));
    assert!(fails(&text.replacen('M', "N", 1), Some("correct horse")).is_err());
    assert_eq!(fails("hush", None), Err(SecretKeyError::Form));
}

/// Made by minisign 0.11 of the packed bundle above, with a key of its own.
mod of_minisign {
    pub const PUBLIC: &str = include_str!("minisign/key.pub");
    pub const SIGNATURE: &str = include_str!("minisign/bundle.minisig");
    /// With the comment that minisign writes where none is given.
    pub const USUAL: [&str; 2] = [include_str!("minisign/usual.pub"), include_str!("minisign/usual.minisig")];
}

#[test]
fn a_signature_with_the_comment_that_minisign_writes_itself_is_accepted() {
    let [public, signature] = of_minisign::USUAL;
    let second = public.lines().nth(1).expect("two lines");
    let base = root_text(&[("one", 1, "")], &[("release", &["one"], 1)]);
    let vendor = role_table("vendor", &["mini"], 1);
    let trust = trusted(&format!("{base}[keys.mini]\npublic = \"minisign:{second}\"\n{vendor}"));
    let bundle = Bundle::parse(packed().into()).expect("a bundle");
    let attached = attach_minisig(&bundle, signature).expect("attached");
    assert!(verify(&attached, &trust, &["vendor"]).is_ok());
    for other in ["timestamp:1\u{1b}[2J", "timestamp:1\rfile:other", "timestamp:1\u{0}"] {
        let text =
            signature.replace(signature.lines().nth(2).expect("four lines"), &format!("trusted comment: {other}"));
        assert!(attach_minisig(&bundle, &text).is_err(), "{other:?}");
    }
}

#[test]
fn a_signature_of_minisign_is_accepted_for_a_key_that_signs_so() {
    let second = of_minisign::PUBLIC.lines().nth(1).expect("two lines");
    let key_line = format!("[keys.mini]\npublic = \"minisign:{second}\"\n");
    let base = root_text(&[("one", 1, "")], &[("release", &["one"], 1)]);
    let role = role_table("vendor", &["mini"], 1);
    let trust = trusted(&format!("{base}{key_line}{role}"));
    let bundle = |bytes: &[u8]| Bundle::parse(bytes.into()).expect("a bundle");
    let alone = attach_minisig(&bundle(&packed()), of_minisign::SIGNATURE).expect("attached");
    assert!(verify(&alone, &trust, &["vendor"]).is_ok());
    assert!(matches!(verify(&alone, &trust, &["release"]), Err(BundleError::NotTrusted { .. })));
    let both = attach_minisig(&bundle(&signed_by(&packed(), &[1])), of_minisign::SIGNATURE).expect("attached");
    assert!(verify(&both, &trust, &["vendor", "release"]).is_ok());
    assert!(matches!(attach_minisig(&bundle(&both), of_minisign::SIGNATURE), Err(BundleError::SignedTwice)));
    for at in 0..both.len() {
        for bit in [0x01, 0x10, 0x80] {
            let mut bad = both.clone();
            bad[at] ^= bit;
            assert!(verify(&bad, &trust, &["vendor", "release"]).is_err(), "byte {at} ^ {bit:#x}");
        }
        assert!(verify(&both[..at], &trust, &["vendor", "release"]).is_err(), "cut at {at}");
    }
    // Over other bytes.
    let other = pack(b"\0asm\x0d\0\x01\0", &MANIFEST.replacen("1.4.0", "1.4.1", 1)).expect("packed");
    let moved = attach_minisig(&bundle(&other), of_minisign::SIGNATURE).expect("attached");
    assert!(matches!(verify(&moved, &trust, &["vendor"]), Err(BundleError::WrongSignature(_))));
    // The text of the file, at fault.
    let lines: Vec<&str> = of_minisign::SIGNATURE.lines().collect();
    for (case, text) in [
        ("empty", String::new()),
        ("three lines", lines[..3].join("\n")),
        ("no comment", of_minisign::SIGNATURE.replacen("trusted comment: ", "comment: ", 2)),
        ("no base64", of_minisign::SIGNATURE.replacen(lines[1], "???", 1)),
        ("short", of_minisign::SIGNATURE.replacen(lines[3], &lines[3][..40], 1)),
    ] {
        assert!(attach_minisig(&bundle(&packed()), &text).is_err(), "{case}");
    }
}

#[test]
fn a_root_is_written_as_it_is_read() {
    let more = format!(
        "[break-glass]\napprovals = 2\n[[revoked.key]]\npublic = \"{}\"\nreason = \"a \\\"quoted\\\" reason\"\n\
         [[revoked.bundle]]\ndigest = \"{}\"\nreason = \"r\"\n",
        key(8).public(),
        Digest::of(b"b")
    );
    let text = root_text(
        &[("one", 1, "owner = \"ada\"\nnot-after = 2027-05-01T00:00:00Z"), ("two", 2, "")],
        &[("release", &["one", "two"], 2), ("approver", &["one"], 1)],
    );
    let root = Root::parse(&format!("{text}{more}")).expect("a root");
    let written = root.to_text();
    let again = Root::parse(&written).expect("what is written is read");
    assert_eq!(format!("{root:?}"), format!("{again:?}"));
    assert_eq!(again.to_text(), written);
}
