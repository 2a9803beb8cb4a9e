//! Bundles of others, through the binary: planned, looked at, allowed by people, and applied only then.

use crate::support::{Ran, Site, fingerprint, guest};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Child,
};

const READ: &str = "files.read = [\"a.txt\"]";

fn manifest(version: &str, requests: &str) -> String {
    format!(
        "story = \"1\"\nversion = \"{version}\"\ntitle = \"t\"\n[[step]]\nname = \"s\"\ntitle = \"t\"\n{requests}\n"
    )
}

/// A site whose story 1 comes from signers of this tier; ada and bob approve, and this many of them decide.
fn site(tier: &str, threshold: u32) -> (Site, [PathBuf; 2]) {
    let site = Site::new("");
    let mut tables = site.trust_tables().replace("tier = \"owned\"", &format!("tier = \"{tier}\""));
    let keys = ["ada", "bob"].map(|name| {
        let file = site.outside().join(name);
        let public = site.unship([Path::new("keygen"), &file]).exits(0).stdout;
        tables.push_str(&format!("[keys.{name}]\npublic = \"{}\"\nowner = \"{name}\"\n", public.trim()));
        file
    });
    tables.push_str(&format!("[roles.approver]\nkeys = [\"ada\", \"bob\"]\nthreshold = {threshold}\n"));
    site.trust(&tables);
    site.write("a.txt", "a");
    ship(&site, "1.0.0", READ);
    (site, keys)
}

/// The story's bundle of this version, and a policy that grants whatever it asks for.
fn ship(site: &Site, version: &str, requests: &str) {
    site.story("1", &guest("exiter.wasm"), &manifest(version, requests), &format!("[grants.s]\n{requests}\n"));
}

fn allow(site: &Site, key: &Path, more: &[&str]) -> Ran {
    site.unship(allow_args(key, more))
}

fn allow_args<'a>(key: &'a Path, more: &'a [&str]) -> Vec<&'a OsStr> {
    let args = ["allow", "1", "--reason", "read it line by line", "--key"].map(OsStr::new);
    args.into_iter().chain([key.as_os_str()]).chain(more.iter().map(OsStr::new)).collect()
}

fn decisions(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.at("policies/allowed")).expect("decisions");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Applying ends as planned (6: the story has no verifications).
fn applies(site: &Site) {
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
}

fn waits(site: &Site, says: &str) {
    let before = fingerprint(&site.path());
    let _ = site.unship(["plan", "1"]).exits(0).says("not to be applied yet");
    let _ = site.unship(["check", "1"]).exits(3).says(says);
    let _ = site.unship(["apply", "1", "--yes"]).exits(3).says("nobody allowed this bundle").says(says);
    assert_eq!(before, fingerprint(&site.path()));
}

#[test]
fn a_strangers_bundle_is_planned_and_applied_only_once_people_allowed_it() {
    let (site, [ada, bob]) = site("community", 2);
    waits(&site, "its tier is community");
    let _ =
        allow(&site, &ada, &[]).exits(0).prints("ada allows story 1 1.0.0").prints("it waits").prints("may read a.txt");
    waits(&site, "1 of the 2 people that it takes did: ada");
    let _ = allow(&site, &ada, &[]).exits(0).prints("it waits");
    assert_eq!(decisions(&site).len(), 1, "hers is replaced, not added to");
    let _ = allow(&site, &bob, &[]).exits(0).prints("it may be applied, by the decision of ada and bob");
    applies(&site);
    let journal = site.unship(["journal", "show", "--json"]).exits(0).stdout;
    assert!(journal.contains("\"allowed\":[\"ada\",\"bob\"]"), "{journal}");
    let _ = site
        .unship([Path::new("inspect"), &site.at("bundles/story-1.wasm")])
        .exits(0)
        .prints("allowed  by ada and bob");
}

