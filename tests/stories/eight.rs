//! All stories of the practice site, on one site: each is taken back after those that need it gone first, then all are undone,
//! newest first, and the site is as it was.

use super::LIVE;
use crate::{
    recovery::snapshot::{Snapshot, Times},
    support::{Practice, Site, last_run},
};
use std::collections::BTreeSet;

/// The stories of the site in an order in which each comes behind those that it needs first, as the policies say.
fn in_order(site: &Site) -> Vec<String> {
    let policies = std::fs::read_dir(site.at("policies")).expect("policies").flatten();
    let mut left: Vec<(String, Vec<String>)> = policies
        .filter_map(|file| {
            let text = std::fs::read_to_string(file.path()).ok()?;
            let policy: toml::Table = text.parse().expect("TOML");
            let story = policy.get("story")?;
            let needs = story.get("needs-first").and_then(toml::Value::as_array).into_iter().flatten();
            let needs = needs.map(|need| need.as_str().expect("a story").to_owned()).collect();
            Some((story["id"].as_str().expect("an id").to_owned(), needs))
        })
        .collect();
    left.sort();
    let mut order: Vec<String> = Vec::new();
    while !left.is_empty() {
        let at = left.iter().position(|(_, needs)| needs.iter().all(|need| order.contains(need)));
        order.push(left.remove(at.expect("no story waits for itself")).0);
    }
    order
}

#[test]
fn all_stories_are_taken_back_and_undone_and_the_site_equals_its_start() {
    let site = Practice(Site::laid_out(&[]));
    let now = || Snapshot::of(&site.path(), LIVE, Times::Exact, None);
    let before = now();
    let order = in_order(&site);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 8, "{order:?}");
    assert!(order.iter().position(|id| id == "1.1.5") > order.iter().position(|id| id == "1.2"));
    let mut runs = Vec::new();
    for story in &order {
        let _ = site.unship(["apply", story, "--yes"]).exits(0).prints("Succeeded, Recovered");
        runs.push(last_run(&site));
    }
    // What a later one did leaves the earlier ones well.
    for story in &order {
        let _ = site.unship(["check", story]).exits(0);
    }
    for run in runs.iter().rev() {
        let _ = site.unship(["undo", run]).exits(0).prints("Undone");
    }
    before.demand(&now());
    let _ = site.unship(["journal", "verify"]).exits(0).prints("intact");
}

#[test]
fn the_readme_shows_all_stories_with_what_each_may_change() {
    let site = Practice(Site::laid_out(&[]));
    let listed = site.unship(["stories"]).exits(0).stdout;
    let readme = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"));
    let readme = readme.expect("README.md");
    let (_, shown) = readme.split_once("$ unship stories\n").expect("the list");
    let (shown, _) = shown.split_once("```").expect("its end");
    // How a run ended is this copy's own.
    assert_eq!(shown, listed, "README.md does not show what `unship stories` prints");
}
