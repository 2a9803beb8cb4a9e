//! The trust root through the binary: made, rotated, revoked, accepted; what it refuses, before anything is compiled; what
//! breaking the glass accepts, and what it never does.

use crate::support::{Ran, Site, guest, last_run, sign_with};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};
use unship_policy::{Bundle, SecretKey, Signer as _};

const MANIFEST: &str = "story = \"1\"\nversion = \"2.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n";

/// A site whose story 1 does nothing.
fn site() -> Site {
    let site = Site::new("");
    site.story("1", &guest("exiter.wasm"), MANIFEST, "");
    site
}

/// A new key's file and its public half.
fn key(site: &Site, name: &str) -> (PathBuf, String) {
    let file = site.outside().join(name);
    let public = site.unship([Path::new("keygen"), &file]).exits(0).stdout;
    (file, public.trim().to_owned())
}

fn trust(site: &Site, args: &[&str], key: &Path) -> Ran {
    let args: Vec<&std::ffi::OsStr> = args.iter().map(std::ffi::OsStr::new).collect();
    site.unship(
        [&[std::ffi::OsStr::new("trust")], &args[..], &[std::ffi::OsStr::new("--key"), key.as_os_str()]].concat(),
    )
}

#[track_caller]
fn refuses(site: &Site, case: &str, says: &str) {
    for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
        let ran = site.unship(verb);
        assert_eq!(ran.status, Some(3), "{case}: {verb:?}:\n{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(says), "{case}: {verb:?} lacks {says:?}:\n{}", ran.stderr);
    }
    let compiled = fs::read_dir(site.at(".unship/code")).expect("code").count();
    assert_eq!(compiled, 0, "{case}: something was compiled");
}

#[test]
fn a_root_is_made_by_two_rotated_and_a_copy_that_was_offline_catches_up() {
    let site = site();
    fs::remove_dir_all(site.at("policies/trust")).expect("removed");
    fs::remove_file(site.at(".unship/trust")).expect("removed");
    let (ada, _) = key(&site, "ada");
    let (bob, bob_public) = key(&site, "bob");
    let (release, release_public) = key(&site, "release");
    let init = ["init", "--root", &bob_public, "--threshold", "2", "--release", &release_public];
    let _ = trust(&site, &init, &ada).exits(0).prints("version 1 waits").prints("1 of the 2 keys");
    let _ = site.unship(["plan", "1"]).exits(1).says("this site has no trust root");
    let _ = trust(&site, &["sign"], &ada).exits(1).says("signed it twice");
    let _ = trust(&site, &["sign"], &bob).exits(0).prints("version 1 of the trust root");
    // Whoever gave the last signature did not say that this site goes by it.
    refuses(&site, "not accepted", "has accepted no trust root yet");
    let shown = site.unship(["trust", "show", "--json"]).exits(0).summary();
    let digest = shown["digest"].as_str().expect("a digest").to_owned();
    let _ = site
        .unship(["trust", "accept", &format!("sha256:{}", "0".repeat(64))])
        .exits(3)
        .says("not the one that you were told of");
    let _ = site.unship(["trust", "accept", &digest]).exits(0);
    let bundle = site.at("bundles/story-1.wasm");
    let unsigned = unship_policy::pack(&fs::read(guest("exiter.wasm")).expect("component"), MANIFEST).expect("packed");
    fs::write(&bundle, unsigned).expect("written");
    let _ = site.unship([Path::new("sign"), &bundle, Path::new("--key"), &release]).exits(0);
    let _ = site.unship(["plan", "1"]).exits(0).prints("signed by release");
    // A copy of the site is offline from now on.
    let copy = site.copy_in(site.outside());
    let (next, next_public) = key(&site, "next");
    let rotate = ["rotate", "release", "--to", &next_public, "--to-name", "release-2"];
    let _ = trust(&site, &rotate, &ada).exits(0).prints("version 2 waits");
    let _ = trust(&site, &rotate, &ada).exits(3).says("version 2 waits for signatures already");
    let _ = trust(&site, &["sign"], &bob).exits(0).prints("version 2 of the trust root");
    let _ = trust(&site, &["revoke", "--public-key", &release_public, "--reason", "laptop stolen"], &ada).exits(0);
    let _ = trust(&site, &["sign"], &bob).exits(0).prints("version 3 of the trust root");
    let _ = site.unship(["trust", "verify"]).exits(0).prints("version 3 is the one to go by");
    let _ = site.unship(["plan", "1"]).exits(3).says("0 of the 1 keys with the role `release`");
    let _ = site.unship([Path::new("sign"), &bundle, Path::new("--key"), &next]).exits(0);
    let _ = site.unship(["plan", "1"]).exits(0).prints("signed by release-2");
    // The copy gets version 3 without 2, then both.
    for file in ["3.toml", "3.sig"] {
        let file = format!("policies/trust/{file}");
        fs::copy(site.at(&file), copy.at(&file)).expect("copied");
    }
    let _ = copy.unship(["plan", "1"]).exits(3).says("version 2 of the trust root is missing");
    for file in ["2.toml", "2.sig"] {
        let file = format!("policies/trust/{file}");
        fs::copy(site.at(&file), copy.at(&file)).expect("copied");
    }
    let _ = copy.unship(["plan", "1"]).exits(3).says("0 of the 1 keys");
    fs::copy(&bundle, copy.at("bundles/story-1.wasm")).expect("copied");
    let _ = copy.unship(["apply", "1", "--yes"]).exits(6);
    // It went by version 3, and goes back to none before it.
    for version in [2, 3] {
        for end in ["toml", "sig"] {
            fs::remove_file(copy.at(&format!("policies/trust/{version}.{end}"))).expect("removed");
        }
    }
    let _ = copy.unship(["plan", "1"]).exits(3).says("the trust root went back: this site accepted version 3");
    fs::write(copy.at(".unship/trust"), fs::read(site.at(".unship/trust")).expect("the old pin")).expect("written");
    let _ = copy.unship(["plan", "1"]).exits(3).says("the trust root went back: this site accepted version 3");
}

