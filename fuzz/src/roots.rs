//! Trust roots: their texts, their signatures, their chain.

use crate::{Edits, forge, points_inside};
use std::sync::LazyLock;
use unship_policy::{Accepted, Memory, Root, RootFile, SecretKey, Signer as _, TrustRoot, sign_root};

/// 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000_000;

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// Signs bundles in the roots of these targets.
pub fn release() -> SecretKey {
    key(1)
}

/// Approves in them.
pub fn approver() -> SecretKey {
    key(2)
}

/// Signs bundles as minisign does.
pub fn vendor() -> SecretKey {
    key(3)
}

fn text(version: u32) -> String {
    let (root, release, approver) = (key(250).public(), release().public(), approver().public());
    let vendor = forge::minisign_public(&vendor());
    format!(
        "version = {version}\nissued = 2027-01-01T00:00:00Z\nexpires = 2028-01-01T00:00:00Z\n\
[keys.root]\npublic = \"{root}\"\n[keys.one]\npublic = \"{release}\"\n[keys.mini]\npublic = \"{vendor}\"\n[keys.ada]\npublic = \"{approver}\"\nowner = \"ada\"\n\
[roles.root]\nkeys = [\"root\"]\nthreshold = 1\n\
[roles.release]\nkeys = [\"one\", \"mini\"]\nthreshold = 1\nstories = [\"*\"]\ntier = \"owned\"\n\
[roles.approver]\nkeys = [\"ada\"]\nthreshold = 1\n"
    )
}

fn signed(version: u32, text: &str) -> RootFile {
    let mut file = RootFile { version, text: text.to_owned(), signatures: Vec::new() };
    file.signatures = sign_root(&file, &key(250)).expect("signed");
    file
}

static GOOD: LazyLock<(RootFile, TrustRoot)> = LazyLock::new(|| {
    let file = signed(1, &text(1));
    let trust = TrustRoot::begin(std::slice::from_ref(&file), NOW).expect("a trust root");
    (file, trust)
});

/// The root that these targets go by.
pub fn trusted() -> &'static TrustRoot {
    &GOOD.1
}

/// A root's text, its signatures, and a second version that somebody wants to follow the first.
pub fn trust_root(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (good, trust) = &*GOOD;
    match how % 6 {
        0 => {
            let Ok(text) = std::str::from_utf8(rest) else { return };
            match Root::parse(text) {
                Ok(root) => {
                    let written = root.to_text();
                    let again =
                        Root::parse(&written).unwrap_or_else(|e| panic!("what was written cannot be read: {e}"));
                    assert_eq!(again.to_text(), written, "written twice it is another text");
                }
                Err(error) => points_inside(&error, text),
            }
        }
        // Any signatures under the good text, and the good ones, changed.
        1 | 2 => {
            let signatures = if how % 6 == 1 { rest.to_vec() } else { Edits(rest).of(&good.signatures) };
            let file = RootFile { signatures, ..good.clone() };
            if let Ok(found) = TrustRoot::begin(&[file], NOW) {
                assert_eq!(found.accepted().digest, trust.accepted().digest);
            }
        }
        // A second version that the first one's keys signed, whatever it says: it is followed if it says what one may.
        3 | 4 => {
            let Ok(edited) = String::from_utf8(Edits(rest).of(text(2).as_bytes())) else { return };
            let version = if how % 6 == 3 { 2 } else { u32::from(rest.first().copied().unwrap_or(0)) };
            let files = [good.clone(), signed(version, &edited)];
            match TrustRoot::follow(&files, trust.accepted(), Memory::default(), NOW) {
                // The one that is gone by already stays, whatever else bears its number.
                Ok(followed) if version != 2 => {
                    assert_eq!(followed.accepted().digest, trust.accepted().digest, "versions go one by one");
                }
                Ok(followed) => {
                    assert_eq!(followed.accepted().version, 2);
                    let read = Root::parse(&edited).expect("what is followed can be read");
                    assert_eq!(followed.root().to_text(), read.to_text());
                    let signers = &read.role("root").expect("a role that signs").keys;
                    assert!(signers.iter().any(|name| read.keys[name].public == key(250).public()), "{signers:?}");
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
        // A second version of any text, under the signatures of a good one: it is followed if it is that one alone.
        _ => {
            let second = signed(2, &text(2));
            let edited = Edits(rest).of(second.text.as_bytes());
            let Ok(edited) = String::from_utf8(edited) else { return };
            let is_same = edited == second.text;
            let files = [good.clone(), RootFile { text: edited, ..second }];
            let accepted: Accepted = trust.accepted();
            let followed = TrustRoot::follow(&files, accepted, Memory::default(), NOW);
            assert_eq!(followed.is_ok(), is_same, "{:?}", followed.err());
        }
    }
}
