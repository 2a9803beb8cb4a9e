//! `unship triggers`: rules are tested, tried on recorded data and explained by the built binary, and wrong input is told
//! at its place.

use crate::support::{Ran, Site, UNSHIP};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use unship_policy::TriggerTests;

const SITE_POLICY: &str = include_str!("../policies/site.toml");

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// A site with the shipped feeds and general triggers, and those of the stories.
fn site() -> Site {
    let site = Site::new("");
    site.write("policies/site.toml", SITE_POLICY);
    for entry in fs::read_dir(shipped().join("triggers")).expect("the shipped triggers") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
        site.write(&format!("policies/triggers/{name}"), &fs::read_to_string(&path).expect("text"));
    }
    site
}

/// Memory of the analytics service, one sample a minute from noon on: over 8 GB from minute 10 to minute 19.
fn memory(line: impl Fn(i64, &str) -> String) -> String {
    let value = |n| if (10..20).contains(&n) { "9000000000" } else { "5e9" };
    (0..30).map(|n| line(1_772_366_400 + 60 * n, value(n))).collect()
}

fn openmetrics() -> String {
    memory(|at, value| format!("duckdb_memory_bytes{{pid=\"7\"}} {value} {at}\n")) + "# EOF\n"
}

/// A file of the test's beside the site.
fn file(site: &Site, name: &str, text: &str) -> String {
    let path = site.outside().join(name);
    fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn every_shipped_trigger_has_a_unit_test_that_fires_and_one_that_does_not_and_all_hold() {
    let site = site();
    let ran = site.unship(["triggers", "test", "--json"]).exits(0);
    assert_eq!(ran.summary()["failed"], 0);
    // Trigger → how many of its tests fire it, and do not.
    let mut seen: BTreeMap<(String, String), (u32, u32)> = BTreeMap::new();
    for entry in fs::read_dir(shipped().join("triggers")).expect("the shipped triggers") {
        let path = entry.expect("an entry").path();
        if !path.to_str().is_some_and(|p| p.ends_with(".test.toml")) {
            continue;
        }
        let file = TriggerTests::parse(&fs::read_to_string(&path).expect("text")).expect("it is valid");
        let story = file.story.map_or("site".to_owned(), |s| s.to_string());
        for test in file.tests {
            let counts = seen.entry((story.clone(), test.trigger.to_string())).or_default();
            match test.fires.expect("each says when it fires").times.as_slice() {
                [] => counts.1 += 1,
                _ => counts.0 += 1,
            }
        }
    }
    assert_eq!(seen.len(), 37, "the seed has 37 conditions: {seen:?}");
    assert!(seen.values().all(|(fires, does_not)| *fires > 0 && *does_not > 0), "{seen:?}");
    // The same triggers that the site has.
    let explained = site.unship(["triggers", "explain", "--json"]).exits(0).json();
    let name = |line: &serde_json::Value| {
        let story = line["story"].as_str().unwrap_or("site").to_owned();
        (story, line["name"].as_str().expect("a name").to_owned())
    };
    let defined: Vec<_> = explained.iter().filter(|line| line["type"] == "trigger").map(name).collect();
    assert_eq!(defined.len(), 37);
    assert!(defined.iter().all(|trigger| seen.contains_key(trigger)), "{defined:?}");
}

#[test]
fn a_unit_test_that_does_not_hold_says_what_came_instead_and_when() {
    let site = site();
    let tests = "story = \"1.3\"\n[[test]]\nname = \"five are enough\"\ntrigger = \"slow-queries\"\n\
        series.duckdb_query_seconds = \"1x3 130x6\"\nfires = [\"8m\"]\nanswers = { \"8m\" = \"breach\", \"9m\" = \"breach\" }\n\
        [[test]]\nname = \"it holds\"\ntrigger = \"slow-queries\"\nseries.duckdb_query_seconds = \"1x3\"\nfires = []\n";
    let file = file(&site, "own.toml", tests);
    let ran = site.unship(["triggers", "test", &file]).exits(1);
    let ran = ran.prints("FAILED 1.3 slow-queries: five are enough\n");
    let ran = ran.prints("       fires: expected it fires at 8m, got it fires at 9m\n");
    let ran = ran.prints("       at 8m: expected breach, got ok\n").prints("ok     1.3 slow-queries: it holds\n");
    assert!(!ran.stdout.contains("at 9m: expected") && ran.stdout.ends_with("2 tests in 1 files, 1 failed\n"));
    let lines = site.unship(["triggers", "test", &file, "--json"]).exits(1).json();
    assert_eq!(lines[0]["mismatches"][1]["at"], "at 8m");
    assert_eq!((&lines[1]["holds"], &lines[2]["failed"]), (&true.into(), &1.into()));
}

#[test]
fn a_file_of_unit_tests_at_fault_is_pointed_at() {
    let site = site();
    let good = "story = \"1.3\"\n[[test]]\nname = \"x\"\ntrigger = \"slow-queries\"\n\
        series.'duckdb_query_seconds{a=\"b\"}' = \"1x3 130x6\"\nfires = []\nanswers = { \"3m\" = \"ok\" }\n";
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("1x3 130x6", "1x3 130y", "5:45", &["`130y` is no number"]),
        ("1x3 130x6", "1x3 _x1000000000 2", "5:45", &["these are more than 1000000 values"]),
        ("1x3 130x6", "1 1e400", "5:43", &["too large for a number"]),
        ("{a=\"b\"}", "{a=b}", "5:32", &["`\\\"` is missing before `b`"]),
        ("duckdb_query_seconds{a=\"b\"}", "other", "5:8", &["the rule does not speak of `other`"]),
        ("slow-queries", "slow", "4:11", &["1.3 has no trigger `slow`", "it has slow-queries, memory"]),
        ("\"1.3\"", "\"9.9\"", "", &["story 9.9 has neither a policy nor triggers"]),
        ("= \"ok\"", "= \"fine\"", "7:20", &["this is no answer", "ok, breach, no-data and error"]),
        ("\"3m\" =", "\"3h\" =", "7:20", &["the test ends at 10m, before this", "say `until`"]),
        ("fires = []\nanswers = { \"3m\" = \"ok\" }", "", "2:1", &["expects nothing, so it cannot fail"]),
        ("fires = []", "fires = [\"-1m\"]", "6:10", &["is no time since the beginning"]),
        ("name = \"x\"", "colour = 1", "3:1", &["unknown field `colour`"]),
    ];
    for (from, to, place, wanted) in cases {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good);
        let ran = site.unship(["triggers", "test", &file(&site, "t.toml", &text)]).exits(1);
        for wanted in *wanted {
            assert!(ran.stderr.contains(&wanted.replace("\\\"", "\"")), "{to}: {}", ran.stderr);
        }
        assert!(place.is_empty() || ran.stderr.contains(&format!("t.toml:{place}\n")), "{to}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    }
    let _ = site.unship(["triggers", "test", "/does/not/exist"]).exits(1).says("cannot be read");
    let _ = Site::new("").unship(["triggers", "test"]).exits(1).says("there is no unit test");
    // A rule that is no rule is told before any test runs.
    let policy = site.read("policies/triggers/1.3.toml").replacen("> 2m occurring", "> 2GB occurring", 1);
    site.write("policies/triggers/1.3.toml", &policy);
    let _ = site.unship(["triggers", "test"]).exits(1).says("policies/triggers/1.3.toml").says("^^^");
}

#[test]
fn the_same_data_in_any_format_fires_at_the_same_sample() {
    let site = site();
    let rows = memory(|at, value| format!("[{at},\"{value}\"],"));
    let rows = rows.trim_end_matches(',');
    let files = [
        file(&site, "d.om", &openmetrics()),
        file(&site, "d.prom", &memory(|at, value| format!("duckdb_memory_bytes{{pid=\"7\"}} {value} {at}000\n"))),
        file(
            &site,
            "d.csv",
            &format!("time,metric,value,pid\n{}", memory(|at, v| format!("{at},duckdb_memory_bytes,{v},7\n"))),
        ),
        file(
            &site,
            "d.json",
            &format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":{{\"__name__\":\"duckdb_memory_bytes\",\"pid\":\"7\"}},\"values\":[{rows}]}}]}}}}"
            ),
        ),
    ];
    for data in &files {
        let ran = site.unship(["triggers", "backtest", "1.3", data, "--trigger", "memory"]).exits(0);
        let ran = ran.prints("1.3 memory: duckdb_memory_bytes > 8GB for 2m\n");
        let ran = ran.prints("  2026-03-01T12:12:00.000Z fires: duckdb_memory_bytes{pid=\"7\"} is 9.00e9\n");
        let _ = ran
            .prints("  2026-03-01T12:25:00.000Z clears\n")
            .prints("1 of 1 rules would have fired: 30 samples of 1 series");
    }
    // All at once they are one recording: each sample four times, which changes nothing.
    let all = [&["triggers", "backtest", "1.3"][..], &files.each_ref().map(String::as_str)].concat();
    let _ =
        site.unship(all).exits(0).prints("12:12:00.000Z fires").prints("1 of 4 rules would have fired: 120 samples");
    // From standard input, whose format has to be said.
    let mut piped = site.command(["triggers", "backtest", "1.3", "-", "--format", "openmetrics"]);
    let output = piped.stdin(fs::File::open(&files[0]).expect("a file")).output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("12:12:00.000Z fires"));
}