#[test]
fn a_root_that_somebody_else_made_is_not_gone_by() {
    let site = site();
    let good = site.read("policies/trust/1.toml");
    let stranger = SecretKey::from_seed(&[7; 32]);
    // All of it signed anew by a key of the attacker's own, with the bundle.
    let forged = good.replace(
        &SecretKey::parse(&fs::read_to_string(site.key()).expect("key")).expect("a key").public().to_string(),
        &stranger.public().to_string(),
    );
    let mut file = unship_policy::RootFile { version: 1, text: forged, signatures: Vec::new() };
    file.signatures = unship_policy::sign_root(&file, &stranger).expect("signed");
    site.write("policies/trust/1.toml", &file.text);
    fs::write(site.at("policies/trust/1.sig"), &file.signatures).expect("written");
    refuses(&site, "replaced", "version 1 of the trust root is not the one that this site accepted");
    // As the next version, which the attacker's key signed.
    site.write("policies/trust/1.toml", &good);
    site.trust(&site.trust_tables());
    let mut next = file.clone();
    next.version = 2;
    next.text = next.text.replacen("version = 1", "version = 2", 1);
    next.signatures = Vec::new();
    next.signatures = unship_policy::sign_root(&next, &stranger).expect("signed");
    site.write("policies/trust/2.toml", &next.text);
    fs::write(site.at("policies/trust/2.sig"), &next.signatures).expect("written");
    refuses(&site, "a stranger's next version", "version 2 of the trust root is signed by too few: 0 of the 1 keys");
    fs::remove_file(site.at("policies/trust/2.sig")).expect("removed");
    refuses(&site, "nobody's next version", "version 2 of the trust root is signed by too few");
    // An undo needs no trust: what is wrong with it does not keep anybody from going back.
    let _ = site.unship(["runs"]).exits(0);
}