#[test]
fn an_update_that_asks_for_more_stops_with_the_difference_and_one_that_asks_for_less_passes() {
    let (site, [ada, _]) = site("partner", 1);
    let _ = allow(&site, &ada, &[]).exits(0);
    applies(&site);
    ship(&site, "1.1.0", "");
    let _ = site
        .unship([Path::new("inspect"), &site.at("bundles/story-1.wasm")])
        .exits(0)
        .prints("asks for nothing more than");
    applies(&site);
    ship(&site, "1.2.0", "files.read = [\"a.txt\"]\nfiles.clear = [\"cache\"]");
    site.write("cache/page", "1");
    waits(&site, "files.clear = [\"cache\"]: may empty the directory cache, hidden files too [can delete]");
    let inspected = site.unship([Path::new("inspect"), &site.at("bundles/story-1.wasm")]).exits(0);
    let _ = inspected.prints("allowed  NOT YET").prints("it asks for more than sha256:");
    let _ = allow(&site, &ada, &[]).exits(0);
    applies(&site);
}

#[test]
fn a_decision_binds_to_the_digest_and_not_to_a_name() {
    let (site, [ada, _]) = site("partner", 1);
    let _ = allow(&site, &ada, &[]).exits(0);
    let [file] = &decisions(&site)[..] else { panic!("one decision") };
    let good = fs::read_to_string(file).expect("JSON");
    // Under another name it counts; for other bytes under the story's name it does not.
    let renamed = site.at("policies/allowed/whatever.json");
    fs::rename(file, &renamed).expect("renamed");
    applies(&site);
    ship(&site, "2.0.0", "files.list = [\".\"]");
    waits(&site, "it asks for more than");
    ship(&site, "2.0.1", READ);
    // Edited by hand: with other content, and with the content of another decision.
    fs::write(&renamed, good.replacen("payload\":\"", "payload\":\"AAAA", 1)).expect("written");
    waits(&site, "whatever.json does not count: it is not a decision");
    fs::write(&renamed, good.replacen("\"sig\":\"", "\"sig\": \"", 1)).expect("written");
    waits(&site, "there is one way to write it");
    fs::write(&renamed, "{}").expect("written");
    waits(&site, "whatever.json does not count");
    fs::write(&renamed, &good).expect("written");
    applies(&site);
    // Of a site of another name.
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("name = \"test\"", "name = \"prod\"", 1));
    waits(&site, "it is for the site \"test\", and this is \"prod\"");
}

#[test]
fn a_decision_that_expired_or_whose_maker_was_revoked_does_not_count() {
    let (site, [ada, _]) = site("partner", 1);
    let _ = allow(&site, &ada, &["--expires-in", "1ms"]).exits(1).says("it would end");
    let _ = allow(&site, &ada, &["--expires-in", "1s"]).exits(0);
    let own = site.outside().join("key");
    // Moments are whole seconds, so it has expired when the clock shows the next but one.
    let file = decisions(&site).remove(0);
    let text = fs::read_to_string(&file).expect("JSON");
    while site.unship(["apply", "1", "--yes"]).status != Some(3) {
        std::thread::yield_now();
    }
    waits(&site, "it expired at");
    assert_eq!(fs::read_to_string(&file).expect("JSON"), text, "nobody touched it");
    let _ = allow(&site, &ada, &[]).exits(0);
    applies(&site);
    let args = ["trust", "add", "bob", "--owner", "bob", "--role", "approver", "--key"].map(OsStr::new);
    let _ = site.unship(args.into_iter().chain([own.as_os_str()])).exits(0);
    let args = ["trust", "revoke", "ada", "--reason", "left the company", "--key"].map(OsStr::new);
    let _ = site.unship(args.into_iter().chain([own.as_os_str()])).exits(0);
    waits(&site, "is not in the trust root");
}

#[test]
fn two_that_decide_at_once_both_stand() {
    for _ in 0..8 {
        let (site, [ada, bob]) = site("partner", 2);
        let start = |key: &Path| -> Child {
            let mut command = site.command(allow_args(key, &[]));
            command.stdout(std::process::Stdio::null()).spawn().expect("started")
        };
        let both = [start(&ada), start(&bob)];
        for mut child in both {
            assert!(child.wait().expect("ended").success());
        }
        assert_eq!(decisions(&site).len(), 2);
        applies(&site);
    }
}