#[test]
fn a_backtest_draws_in_the_terminal_and_as_svg() {
    let site = site();
    let data = file(&site, "d.om", &openmetrics());
    let ascii = site.unship(["triggers", "backtest", "1.3", &data, "--trigger", "memory"]).exits(0);
    assert!(ascii.stdout.is_ascii() && ascii.stdout.contains("8 GB |-----"), "{}", ascii.stdout);
    let args = ["triggers", "backtest", "1.3", &data, "--trigger", "memory"];
    let braille = Ran::of(site.command(args).env("LANG", "C.UTF-8")).exits(0).prints("8 GB ┤─────").prints("▲");
    assert!(braille.stdout.contains('⠤') || braille.stdout.contains('⣀'), "{}", braille.stdout);
    let forced = Ran::of(site.command(args).arg("--ascii").env("LANG", "C.UTF-8")).exits(0);
    assert_eq!(forced.stdout, ascii.stdout);

    let one = site.outside().join("memory.svg");
    let _ = Ran::of(site.command(args).arg("--svg").arg(&one)).exits(0).prints("drawn in ");
    let picture = fs::read_to_string(&one).expect("a chart");
    assert!(picture.starts_with("<svg ") && picture.contains("It fires at 2026-03-01 12:12:00.</desc>"), "{picture}");
    assert!(
        picture.contains("class=\"threshold\"")
            && picture.contains("class=\"window\"")
            && picture.contains("class=\"fired\"")
    );
    let folder = site.outside().join("charts/of/all");
    let mut all = site.command(["triggers", "backtest", "--all", &data, "--json"]);
    let ran = Ran::of(all.arg("--svg").arg(&folder)).exits(0);
    assert_eq!((&ran.summary()["rules"], &ran.summary()["fired"]), (&37.into(), &1.into()));
    assert!(folder.join("1.3-memory.svg").is_file());
    let drawn = ran.json().into_iter().filter(|l| l["type"] == "backtest" && l["data"] == true).count();
    assert_eq!((drawn, fs::read_dir(&folder).expect("a folder").count()), (1, 1), "only what there is data of");
    let both = file(&site, "both.om", "duckdb_memory_bytes 1 1\nduckdb_corruption 1 1\n# EOF\n");
    let refused = site.unship(["triggers", "backtest", "1.3", &both, "--svg", "x.svg"]).exits(1);
    let _ = refused.says("these are 2 charts, and x.svg is one file").says("name a folder");
    let refused = Ran::of(site.command(args).args(["--svg", "/proc/chart.svg"])).exits(1);
    let _ = refused.says("the chart cannot be written to /proc/chart.svg");
}

