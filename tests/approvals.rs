//! Safety properties: a plan that weakens one says so whatever it does it by; carrying one out takes a declared variant,
//! approvals of different people, and something that ends it, which this version does not have.

use crate::support::{
    Ran, Site, fingerprint, last_run,
    stories::{self, Unit},
};
use std::{fs, path::PathBuf};

const SAFETY: &str = "[safety.authentication]\ntitle = \"Who calls says who they are\"\n\
    holds-while = [{ file = \"conf/api.yaml\", pointer = \"/auth\", value = \"true\" }, { flag = \"login\", value = \"on\" }]\n\
    approvals = 2\nlapses-after = \"4h\"\n";
const EDIT: Unit = ("step", "verbs", "files.read = [\"script\"]\nfiles.edit = { \"a.yaml\" = [\"/key\"] }");
const EXPOSE: Unit = (
    "step",
    "more-verbs",
    "files.read = [\"more-script\", \"conf/*\"]\nfiles.write = [\"conf/**\"]\nfiles.create = [\"conf\", \"conf/**\", \"b.yaml\"]\n\
     files.remove = [\"conf/**\"]\nfiles.rename = [\"conf/**\"]\nfiles.replace = [\"conf/*\"]\n\
     files.set-aside = [\"conf/*\", \"conf\"]\nfiles.edit = { \"conf/*\" = [\"/**\"] }\nflags.set = { login = [\"on\", \"off\"], f = [\"off\"] }\n",
);
const VARIANT: &str = "[[variant]]\nname = \"expose\"\ntitle = \"Opens the API\"\nadds = [\"more-verbs\"]\n";

/// Story 1 edits `a.yaml`; its variant `expose` does what `script` says as well.
pub fn site(script: &str) -> Site {
    let site = stories::site(SAFETY);
    stories::story(&site, "1", VARIANT, &[EDIT, EXPOSE], "");
    lay_out(&site, script);
    site
}

/// Everything that the story meets, as before any run.
fn lay_out(site: &Site, script: &str) {
    let _ = fs::remove_dir_all(site.at("conf"));
    site.write("a.yaml", "key: old\n");
    site.write("conf/api.yaml", "auth: true # who\nport: 1\n");
    site.write("conf/open.yaml", "auth: false\nport: 1\n");
    site.write("flags.yaml", "f: true\nlogin: true\n");
    site.write("script", "edit a.yaml /key old new\n");
    site.write("more-script", script);
}

pub const OPEN: &str = "edit conf/api.yaml /auth true false";

#[track_caller]
fn weakens(site: &Site, script: &str, prepare: impl Fn(&Site), change: Option<&str>) {
    lay_out(site, script);
    prepare(site);
    let before = fingerprint(&site.path());
    let plan = site.unship(["plan", "1", "--variant", "expose", "--json"]).exits(0);
    assert_eq!(before, fingerprint(&site.path()), "{script}");
    let lines = plan.json();
    let line = lines.iter().find(|line| line["type"] == "weakens");
    match (change, line) {
        (Some(change), Some(line)) => {
            let changes = line["changes"].as_array().expect("changes");
            assert!(changes.iter().any(|c| c.as_str().expect("text").starts_with(change)), "{script}: {changes:?}");
            assert_eq!(plan.summary()["weakens"], serde_json::json!(["authentication"]), "{script}");
        }
        (None, None) => assert_eq!(plan.summary()["weakens"], serde_json::json!([]), "{script}"),
        (wanted, found) => panic!("{script}: wanted {wanted:?}, found {found:?}"),
    }
}

#[test]
fn a_weakening_is_seen_whatever_does_it() {
    let (site, nothing) = (site(""), |_: &Site| ());
    let opens = Some("conf/api.yaml /auth: true -> false");
    let gone = Some("conf/api.yaml /auth: true -> not to be told (conf/api.yaml does not exist)");
    weakens(&site, OPEN, nothing, opens);
    weakens(&site, "replace conf/api.yaml conf/open.yaml", nothing, opens);
    weakens(&site, "rename conf/open.yaml conf/api.yaml", nothing, opens);
    weakens(&site, "write conf/api.yaml auth:false", nothing, Some("conf/api.yaml /auth: true -> not to be told ("));
    weakens(&site, "set-aside conf/api.yaml", nothing, gone);
    weakens(&site, "rename conf/api.yaml conf/other.yaml", nothing, gone);
    weakens(&site, "set-aside conf", nothing, gone);
    weakens(&site, "flag login off", nothing, Some("flag login: on -> off"));
    // Another spelling of no is not yes.
    weakens(&site, "edit conf/api.yaml /auth true no", nothing, Some("conf/api.yaml /auth: true -> no"));
    // Behind a symlink of the site.
    let linked = |site: &Site| {
        fs::rename(site.at("conf/api.yaml"), site.at("conf/real.yaml")).expect("renamed");
        std::os::unix::fs::symlink("real.yaml", site.at("conf/api.yaml")).expect("a link");
    };
    weakens(&site, "replace conf/real.yaml conf/open.yaml", linked, opens);
    // It did not hold before: any other value but the right one counts.
    let open_already = |site: &Site| site.write("conf/api.yaml", "auth: false\nport: 1\n");
    weakens(&site, "edit conf/api.yaml /auth false maybe", open_already, Some("conf/api.yaml /auth: false -> maybe"));
    let broken = |site: &Site| site.write("conf/api.yaml", "auth: [\n");
    weakens(&site, "write conf/api.yaml auth:[", broken, Some("conf/api.yaml /auth: not to be told ("));
}

