//! The flags file against somebody who swaps it while a run is at work.

use crate::support::{forge, guest, last_run, stories};
use std::fs;

/// The flag is not set through it, the step fails, the denial stands in the journal, and what it leads to stays as it is.
#[test]
fn a_flags_file_replaced_by_a_symlink_during_the_run_is_not_followed() {
    let site = stories::site(
        "[commands.swap]\nargv = [\"sh\", \"-c\", \"mv conf/flags.yaml conf/other.yaml; ln -s other.yaml conf/flags.yaml\"]\n\
         writes = [\"conf\"]\ntimeout = \"10s\"\nundo = [\"sh\", \"-c\", \"mv conf/other.yaml conf/flags.yaml\"]\n",
    );
    let moved = site.read("policies/site.toml").replace("file = \"flags.yaml\"", "file = \"conf/flags.yaml\"");
    site.write("policies/site.toml", &moved);
    site.write("conf/flags.yaml", "f: true\n");
    site.write("script", "run swap\nflag f off\n");
    let step = ("step", "verbs", "files.read = [\"script\"]\nfiles.clear = [\"none\"]\nflags.set = { f = [\"off\"] }");
    stories::story(&site, "1", "", &[step], "");
    let swapping = |text: String| text.replace("commands.run = [\"c\"]", "commands.run = [\"c\", \"swap\"]");
    site.write("policies/1.toml", &swapping(site.read("policies/1.toml")));
    let component = fs::read(guest("hostile.wasm")).expect("the component");
    forge(&site, &component, &swapping(stories::manifest("1", "", &[step])), &site.at("bundles/story-1.wasm"));
    let _ = site.unship(["plan", "1"]).exits(0).prints("flag f: on -> off");
    let _ = site.unship(["apply", "1", "--yes"]).exits(4).says("symlink");
    assert!(!site.at("conf/flags.yaml").is_symlink(), "the command was taken back");
    assert_eq!(site.read("conf/flags.yaml"), "f: true\n");
    let journal = site.unship(["journal", "show", "--run", &last_run(&site), "--json"]).exits(0).stdout;
    assert!(journal.contains("access-denied") && journal.contains("symlink"), "{journal}");
}
