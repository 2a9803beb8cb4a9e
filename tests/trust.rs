//! Unsigned, altered, stripped, appended-to or wrongly signed bundles are refused before anything is compiled.

use crate::support::{Ran, Site, fingerprint, guest, sign_with};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use unship_policy::{Bundle, SecretKey, Signer as _};

const MANIFEST: &str = "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n";

/// A site whose story 1 does nothing, with its signed bundle.
struct Trusting {
    site: Site,
    good: Vec<u8>,
    /// Length of component and manifest.
    subject: usize,
}

impl Trusting {
    fn new() -> Trusting {
        let site = Site::new("");
        site.story("1", &guest("exiter.wasm"), MANIFEST, "");
        let good = fs::read(site.at("bundles/story-1.wasm")).expect("bundle");
        let text = Bundle::parse(good.clone().into()).expect("a bundle").manifest_text().to_owned();
        let subject = good.windows(text.len()).position(|at| at == text.as_bytes()).expect("the manifest") + text.len();
        Trusting { site, good, subject }
    }

    fn bundle(&self) -> PathBuf {
        self.site.at("bundles/story-1.wasm")
    }

    /// Neither `plan`, `apply` nor `check` takes the bundle `bytes`, and none has compiled anything.
    #[track_caller]
    fn refuses(&self, case: &str, bytes: &[u8], says: &str) {
        fs::write(self.bundle(), bytes).expect("written");
        let before = fingerprint(&self.site.path());
        for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
            let ran = self.site.unship(verb);
            assert_eq!(ran.status, Some(3), "{case}: {verb:?}:\n{}{}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains(says), "{case}: {verb:?} lacks {says:?}:\n{}", ran.stderr);
        }
        assert_eq!(before, fingerprint(&self.site.path()), "{case}");
        let compiled = fs::read_dir(self.site.at(".unship/code")).expect("code").count();
        assert_eq!(compiled, 0, "{case}: something was compiled");
        let _ = self.site.unship(["stories"]).exits(0).prints("NOT READY");
    }

    fn key(&self) -> SecretKey {
        SecretKey::parse(&fs::read_to_string(self.site.key()).expect("key")).expect("a key")
    }
}

fn section(name: &str, content: &[u8]) -> Vec<u8> {
    let size = u8::try_from(1 + name.len() + content.len()).expect("a small section");
    assert!(size < 128);
    [&[0, size, u8::try_from(name.len()).expect("short")], name.as_bytes(), content].concat()
}

#[test]
fn a_bundle_as_it_was_signed_runs_and_is_compiled_then() {
    let trusting = Trusting::new();
    let _ = trusting.site.unship(["plan", "1"]).exits(0).prints("signed by tester");
    assert_eq!(fs::read_dir(trusting.site.at(".unship/code")).expect("code").count(), 1);
}

#[test]
fn an_altered_bundle_is_refused_before_anything_is_compiled() {
    let trusting = Trusting::new();
    let (good, subject) = (&trusting.good, trusting.subject);
    let manifest = subject - MANIFEST.len();
    let len = good.len();
    // Preamble, component, the manifest's frame and text, and the signature's frame, version, key and both halves.
    let component = (0..16).map(|i| 8 + i * (manifest - 40) / 16);
    let places = [0, 3, 4, 6].into_iter().chain(component).chain((manifest - 20..manifest).step_by(3));
    let places = places.chain((manifest..subject).step_by(11)).chain((subject..len).step_by(7)).chain([len - 1]);
    for at in places {
        for mask in [0x01, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= mask;
            trusting.refuses(&format!("byte {at} of {len} ^ {mask:#x}"), &bad, "Error: ");
        }
    }
    // What a person would change.
    let mut bad = good.clone();
    let version = manifest + MANIFEST.find("1.0.0").expect("version");
    bad[version] = b'2';
    trusting.refuses("another version", &bad, "the bundle was altered after it was signed");
}

#[test]
fn a_stripped_or_unsigned_bundle_is_refused_before_anything_is_compiled() {
    let trusting = Trusting::new();
    let (good, subject) = (&trusting.good, trusting.subject);
    trusting.refuses("unsigned", &good[..subject], "the bundle is not signed");
    trusting.refuses("cut in its signature", &good[..good.len() - 7], "cut short or damaged");
    let component = fs::read(guest("exiter.wasm")).expect("component");
    trusting.refuses("the component alone", &component, "no manifest");
    let manifest = subject - section_len(MANIFEST.len(), "unship:manifest");
    trusting.refuses("without manifest", &[&good[..manifest], &good[subject..]].concat(), "before the manifest");
    trusting.refuses("without both", &good[..manifest], "no manifest");
}

/// Bytes of a custom section whose body takes two bytes to say how long it is.
fn section_len(content: usize, name: &str) -> usize {
    let body = 1 + name.len() + content;
    1 + if body < 128 { 1 } else { 2 } + body
}