#[test]
fn what_weakens_nothing_says_nothing() {
    let (site, nothing) = (site(""), |_: &Site| ());
    weakens(&site, "edit conf/api.yaml /port 1 2", nothing, None);
    weakens(&site, "flag f off", nothing, None);
    weakens(&site, &format!("{OPEN}\nedit conf/api.yaml /auth false true"), nothing, None);
    let open_already = |site: &Site| site.write("conf/api.yaml", "auth: false\nport: 1\n");
    weakens(&site, "edit conf/api.yaml /auth false true", open_already, None);
    weakens(&site, "edit conf/api.yaml /port 1 2", open_already, None);
    weakens(&site, "flag f off", |site| fs::remove_file(site.at("conf/api.yaml")).expect("removed"), None);
}

/// Key files of people who may approve: ada, bob, and ada's second; `build` may not.
pub fn approvers(site: &Site) -> Vec<PathBuf> {
    let people = [("ada", "ada"), ("bob", "bob"), ("ada-too", "ada"), ("build", "carol")];
    let mut tables = String::new();
    let keys = people.map(|(name, owner)| {
        let file = site.outside().join(format!("{name}.key"));
        let public = site.unship([std::ffi::OsStr::new("keygen"), file.as_os_str()]).exits(0).stdout;
        tables.push_str(&format!("[keys.{name}]\npublic = \"{}\"\nowner = \"{owner}\"\n", public.trim()));
        file
    });
    let role = "[roles.approver]\nkeys = [\"ada\", \"bob\", \"ada-too\"]\nthreshold = 1\n";
    site.trust_also(&format!("{tables}{role}"));
    keys.into()
}

pub fn digest(site: &Site) -> String {
    let summary = site.unship(["plan", "1", "--variant", "expose", "--json"]).exits(0).summary();
    summary["plan_digest"].as_str().expect("a digest").to_owned()
}

/// `approve` with `key` into the file `name`.
pub fn approve(site: &Site, digest: &str, key: &PathBuf, name: &str, more: &[&str]) -> (PathBuf, Ran) {
    let file = site.outside().join(name);
    let mut command = site.command(["approve", digest, "--story", "1", "--variant", "expose", "--reason", "tonight"]);
    let ran = Ran::of(command.arg("--key").arg(key).arg("-o").arg(&file).args(more));
    (file, ran)
}

fn apply(site: &Site, approvals: &[&PathBuf]) -> Ran {
    let mut command = site.command(["apply", "1", "--variant", "expose", "--yes"]);
    Ran::of(approvals.iter().fold(&mut command, |command, file| command.arg("--approval").arg(file)))
}

#[test]
fn the_plan_says_what_it_weakens_and_what_that_takes() {
    let site = site(OPEN);
    let plan = site.unship(["plan", "1", "--variant", "expose"]).exits(0);
    let plan = plan.prints("WEAKENS the safety property authentication: Who calls says who they are");
    let _ = plan.prints("conf/api.yaml /auth: true -> false").prints("needs 2 approvals; ends after 4 h");
    let plan = site.unship(["plan", "1", "--variant", "expose", "--markdown"]).exits(0);
    let _ = plan.prints("> **It weakens the safety property `authentication`").prints("ends after 4 h");
    let lines = site.unship(["plan", "1", "--variant", "expose", "--json"]).exits(0).json();
    let line = lines.iter().find(|line| line["type"] == "weakens").expect("it is told");
    assert_eq!((&line["approvals"], &line["lapses_after_ms"]), (&2.into(), &(4 * 3_600_000).into()));
    // The default of the same story weakens nothing, and is applied.
    let _ = site.unship(["apply", "1", "--yes"]).exits(6).prints("Succeeded");
}