/// What the site accepted is known or nothing goes by any root: damage is no site that was never told.
#[test]
fn a_damaged_pin_is_told_by_every_verb_that_goes_by_it() {
    let site = site();
    let digest =
        site.unship(["trust", "show", "--json"]).exits(0).summary()["digest"].as_str().expect("one").to_owned();
    let public = key(&site, "next").1;
    let good = fs::read(site.at(".unship/trust")).expect("the pin");
    let refused = |says: &str| {
        let show = |verb: &[&str]| site.unship([&["trust"], verb].concat());
        let add = ["add", "next", "--add-key", &public, "--role", "release"];
        let ran = [show(&["show"]), show(&["verify"]), show(&["accept", &digest]), trust(&site, &add, &site.key())];
        for ran in ran.into_iter().chain([site.unship(["plan", "1"])]) {
            assert!(matches!(ran.status, Some(1 | 3)) && ran.stderr.contains(says), "{}{}", ran.stdout, ran.stderr);
        }
        assert!(!site.at("policies/trust/2.toml").exists(), "a version was made");
    };
    for bad in [&b"1 sha256:0\n"[..], b"", &good[..good.len() / 2], &[&good[..good.len() - 1], b"0\n"].concat()] {
        fs::write(site.at(".unship/trust"), bad).expect("damaged");
        refused("does not say which trust root this site accepted");
    }
    fs::remove_file(site.at(".unship/trust")).expect("removed");
    fs::create_dir(site.at(".unship/trust")).expect("no file");
    refused("the accepted trust root is not known");
    fs::remove_dir(site.at(".unship/trust")).expect("removed");
    fs::write(site.at(".unship/trust"), b"?").expect("damaged");
    let _ = site.unship(["trust", "accept", &digest, "--replace"]).exits(0);
    assert_eq!(fs::read(site.at(".unship/trust")).expect("the pin"), good);
    let _ = site.unship(["plan", "1"]).exits(0);
}

#[test]
fn a_story_that_ran_goes_back_to_no_older_bundle_and_a_revoked_one_runs_no_more() {
    let site = site();
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let older = MANIFEST.replacen("2.0.0", "1.9.9", 1);
    site.story("1", &guest("exiter.wasm"), &older, "");
    let _ =
        site.unship(["plan", "1"]).exits(3).says("the bundle is version 1.9.9, and version 2.0.0 has run on this site");
    site.story("1", &guest("exiter.wasm"), MANIFEST, "");
    let _ = site.unship(["plan", "1"]).exits(0);
    let bundle = site.at("bundles/story-1.wasm");
    let digest = Bundle::parse(fs::read(&bundle).expect("bundle").into()).expect("a bundle").digest().to_string();
    let _ = trust(&site, &["revoke", "--digest", &digest, "--reason", "wipes the wrong cache"], &site.key()).exits(0);
    let _ = site.unship(["plan", "1"]).exits(3).says("this very bundle is revoked: wipes the wrong cache");
    let run = last_run(&site);
    let _ = site.unship(["undo", &run]).exits(0);
}

#[test]
fn a_clock_that_was_set_back_stops_everything_but_the_way_back() {
    let site = site();
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let run = last_run(&site);
    // The clock is a stand-in: libfaketime is not everywhere, so it is the journal that lies in the future.
    let store = unship_store::SiteStore::open(&site.path()).expect("the store");
    {
        let journal = store.journal(&mut |_| ()).expect("the journal");
        let record = serde_json::json!({
            "at_ms": 4_000_000_000_000_u64, "run": "r20960101t000000z-00000001",
            "what": { "event": "run-refused", "story": "1", "reason": "a test", "denials": [] },
        });
        let line = serde_json::to_vec(&record).expect("JSON");
        journal.append(vec![line], unship_store::Durability::Flush).expect("appended");
        store.sign_checkpoint(&journal).expect("signed");
    }
    for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
        let _ = site.unship(verb).exits(3).says("the clock is not to be trusted").says("2096-10-02T07:06:40Z");
    }
    let _ = site.unship(["undo", &run]).exits(0);

    // If it was the other clock that was wrong, the root's keys say so, once and of this moment.
    let other = key(&site, "other").0;
    let _ = trust(&site, &["clock"], &other).exits(0).prints("waits in").prints("signed by too few");
    let _ = site.unship(["plan", "1"]).exits(3);
    fs::remove_dir_all(site.at("policies/trust/pending")).expect("given up");
    let _ = trust(&site, &["clock", "--ran-ahead-to", "2021-01-01T00:00:00Z"], &site.key())
        .exits(1)
        .says("no clock ran ahead");
    let _ = trust(&site, &["clock", "--ran-ahead-to", "2096"], &site.key()).exits(2);
    let _ = trust(&site, &["clock"], &site.key()).exits(0).prints("version 2 of the trust root");
    let _ = site.unship(["trust", "show"]).exits(0).prints("a clock ran ahead to 2096-10-02T07:06:40Z");
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    let _ = trust(&site, &["clock"], &site.key()).exits(1).says("says so of 2096-10-02T07:06:40Z already");
}