#[test]
fn a_sentence_is_tried_without_a_site() {
    let site = site();
    let data = file(&site, "d.om", &openmetrics());
    let unship = |args: &[&str]| {
        Ran::of(Command::new(UNSHIP).args(["triggers", "backtest"]).args(args).current_dir("/").env_clear())
    };
    let ran = unship(&["--when", "avg(duckdb_memory_bytes) > 6GB in 10m", &data]).exits(0);
    let _ = ran
        .prints("rule: avg(duckdb_memory_bytes) > 6GB in 10m")
        .prints("12:12:00.000Z fires")
        .prints("the last 10m when it fires");
    let ran = unship(&["--when", "duckdb_memory_bytes > 6s", &data]).exits(1);
    let _ = ran.says(" --> --when:1:23\n").says("1 | duckdb_memory_bytes > 6s\n").says("^^").says("measured in bytes");
    let _ = unship(&["--when", "duckdb_memory_bytes >", &data]).exits(1).says("a number is wanted here, not the end");
    let _ = unship(&["--when", "never_seen > 1", &data])
        .exits(1)
        .says("no sample of any metric")
        .says("the rules ask for never_seen");
    // A baseline is not taught by what came after the story was shipped.
    let rule = "duckdb_memory_bytes > 1.5x baseline";
    let _ = unship(&["--when", rule, &data]).exits(0).prints("never fires");
    let _ = unship(&["--when", rule, &data, "--shipped", "noon"]).exits(2).says("is no time, such as");
}

