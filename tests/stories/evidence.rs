//! What went wrong when the seed's procedure for story 1.7 was run, and what a build's manifest must not bring about: a test
//! each. See [`super::defects`].

use super::{
    Story,
    defects::{Bystander, is_refused, seed},
    lives, own,
};
use crate::recovery::Rehearsal;
use std::{fs, os::unix::fs::symlink, time::Duration};

const ENGINE: &str = "tools/data-services/publication-engine.js";
const STUB: &str = "tools/data-services/stubs/basic-reporter.js";
const MANIFEST: &str = ".evidence/published.sha256";
const ROBOTS: &str = "public/robots.txt";
const PAGE: &str = "public/revenue/index.html";
const EVIDENCE: [&str; 2] = ["evidence_project/node_modules/.bin/evidence", "build"];
/// SHA-256 of nothing.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn rehearsal() -> Rehearsal {
    Story::of("1.7").rehearsal()
}

#[test]
fn all_that_is_published_goes_and_robots_txt_with_it() {
    let site = rehearsal();
    let robots = site.read(ROBOTS);
    site.write("public/legal.html", "somebody's own");
    let _ = site.apply();
    assert_eq!((site.read(ROBOTS), site.read("public/legal.html").as_str()), (robots, "somebody's own"));
    for page in ["public/index.html", PAGE, "public/_app/immutable/start.js"] {
        assert!(!site.at(page).exists(), "{page}");
    }
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.7", &site.path(), 0).exits(0).prints("rollback completed");
    assert!(!site.at(ROBOTS).exists(), "the seed's script keeps nothing");
}

#[test]
fn a_page_that_was_changed_since_its_build_is_lost() {
    let site = rehearsal();
    site.write(PAGE, "a correction by hand");
    let _ = site.apply().says("public/revenue/index.html was changed since it was built: it stays");
    assert_eq!(site.read(PAGE), "a correction by hand");
    assert!(!site.at("public/index.html").exists());
    let _ = site.unship(["check", "1.7"]).exits(0);
}

#[test]
fn hidden_files_stay_in_the_cleared_build() {
    let site = rehearsal();
    let hidden = site.at(".evidence/build/.manifest.json");
    let _ = site.apply();
    assert!(!hidden.exists());
    let _ = site.unship(["undo", &site.run()]).exits(0);
    let _ = seed(&site, "1.7", &site.path(), 0).exits(0);
    assert!(hidden.exists(), "the seed's script leaves them");
}

#[test]
fn builds_are_missed_and_whoever_speaks_of_them_is_killed() {
    let site = rehearsal();
    let node = site.at("bin/node");
    let node = node.to_str().expect("UTF-8");
    // An editor and a search: all that `pkill -f "evidence build"` would have hit.
    let mut editor = Bystander::start(&site, "sh", &["-c", "cat; : evidence build"]);
    let mut search = Bystander::start(&site, "grep", &["-r", "evidence build", "-"]);
    // Node at other work of the project's; and a build that no service knows of, whose command line says `npm run build`.
    let mut vite = Bystander::start(&site, node, &["evidence_project/node_modules/.bin/vite", "build"]);
    let mut stray = Bystander::start(&site, node, &EVIDENCE);
    let _ = site.apply();
    assert!(editor.lives() && search.lives() && vite.lives());
    assert!(stray.is_gone());
    // The shell of npm, Evidence, and the worker in a process group of its own.
    drop(vite);
    lives(&site, "bin/npm", false);
    lives(&site, "bin/node", false);
}

#[test]
fn a_stopped_build_starts_again_since_the_flag_is_still_on() {
    let site = rehearsal();
    for (pid, _) in site.alive().into_iter().filter(|(_, exe)| exe.ends_with("bin/node")) {
        let _ = std::process::Command::new("kill").arg(pid).status();
    }
    // The seed's order: the service has started another before the flag is off.
    lives(&site, "bin/npm", true);
    let plan = site.unship(["plan", "1.7"]).exits(0).stdout;
    let at = |step: &str| plan.find(step).unwrap_or_else(|| panic!("no {step}:\n{plan}"));
    assert!(at("disable-publications") < at("stop-builder") && at("stop-builder") < at("stop-builds"));
    let _ = site.apply();
    // Several times as long as a service takes to look.
    std::thread::sleep(Duration::from_millis(200));
    lives(&site, "bin/npm", false);
}