#[test]
fn a_bundle_that_was_appended_to_is_refused_before_anything_is_compiled() {
    let trusting = Trusting::new();
    let (good, subject) = (&trusting.good, trusting.subject);
    let (unsigned, signature) = good.split_at(subject);
    let manifest = &unsigned[subject - section_len(MANIFEST.len(), "unship:manifest")..];
    let component = &unsigned[..subject - manifest.len()];
    trusting.refuses("a byte", &[&good[..], b"\0"].concat(), "damaged");
    trusting.refuses("bytes", &[&good[..], b"hello"].concat(), "damaged");
    trusting.refuses("a custom section", &[&good[..], &section("x", b"y")].concat(), "appended behind the signatures");
    trusting.refuses("an empty section", &[&good[..], &[11, 1, 0]].concat(), "appended behind the signatures");
    trusting.refuses(
        "a section before the signature",
        &[unsigned, &section("x", b"y"), signature].concat(),
        "appended behind the manifest",
    );
    trusting.refuses("a second manifest", &[unsigned, manifest, signature].concat(), "two manifests");
    trusting.refuses("a second manifest at the end", &[&good[..], manifest].concat(), "appended behind the signatures");
    trusting.refuses(
        "the signature before the manifest",
        &[component, signature, manifest].concat(),
        "a signature stands before the manifest",
    );
    trusting.refuses("another bundle behind it", &[&good[..], good].concat(), "damaged");
    trusting.refuses("the signature twice", &[&good[..], signature].concat(), "appended behind the signatures");
}

#[test]
fn a_bundle_signed_by_the_wrong_key_is_refused_before_anything_is_compiled() {
    let trusting = Trusting::new();
    let (good, subject) = (&trusting.good, trusting.subject);
    let stranger = SecretKey::from_seed(&[7; 32]);
    trusting.refuses(
        "a stranger's",
        &sign_with(&good[..subject], &stranger),
        "0 of the 1 keys with the role `release` that it takes signed this bundle (signed by: unknown keys only)",
    );
    // A signature by the right key, over something else.
    let other = unship_policy::pack(
        &good[..subject - section_len(MANIFEST.len(), "unship:manifest")],
        &MANIFEST.replacen("1.0.0", "1.0.1", 1),
    )
    .expect("packed");
    let elsewhere = sign_with(&other, &trusting.key());
    trusting.refuses(
        "over another bundle",
        &[&good[..subject], &elsewhere[other.len()..]].concat(),
        "or the signature is another bundle's",
    );
    // The stranger's signature under the right key's id.
    let id = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let at = text.rfind("\"keyid\":\"").expect("an id") + 9;
        text[at..at + 64].to_owned()
    };
    let forged = sign_with(&good[..subject], &stranger);
    let (theirs, ours) = (id(&forged[subject..]), id(&good[subject..]));
    let at = forged.windows(64).position(|window| window == theirs.as_bytes()).expect("their id");
    let forged = [&forged[..at], ours.as_bytes(), &forged[at + 64..]].concat();
    trusting.refuses("a stranger's with our key", &forged, "the signature by key `tester` does not fit these bytes");
    // A known key that does not hold the role, alone and beside one that is not known.
    let trust = trusting.site.trust_tables();
    let other = SecretKey::from_seed(&[8; 32]).public();
    let audit = trust.replacen("[roles.release]", "[roles.audit]", 1);
    let role = "[roles.release]\nkeys = [\"other\"]\nthreshold = 1\nstories = [\"*\"]\ntier = \"owned\"\n";
    trusting.site.trust(&format!("{audit}[keys.other]\npublic = \"{other}\"\n{role}"));
    let says = "0 of the 1 keys with the role `release` that it takes signed this bundle (signed by: tester)";
    trusting.refuses("a key without the role", good, says);
    trusting.refuses("a key without the role, and a stranger", &sign_with(good, &stranger), says);
    // The right bundle for another story.
    trusting.site.trust(&trust);
    let other_story = unship_policy::pack(
        &good[..subject - section_len(MANIFEST.len(), "unship:manifest")],
        &MANIFEST.replacen("story = \"1\"", "story = \"2\"", 1),
    )
    .expect("packed");
    trusting.refuses(
        "another story's",
        &sign_with(&other_story, &trusting.key()),
        "this is a bundle of story 2, and 1 was asked for",
    );
}

#[test]
fn inspect_says_who_signed_and_whether_it_holds() {
    let trusting = Trusting::new();
    let inspect = || trusting.site.unship([Path::new("inspect"), &trusting.bundle()]).exits(0);
    let _ = inspect().prints("tester, and the signature holds");
    let mut bad = trusting.good.clone();
    let at = bad.len() - 20;
    bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
    fs::write(trusting.bundle(), bad).expect("written");
    let _ = inspect().prints("tester, and the signature does NOT hold");
    fs::write(trusting.bundle(), &trusting.good[..trusting.subject]).expect("written");
    let _ = inspect().prints("signed   by nobody");
}

