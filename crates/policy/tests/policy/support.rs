//! Trust roots of tests: written, signed by their first key, and followed.

use unship_policy::{
    Bundle, BundleError, Name, Narrowed, RootFile, SecretKey, Signer as _, StoryId, TrustRoot, VerifiedBundle, Wanted,
    sign, sign_root,
};

/// The time of tests: 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000_000;
/// Signs the roots of tests.
pub const ROOT_SEED: u8 = 250;

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// `version`, `issued` and `expires` for [`NOW`].
pub fn head(version: u32) -> String {
    format!("version = {version}\nissued = 2027-01-01T00:00:00Z\nexpires = 2028-01-01T00:00:00Z\n")
}

pub fn key_table(name: &str, seed: u8, more: &str) -> String {
    format!("[keys.{name}]\npublic = \"{}\"\n{more}\n", key(seed).public())
}

pub fn role_table(role: &str, keys: &[&str], threshold: u32) -> String {
    let stories = if matches!(role, "root" | "approver") { "" } else { "stories = [\"*\"]\ntier = \"owned\"\n" };
    format!("[roles.{role}]\nkeys = {keys:?}\nthreshold = {threshold}\n{stories}")
}

/// Version 1: a key `root` that signs roots, and these keys, each (name, seed, lines of its own), with these roles.
pub fn root_text(keys: &[(&str, u8, &str)], roles: &[(&str, &[&str], u32)]) -> String {
    let keys = keys.iter().map(|(name, seed, more)| key_table(name, *seed, more));
    let roles = roles.iter().map(|(role, keys, threshold)| role_table(role, keys, *threshold));
    let text: String = keys.chain(roles).collect();
    format!("{}{}{}{text}", head(1), key_table("root", ROOT_SEED, ""), role_table("root", &["root"], 1))
}

/// A version signed by these.
pub fn file(version: u32, text: &str, by: &[u8]) -> RootFile {
    let mut file = RootFile { version, text: text.to_owned(), signatures: Vec::new() };
    for seed in by {
        file.signatures = sign_root(&file, &key(*seed)).expect("signed");
    }
    file
}

/// The trust root of `text`, version 1, at [`NOW`].
pub fn trusted(text: &str) -> TrustRoot {
    TrustRoot::begin(&[file(1, text, &[ROOT_SEED])], NOW).expect("a trust root")
}

/// A trust root in which the key of this seed, `one`, holds the role `release` alone.
pub fn release(seed: u8) -> TrustRoot {
    trusted(&root_text(&[("one", seed, "")], &[("release", &["one"], 1)]))
}

pub fn roles(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::new(name).expect("a name")).collect()
}

/// `bytes` verified for story 1.3 of the site `practice`.
pub fn verify(bytes: &[u8], trust: &TrustRoot, demanded: &[&str]) -> Result<VerifiedBundle, BundleError> {
    let story = StoryId::new("1.3").expect("an id");
    let roles = roles(demanded);
    let wanted = Wanted { story: &story, site: "practice", roles: &roles, accept_expired: false };
    Bundle::parse(bytes.into())?.verify(trust, &wanted)
}

/// `packed` signed by these, for everything.
pub fn signed_by(packed: &[u8], seeds: &[u8]) -> Vec<u8> {
    narrowed(packed, &Narrowed::default(), seeds)
}

pub fn narrowed(packed: &[u8], narrowed: &Narrowed, seeds: &[u8]) -> Vec<u8> {
    let mut bytes = packed.to_vec();
    for seed in seeds {
        let bundle = Bundle::parse(bytes.as_slice().into()).expect("a bundle");
        bytes = sign(&bundle, narrowed.clone(), &key(*seed)).expect("signed");
    }
    bytes
}