#[test]
fn a_backtest_of_what_is_not_there_says_so() {
    let site = site();
    let data = file(&site, "d.om", &openmetrics());
    let backtest = |args: &[&str]| site.unship([&["triggers", "backtest"], args].concat());
    let _ = backtest(&["1.3", &data]).exits(0).prints("no data: no sample of it is in the files");
    let _ = backtest(&["1.2", &data]).exits(1).says("no sample of any metric").says("pyairbyte_memory_bytes");
    let _ = backtest(&["9.9", &data]).exits(1).says("story 9.9 has neither a policy nor triggers");
    let _ = backtest(&["../x", &data]).exits(1).says("that is no story");
    let _ = backtest(&["1.3", &data, "--trigger", "colour"])
        .exits(1)
        .says("1.3 has no trigger \"colour\"")
        .says("it has slow-queries");
    let _ = backtest(&["1.3"]).exits(1).says("no recorded data is named");
    let _ = backtest(&[]).exits(2);
    let _ = backtest(&["--all", "--trigger", "memory", &data]).exits(2).says("cannot be used with");
    let _ = backtest(&["1.3", "/does/not/exist.om"]).exits(1).says("/does/not/exist.om cannot be read");
    let _ = backtest(&["1.3", "/etc"]).exits(1).says("the format of /etc is not known").says("--format");
    let _ = backtest(&["1.3", "/etc", "--format", "csv"]).exits(1).says("Is a directory");
    let _ = backtest(&["1.3", &data, "--format", "yaml"]).exits(2).says("invalid value 'yaml'");
    let ms = file(&site, "ms.om", "duckdb_memory_bytes 1 1772366400000\n");
    let ran = backtest(&["1.3", &ms]).exits(1);
    let _ = ran.says("line 1, byte 23: a time of 1772366400000000 ms since 1970 is not within").says("two formats");
    let cut = file(&site, "cut.om", openmetrics().trim_end_matches("# EOF\n"));
    let _ = backtest(&["1.3", &cut]).exits(1).says("line 31, byte 1: the data ends without the line `# EOF`");
}