/// Key files of ada and bob, who may approve that what has expired is accepted.
fn expired(quorum: &str) -> (Site, [PathBuf; 2]) {
    let site = site();
    let [ada, bob] = ["ada", "bob"].map(|name| (key(&site, name), name));
    let table = |((_, public), name): &((PathBuf, String), &str)| {
        format!("[keys.{name}]\npublic = \"{public}\"\nowner = \"{name}\"\n")
    };
    let people = format!("{}{}[roles.approver]\nkeys = [\"ada\", \"bob\"]\nthreshold = 1\n", table(&ada), table(&bob));
    let tables = format!("{}{people}{quorum}", site.trust_tables());
    site.trust_until("2021-01-01T00:00:00Z", &tables);
    (site, [ada.0.0, bob.0.0])
}

const QUORUM: &str = "[break-glass]\napprovals = 2\n";

fn approve(site: &Site, digest: &str, key: &Path, to: &str) -> PathBuf {
    let file = site.outside().join(to);
    let args = ["approve", digest, "--story", "1", "--break-glass", "--reason", "the root expired last night", "-o"];
    let mut args: Vec<&std::ffi::OsStr> = args.iter().map(std::ffi::OsStr::new).collect();
    args.extend([file.as_os_str(), std::ffi::OsStr::new("--key"), key.as_os_str()]);
    let _ = site.unship(args).exits(0);
    file
}

#[test]
fn breaking_the_glass_accepts_expiry_with_a_quorum_and_is_journalled_as_what_it_is() {
    let (site, [ada, bob]) = expired(QUORUM);
    refuses(&site, "expired", "the trust root, version 1, expired at 2021-01-01T00:00:00Z");
    let planned = site.unship(["plan", "1", "--break-glass", "--json"]).exits(0);
    let digest = planned.summary()["plan_digest"].as_str().expect("a digest").to_owned();
    let _ = site.unship(["plan", "1", "--break-glass"]).exits(0).prints("EXPIRED: the trust root, version 1");
    let apply = |files: &[&PathBuf]| {
        let mut args: Vec<std::ffi::OsString> =
            ["apply", "1", "--yes", "--break-glass", "renewal is stuck"].iter().map(Into::into).collect();
        for file in files {
            args.extend(["--approval".into(), file.as_os_str().to_owned()]);
        }
        site.unship(args)
    };
    let _ = apply(&[]).exits(3).says("0 of the 2 approvals");
    let first = approve(&site, &digest, &ada, "first");
    let _ = apply(&[&first]).exits(3).says("1 of the 2 approvals");
    let again = approve(&site, &digest, &ada, "again");
    let _ = apply(&[&first, &again]).exits(3).says("the key `ada` has approved already");
    let second = approve(&site, &digest, &bob, "second");
    let _ = apply(&[&first, &second]).exits(6);
    let shown = site.unship(["journal", "show", "--json"]).exits(0).stdout;
    for part in ["\"break_glass\"", "renewal is stuck", "\"ada\"", "\"bob\"", "expired at 2021-01-01T00:00:00Z"] {
        assert!(shown.contains(part), "the journal lacks {part}:\n{shown}");
    }
    // Never a wrong, missing or revoked signature, however many approve.
    let bundle = site.at("bundles/story-1.wasm");
    let good = fs::read(&bundle).expect("bundle");
    let parsed = Bundle::parse(good.clone().into()).expect("a bundle");
    let packed = unship_policy::pack(parsed.component(), parsed.manifest_text()).expect("packed");
    for (case, bytes, says) in [
        ("unsigned", packed.clone(), "the bundle is not signed"),
        (
            "a stranger's",
            sign_with(&packed, &SecretKey::from_seed(&[7; 32])),
            "0 of the 1 keys with the role `release`",
        ),
    ] {
        fs::write(&bundle, bytes).expect("written");
        let ran = apply(&[&first, &second]).exits(3).says(says);
        assert!(!ran.stderr.contains("break-glass` accepts"), "{case}: {}", ran.stderr);
    }
}

#[test]
fn without_a_quorum_in_the_root_or_without_anything_expired_no_glass_is_broken() {
    let (site, _) = expired("");
    let ran = site.unship(["apply", "1", "--yes", "--break-glass", "in a hurry"]);
    let _ = ran.exits(3).says("the trust root knows no exception");
    let well = Site::new("");
    well.story("1", &guest("exiter.wasm"), MANIFEST, "");
    let ran = well.unship(["apply", "1", "--yes", "--break-glass", "in a hurry"]);
    let _ = ran.exits(1).says("nothing has expired, so there is no glass to break");
    for reason in ["", "  ", "a\nb", "a\u{1b}[2J"] {
        let ran = site.unship(["apply", "1", "--yes", "--break-glass", reason]).exits(1);
        let _ = ran.says("a reason is one line");
    }
}

