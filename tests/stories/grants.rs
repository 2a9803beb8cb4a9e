//! Least grants: without any one of them the story could not be taken back, and the policy grants what the bundle asks for
//! and nothing more.

use super::{STORIES, Story};
use crate::support::{Ran, Site, forge, guest};
use std::{collections::BTreeSet, fs, path::Path};
use toml::{Table, Value};

/// One thing that a step or check may do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Power {
    /// `check`, `precondition`, `step` or `verification`; empty where a policy is read.
    pub role: String,
    pub unit: String,
    /// `files`, `flags`, …
    pub group: String,
    /// `read`, `set`, …
    pub verb: String,
    /// A path, a pattern or a name.
    pub what: String,
    /// A flag's value, a pointer into a file.
    pub value: Option<String>,
}

impl Power {
    /// As policies write it.
    pub fn key(&self) -> String {
        format!("{}.{}", self.group, self.verb)
    }
}

/// The powers of one unit's table.
fn powers(role: &str, unit: &str, table: &Table) -> Vec<Power> {
    let mut all = Vec::new();
    for (group, verbs) in table {
        for (verb, wanted) in verbs.as_table().into_iter().flatten() {
            let mut power = |what: &str, value: Option<&str>| {
                let [role, unit, group, verb, what] = [role, unit, group, verb, what].map(str::to_owned);
                all.push(Power { role, unit, group, verb, what, value: value.map(str::to_owned) });
            };
            match wanted {
                Value::Array(names) => names.iter().for_each(|name| power(name.as_str().expect("a text"), None)),
                Value::Table(values) => values.iter().for_each(|(what, values)| match values {
                    Value::String(value) => power(what, Some(value)),
                    values => texts(values).for_each(|value| power(what, Some(value))),
                }),
                other => panic!("{unit}: {group}.{verb} = {other}"),
            }
        }
    }
    all
}

fn texts(values: &Value) -> impl Iterator<Item = &str> {
    values.as_array().expect("a list").iter().map(|value| value.as_str().expect("a text"))
}

fn requests(manifest: &Table) -> Vec<Power> {
    let mut all = Vec::new();
    for role in ["check", "precondition", "step", "verification"] {
        for unit in manifest.get(role).and_then(Value::as_array).into_iter().flatten() {
            let table = unit.as_table().expect("a table");
            all.extend(powers(role, table["name"].as_str().expect("a name"), table));
        }
    }
    all
}

/// What a policy grants.
pub fn grants(policy: &Table) -> Vec<Power> {
    let units = policy["grants"].as_table().expect("grants");
    units.iter().flat_map(|(unit, table)| powers("", unit, table.as_table().expect("a table"))).collect()
}

fn manifest(story: &str) -> Table {
    let folder = format!("story-{}", story.replace('.', "-"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../steps-wasm").join(folder).join("unship.toml");
    fs::read_to_string(path).expect("the manifest").parse().expect("TOML")
}

/// The manifest without one of its requests.
fn without(manifest: &Table, power: &Power) -> String {
    let mut manifest = manifest.clone();
    let units = manifest[&power.role].as_array_mut().expect("units");
    let unit = units.iter_mut().find(|unit| unit["name"].as_str() == Some(&power.unit)).expect("the unit");
    let wanted = &mut unit[&power.group][&power.verb];
    match wanted {
        Value::Array(names) => names.retain(|name| name.as_str() != Some(&power.what)),
        Value::Table(values) => drop(values.remove(&power.what)),
        other => panic!("{other}"),
    }
    toml::to_string(&manifest).expect("TOML")
}

/// A key of the test's own signs from now on.
pub fn trust_own_key(site: &Site) {
    let public = site.unship(["keygen", site.key().to_str().expect("UTF-8")]).exits(0).stdout;
    site.trust_tester(&public);
}

/// Whether the unit does its work, as far as one can see without changing anything.
fn works(role: &str, story: &Story, before: &Site, after: &Site) -> bool {
    let said_yes = |ran: Ran| ran.status == Some(0);
    match role {
        "check" => {
            let plan = after.unship(["plan", story.id, "--json"]);
            plan.status == Some(0) && plan.summary()["already"] == true
        }
        "verification" => said_yes(after.unship(["check", story.id])),
        _ => said_yes(before.unship(["plan", story.id])),
    }
}

fn needs_each_of_its_grants(story: &Story) {
    let original = story.original();
    let (before, after) = (original.copy(), original.copy());
    let _ = after.apply();
    let manifest = manifest(story.id);
    let component = fs::read(guest(&format!("story_{}.wasm", story.id.replace('.', "_")))).expect("the guest");
    let pack = |text: &str| {
        for site in [&before, &after] {
            forge(site, &component, text, &site.at(&format!("bundles/story-{}.wasm", story.id)));
        }
    };
    trust_own_key(&before);
    trust_own_key(&after);
    pack(&toml::to_string(&manifest).expect("TOML"));
    for role in ["check", "step", "verification"] {
        assert!(works(role, story, &before, &after), "{}: with all it asks for, a {role} does not work", story.id);
    }
    let mut idle = Vec::new();
    // Units of a variant do not run by default; `stories::security` plans theirs.
    let of_variants: BTreeSet<&str> = manifest
        .get("variant")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .flat_map(|variant| texts(&variant["adds"]))
        .collect();
    for power in requests(&manifest).into_iter().filter(|power| !of_variants.contains(power.unit.as_str())) {
        pack(&without(&manifest, &power));
        if works(&power.role, story, &before, &after) {
            idle.push(format!("{} of {}: {}", power.key(), power.unit, power.what));
        }
    }
    assert!(idle.is_empty(), "story {} does its work without: {idle:#?}", story.id);
}

#[test]
fn no_story_holds_a_grant_that_it_does_not_use() {
    std::thread::scope(|scope| {
        for story in STORIES {
            scope.spawn(|| needs_each_of_its_grants(story));
        }
    });
}

#[test]
fn each_policy_grants_what_the_bundle_asks_for_and_nothing_more() {
    for story in STORIES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../policies/{}.toml", story.id));
        let policy: Table = fs::read_to_string(path).expect("the policy").parse().expect("TOML");
        let granted: BTreeSet<Power> = grants(&policy).into_iter().collect();
        let asked = requests(&manifest(story.id)).into_iter();
        let asked: BTreeSet<Power> = asked.map(|power| Power { role: String::new(), ..power }).collect();
        assert_eq!(granted, asked, "story {}", story.id);
    }
}
