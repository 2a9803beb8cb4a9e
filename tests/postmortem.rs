//! The draft of a post-mortem, through the binary: of runs that ended well, were taken back, refused and cut off.

use crate::{
    approvals,
    support::{Ran, Site, last_run},
};
use std::{fs, path::Path};

fn write(site: &Site, run: &str, more: &[&str]) -> Ran {
    let out = site.outside().join("pm");
    let args = ["postmortem", run, "--out", out.to_str().expect("UTF-8")];
    site.unship(args.into_iter().chain(more.iter().copied()))
}

fn read(site: &Site, run: &str, end: &str) -> String {
    fs::read_to_string(site.outside().join("pm").join(format!("{run}.{end}"))).expect(end)
}

#[test]
fn a_rollback_is_told_with_its_effects_checks_actions_and_what_nobody_knows() {
    let site = Site::practice();
    let policy = site.read("policies/site.toml");
    let owners = "[post-mortem]\ndue = \"24h\"\n[post-mortem.owners]\npost-mortem = \"ada\"\n";
    site.write("policies/site.toml", &format!("{policy}\n{owners}"));
    let _ = site.unship(["apply", "1.3", "--yes"]).exits(0);
    let run = last_run(&site);
    let before = crate::support::fingerprint(&site.at("policies"));
    let _ = write(&site, &run, &[]).exits(0).prints("unknown: since when users were affected");
    assert_eq!(before, crate::support::fingerprint(&site.at("policies")));
    let text = read(&site, &run, "md");
    for part in [
        "# Post-mortem: story 1.3, DuckDB integration",
        "**Succeeded**; verdict: **Recovered**",
        "flag duckdb\\_analytics: on -&gt; off",
        "```diff",
        "## Not restored",
        "| Hold the post-mortem | ada | 20",
        "| Begin root cause analysis | nobody is named | 20",
        "- Harm began: unknown",
        "- [ ] ",
    ] {
        assert!(text.contains(part), "lacks {part:?}:\n{text}");
    }
    let json: serde_json::Value = serde_json::from_str(&read(&site, &run, "json")).expect("JSON");
    assert_eq!((json["outcome"].as_str(), json["run"].as_str()), (Some("Succeeded"), Some(run.as_str())));
    assert!(json["effects"].as_array().is_some_and(|all| all.len() > 4));
    assert!(json["verifications"].as_array().expect("checks").iter().all(|check| check["result"] == "holds"));
    let calendar = read(&site, &run, "ics");
    assert!(calendar.starts_with("BEGIN:VCALENDAR\r\n") && calendar.ends_with("END:VCALENDAR\r\n"), "{calendar}");
    assert!(calendar.lines().all(|line| line.len() <= 75), "{calendar}");
    assert!(calendar.replace("\r\n ", "").contains("Owner: ada."), "{calendar}");
    // An earlier draft stays, with what people wrote into it, unless somebody says otherwise; the same run gives the same.
    let _ = write(&site, &run, &[]).exits(1).says("is there already");
    let _ = write(&site, &run, &["--force"]).exits(0);
    assert_eq!(text, read(&site, &run, "md"));
    let _ = site.unship(["undo", &run]).exits(0);
    let _ = write(&site, &run, &["--force"]).exits(0);
    let undone = read(&site, &run, "md");
    assert!(undone.contains("**Undone**") && undone.contains("the run turned back"), "{undone}");
}

#[test]
fn refused_and_cut_off_runs_are_told_as_what_they_are() {
    let site = approvals::site(approvals::OPEN);
    let _ = site.unship(["apply", "1", "--variant", "expose", "--yes"]).exits(3);
    let run = last_run(&site);
    let _ = write(&site, &run, &[]).exits(0);
    assert!(read(&site, &run, "md").contains("**Refused**; verdict: **none**"));
    let cut = Site::practice();
    let policy = cut.read("policies/site.toml").replacen("[site]\n", "[site]\nrehearsal = true\n", 1);
    cut.write("policies/site.toml", &policy);
    let _ = cut.unship(["apply", "1.3", "--yes", "--inject", "kill@3"]);
    let run = last_run(&cut);
    let _ = write(&cut, &run, &[]).exits(0).prints("the run was cut off");
    assert!(read(&cut, &run, "md").contains("Rollback ended: unknown; the run was cut off"));
    assert!(!cut.outside().join("pm").join(format!("{run}.ics")).exists(), "no date follows");
}

#[test]
fn what_it_cannot_do_it_says_and_writes_nothing() {
    let site = approvals::site(approvals::OPEN);
    let _ = site.unship(["apply", "1", "--variant", "expose", "--yes"]).exits(3);
    let run = last_run(&site);
    let _ = write(&site, "r20200101t000000z-00000000", &[]).exits(1).says("there is no run");
    let out = site.outside().join("pm");
    fs::create_dir(&out).expect("made");
    let elsewhere = site.outside().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, out.join(format!("{run}.md"))).expect("a link");
    let _ = write(&site, &run, &["--force"]).exits(1).says("is no regular file, and stays");
    assert!(!Path::new(&elsewhere).exists() && !out.join(format!("{run}.json")).exists());
    let policy = site.read("policies/site.toml");
    for (table, says) in [
        ("[post-mortem]\ndeadline = \"1h\"\n", "unknown field `deadline`"),
        ("[post-mortem]\ndue = \"soon\"\n", "is not a duration"),
        ("[post-mortem.owners]\nparty = \"ada\"\n", "there is no action \"party\""),
        ("[post-mortem.owners]\nroot-cause = \"\"\n", "an owner is a name"),
    ] {
        site.write("policies/site.toml", &format!("{policy}\n{table}"));
        let _ = write(&site, &run, &[]).exits(1).says(says);
    }
}