#[test]
fn with_two_good_approvals_it_is_still_refused_since_nothing_would_end_it() {
    let site = site(OPEN);
    let keys = approvers(&site);
    let digest = digest(&site);
    let before = fingerprint(&site.path());
    let _ = apply(&site, &[]).exits(3).says("0 of the 2 approvals").says("it weakens authentication (Who calls");
    let (ada, ran) = approve(&site, &digest, &keys[0], "ada", &[]);
    let ran = ran.exits(0).prints("weakens  authentication");
    let _ = ran.prints("ada approves of story 1, variant expose, plan sha256:");
    let _ = apply(&site, &[&ada]).exits(3).says("1 of the 2 approvals that it needs are given");
    let (bob, ran) = approve(&site, &digest, &keys[1], "bob", &["--json"]);
    assert_eq!(ran.exits(0).summary()["by"], "bob");
    let refused = apply(&site, &[&ada, &bob]).exits(3).says("nothing on this site would end it in time");
    let _ = refused.says("ada and bob approved of it, for 4 h at most");
    assert_eq!(before, fingerprint(&site.path()), "a refusal changes nothing");
    let _ = site
        .unship(["show", &last_run(&site)])
        .exits(0)
        .prints("Refused: story 1 is not applied: nothing on this site");
}

#[test]
fn an_approval_that_does_not_count_is_refused_by_name() {
    let site = site(OPEN);
    let keys = approvers(&site);
    let digest = digest(&site);
    let made = |key: usize, name: &str, digest: &str, more: &[&str]| {
        let (file, ran) = approve(&site, digest, &keys[key], name, more);
        let _ = ran.exits(0);
        file
    };
    let ada = made(0, "ada", &digest, &[]);
    let ada_too = made(2, "ada-too", &digest, &[]);
    let _ = apply(&site, &[&ada, &ada]).exits(3).says("ada: the key `ada` has approved already: each counts once");
    let _ = apply(&site, &[&ada, &ada_too]).exits(3).says("ada-too: ada has approved already with another key");
    let other = made(1, "other", &format!("sha256:{}", "1".repeat(64)), &[]);
    let _ = apply(&site, &[&ada, &other]).exits(3).says("other: it approves of the plan sha256:1111");
    let tampered = site.outside().join("tampered");
    let bob = made(1, "bob", &digest, &[]);
    fs::write(&tampered, fs::read_to_string(&bob).expect("text").replacen("tonight", "tomorro", 1)).expect("written");
    let _ = apply(&site, &[&ada, &tampered]).exits(3).says("tampered: the signature by the key `bob` does not fit");
    let none = site.outside().join("none");
    let _ = apply(&site, &[&ada, &none]).exits(3).says("none cannot be read");
    let _ = apply(&site, &[&ada, &keys[1]]).exits(3).says("bob.key: it is not an approval");
    let brief = made(1, "brief", &digest, &["--expires-in", "1ms"]);
    let _ = apply(&site, &[&ada, &brief]).exits(3).says("brief: it has expired");
    // Of another site, by its name; and by people whom this site does not know or does not let approve any more.
    let policy = site.read("policies/site.toml");
    site.write("policies/site.toml", &policy.replacen("name = \"test\"", "name = \"prod\"", 1));
    let _ = apply(&site, &[&ada, &bob]).exits(3).says("on the site \"test\", and this is \"prod\"");
    site.write("policies/site.toml", &policy);
    let trust = site.trust_tables();
    let (own, approvers) = trust.split_once("[keys.ada]").expect("ada");
    let approvers = format!("[keys.ada]{approvers}");
    let without = approvers.replace("\"bob\", ", "").replacen("[keys.bob]", "[keys.bill]", 1);
    let (before, table) = without.split_once("[keys.bill]").expect("his table");
    let (_, behind) = table.split_once("[keys.").expect("a table behind it");
    site.trust(&format!("{own}{before}[keys.{behind}"));
    let _ = apply(&site, &[&ada, &bob])
        .exits(3)
        .says("bob: the key unship-public-ed25519:")
        .says("is not in the trust root");
    site.trust(&format!("{own}{}", approvers.replace("\"bob\", ", "")));
    let _ = apply(&site, &[&ada, &bob]).exits(3).says("the key `bob` may not approve");
    let revoked = approvers.split_once("[keys.bob]\n").expect("bob").1.lines().next().expect("public");
    site.trust(&format!("{trust}\n[[revoked.key]]\n{revoked}\nreason = \"his laptop was stolen\"\n"));
    let _ = apply(&site, &[&ada, &bob]).exits(3).says("the key `bob` is revoked: his laptop was stolen");
    site.trust(&trust);
    // The site changed, and with it the plan.
    site.write("conf/api.yaml", "auth: true\nport: 2\n");
    site.write("more-script", &format!("{OPEN}\nedit conf/api.yaml /port 2 3\n"));
    let _ = apply(&site, &[&ada, &bob]).exits(3).says("it approves of the plan");
    assert_eq!(site.read("conf/api.yaml"), "auth: true\nport: 2\n");
}

