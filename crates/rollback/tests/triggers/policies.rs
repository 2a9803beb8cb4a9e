//! The shipped policies' triggers: all of them compile, and what is wrong with a table or a sentence is told at its place.

use std::{fs, path::Path};
use unship_policy::{FileError, SitePolicy, StoryId, parse_story_triggers};
use unship_rollback::trigger::{TriggerRule, compile};

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn site() -> SitePolicy {
    SitePolicy::parse(&shipped("site.toml")).expect("the site's policy")
}

/// The general triggers.
pub fn general() -> Vec<TriggerRule> {
    let site = site();
    compile(&site, None, &site.triggers, &shipped("site.toml")).expect("the general triggers")
}

/// A story's triggers.
pub fn of_story(id: &str) -> Vec<TriggerRule> {
    let text = shipped(&format!("triggers/{id}.toml"));
    let id = StoryId::new(id).expect("an id");
    let triggers = parse_story_triggers(&text).unwrap_or_else(|e| panic!("{id}: {e}"));
    compile(&site(), Some(&id), &triggers, &text).unwrap_or_else(|e| panic!("{id}: {e} {:?}", e.line_column(&text)))
}

/// What is said of a story's triggers.
fn refusal(text: &str) -> (FileError, String) {
    let id = StoryId::new("1.3").expect("an id");
    let error = match parse_story_triggers(text) {
        Err(error) => error,
        Ok(triggers) => compile(&site(), Some(&id), &triggers, text).expect_err(text),
    };
    let span = error.span.clone().unwrap_or_default();
    let at = text[span].to_owned();
    (error, at)
}

const GOOD: &str = r#"[[trigger]]
name = "memory"
when = "duckdb_memory_bytes > 8GB for 2m"
clear = "duckdb_memory_bytes < 6GB"
severity = "high"
auto = true
feed = ["analytics-memory"]
"#;

