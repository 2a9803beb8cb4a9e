//! Variants: other ways through one story's steps, planned, applied, gone on with and taken back under their names.

use crate::support::{
    Site, guest, last_run,
    stories::{self, Unit},
};
use std::fs;

const THERE: Unit = ("check", "there", "files.read = [\"there\"]");
const EDIT: Unit = ("step", "verbs", "files.read = [\"script\"]\nfiles.edit = { \"a.yaml\" = [\"/key\"] }");
const EXPOSE: Unit =
    ("step", "more-verbs", "files.read = [\"more-script\"]\nfiles.edit = { \"api.yaml\" = [\"/auth\"] }");
const VARIANT: &str = "already = \"there\"\n[[variant]]\nname = \"expose\"\ntitle = \"Opens the API\"\n\
    adds = [\"more-verbs\"]\nomits = [\"there\"]\n";

/// Story 1 edits `a.yaml`; its variant `expose` edits `api.yaml` as well, and does not ask whether all is done already.
fn site() -> Site {
    let site = stories::site("");
    site.write("a.yaml", "key: old\n");
    site.write("api.yaml", "auth: true\n");
    site.write("script", "edit a.yaml /key old new\n");
    site.write("more-script", "edit api.yaml /auth true false\n");
    stories::story(&site, "1", VARIANT, &[THERE, EDIT, EXPOSE], "");
    site
}