#[test]
fn an_approval_that_could_not_count_is_not_made() {
    let site = site(OPEN);
    let keys = approvers(&site);
    let digest = digest(&site);
    let fails = |digest: &str, key: usize, more: &[&str], status: i32, says: &str| {
        let (file, ran) = approve(&site, digest, &keys[key], "new", more);
        let _ = ran.exits(status).says(says);
        assert!(!file.exists());
    };
    fails(&digest, 3, &[], 3, "this key may not approve on this site");
    fails(&digest, 0, &["--expires-in", "25h"], 1, "for longer than 24 hours");
    fails(&digest, 0, &["--expires-in", "soon"], 2, "is not a duration");
    let mut command =
        site.command(["approve", &digest, "--story", "1", "--variant", "hide", "--reason", "r", "-o", "x"]);
    let _ =
        Ran::of(command.arg("--key").arg(&keys[0])).exits(1).says("story 1 has no variant \"hide\" (it has expose)");
    fails("sha256:12", 0, &[], 1, "is not a plan's digest");
    let default =
        site.unship(["plan", "1", "--json"]).exits(0).summary()["plan_digest"].as_str().expect("a digest").to_owned();
    fails(&default, 0, &[], 1, "that is a plan of story 1, its default");
    let (file, ran) = approve(&site, &digest, &keys[0], "there", &[]);
    let _ = ran.exits(0);
    let text = fs::read(&file).expect("it is there");
    let (_, again) = approve(&site, &digest, &keys[1], "there", &[]);
    let _ = again.exits(1).says("an existing file is never overwritten");
    assert_eq!(fs::read(&file).expect("it is there"), text);
    let _ = site.unship(["approve", &digest, "--story", "1"]).exits(2);
    // And one where there is nothing to approve of.
    let mut command = site.command(["apply", "1", "--yes"]);
    let _ = Ran::of(command.arg("--approval").arg(&file)).exits(1).says("the plan weakens no safety property");
}

#[test]
fn the_default_never_weakens_a_safety_property() {
    let site = site("");
    site.write("script", OPEN);
    let step = ("step", "verbs", "files.read = [\"script\"]\nfiles.edit = { \"conf/api.yaml\" = [\"/auth\"] }");
    stories::story(&site, "2", "", &[step], "");
    let _ = site.unship(["plan", "2"]).exits(0).prints("WEAKENS the safety property authentication");
    let refused = site.unship(["apply", "2", "--yes"]).exits(3);
    let _ = refused.says("only a declared variant may weaken a safety property").says("it weakens authentication");
    assert_eq!(site.read("conf/api.yaml"), "auth: true # who\nport: 1\n");
}

#[test]
fn a_command_that_weakens_beside_the_plan_ends_the_run_and_is_told() {
    let site = stories::site(&format!(
        "{SAFETY}[commands.open]\nargv = [\"sh\", \"-c\", \"echo auth: false > conf/api.yaml\"]\nwrites = [\"conf\"]\ntimeout = \"10s\"\n\
         undo = [\"sh\", \"-c\", \"echo auth: true > conf/api.yaml\"]\n"
    ));
    site.write("conf/api.yaml", "auth: true\n");
    site.write("flags.yaml", "f: true\nlogin: true\n");
    site.write("script", "run open\n");
    let step = ("step", "verbs", "files.read = [\"script\"]\nfiles.list = [\"none\"]\nfiles.clear = [\"none\"]");
    stories::story(&site, "1", "", &[step], "");
    let policy = site.read("policies/1.toml").replace("commands.run = [\"c\"]", "commands.run = [\"c\", \"open\"]");
    site.write("policies/1.toml", &policy);
    let bundle =
        stories::manifest("1", "", &[step]).replace("commands.run = [\"c\"]", "commands.run = [\"c\", \"open\"]");
    let component = fs::read(crate::support::guest("hostile.wasm")).expect("the component");
    crate::support::forge(&site, &component, &bundle, &site.at("bundles/story-1.wasm"));
    let plan = site.unship(["plan", "1"]).exits(0).stdout;
    assert!(!plan.contains("WEAKENS"), "a plan does not know what a command does:\n{plan}");
    let undone = site.unship(["apply", "1", "--yes"]).exits(4);
    let _ = undone.says("it weakened, beside the plan, authentication (Who calls says who they are): conf/api.yaml /auth: true -> false");
    assert_eq!(site.read("conf/api.yaml"), "auth: true\n");
}