#[test]
fn signing_twice_is_refused_and_a_second_key_is_added() {
    let trusting = Trusting::new();
    let sign = |key: &Path| trusting.site.unship([Path::new("sign"), &trusting.bundle(), Path::new("--key"), key]);
    let _ = sign(&trusting.site.key()).exits(1).says("this key has signed the bundle already");
    assert_eq!(fs::read(trusting.bundle()).expect("bundle"), trusting.good, "a refused signature changed the bundle");
    let second = trusting.site.outside().join("second");
    let _ = trusting.site.unship([Path::new("keygen"), &second]).exits(0);
    let _ = sign(&second).exits(0);
    let _ = trusting.site.unship(["plan", "1"]).exits(0).prints("signed by tester");
    let no_key = trusting.site.outside().join("no-key");
    fs::write(&no_key, "hush, a secret\n").expect("written");
    let ran: Ran = sign(&no_key).exits(1).says("no-key cannot be used to sign");
    assert!(!ran.stderr.contains("hush"), "a secret is shown:\n{}", ran.stderr);
}

#[test]
fn keygen_never_overwrites_and_keeps_the_secret_to_its_owner() {
    let site = Site::new("");
    let file = site.outside().join("new-key");
    let ran = site.unship([Path::new("keygen"), &file]).exits(0).prints("unship-public-ed25519:");
    assert_eq!(fs::metadata(&file).expect("metadata").permissions().mode() & 0o7777, 0o600);
    let secret = fs::read_to_string(&file).expect("secret");
    assert!(secret.starts_with("unship-secret-ed25519:"));
    let digits = secret.trim().rsplit(':').next().expect("digits");
    assert!(!ran.stdout.contains(digits) && !ran.stderr.contains(digits), "the secret is shown");
    let before = fingerprint(site.outside());
    let _ = site.unship([Path::new("keygen"), &file]).exits(1).says("an existing key is never overwritten");
    let link = site.outside().join("link");
    std::os::unix::fs::symlink(site.outside().join("elsewhere"), &link).expect("a dangling link");
    let _ = site.unship([Path::new("keygen"), &link]).exits(1);
    fs::remove_file(&link).expect("removed");
    assert_eq!(fs::read_to_string(&file).expect("secret"), secret);
    let files = |lines: Vec<String>| lines.into_iter().filter(|l| !l.starts_with(" mode")).collect::<Vec<_>>();
    assert_eq!(files(before), files(fingerprint(site.outside())));
}

#[test]
fn bytes_that_are_swapped_meanwhile_are_never_compiled() {
    let trusting = Trusting::new();
    let (good, evil) = (trusting.site.at("good"), trusting.site.at("evil"));
    let packed = unship_policy::pack(&fs::read(guest("args-env.wasm")).expect("component"), MANIFEST).expect("packed");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut taken, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for (file, bytes) in [(&good, &trusting.good), (&evil, &packed)] {
                    fs::write(file, bytes).expect("written");
                    fs::rename(file, trusting.bundle()).expect("renamed");
                    std::thread::yield_now();
                }
            }
        });
        for _ in 0..60 {
            let ran = trusting.site.unship(["plan", "1"]);
            match ran.status {
                Some(0) => taken += 1,
                Some(3) => refused += 1,
                other => panic!("{other:?}: {}", ran.stderr),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(taken > 0 && refused > 0, "{taken} taken, {refused} refused: nothing was swapped in time");
    let compiled = fs::read_dir(trusting.site.at(".unship/code")).expect("code").count();
    assert_eq!(compiled, 1, "only the signed component became code");
}

#[test]
fn names_that_look_like_others_are_refused_by_the_character() {
    let site = Site::new("");
    for (case, name, says) in [
        ("a Cyrillic letter", "cle\u{430}r", "U+0430"),
        ("a bidi mark", "clear\u{202e}", "U+202E"),
        ("a zero-width joiner", "cl\u{200d}ear", "U+200D"),
        ("a full-width letter", "\u{ff43}lear", "U+FF43"),
        ("a newline", "clear\\nall", "U+000A"),
    ] {
        let manifest = MANIFEST.replacen("name = \"s\"", &format!("name = \"{name}\""), 1);
        let file = site.outside().join("manifest.toml");
        fs::write(&file, &manifest).expect("written");
        let component = guest("exiter.wasm");
        let to = site.outside().join("bundle.wasm");
        let pack = [Path::new("pack"), &component, Path::new("--manifest"), &file, Path::new("-o"), &to];
        let ran = site.unship(pack).exits(1).says(says);
        assert!(!ran.stderr.contains('\u{202e}') && !ran.stderr.contains('\u{200d}'), "{case}: {}", ran.stderr);
    }
    // Names that differ in case alone are two names to a machine and one to a person.
    let twice = format!("{MANIFEST}[[step]]\nname = \"S\"\ntitle = \"t\"\n");
    let file = site.outside().join("manifest.toml");
    fs::write(&file, twice).expect("written");
    let component = guest("exiter.wasm");
    let to = site.outside().join("bundle.wasm");
    let pack = [Path::new("pack"), &component, Path::new("--manifest"), &file, Path::new("-o"), &to];
    let _ = site.unship(pack).exits(1).says("differ in upper and lower case alone");
}
