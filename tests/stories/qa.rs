//! What went wrong when the seed's procedure for story 1.8 was run: a test each. See [`super::defects`].

use super::{Story, defects::is_refused};
use crate::{
    recovery::Rehearsal,
    support::{Ran, Site},
};
use std::process::Command;

const ADDED: &str = "tests/contract/api.test.js";
const CHANGED: &str = "tests/smoke.test.js";

fn rehearsal() -> Rehearsal {
    Story::of("1.8").rehearsal()
}

fn git(site: &Site, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(args).current_dir(site.path()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    Ran::of(&mut git).exits(0).stdout
}

#[test]
fn what_the_story_added_stays_and_the_commit_before_is_other_work() {
    let site = rehearsal();
    let (head, before) = (git(&site, &["rev-parse", "HEAD"]), git(&site, &["show", &format!("before-1.8:{CHANGED}")]));
    let _ = site.apply();
    assert!(!site.at(ADDED).exists());
    assert_eq!(site.read(CHANGED), before);
    assert_eq!(git(&site, &["rev-parse", "HEAD"]), head, "the branch stays");
    let _ = site.unship(["undo", &site.run()]).exits(0);
    // The seed's own command: something else was committed since, and git removes nothing.
    let _ = git(&site, &["checkout", "HEAD~1", "--", "tests/"]);
    assert!(site.at(ADDED).exists() && site.read(CHANGED) != before);
}

#[test]
fn what_nobody_committed_is_lost() {
    let site = rehearsal();
    site.write(CHANGED, "half a thought");
    site.write("docs/notes.md", "another");
    is_refused(&site, "1.8", &["nothing-uncommitted", CHANGED, "docs/notes.md", "commit it, or move it away"]);
}