#[test]
fn hostile_data_is_refused_at_its_place_and_within_bounds() {
    let site = site();
    // No more than a gigabyte of address space: what is not bounded does not get far.
    let bounded = |format: &str, data: &str| {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "ulimit -v 1048576; exec \"$@\"",
            "sh",
            UNSHIP,
            "triggers",
            "backtest",
            "--when",
            "up > 1",
        ]);
        Ran::of(
            command
                .args(["--format", format, data])
                .current_dir(site.outside())
                .env_clear()
                .env("PATH", "/usr/bin:/bin"),
        )
    };
    for format in ["openmetrics", "prometheus"] {
        let _ = bounded(format, "/dev/zero").exits(1).says("line 1, byte 65537: the line has more than 65536 bytes");
    }
    let _ = bounded("csv", "/dev/zero").exits(1).says("line 1, field 1: the record has more than 65536 bytes");
    let _ = bounded("json", "/dev/zero").exits(1).says("expected value at line 1 column 1");
    // A line of a gigabyte, of what could be a text or a number.
    let piped = |format: &str, head: &str| {
        let script = "(printf %s \"$1\"; head -c 1073741824 /dev/zero | tr '\\0' 7) | \
            (ulimit -v 1048576; exec \"$2\" triggers backtest --when 'up > 1' --format \"$3\" -)";
        Ran::of(
            Command::new("sh")
                .args(["-c", script, "sh", head, UNSHIP, format])
                .env_clear()
                .env("PATH", "/usr/bin:/bin"),
        )
    };
    let _ = piped("openmetrics", "up{a=\"").exits(1).says("line 1, byte 65537: the line has more than 65536 bytes");
    let _ = piped("csv", "time,metric,value,").exits(1).says("the record has more than 65536 bytes");
    for head in ["[{\"metric\":{\"__name__\":\"", "[{\"metric\":{\"__name__\":\"up\"},\"values\":[["] {
        let _ = piped("json", head).exits(1).says("a text or number has more than 65536 bytes");
    }
    let deep = file(&site, "deep.json", &"[".repeat(1_000_000));
    let _ = bounded("json", &deep).exits(1).says("line 1 column");
    let nasty = file(&site, "nasty.om", "up{a=\"\x1b]0;x\x07\u{202e}\"} 2 1\nup{a=\"\x1b[2J\"} \x1b[2J 1\n# EOF\n");
    let ran = bounded("openmetrics", &nasty).exits(1).says("line 2, byte 14: `\\x1b[2J` is no number");
    assert!(!ran.stderr.contains('\x1b'));
    let named = file(&site, "named.om", "up{a=\"\x1b]0;x\x07\u{202e}\"} 2 1\n# EOF\n");
    let ran = bounded("openmetrics", &named).exits(0).prints("up{a=\"\\x1b]0;x\\x07\\u{202e}\"} is 2");
    assert!(!ran.stdout.contains(['\x1b', '\u{202e}']));
    let mut many = String::new();
    for n in 0..=100_000 {
        many.push_str(&format!("up{{n=\"{n}\"}} 1 1\n"));
    }
    let many = file(&site, "many.om", &(many + "# EOF\n"));
    let _ = bounded("openmetrics", &many).exits(1).says("line 100001, byte 1: there are more than 100000 series");
    // Of what nobody asks for there may be a million.
    let mut other = "up 2 1\n".to_owned();
    for n in 0..1_000_000 {
        other.push_str(&format!("other{{n=\"{n}\"}} 1 1\n"));
    }
    let other = file(&site, "other.om", &(other + "# EOF\n"));
    let _ = bounded("openmetrics", &other).exits(0).prints("1 of 1 rules would have fired: 1 samples of 1 series");
}

