//! One denial just outside each grant: a hostile step that holds exactly this one tries what lies beside it.

use super::{
    STORIES, Story,
    grants::{Power, grants, trust_own_key},
};
use crate::support::{Site, fingerprint, forge, guest};
use std::fs;
use toml::Table;

/// Names that have a meaning and that no story holds.
const NEIGHBOURS: &str = r#"
[processes.beside]
exe = "bin/beside"
grace = "1s"
[commands.beside]
argv = ["true"]
timeout = "1s"
[services.beside]
manager = "pid-file"
pid-file = "run/beside.pid"
process = { exe = "bin/beside", grace = "1s" }
start = ["true"]
healthy = ["true"]
timeout = "1s"
[http.beside]
method = "GET"
url = "http://127.0.0.1:1/"
timeout = "1s"
[http.beside-change]
method = "POST"
url = "http://127.0.0.1:1/"
timeout = "1s"
[git.beside]
commit = "0000000000000000000000000000000000000000"
paths = ["tests"]
"#;

/// The component imports every interface, so that somebody must request each.
const IDLE: &str = r#"files.clear = ["run/none"]
flags.get = ["automated_eda"]
processes.list = ["beside"]
services.status = ["beside"]
commands.run = ["beside"]
http.get = ["beside"]
git.status = ["beside"]
"#;

/// What lies just beside the power, for the component's file `beside`. A path is made where it is none yet.
fn neighbours(site: &Site, power: &Power) -> Vec<String> {
    let (key, what) = (power.key(), power.what.as_str());
    match (power.group.as_str(), power.verb.as_str()) {
        ("flags", "set") => vec![format!("{key} {what} on"), format!("{key} {} off", flag_beside(what))],
        ("flags", _) => vec![format!("{key} {}", flag_beside(what))],
        ("files", "edit") => {
            let pointer = power.value.as_deref().expect("a pointer");
            let path = path_beside(site, power);
            vec![format!("{key} {path} {pointer}"), format!("{key} {what} {pointer}/beside"), format!("{key} {what} /")]
        }
        ("files", _) | ("processes", "holders") => vec![format!("{key} {}", path_beside(site, power))],
        ("http", "call") => vec![format!("{key} beside-change")],
        _ => vec![format!("{key} beside")],
    }
}

/// In another folder of policy than the site, as typed verbs or as the standard library name it.
fn path_elsewhere(site: &Site, power: &Power, folder: &str, inside: &str) -> String {
    fs::write(site.beside().join(format!("beside-{inside}")), "beside").expect("written");
    let mark = if ["read", "list", "write", "create"].contains(&power.verb.as_str()) { '/' } else { ':' };
    format!("{folder}{mark}beside-{inside}")
}

/// A flag of another story.
fn flag_beside(flag: &str) -> &'static str {
    if ["automated_eda", "hypothesis_generation"].contains(&flag) { "duckdb_analytics" } else { "automated_eda" }
}

fn path_beside(site: &Site, power: &Power) -> String {
    if let Some((folder, inside)) = power.what.split_once(':') {
        return path_elsewhere(site, power, folder, inside);
    }
    let (folder, name) = power.what.rsplit_once('/').map_or(("", &*power.what), |(folder, name)| (folder, name));
    let path = match name {
        "." => "config".to_owned(),
        // A name beside it could be one that the pattern covers too.
        name if name.contains('*') => format!("{folder}-beside/{}", name.replace('*', "file")),
        name if folder.is_empty() => format!("beside-{name}"),
        name => format!("{folder}/beside-{name}"),
    };
    match power.verb.as_str() {
        "clear" | "list" if name != "." => site.write(&format!("{path}/file"), "beside"),
        "create" => fs::create_dir_all(site.at(&path).parent().expect("a folder")).expect("a folder"),
        _ if name != "." => site.write(&path, "beside"),
        _ => {}
    }
    path
}

/// The lines that request or grant this alone.
fn alone(power: &Power) -> String {
    let (key, what) = (power.key(), &power.what);
    match &power.value {
        Some(value) => format!("{key} = {{ {what:?} = [{value:?}] }}\n"),
        None => format!("{key} = [{what:?}]\n"),
    }
}

/// A unit that holds `files.read` of its script, and one power more.
fn with_script(power: &Power) -> String {
    if power.key() == "files.read" {
        return format!("files.read = [\"beside\", {:?}]\n", power.what);
    }
    format!("files.read = [\"beside\"]\n{}", alone(power))
}

fn denies_what_lies_beside(story: &Story) {
    let site = story.rehearsal();
    trust_own_key(&site);
    let component = fs::read(guest("beside.wasm")).expect("the guest");
    let policy: Table = site.read(&format!("policies/{}.toml", story.id)).parse().expect("TOML");
    let mut got_through = Vec::new();
    for power in grants(&policy) {
        for line in neighbours(&site, &power) {
            let unit = with_script(&power);
            site.write(
                "policies/9.9.toml",
                &format!(
                    "[story]\nid = \"9.9\"\ntitle = \"t\"\nbundle = \"story-9.9.wasm\"\nsigned-by = [\"release\"]\n{}\n{NEIGHBOURS}\n\
                     [grants.try]\n{unit}\n[grants.idle]\n{IDLE}",
                    definitions(&policy)
                ),
            );
            let manifest = format!(
                "story = \"9.9\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"try\"\ntitle = \"t\"\n{unit}\n\
                 [[step]]\nname = \"idle\"\ntitle = \"t\"\n{IDLE}"
            );
            forge(&site, &component, &manifest, &site.at("bundles/story-9.9.wasm"));
            site.write("beside", &line);
            let before = fingerprint(&site.path());
            let ran = site.unship(["apply", "9.9", "--yes"]);
            // A directory that a step may not look at cannot be opened to be listed.
            let denied = if power.key() == "files.list" {
                "denied: looking at".to_owned()
            } else {
                format!("denied: {}", power.key())
            };
            if ran.status != Some(3) || !ran.stderr.contains(&denied) || before != fingerprint(&site.path()) {
                got_through.push(format!("{line} beside {unit}: {:?}\n{}", ran.status, ran.stderr));
            }
        }
    }
    assert!(got_through.is_empty(), "story {}: {}", story.id, got_through.join("\n"));
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
}

/// What the policy says that names mean, without what belongs to the story itself.
fn definitions(policy: &Table) -> String {
    let kept = policy.iter().filter(|(key, _)| !["story", "grants", "checklist", "safety"].contains(&key.as_str()));
    toml::to_string(&kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Table>()).expect("TOML")
}

#[test]
fn just_beside_each_grant_lies_a_denial() {
    std::thread::scope(|scope| {
        for story in STORIES {
            scope.spawn(|| denies_what_lies_beside(story));
        }
    });
}