#[test]
fn every_shipped_trigger_names_its_feeds_and_every_feed_is_used() {
    let stories = ["1.1.5", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8"];
    let all = general().into_iter().chain(stories.iter().flat_map(|id| of_story(id)));
    let triggers: Vec<_> = all.map(|rule| rule.trigger.expect("a table")).collect();
    assert_eq!(triggers.len(), 37);
    for name in site().feeds.keys() {
        assert!(triggers.iter().any(|t| t.feeds.iter().any(|(feed, _)| feed == name)), "no trigger uses feed {name}");
    }
}

#[test]
fn what_is_wrong_with_a_trigger_is_told_at_its_place() {
    assert!(compile(&site(), None, &parse_story_triggers(GOOD).expect("good"), GOOD).is_ok());
    for (from, to, at, message) in [
        ("8GB", "8 parsecs", "parsecs", "there is no unit `parsecs`"),
        ("8GB", "2m", "2m", "this is a time, and `duckdb_memory_bytes` is measured in bytes"),
        ("for 2m", "for", "", "a duration such as `10m` is wanted here, not the end"),
        (
            "\"duckdb_memory_bytes > 8GB for 2m\"",
            "'''duckdb_memory_bytes >> 8GB'''",
            ">",
            "a number is wanted here, not `>`",
        ),
        (
            "\"duckdb_memory_bytes > 8GB for 2m\"",
            "\"duckdb_memory_bytes \\u003e\"",
            "\"duckdb_memory_bytes \\u003e\"",
            "a number is wanted here, not the end",
        ),
        ("< 6GB", "< ", "", "a number is wanted here, not the end"),
        (
            "< 6GB",
            "< 6GB and other > 1",
            "\"duckdb_memory_bytes < 6GB and other > 1\"",
            "none of this trigger's feeds gives `other`",
        ),
        ("[\"analytics-memory\"]", "[]", "[]", "a trigger without a feed would never have data"),
        ("[\"analytics-memory\"]", "[\"memory\"]", "\"memory\"", "the site has no feed `memory`"),
        (
            "[\"analytics-memory\"]",
            "[\"host-memory\"]",
            "\"host-memory\"",
            "feed `host-memory` gives `host_memory_used_ratio`, which this trigger does not speak of",
        ),
        (
            "[\"analytics-memory\"]",
            "[\"analytics-memory\", \"analytics-memory\"]",
            "\"analytics-memory\"",
            "\"analytics-memory\" stands here twice",
        ),
        ("feed = [\"analytics-memory\"]\n", "", "[[trigger]]", "missing field `feed`"),
        ("auto = true\n", "", "[[trigger]]", "missing field `auto`"),
        ("auto = true", "auto = \"yes\"", "\"yes\"", "invalid type: string \"yes\", expected a boolean"),
        ("severity = \"high\"\n", "", "[[trigger]]", "missing field `severity`"),
        ("\"high\"", "\"low\"", "\"low\"", "unknown variant `low`, expected one of `medium`, `high`, `critical`"),
        (
            "auto = true",
            "auto = true\nno-data = \"fine\"",
            "\"fine\"",
            "unknown variant `fine`, expected one of `hold`, `breach`, `ok`",
        ),
        (
            "auto = true",
            "auto = true\nafter-rollback = \"ok\"",
            "\"ok\"",
            "unknown variant `ok`, expected one of `clear`, `silent`, `ignored`",
        ),
        (
            "auto = true",
            "auto = true\nattribution = \"ask\"",
            "\"ask\"",
            "the story at fault is the one that this trigger belongs to",
        ),
        ("auto = true", "auto = true\nbudget = 0", "0", "a number above 0 is wanted here"),
        ("auto = true", "auto = true\nbudget = 1001", "1001", "at most 1000 times in 24 hours"),
        (
            "auto = true",
            "auto = true\ncooldown = \"-1m\"",
            "\"-1m\"",
            "\"-1m\" is not a duration: a whole number above 0 with `ms`, `s`, `m`, `h` or `d`, such as `30s`",
        ),
        (
            "auto = true",
            "auto = true\nstale-after = \"400d\"",
            "\"400d\"",
            "no duration of a trigger is longer than 366 d",
        ),
        (
            "auto = true",
            "auto = true\nbaseline = { over = \"1d\" }",
            "{ over = \"1d\" }",
            "no rule of this trigger speaks of a baseline",
        ),
        ("auto = true", "auto = true\nretries = 3", "retries", "unknown field `retries`"),
        ("name = \"memory\"", "name = \"me mory\"", "\"me mory\"", "\"me mory\" is not a name"),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let (error, found) = refusal(&GOOD.replacen(from, to, 1));
        assert!(error.message.starts_with(message), "{to}: {}", error.message);
        assert_eq!(found.lines().next().unwrap_or_default(), at, "{to}: {}", error.message);
    }
    let twice = format!("{GOOD}\n{GOOD}");
    assert_eq!(refusal(&twice).0.message, "two triggers are called `memory`");
    let counted = GOOD.replace(" for 2m", "").replace("auto = true", "auto = true\nmin-samples = 3");
    assert!(refusal(&counted).0.message.starts_with("`min-samples` means nothing"));
    let baselines =
        GOOD.replace("8GB", "2x baseline").replace("auto = true", "auto = true\nbaseline = { fixed = \"1s\" }");
    assert_eq!(refusal(&baselines).0.message, "this is a time, and `duckdb_memory_bytes` is measured in bytes");
    let both = baselines.replace("fixed = \"1s\"", "fixed = \"1GB\", over = \"1d\"");
    assert!(refusal(&both).0.message.starts_with("a fixed baseline is not learned"));
}

const SITE: &str = r#"[site]
name = "s"
bundles = "bundles"

[feeds.memory]
kind = "process-memory"
metric = "m_bytes"
every = "15s"
exe = "bin/m"

[[trigger]]
name = "memory"
when = "m_bytes > 1GB"
severity = "high"
auto = true
feed = ["memory"]
attribution = "label"
"#;

#[test]
fn what_is_wrong_with_a_feed_or_a_general_trigger_is_told_at_its_place() {
    let good = SitePolicy::parse(SITE).expect("good");
    assert!(compile(&good, None, &good.triggers, SITE).is_ok());
    for (from, to, at, message) in [
        ("attribution = \"label\"\n", "", "\"memory\"", "a general trigger says how the story at fault is found"),
        ("\"label\"", "\"ask\"", "true", "a trigger that asks for the story cannot act by itself"),
        ("\"label\"", "\"guess\"", "\"guess\"", "unknown variant `guess`"),
        ("process-memory", "telepathy", "\"telepathy\"", "unknown kind of feed \"telepathy\""),
        ("exe = \"bin/m\"", "url = \"http://x\"", "\"http://x\"", "`url` means nothing to a `process-memory` feed"),
        (
            "exe = \"bin/m\"\n",
            "",
            "\"process-memory\"",
            "a `process-memory` feed with neither `process` nor `exe` nor `args` means every process",
        ),
        ("exe =", "process = \"m\"\nexe =", "\"m\"", "`process` says which are meant"),
        ("exe = \"bin/m\"", "process = \"m\"", "\"m\"", "this file has no `[processes.m]`"),
        ("exe = \"bin/m\"", "process = \"not a name\"", "\"not a name\"", ""),
        ("every = \"15s\"\n", "", "\"process-memory\"", "a `process-memory` feed needs `every`"),
        ("every = \"15s\"", "every = \"0s\"", "\"0s\"", "\"0s\" is not a duration"),
        ("m_bytes\"\n", "m bytes\"\n", "\"m bytes\"", "a metric's name is letters, digits and `_`"),
        ("\"m_bytes\"", "\"m_total\"", "\"m_total\"", "the metric of a `process-memory` feed does not end in `_total`"),
        (
            "kind = \"process-memory\"",
            "kind = \"log-count\"\nfile = \"l\"\ncontains = \"x\"",
            "\"bin/m\"",
            "`exe` means nothing to a `log-count` feed",
        ),
        ("exe = \"bin/m\"", "colour = \"red\"", "colour", "unknown field `colour`"),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"push\"\nmetric = \"m_bytes\"\n\n[[trigger]]",
            "\"m_bytes\"",
            "two feeds give `m_bytes`: this one and `memory`",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"http-probe\"\nmetric = \"o\"\nevery = \"1s\"\ntimeout = \"1s\"\nvalue = \"up\"\nurl = \"ftp://x\"\n\n[[trigger]]",
            "\"ftp://x\"",
            "an address such as",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"dbt-results\"\nmetric = \"o\"\nevery = \"1s\"\nvalue = \"up\"\nfile = \"x\"\n\n[[trigger]]",
            "\"up\"",
            "a `dbt-results` feed has no value \"up\"",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"build-status\"\nmetric = \"o\"\nevery = \"1s\"\nfile = \"../x\"\n\n[[trigger]]",
            "\"../x\"",
            "",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"command\"\nmetric = \"o\"\nevery = \"1s\"\nargv = []\ntimeout = \"1s\"\nvalue = \"printed\"\n\n[[trigger]]",
            "[]",
            "an argument vector needs a program",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"command\"\nmetric = \"o\"\nevery = \"1s\"\nargv = [\"x\"]\ntimeout = \"1s\"\nvalue = \"printed\"\nfails-with = [2]\n\n[[trigger]]",
            "[2]",
            "`fails-with` means something to the value `failed` alone",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"command\"\nmetric = \"o\"\nevery = \"1s\"\nargv = [\"x\"]\ntimeout = \"1s\"\nvalue = \"failed\"\nfails-with = [0]\n\n[[trigger]]",
            "[0]",
            "one exit status or more is wanted here, each from 1 to 255",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"log-count\"\nmetric = \"o_total\"\nevery = \"1s\"\nfile = \"x\"\ncontains = \"\"\n\n[[trigger]]",
            "\"\"",
            "a text within one line is wanted here",
        ),
        (
            "[[trigger]]",
            "[feeds.other]\nkind = \"pm2-restarts\"\nmetric = \"o\"\nevery = \"1s\"\nservice = \"x\"\n\n[[trigger]]",
            "\"o\"",
            "the metric of a `pm2-restarts` feed ends in `_total`",
        ),
    ] {
        assert!(SITE.contains(from), "{from}");
        let text = SITE.replacen(from, to, 1);
        let error = SitePolicy::parse(&text).expect_err(&text);
        let found = &text[error.span.clone().expect("a place")];
        assert!(error.message.starts_with(message), "{to}: {}", error.message);
        assert_eq!(found.lines().next().unwrap_or_default(), at, "{to}: {}", error.message);
    }
}

#[test]
fn the_example_of_a_new_site_is_a_trigger() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/templates/site.toml");
    let text = fs::read_to_string(path).expect("the template");
    let (_, example) = text.split_once("# [feeds.host-memory]").expect("the example");
    let example = format!("# [feeds.host-memory]{example}");
    let lines: Vec<&str> = example.lines().map(|line| line.trim_start_matches("# ").trim_start_matches('#')).collect();
    let text = format!("[site]\nname = \"s\"\nbundles = \"bundles\"\n{}", lines.join("\n"));
    let site = SitePolicy::parse(&text).expect("a site's policy");
    assert_eq!(compile(&site, None, &site.triggers, &text).expect("its trigger").len(), 1);
}