#[test]
fn what_is_about_to_expire_is_told_by_plan_and_by_policy_check() {
    let site = site();
    let in_ten_days = std::time::SystemTime::now() + std::time::Duration::from_secs(10 * 24 * 3600 + 60);
    let ms = in_ten_days.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
    let end = unship_policy::Moment::from_ms(u64::try_from(ms).expect("in range")).to_string();
    let tables = site.trust_tables();
    site.trust_until(&end, &tables);
    let _ = site.unship(["plan", "1"]).exits(0).says("in 10 days");
    let _ = site.unship(["policy", "check"]).exits(0).prints("in 10 days");
    let _ = trust(&site, &["renew", "--expires-in", "400d"], &site.key()).exits(0);
    let ran = site.unship(["plan", "1"]).exits(0);
    assert!(!ran.stderr.contains("expires"), "{}", ran.stderr);
}

#[test]
fn keys_under_a_passphrase_and_programs_that_have_the_key_sign() {
    let site = site();
    let (file, phrase) = (site.outside().join("sealed"), site.outside().join("phrase"));
    fs::write(&phrase, "correct horse battery\n").expect("written");
    let generate = [Path::new("keygen"), &file, Path::new("--passphrase-file"), &phrase];
    let public = site.unship(generate).exits(0).stdout.trim().to_owned();
    assert!(fs::read_to_string(&file).expect("the key").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let bundle = site.at("bundles/story-1.wasm");
    let sign = |more: &[&Path]| site.unship([&[Path::new("sign"), &bundle, Path::new("--key"), &file], more].concat());
    let _ = sign(&[]).exits(1).says("nobody is there to give it");
    let wrong = site.outside().join("wrong");
    fs::write(&wrong, "correct horse\n").expect("written");
    let _ = sign(&[Path::new("--passphrase-file"), &wrong]).exits(1).says("the passphrase does not open the key");
    fs::write(&wrong, "\n").expect("written");
    let _ = sign(&[Path::new("--passphrase-file"), &wrong]).exits(1).says("has no passphrase in its first line");
    let _ = sign(&[Path::new("--passphrase-file"), &phrase]).exits(0).prints(&public);
    let short = site.outside().join("short");
    fs::write(&short, "1234567\n").expect("written");
    let new = site.outside().join("new");
    let _ = site
        .unship([Path::new("keygen"), &new, Path::new("--passphrase-file"), &short])
        .exits(1)
        .says("8 bytes at least");
    assert!(!new.exists());
    // A program that has the key: openssl's place is taken by a script with a known answer.
    let (_, other) = key(&site, "other");
    let program = site.outside().join("signer");
    let answer = |text: &str| {
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
        let args: [&std::ffi::OsStr; 6] = [
            "sign".as_ref(),
            bundle.as_os_str(),
            "--signer".as_ref(),
            program.as_os_str(),
            "--public".as_ref(),
            other.as_ref(),
        ];
        site.unship(args)
    };
    let before = fs::read(&bundle).expect("bundle");
    for (script, says) in [
        ("exit 3", "ended with exit status: 3"),
        ("echo hello", "did not answer with 64 bytes in base64"),
        ("cat; echo", "did not answer with 64 bytes in base64"),
        ("head -c 64 /dev/zero | base64 -w0", "is not its key's signature of these bytes"),
    ] {
        let _ = answer(script).exits(1).says(says);
        assert_eq!(fs::read(&bundle).expect("bundle"), before, "{script}");
    }
    // What it is given is what it has to sign: the library signs the same bytes with the same key.
    let secret = SecretKey::parse(&fs::read_to_string(site.outside().join("other")).expect("key")).expect("a key");
    let told = site.outside().join("told");
    let _ = answer(&format!("cat > {}; exit 1", told.display())).exits(1);
    let signature = secret.sign(&fs::read(&told).expect("what is to be signed")).expect("signed");
    let hex: String = signature.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let _ = answer(&format!("printf '{hex}' | base64 -w0")).exits(0).prints(&other);
    let _ = site.unship([Path::new("inspect"), &bundle]).exits(0).prints("a key that is not known here");
}

#[test]
fn a_signature_for_another_site_or_time_is_refused() {
    let site = site();
    let bundle = site.at("bundles/story-1.wasm");
    let packed = {
        let parsed = Bundle::parse(fs::read(&bundle).expect("bundle").into()).expect("a bundle");
        unship_policy::pack(parsed.component(), parsed.manifest_text()).expect("packed")
    };
    let signed = |more: &[&str]| {
        fs::write(&bundle, &packed).expect("written");
        let key = site.key();
        let mut args = vec!["sign", bundle.to_str().expect("UTF-8"), "--key", key.to_str().expect("UTF-8")];
        args.extend(more);
        site.unship(args)
    };
    let _ = signed(&["--for-site", "prod"]).exits(0);
    refuses(&site, "another site's", "the bundle was signed for the site [\"prod\"], and this is \"test\"");
    let _ = signed(&["--expires", "2021-01-01T00:00:00Z"]).exits(0);
    refuses(&site, "expired", "the bundle was signed for use up to 2021-01-01T00:00:00Z");
    let _ = signed(&["--not-before", "2990-01-01T00:00:00Z"]).exits(0);
    refuses(&site, "not yet", "the bundle was signed for use from 2990-01-01T00:00:00Z on");
    let _ = signed(&["--expires", "tomorrow"]).exits(2).says("a moment is a date and a time in UTC");
    let _ = signed(&["--for-site", "prod", "--for-site", "test"]).exits(0);
    let _ = site.unship([Path::new("inspect"), &bundle]).exits(0).prints("for      the site prod, test");
    let _ = site.unship(["plan", "1"]).exits(0);
}

#[test]
fn what_trust_add_and_revoke_cannot_do_they_say_and_nothing_changes() {
    let site = site();
    let (_, public) = key(&site, "other");
    let own = site.key();
    let before = crate::support::fingerprint(&site.at("policies"));
    for (args, status, says) in [
        (&["add", "ada"][..], 1, "the trust root knows no key \"ada\""),
        (&["add", "tester", "--add-key", &public], 1, "has a key `tester` already"),
        (&["add", "ada", "--add-key", "ssh-ed25519 x"], 1, "a public key is"),
        (&["add", "a da", "--add-key", &public], 1, "is not a name"),
        (&["add", "ada", "--add-key", &public, "--role", "vendor"], 1, "the role \"vendor\" is new"),
        (&["add", "ada", "--add-key", &public, "--role", "approver"], 1, "it must be known whose it is"),
        (
            &["add", "ada", "--add-key", &public, "--role", "vendor", "--story", "1*", "--tier", "owned"],
            1,
            "is no pattern of stories",
        ),
        (
            &["add", "ada", "--add-key", &public, "--role", "vendor", "--story", "1.*", "--tier", "friend"],
            2,
            "it is owned, partner or community",
        ),
        (
            &["add", "ada", "--add-key", &public, "--role", "release", "--threshold", "3"],
            1,
            "the threshold is 1 at least",
        ),
        (&["rotate", "tester", "--to", "nothing"], 1, "a public key is"),
        (&["rotate", "nobody", "--to", &public], 1, "the trust root knows no key"),
        (&["revoke", "tester", "--reason", "lost"], 3, "has too few keys"),
        (&["revoke", "--digest", "sha256:12", "--reason", "r"], 1, "is not a bundle's digest"),
        (&["revoke", "--reason", "r"], 2, "required"),
        (&["revoke", "--public-key", &public, "--reason", " "], 1, "a reason is one line"),
        (&["init"], 1, "holds version 1 already"),
        (&["sign"], 1, "no version waits for signatures"),
    ] {
        let ran = trust(&site, args, &own);
        assert_eq!(ran.status, Some(status), "{args:?}:\n{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?} lacks {says:?}:\n{}", ran.stderr);
        assert_eq!(before, crate::support::fingerprint(&site.at("policies")), "{args:?}");
    }
    // A stranger's change waits for signatures that it will not get, and changes nothing that counts.
    let stranger = site.outside().join("other");
    let _ =
        trust(&site, &["add", "ada", "--add-key", &public, "--role", "release"], &stranger).exits(0).prints("waits");
    let _ = site.unship(["trust", "show"]).exits(0).prints("trust root, version 1");
    let _ = site.unship(["plan", "1"]).exits(0);
}
