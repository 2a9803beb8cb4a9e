//! Manifests, bundles and the containers of their signatures.

use crate::{Edits, forge, points_inside, roots};
use std::sync::{Arc, LazyLock};
use unship_policy::{
    Bundle, BundleError, Manifest, Name, Narrowed, StoryId, VerifiedBundle, Wanted, attach_minisig, pack, requests,
    sign,
};

/// The preamble, a custom section of its own and a type section.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x00\x06\x04nameX\x07\x01\x00";
/// What it asks for is what a policy has to permit.
const MANIFEST: &str = "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n\
    files.read = [\"logs/**\"]\nfiles.edit = { \"a.yaml\" = [\"/on\"] }\nflags.set = { f = [\"off\"] }\n";

static UNSIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| pack(COMPONENT, MANIFEST).expect("packed"));

static GOOD: LazyLock<Vec<u8>> =
    LazyLock::new(|| sign(&unsigned(), Narrowed::default(), &roots::release()).expect("signed"));

fn unsigned() -> Bundle {
    Bundle::parse(Arc::from(UNSIGNED.as_slice())).expect("a bundle")
}

/// A manifest in a signed bundle, verified; `None` where no bundle can be made of it.
pub fn with_manifest(text: &str) -> Option<VerifiedBundle> {
    let bundle = Bundle::parse(pack(COMPONENT, text).ok()?.into()).expect("what was packed is a bundle");
    let signed = sign(&bundle, Narrowed::default(), &roots::release()).ok()?;
    verified(&signed).ok()
}

fn verified(bytes: &[u8]) -> Result<VerifiedBundle, BundleError> {
    let story = StoryId::new("1.3").expect("an id");
    let roles = [Name::new("release").expect("a name")];
    let wanted = Wanted { story: &story, site: "practice", roles: &roles, accept_expired: false };
    Bundle::parse(Arc::from(bytes))?.verify(roots::trusted(), &wanted)
}

/// The bundle that these targets begin with, verified.
pub fn good() -> VerifiedBundle {
    verified(&GOOD).expect("as it was signed")
}

/// A manifest's text: read, it asks for the same whenever it is read; refused, it is pointed at.
pub fn manifest(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Manifest::parse(text) {
        Ok(manifest) => {
            let again = Manifest::parse(text).expect("once more");
            assert_eq!(requests(&manifest), requests(&again));
            // What is packed with it is read back as it was.
            if let Ok(packed) = pack(COMPONENT, text) {
                let bundle = Bundle::parse(packed.into()).expect("what was packed is a bundle");
                assert_eq!((bundle.manifest_text(), bundle.component()), (text, COMPONENT));
            }
        }
        Err(error) => points_inside(&error, text),
    }
}

/// What the release key says of the bundle in [`GOOD`].
static STATEMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let narrowed = Narrowed { sites: vec!["practice".to_owned()], ..Narrowed::default() };
    let signed = sign(&unsigned(), narrowed, &roots::release()).expect("signed");
    let section = &signed[UNSIGNED.len()..];
    let begin = section.windows(2).position(|pair| pair == b"{\"").expect("an envelope");
    forge::payload(&section[begin..]).expect("a payload")
});

/// A bundle: no change of a signed one is taken for signed, any manifest is read as it was signed, and of what the right key may
/// say only a statement about these very bytes counts.
pub fn bundle(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 | 1 => {
            let bytes = if how % 4 == 0 { rest.to_vec() } else { Edits(rest).of(&GOOD) };
            if let Ok(verified) = verified(&bytes) {
                assert_eq!(bytes, *GOOD, "another file than the one that was signed is taken for it");
                assert_eq!(verified.manifest_text(), MANIFEST);
            }
        }
        2 => {
            let Ok(text) = String::from_utf8(Edits(rest).of(MANIFEST.as_bytes())) else { return };
            if let Some(verified) = with_manifest(&text) {
                assert_eq!((verified.manifest_text(), verified.component()), (&text[..], COMPONENT));
            }
        }
        _ => {
            let statement = Edits(rest).of(&STATEMENT);
            let envelope = forge::dsse("application/vnd.in-toto+json", &statement, &roots::release());
            let bytes = [&UNSIGNED[..], &forge::section("unship:signatures", envelope.as_bytes())].concat();
            if verified(&bytes).is_ok() {
                let statement: serde_json::Value = serde_json::from_slice(&statement).expect("it is JSON");
                let narrowed = serde_json::from_value(statement["predicate"]["for"].clone()).expect("what it narrows");
                let ours = sign(&unsigned(), narrowed, &roots::release()).expect("signed");
                assert_eq!(bytes, ours, "there is one way to write it");
            }
        }
    }
}

/// Signature containers: what stands for a signature in a bundle, and minisign's files.
pub fn signature(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    match how % 3 {
        // A `.minisig` file begins with the letter u, which comes here. Attaching asks for the form alone; nobody who is not
        // trusted becomes it by that.
        0 => {
            let Ok(text) = std::str::from_utf8(data) else { return };
            if let Ok(bytes) = attach_minisig(&unsigned(), text) {
                assert!(verified(&bytes).is_err());
            }
        }
        // The custom section of signatures, with any content, put where ours lies.
        1 => {
            let edited = Edits(rest).of(&GOOD[UNSIGNED.len()..]);
            let bytes = [&UNSIGNED[..], &edited].concat();
            if verified(&bytes).is_ok() {
                assert_eq!(bytes, *GOOD);
            }
        }
        // A trusted key of minisign's signs with any comment; then something is done to what came of it.
        _ => {
            let Some((size, rest)) = rest.split_first() else { return };
            let (comment, edits) = rest.split_at(usize::from(*size).min(rest.len()));
            let Ok(comment) = std::str::from_utf8(comment) else { return };
            // The end of a line of some systems is none of the comment's.
            let Some(comment) = Some(comment).filter(|text| !text.ends_with('\r')) else { return };
            let is_plain = !comment.contains(|c: char| c.is_control() && c != '\t');
            let text = forge::minisign(&UNSIGNED, comment, &roots::vendor());
            let attached = attach_minisig(&unsigned(), &text);
            assert_eq!(attached.is_ok(), is_plain, "{comment:?}");
            let Ok(good) = attached else { return };
            assert!(verified(&good).is_ok(), "a trusted key signed it: {comment:?}");
            let edited = Edits(edits).of(&good);
            if verified(&edited).is_ok() {
                assert_eq!(edited, good, "another file than the one that was signed is taken for it");
            }
        }
    }
}
