//! Manifests, bundles and the containers of their signatures.

use crate::{Edits, points_inside, roots};
use std::sync::{Arc, LazyLock};
use unship_policy::{
    Bundle, BundleError, Manifest, Name, Narrowed, StoryId, VerifiedBundle, Wanted, attach_minisig, pack, requests,
    sign,
};

/// The preamble, a custom section of its own and a type section.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x00\x06\x04nameX\x07\x01\x00";
const MANIFEST: &str = "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n";

static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let packed = pack(COMPONENT, MANIFEST).expect("packed");
    let bundle = Bundle::parse(packed.into()).expect("a bundle");
    sign(&bundle, Narrowed::default(), &roots::release()).expect("signed")
});

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

/// A bundle: no change of a signed one is taken for signed, and no bytes make the reader fall over.
pub fn bundle(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let bytes = if how % 2 == 0 { rest.to_vec() } else { Edits(rest).of(&GOOD) };
    if let Ok(verified) = verified(&bytes) {
        assert_eq!(bytes, *GOOD, "another file than the one that was signed is taken for it");
        assert_eq!(verified.manifest_text(), MANIFEST);
    }
}

/// Signature containers: what stands for a signature in a bundle, and minisign's files.
pub fn signature(data: &[u8]) {
    let unsigned = pack(COMPONENT, MANIFEST).expect("packed");
    let bundle = Bundle::parse(Arc::from(unsigned.as_slice())).expect("a bundle");
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(bytes) = attach_minisig(&bundle, text)
    {
        // Attaching asks for the form alone; nobody who is not trusted becomes it by that.
        assert!(verified(&bytes).is_err());
    }
    // The custom section of signatures, with any content, put where ours lies.
    let good = &*GOOD;
    let section = &good[unsigned.len().min(good.len())..];
    let edited = Edits(data).of(section);
    let bytes = [&good[..good.len() - section.len()], &edited].concat();
    if verified(&bytes).is_ok() {
        assert_eq!(bytes, *good);
    }
}