fn units(site: &Site, args: &[&str]) -> Vec<String> {
    let lines = site.unship([&["plan", "1", "--json"], args].concat()).exits(0).json();
    let units = lines.iter().filter(|line| line["type"] == "unit");
    units.map(|unit| unit["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_step_of_a_variant_runs_in_that_alone() {
    let site = site();
    assert_eq!(units(&site, &[]), ["verbs"]);
    assert_eq!(units(&site, &["--variant", "expose"]), ["verbs", "more-verbs"]);
    let digest = |args: &[&str]| site.unship([&["plan", "1", "--json"], args].concat()).exits(0).summary();
    let (default, expose) = (digest(&[]), digest(&["--variant", "expose"]));
    assert_ne!(default["plan_digest"], expose["plan_digest"]);
    assert_eq!((default["variant"].is_null(), &expose["variant"]), (true, &"expose".into()));
    let _ = site.unship(["plan", "1", "--variant", "expose"]).exits(0).prints("variant expose: Opens the API");
    let _ = site.unship(["plan", "1", "--variant", "expose", "--markdown"]).exits(0).prints("Variant `expose`");
    // What was expected of one is not the other.
    let expected = default["plan_digest"].as_str().expect("a digest");
    let refused = site.unship(["apply", "1", "--variant", "expose", "--yes", "--expect", expected]).exits(3);
    let _ = refused.says("- variant: none").says("+ variant: expose").says("+ more-verbs: edit api.yaml /auth");
    let _ = site.unship(["apply", "1", "--yes"]).exits(6);
    assert_eq!((site.read("a.yaml"), site.read("api.yaml")), ("key: new\n".to_owned(), "auth: true\n".to_owned()));
}

#[test]
fn a_variant_is_applied_shown_and_taken_back() {
    let site = site();
    let _ = site.unship(["apply", "1", "--variant", "expose", "--yes"]).exits(6);
    assert_eq!(site.read("api.yaml"), "auth: false\n");
    let run = last_run(&site);
    let _ = site.unship(["show", &run]).exits(0).prints("variant  expose");
    assert_eq!(site.unship(["show", &run, "--json"]).exits(0).summary()["variant"], "expose");
    let _ = site.unship(["runs"]).exits(0).prints("story 1 expose Succeeded");
    let _ = site.unship(["undo", &run]).exits(0);
    assert_eq!((site.read("a.yaml"), site.read("api.yaml")), ("key: old\n".to_owned(), "auth: true\n".to_owned()));
}

#[test]
fn a_variant_that_was_cut_off_goes_on_as_that_variant() {
    let site = site();
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("[site]\n", "[site]\nrehearsal = true\n", 1));
    // After the first step's last record.
    let _ = site.unship(["apply", "1", "--variant", "expose", "--yes", "--inject", "kill@5"]);
    assert_eq!(site.read("api.yaml"), "auth: true\n");
    let _ = site.unship(["resume"]).exits(6).prints("Succeeded");
    assert_eq!(site.read("api.yaml"), "auth: false\n");
}

#[test]
fn a_variant_asks_its_own_check_whether_it_is_done() {
    let site = site();
    site.write("there", "");
    let _ = site.unship(["plan", "1"]).exits(0).prints("It is taken back already");
    assert_eq!(units(&site, &["--variant", "expose"]), ["verbs", "more-verbs"]);
    let shown = site.unship(["plan", "1", "--variant", "expose"]).exits(0).prints("edit api.yaml /auth").stdout;
    assert!(!shown.contains("taken back already"), "{shown}");
}

#[test]
fn verifications_differ_by_variant() {
    let site = stories::site("");
    site.write("a.yaml", "key: old\n");
    site.write("script", "edit a.yaml /key old new\n");
    let there = ("verification", "there", "files.read = [\"there\"]");
    let variant = "[[variant]]\nname = \"there\"\ntitle = \"t\"\nadds = [\"there\"]\n";
    stories::story(&site, "1", variant, &[EDIT, there], "");
    let check = |args: &[&str]| site.unship([&["check", "1", "--json"], args].concat());
    let none = check(&[]).exits(6).summary();
    assert_eq!((&none["verdict"], none["variant"].is_null()), (&"Unknown".into(), true));
    let one = check(&["--variant", "there"]).exits(6).summary();
    assert_eq!((&one["verdict"], &one["variant"]), (&"NotRecovered".into(), &"there".into()));
    site.write("there", "");
    assert_eq!(check(&["--variant", "there"]).exits(0).summary()["verdict"], "Recovered");
}

#[test]
fn a_variant_that_is_not_there_is_refused_with_those_that_are() {
    let site = site();
    for verb in [&["plan", "1"][..], &["apply", "1", "--yes"], &["check", "1"]] {
        let ran = site.unship([verb, &["--variant", "hide"]].concat()).exits(1);
        let _ = ran.says("story 1 has no variant \"hide\" (it has expose)");
    }
    let _ = site.unship(["runs"]).exits(0).prints("no runs yet");
}

#[test]
fn inspect_lists_the_variants() {
    let site = site();
    let bundle = site.at("bundles/story-1.wasm");
    let bundle = bundle.to_str().expect("UTF-8");
    let _ = site
        .unship(["inspect", bundle])
        .exits(0)
        .prints("variant  expose: Opens the API (adds more-verbs; omits there)");
    let variants = site.unship(["inspect", bundle, "--json"]).exits(0).summary()["variants"].clone();
    assert_eq!(
        variants,
        serde_json::json!([{
            "name": "expose", "title": "Opens the API", "adds": ["more-verbs"], "omits": ["there"], "already": null,
        }])
    );
}

#[test]
fn a_manifest_with_a_variant_at_fault_is_not_packed() {
    let site = site();
    let manifest = site.outside().join("bad.toml");
    let text = "story = \"1\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"verbs\"\ntitle = \"t\"\n\
        [[variant]]\nname = \"v\"\ntitle = \"t\"\nadds = [\"nothing\"]\n";
    fs::write(&manifest, text).expect("written");
    let (guest, out) = (guest("hostile.wasm"), site.outside().join("out.wasm"));
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let ran = site.unship(["pack", &text(&guest), "-m", &text(&manifest), "-o", &text(&out)]).exits(1);
    let _ = ran.says("bad.toml:10:9").says("there is no step or check named \"nothing\"").says("there is: verbs");
}
