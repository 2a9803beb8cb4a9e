//! Each of the 37 shipped triggers, driven from its own feed: the shipped policies, the real looks at real files, servers, processes
//! and commands (the practice site's own scripts), and the evaluator. What is well fires nothing; what is not fires that trigger, not
//! before its window and soon after it, and none of the other 36 with it. Where the rule has no `for`, the first look may be enough.
//!
//! Stand-ins: the clock; servers that answer as Dagster, the analysis service and pages do; pm2's list; processes that take
//! megabytes where the trigger says gigabytes, and answers that take part of a second where it says seconds (`scaled`).

use crate::{
    scenes::{self, Scene},
    support::{BEGIN, Bench},
};
use std::{collections::BTreeSet, fs, path::PathBuf, time::Duration};
use toml::{Table, Value};
use unship_controller::sources::Clock as _;
use unship_policy::{SitePolicy, StoryId, parse_story_triggers};
use unship_rollback::{
    signal::Millis,
    trigger::{Evaluator, Lookup, Settings, Transition, TransitionKind, TriggerRule, compile},
};

/// One trigger, and the state of the site that it is about.
pub struct Row {
    /// A story, or `site`.
    pub owner: &'static str,
    pub trigger: &'static str,
    /// Seconds between two looks.
    pub every_s: u64,
    /// Looks while all is well before something is not.
    pub well: u64,
    /// How many minutes after that it fires: at least, and at most.
    pub fires: [u64; 2],
    /// Makes the site as it is before a look.
    pub scene: fn(&mut Scene, is_sick: bool),
    /// What of the rule's text is made smaller, so that a test can afford it; when something is not well alone.
    pub scaled: Option<[&'static str; 2]>,
    /// A baseline that takes fewer looks than the shipped one: over which time, of how many samples.
    pub baseline: Option<(&'static str, i64)>,
}

const OWNERS: [&str; 9] = ["site", "1.1.5", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8"];

fn of(story: Option<&StoryId>, name: &str) -> String {
    format!("{}/{name}", story.map_or("site", StoryId::as_str))
}

fn policies() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies"))
}

pub fn table(path: &str) -> Table {
    fs::read_to_string(policies().join(path)).expect("a shipped policy").parse().expect("TOML")
}

fn triggers(owner: &str) -> Vec<Table> {
    let of = if owner == "site" { table("site.toml") } else { table(&format!("triggers/{owner}.toml")) };
    let all = of["trigger"].as_array().expect("triggers").iter();
    all.map(|trigger| trigger.as_table().expect("a trigger").clone()).collect()
}

fn text(of: &Table, key: &str) -> String {
    of[key].as_str().expect("text").to_owned()
}

/// The row's trigger as it is tried: what is scaled or learned in less time than as shipped, and nothing else, is another.
fn tried_as(row: &Row, is_scaled: bool, mut trigger: Table) -> Table {
    if let Some([from, to]) = row.scaled.filter(|_| is_scaled) {
        let when = text(&trigger, "when");
        assert!(when.contains(from), "{}: {when:?}", row.trigger);
        trigger.insert("when".to_owned(), Value::String(when.replacen(from, to, 1)));
        trigger.remove("clear");
    }
    if let Some((over, samples)) = row.baseline {
        let baseline = [("over".to_owned(), over.into()), ("min-samples".to_owned(), samples.into())];
        trigger.insert("baseline".to_owned(), Value::Table(Table::from_iter(baseline)));
    }
    trigger
}

/// The shipped policy of a site, whose sources look for the feeds of one trigger alone; and the rules of all 37 triggers.
fn shipped(row: &Row, is_scaled: bool, scene: &Scene) -> (SitePolicy, Vec<TriggerRule>) {
    let own = triggers(row.owner).into_iter().find(|t| text(t, "name") == row.trigger).expect("the trigger");
    let wanted: Vec<&str> =
        own["feed"].as_array().expect("feeds").iter().map(|f| f.as_str().expect("a name")).collect();
    let mut whole = table("site.toml");
    whole.retain(|key, _| ["site", "processes", "services", "feeds"].contains(&key));
    let general: Vec<Value> = rows_of("site", row, is_scaled);
    let mut looking = whole.clone();
    let feeds = looking["feeds"].as_table_mut().expect("feeds");
    feeds.retain(|name, _| wanted.contains(&name));
    for (_, feed) in feeds.iter_mut() {
        *feed = scene.own(feed.clone());
    }
    whole.insert("trigger".to_owned(), Value::Array(general));
    let (looking, whole) = (looking.to_string(), whole.to_string());
    let parse = |policy: &str| SitePolicy::parse(policy).unwrap_or_else(|e| panic!("{e}: {policy}"));
    let site = parse(&whole);
    let mut rules = compile(&site, None, &site.triggers, &whole).unwrap_or_else(|e| panic!("{e}: {whole}"));
    for owner in OWNERS.into_iter().filter(|owner| *owner != "site") {
        let of_story = Table::from_iter([("trigger".to_owned(), Value::Array(rows_of(owner, row, is_scaled)))]);
        let (text, story) = (of_story.to_string(), StoryId::new(owner).expect("a story"));
        let own = parse_story_triggers(&text).expect("triggers");
        rules.extend(compile(&site, Some(&story), &own, &text).unwrap_or_else(|e| panic!("{e}: {text}")));
    }
    (parse(&looking), rules)
}

/// The triggers of one owner, the row's as it is tried.
fn rows_of(owner: &str, row: &Row, is_scaled: bool) -> Vec<Value> {
    let is_own = |trigger: &Table| owner == row.owner && text(trigger, "name") == row.trigger;
    let all = triggers(owner).into_iter();
    all.map(|t| Value::Table(if is_own(&t) { tried_as(row, is_scaled, t) } else { t })).collect()
}

/// After how many minutes it fired, counted from the first look at what is not well; `None`: not at all.
fn drive(row: &Row, is_sick: bool) -> Option<f64> {
    let mut scene = Scene::new(Bench::new(""));
    let (policy, rules) = shipped(row, is_sick, &scene);
    let names: Vec<String> = rules.iter().map(|rule| of(rule.story.as_ref(), &rule.name)).collect();
    scene.bench.sources.reload(&policy);
    let mut evaluator = Evaluator::new(rules, Settings { lateness_ms: 0, ..Settings::since(Millis(BEGIN)) });
    let (begun_ms, every_ms) = (row.well * row.every_s * 1000, row.every_s * 1000);
    // One look behind what the row says, and what is well for as long.
    let looks = row.well + row.fires[1] * 60 / row.every_s + 1;
    let (mut samples, mut told) = (0, Vec::new());
    for look in 1..=looks {
        scene.bench.clock.goes_on(Duration::from_millis(every_ms));
        (row.scene)(&mut scene, is_sick && look > row.well);
        scene.bench.sources.look_due();
        let taken = scene.bench.seen.take();
        told.extend(taken.told);
        for (series, sample) in taken.samples {
            samples += 1;
            if let Lookup::Watched(key) = evaluator.series(&series) {
                evaluator.observe(key, sample);
            }
        }
        let changes = evaluator.advance(scene.bench.clock.now());
        let fired = changes.iter().filter(|change| matches!(change.kind, TransitionKind::Fired(_)));
        if let [fired, rest @ ..] = &fired.collect::<Vec<_>>()[..] {
            let name = |change: &Transition| names[change.rule].clone();
            let others: Vec<String> = rest.iter().map(|change| name(change)).collect();
            assert_eq!((name(fired), others), (format!("{}/{}", row.owner, row.trigger), vec![]), "this one alone");
            let after_ms = fired.at.0 - BEGIN - i64::try_from(begun_ms + every_ms).expect("a short time");
            return Some(after_ms as f64 / 60_000.0);
        }
    }
    assert!(samples > 0, "{} {}: its feeds gave nothing: {told:?}", row.owner, row.trigger);
    None
}

fn tried(owner: &str) {
    for row in scenes::ROWS.iter().filter(|row| row.owner == owner) {
        let name = format!("{}/{}", row.owner, row.trigger);
        assert_eq!(drive(row, false), None, "{name} fires though all is well");
        let fired = drive(row, true).unwrap_or_else(|| panic!("{name} does not fire"));
        let [least, most] = row.fires.map(|minutes| minutes as f64);
        assert!((least..=most).contains(&fired), "{name} fires after {fired} minutes, not {least} to {most}");
    }
}

#[test]
fn the_table_has_every_shipped_trigger() {
    let of = |owner: &str| triggers(owner).iter().map(|t| format!("{owner}/{}", text(t, "name"))).collect::<Vec<_>>();
    let all: BTreeSet<String> = OWNERS.into_iter().flat_map(of).collect();
    let tried: BTreeSet<String> = scenes::ROWS.iter().map(|row| format!("{}/{}", row.owner, row.trigger)).collect();
    assert_eq!(tried, all);
    assert_eq!((all.len(), scenes::ROWS.len()), (37, 37));
}

#[test]
fn the_sites_triggers_fire_by_their_feeds() {
    tried("site");
}

#[test]
fn those_of_1_1_5_fire_by_their_feeds() {
    tried("1.1.5");
}

#[test]
fn those_of_1_2_fire_by_their_feeds() {
    tried("1.2");
}

#[test]
fn those_of_1_3_fire_by_their_feeds() {
    tried("1.3");
}

#[test]
fn those_of_1_4_fire_by_their_feeds() {
    tried("1.4");
}

#[test]
fn those_of_1_5_fire_by_their_feeds() {
    tried("1.5");
}

#[test]
fn those_of_1_6_fire_by_their_feeds() {
    tried("1.6");
}

#[test]
fn those_of_1_7_fire_by_their_feeds() {
    tried("1.7");
}

#[test]
fn those_of_1_8_fire_by_their_feeds() {
    tried("1.8");
}
