//! A signed bundle is its bytes: any change of one of them is told.

use crate::support::{key, release, root_text, signed_by, trusted, verify};
use proptest::prelude::*;
use unship_policy::{Bundle, BundleError, Name, Narrowed, pack, sign};

const MANIFEST: &str = "story = \"1.3\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n";

/// The preamble, a custom section of its own and a type section.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x00\x06\x04nameX\x07\x01\x00";

fn parse(bytes: &[u8]) -> Result<Bundle, BundleError> {
    Bundle::parse(bytes.into())
}

fn signed(by: &[u8]) -> Vec<u8> {
    signed_by(&pack(COMPONENT, MANIFEST).expect("packed"), by)
}

/// What `verify` says of `bytes`, when `release` must have signed and key 1 holds it.
fn verdict(bytes: &[u8]) -> Result<(), BundleError> {
    verify(bytes, &release(1), &["release"]).map(drop)
}

#[test]
fn as_signed_it_verifies() {
    assert_eq!(verdict(&signed(&[1])), Ok(()));
    // Signatures of unknown keys count for nothing, and do no harm.
    assert_eq!(verdict(&signed(&[2, 1])), Ok(()));
    let both =
        trusted(&root_text(&[("one", 1, ""), ("two", 2, "")], &[("release", &["one"], 1), ("security", &["two"], 1)]));
    let demanded = ["release", "security"];
    let verified = verify(&signed(&[1, 2]), &both, &demanded).expect("both signed");
    let signers: Vec<&str> = verified.signers().iter().map(Name::as_str).collect();
    assert_eq!(signers, ["one", "two"]);
    assert!(matches!(
        verify(&signed(&[1]), &both, &demanded),
        Err(BundleError::NotTrusted { role, .. }) if role == "security"
    ));
}

#[test]
fn who_did_not_sign_is_told() {
    assert_eq!(verdict(&signed(&[])), Err(BundleError::Unsigned));
    assert!(matches!(verdict(&signed(&[2])), Err(BundleError::NotTrusted { .. })));
    let audit =
        trusted(&root_text(&[("one", 1, ""), ("two", 2, "")], &[("audit", &["one"], 1), ("release", &["two"], 1)]));
    let other_role = verify(&signed(&[1]), &audit, &["release"]);
    assert!(matches!(other_role, Err(BundleError::NotTrusted { signers, .. }) if signers == "one"));
    let bundle = parse(&signed(&[1])).expect("a bundle");
    assert_eq!(sign(&bundle, Narrowed::default(), &key(1)), Err(BundleError::SignedTwice));
}

#[test]
fn every_bit_counts() {
    let good = signed(&[1]);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(verdict(&bad).is_err(), "bit {bit} of byte {at} of {} does not count", good.len());
        }
    }
}

#[test]
fn every_cut_and_everything_that_is_put_in_is_told() {
    let good = signed(&[1]);
    for at in 0..good.len() {
        assert!(verdict(&good[..at]).is_err(), "cut at {at}");
        let without = [&good[..at], &good[at + 1..]].concat();
        assert!(verdict(&without).is_err(), "without byte {at}");
        for byte in [0, b'x', 0xff] {
            let with = [&good[..at], &[byte], &good[at..]].concat();
            assert!(verdict(&with).is_err(), "with {byte:#x} at {at}");
        }
    }
}

proptest! {
    #[test]
    fn any_change_of_one_byte_is_told(at in any::<prop::sample::Index>(), byte: u8) {
        let good = signed(&[1]);
        let at = at.index(good.len());
        prop_assume!(good[at] != byte);
        let mut bad = good.clone();
        bad[at] = byte;
        prop_assert!(verdict(&bad).is_err(), "byte {at} as {byte:#x}");
    }

    /// Nothing that comes from outside makes the parser panic.
    #[test]
    fn any_bytes_are_a_bundle_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse(&[&b"\0asm\x0d\0\x01\0"[..], &bytes].concat());
    }
}