#[test]
fn the_stopped_builder_is_never_started_again() {
    let site = rehearsal();
    let _ = site.apply();
    let _ = own(&site, "bin/practice-evidence-builder", &["healthy"]).exits(0).prints("publishes with basic");
}

#[test]
fn a_missing_reporter_leaves_no_engine() {
    let site = rehearsal();
    fs::remove_file(site.at(STUB)).expect("removed");
    is_refused(&site, "1.7", &["reporter-supplied", STUB]);
    site.write(STUB, "const build = require('@evidence-dev/evidence');\n");
    is_refused(&site, "1.7", &["reporter-supplied", "needs Evidence"]);
    fs::remove_file(site.at(STUB)).expect("removed");
    let _ = seed(&site, "1.7", &site.path(), 0).exits(0).prints("rollback completed");
    assert!(!site.at(ENGINE).exists(), "the seed's script leaves none");
}

#[test]
fn a_manifest_that_lists_more_than_a_build_makes_is_refused() {
    let site = rehearsal();
    let manifest = site.read(MANIFEST);
    for (line, why) in [
        (format!("{OF_NOTHING}  public/../config/api-config.yaml"), "is no plain relative path"),
        (format!("{OF_NOTHING}  public/./a.html"), "is no plain relative path"),
        (format!("{OF_NOTHING}  public//a.html"), "is no plain relative path"),
        (format!("{OF_NOTHING}  public/a/"), "is no plain relative path"),
        (format!("{OF_NOTHING}  /etc/passwd"), "is no plain relative path"),
        (format!("{OF_NOTHING}  config/api-config.yaml"), "does not lie in public/"),
        (format!("{OF_NOTHING}  public"), "does not lie in public/"),
        (format!("{OF_NOTHING}  publications/a.html"), "does not lie in public/"),
        (format!("{OF_NOTHING}  {ROBOTS}"), "is the site's own"),
        (format!("{OF_NOTHING}  public/index.html"), "is listed twice"),
        (format!("{OF_NOTHING}  public/a\\nb"), "holds a control character or a backslash"),
        (format!("{OF_NOTHING} public/a.html"), "must stand between digest and path"),
        (format!("\\{OF_NOTHING}  public/a.html"), "is no SHA-256"),
        (OF_NOTHING.to_uppercase() + "  public/a.html", "is no SHA-256"),
        ("public/a.html".to_owned(), "it is no digest and a path"),
        (String::new(), "it is no digest and a path"),
    ] {
        site.write(MANIFEST, &format!("{manifest}{line}\n"));
        is_refused(&site, "1.7", &["manifest-sound", ".evidence/published.sha256, line 4", why]);
    }
    // A plain path that no build's page has is out of reach, whatever the guest makes of it.
    site.write("public/.well-known/security.txt", "");
    site.write(MANIFEST, &format!("{manifest}{OF_NOTHING}  public/.well-known/security.txt\n"));
    is_refused(&site, "1.7", &["remove-published", "public/.well-known/security.txt"]);
    fs::remove_file(site.at(MANIFEST)).expect("removed");
    is_refused(&site, "1.7", &["manifest-sound", "nobody can tell which files of public/ a build made"]);
}

#[test]
fn a_manifest_leads_through_no_symlink() {
    let site = rehearsal();
    // The page's folder leads to somebody else's; then the page itself does.
    site.write("elsewhere/index.html", "");
    fs::remove_dir_all(site.at("public/revenue")).expect("removed");
    symlink("../elsewhere", site.at("public/revenue")).expect("linked");
    is_refused(&site, "1.7", &["manifest-sound", PAGE]);
    fs::remove_file(site.at("public/revenue")).expect("removed");
    fs::create_dir(site.at("public/revenue")).expect("a folder");
    symlink("../../elsewhere/index.html", site.at(PAGE)).expect("linked");
    is_refused(&site, "1.7", &["manifest-sound", "is not a regular file"]);
}

#[test]
fn a_manifest_of_files_read_as_bytes_is_one_too() {
    let site = rehearsal();
    site.write(MANIFEST, &site.read(MANIFEST).replace("  public/", " *public/"));
    let _ = site.apply().says("3 published files removed");
}

#[test]
fn where_nothing_was_built_nothing_is_removed() {
    let site = rehearsal();
    site.write(MANIFEST, "");
    let index = site.read("public/index.html");
    let _ = site.apply();
    assert_eq!(site.read("public/index.html"), index);
}