/// What answers, what is told by others, what is not there; and what of the command line means nothing here.
#[test]
fn a_look_says_what_each_feed_gives_and_what_it_cannot_find() {
    let site = site();
    let here = site.unship(["triggers", "look", "site", "memory"]).exits(0);
    let _ = here.prints("host-memory: host_memory_used_ratio = 0.").prints("1 feeds of 1 triggers: 1 gave a number");
    let told = site.unship(["triggers", "look", "1.3", "slow-queries"]).exits(0);
    let _ = told.prints("duckdb-queries: duckdb_query_seconds is told by the site: to POST /v1/samples");
    let gone = site.unship(["triggers", "look", "1.3", "query-errors"]).exits(1);
    let _ = gone.prints("duckdb_queries_total says nothing: logs/analytics.log is not there  (1.3/query-errors)");
    site.write("logs/analytics.log", "query 1\n");
    let _ = site.unship(["triggers", "look", "1.3", "query-errors"]).exits(0).prints("duckdb_queries_total = 0");
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
                 {\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}";
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let prometheus = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(empty.as_bytes());
        }
    });
    let feed = format!(
        "[feeds.none]\nkind = \"prometheus\"\nmetric = \"no_such\"\nurl = \"http://{prometheus}\"\ntimeout = \"5s\"\n\
         query = \"none\"\nevery = \"15s\"\n[[trigger]]\nname = \"none\"\nwhen = \"no_such > 1\"\nseverity = \"high\"\n\
         auto = false\nattribution = \"ask\"\nfeed = [\"none\"]\n"
    );
    site.write("policies/site.toml", &format!("{SITE_POLICY}\n{feed}"));
    let _ = site.unship(["triggers", "look", "site", "none"]).exits(0).prints("Prometheus answers with no series");
    let _ = site.unship(["triggers", "look", "1.3", "colour"]).exits(1).says("it has slow-queries, memory");
    let _ = site.unship(["triggers", "look", "9.9"]).exits(1).says("neither a policy nor triggers");
    let _ = site.unship(["triggers", "look", "--all"]).exits(2);
    site.write("policies/site.toml", &SITE_POLICY.replace("process = \"analytics\"", "process = \"analytic\""));
    let wrong = site.unship(["triggers", "look", "1.3"]).exits(1);
    let _ = wrong.says("this file has no `[processes.analytic]`").says("it has `analysis-service`, `analytics`");
}

#[test]
fn a_rule_is_explained() {
    let site = site();
    let ran = site.unship(["triggers", "explain", "1.3", "memory"]).exits(0);
    insta::assert_snapshot!("explained", ran.stdout);
    let all = site.unship(["triggers", "explain"]).exits(0);
    assert_eq!(all.stdout.matches("  fires when ").count(), 37);
    let _ = site.unship(["triggers", "explain", "site"]).exits(0).prints("site api-slow: critical, acts by itself");
    let _ = site.unship(["triggers", "explain", "1.3", "colour"]).exits(1).says("it has slow-queries, memory");
    let _ = site.unship(["triggers", "explain", "9.9"]).exits(1).says("neither a policy nor triggers");
    let _ = Site::new("").unship(["triggers", "explain"]).exits(0).prints("no trigger is defined here");
    // Not known beside what the story has: both files speak of its triggers.
    let own = "[[trigger]]\nname = \"x\"\nwhen = \"duckdb_corruption detected\"\nseverity = \"high\"\nauto = false\nfeed = [\"duckdb-check\"]\n";
    let policy = format!("[story]\nid = \"1.3\"\ntitle = \"t\"\nbundle = \"b\"\nsigned-by = [\"release\"]\n{own}");
    site.write("policies/1.3.toml", &policy);
    let _ = site.unship(["triggers", "explain", "1.3"]).exits(1).says("the triggers of story 1.3 stand in two files");
}