#[test]
fn the_storys_policy_may_say_it_for_one_digest() {
    let (site, _) = site("community", 2);
    let policy = site.read("policies/1.toml");
    let digest = site.unship(["plan", "1", "--json"]).exits(0);
    let bundle = fs::read(site.at("bundles/story-1.wasm")).expect("bundle");
    let bundle = unship_policy::Bundle::parse(bundle.into()).expect("a bundle").digest().to_string();
    assert!(digest.summary()["plan_digest"].is_string());
    let with = |allow: &str| policy.replacen("signed-by", &format!("allow = {allow}\nsigned-by"), 1);
    site.write("policies/1.toml", &with(&format!("[\"{bundle}\"]")));
    applies(&site);
    ship(&site, "1.0.1", READ);
    let rewritten = site.read("policies/1.toml");
    site.write("policies/1.toml", &rewritten.replacen("signed-by", &format!("allow = [\"{bundle}\"]\nsigned-by"), 1));
    waits(&site, "its tier is community");
    site.write("policies/1.toml", &with("[\"sha256:12\"]"));
    let _ = site.unship(["plan", "1"]).exits(1).says("a bundle's digest is `sha256:` and 64 hexadecimal digits");
}

#[test]
fn a_community_bundle_that_asks_for_commands_is_refused_before_anything_is_compiled() {
    let (site, _) = site("community", 1);
    let policy = site.read("policies/site.toml");
    let command =
        "[commands.look]\nargv = [\"bin/look\"]\ntimeout = \"5s\"\nsimulated-stdout = \"\"\nwrites = [\"/\"]\n";
    site.write("policies/site.toml", &format!("{policy}{command}"));
    ship(&site, "1.0.0", "commands.run = [\"look\"]");
    for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
        let _ =
            site.unship(verb).exits(3).says("which no bundle of the tier community may have, whatever a policy grants");
    }
    assert_eq!(fs::read_dir(site.at(".unship/code")).expect("code").count(), 0);
}

#[test]
fn what_allow_cannot_do_it_says_and_writes_nothing() {
    let (site, [ada, _]) = site("partner", 1);
    let own = site.key();
    let other = "sha256:".to_owned() + &"0".repeat(64);
    for (key, more, status, says) in [
        (&own, &[][..], 3, "this key may not decide on this site"),
        (&ada, &["--expect", "sha256:12"][..], 1, "is not a bundle's digest"),
        (&ada, &["--expect", &other][..], 3, "the bundle is not the expected one"),
        (&ada, &["--expires-in", "soon"][..], 2, "soon"),
    ] {
        let ran = allow(&site, key, more);
        assert_eq!(ran.status, Some(status), "{more:?}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(says), "{more:?} lacks {says:?}: {}", ran.stderr);
        assert!(!site.at("policies/allowed").exists(), "{more:?}");
    }
    let _ = site
        .unship(["allow", "9", "--reason", "r", "--key", ada.to_str().expect("UTF-8")])
        .exits(1)
        .says("story 9 has no policy");
    let (owned, [ada, _]) = self::site("owned", 1);
    let _ = allow(&owned, &ada, &[]).exits(1).says("a bundle of the tier owned needs no decision");
}

#[test]
fn explain_says_what_a_tier_rules_out_and_who_has_to_decide() {
    let (site, [ada, _]) = site("community", 1);
    let go = "[commands.go]\nargv = [\"bin/go\"]\ntimeout = \"5s\"\nwrites = [\"/\"]\nsimulated-stdout = \"\"\n";
    site.write("policies/site.toml", &(site.read("policies/site.toml") + go));
    let asks = format!("{READ}\ncommands.run = [\"go\"]");
    ship(&site, "1.0.0", &asks);
    let explained = site.unship(["policy", "explain", "1"]).exits(0);
    let explained = explained
        .prints("Its tier is community")
        .prints("It may NOT be applied:")
        .prints("nobody allowed this bundle")
        .prints("its digest is");
    let _ = explained.prints("asks for `commands.run = [\"go\"]`, which its tier NEVER holds").prints("may read a.txt");
    ship(&site, "1.0.0", READ);
    let _ = allow(&site, &ada, &[]).exits(0);
    let explained = site.unship(["policy", "explain", "1"]).exits(0).prints("It may be applied: allowed by ada.");
    // The tier's limits, which are smaller than the site's.
    let _ = explained.prints("Each step ends after 2s of computing or 30s in all, and may take 64 MiB of memory");
    ship(&site, "1.0.1", &READ.replace("a.txt", "b.txt"));
    let _ = allow(&site, &ada, &["--expires-in", "1h"]).exits(0);
    let _ = site.unship(["policy", "explain", "1"]).exits(0).prints("It may be applied: allowed by ada, up to 20");
}
