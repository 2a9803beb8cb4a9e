//! `file-check`, and the records that runs leave behind: dbt's and builds'.

use crate::support::{BEGIN, Bench, policy};
use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    time::{Duration, SystemTime},
};
use unship_controller::sources::Sources;

fn feed(name: &str, kind: &str, rest: &str) -> String {
    format!("[feeds.{name}]\nkind = \"{kind}\"\nmetric = \"of_{name}\"\nevery = \"1s\"\n{rest}\n")
}

fn check() -> Bench {
    let of = |value: &str| feed(value, "file-check", &format!("file = \"data/dump.db\"\nvalue = \"{value}\""));
    Bench::new(&["present", "missing", "age", "size"].map(of).concat())
}

#[test]
fn a_file_is_there_or_not_and_has_a_size_and_an_age() {
    let bench = check();
    let (samples, told) = bench.look();
    assert_eq!(samples, ["of_missing 1", "of_present 0"]);
    assert_eq!(told, ["age,missing,present,size: data/dump.db is not there"]);
    bench.write("data/dump.db", "12345");
    // The clock shows two seconds after BEGIN at the next look.
    let begin = SystemTime::UNIX_EPOCH + Duration::from_millis(BEGIN.unsigned_abs());
    let file = fs::File::options().write(true).open(bench.path("data/dump.db")).expect("open");
    file.set_modified(begin - Duration::from_secs(7198)).expect("set");
    let taken = bench.look_whole();
    let of = |name: &str| taken.samples.iter().find(|(s, _)| s.metric() == name).map(|(_, s)| s.value);
    assert_eq!((of("of_missing"), of("of_present"), of("of_size")), (Some(0.0), Some(1.0), Some(5.0)));
    assert_eq!(of("of_age"), Some(7200.0));
    assert_eq!(taken.told, ["age,missing,present,size is well"]);
    file.set_modified(begin + Duration::from_secs(7200)).expect("set");
    assert!(bench.look().0.contains(&"of_age 0".to_owned()), "changed in the future is changed just now");
}

#[test]
fn what_is_no_file_of_the_site_is_told_and_nothing_waits_for_it() {
    let outside = tempfile::tempdir().expect("a folder");
    fs::write(outside.path().join("secret"), "x").expect("written");
    type Make = fn(&Bench, &Path);
    let make: [(&str, Make); 4] = [
        ("no regular file", |bench, _| fs::create_dir(bench.path("data/dump.db")).expect("made")),
        ("no regular file", |bench, _| {
            let path = bench.path("data/dump.db");
            rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
        }),
        ("leads out of the site", |bench, outside| {
            symlink(outside.join("secret"), bench.path("data/dump.db")).expect("made");
        }),
        ("data/dump.db: ", |bench, _| symlink("dump.db", bench.path("data/dump.db")).expect("made")),
    ];
    for (says, make) in make {
        let bench = check();
        make(&bench, outside.path());
        let (samples, told) = bench.look();
        assert!(samples.is_empty() && told.len() == 1 && told[0].contains(says), "{says}: {samples:?} {told:?}");
    }
    let bench = check();
    bench.write("real.db", "x");
    symlink("../real.db", bench.path("data/dump.db")).expect("made");
    assert!(bench.look().0.contains(&"of_size 1".to_owned()), "a link inside the site is followed");
}

fn results(id: &str, results: &str) -> String {
    format!(
        "{{\"metadata\":{{\"generated_at\":\"2026-03-01T12:00:00Z\",\"invocation_id\":\"{id}\",\"x\":1}},\
         \"elapsed_time\":12.5,\"results\":[{results}],\"args\":{{}}}}"
    )
}

fn node(id: &str, status: &str, message: &str) -> String {
    format!("{{\"unique_id\":\"{id}\",\"status\":\"{status}\",\"message\":{message}}}")
}

#[test]
fn dbt_results_are_news_once_and_what_was_there_before_is_the_past() {
    let text = feed("seconds", "dbt-results", "file = \"target/run_results.json\"\nvalue = \"seconds\"");
    let bench = Bench::new(&text);
    bench.write("target/run_results.json", &results("old", ""));
    assert_eq!(bench.look(), (vec![], vec![]), "the past");
    bench.write("target/run_results.json", &results("new", ""));
    assert_eq!(bench.look().0, ["of_seconds 12.5"]);
    assert_eq!(bench.look().0, [] as [String; 0], "it was told");
    // One that is written while the daemon is down is news when it is up again.
    let state = bench.sources.stop();
    bench.write("target/run_results.json", &results("while down", ""));
    let again = Sources::idle(&policy(&text), bench.dir.path(), state, bench.seen.clone(), bench.clock.clone());
    let bench = Bench { sources: again, ..bench };
    assert_eq!(bench.look().0, ["of_seconds 12.5"]);
}

#[test]
fn of_dbt_results_each_value_is_of_what_ran() {
    let bench = dbt();
    assert_eq!(
        bench.look(),
        (
            vec![],
            vec![
                "compile,models,seconds,tests: target/run_results.json is not there: no run has left a record yet"
                    .to_owned()
            ]
        )
    );
    let nodes = [
        node("model.shop.a", "success", "null"),
        node("model.shop.b", "error", "\"Compilation Error in model b\""),
        node("model.shop.c", "error", "\"Database Error\""),
        node("model.shop.d", "skipped", "null"),
        node("model.shop.e", "partial success", "null"),
        node("test.shop.f", "pass", "null"),
        node("test.shop.g", "warn", "null"),
        node("unit_test.shop.h", "fail", "null"),
        node("seed.shop.i", "error", "null"),
    ];
    bench.write("target/run_results.json", &results("1", &nodes.join(",")));
    let (mut samples, told) = bench.look();
    samples.sort();
    assert_eq!(told, ["compile,models,seconds,tests is well"]);
    assert_eq!(samples, ["compile 1", "models 0.75", "seconds 12.5", "tests 0.3333333333333333"]);
    // Nothing ran: nothing is known of failures.
    bench.write("target/run_results.json", &results("2", &node("model.shop.a", "skipped", "null")));
    let (mut samples, _) = bench.look();
    samples.sort();
    assert_eq!(samples, ["compile 0", "seconds 12.5"]);
}

/// All four values of dbt's results.
fn dbt() -> Bench {
    let of = |(metric, value): (&str, &str)| {
        format!(
            "[feeds.{metric}]\nkind = \"dbt-results\"\nmetric = \"{metric}\"\nevery = \"1s\"\n\
             file = \"target/run_results.json\"\nvalue = \"{value}\"\n"
        )
    };
    let all = [
        ("models", "model-failures"),
        ("tests", "test-failures"),
        ("compile", "compile-errors"),
        ("seconds", "seconds"),
    ];
    Bench::new(&all.map(of).concat())
}

#[test]
fn a_record_that_is_half_written_or_none_is_told_and_the_next_good_one_is_news() {
    let bench = dbt();
    bench.look();
    for (text, says) in [
        ("{\"metadata\":", "not the record that is wanted: EOF"),
        ("[]", "not the record that is wanted"),
        ("{\"metadata\":{},\"elapsed_time\":1,\"results\":[]}", "generated_at"),
        ("\u{1b}[2J", "not the record that is wanted"),
    ] {
        bench.write("target/run_results.json", text);
        let before = bench.counts("compile,models,seconds,tests").failed;
        let (samples, told) = bench.look();
        assert!(samples.is_empty(), "{text}");
        assert!(told.iter().all(|t| t.contains(says) && !t.contains('\u{1b}')), "{text}: {told:?}");
        assert_eq!(bench.counts("compile,models,seconds,tests").failed, before + 1, "{text}");
        bench.write("target/run_results.json", &results(&format!("after {text:?}").replace(['"', '\\'], ""), ""));
        let (samples, told) = bench.look();
        assert!(!samples.is_empty(), "{text}");
        assert_eq!(told, ["compile,models,seconds,tests is well"], "{text}");
    }
    let long = fs::File::create(bench.path("target/run_results.json")).expect("made");
    long.set_len(65 << 20).expect("holes");
    let (_, told) = bench.look();
    assert!(told[0].contains("longer than 67108864 bytes"), "{told:?}");
}

fn build() -> Bench {
    let file = "file = \"run/build.json\"";
    Bench::new(&(feed("status", "build-status", file) + &feed("seconds", "build-duration", file)))
}

#[test]
fn a_build_is_told_as_it_goes_and_its_end_once() {
    let bench = build();
    let (samples, told) = bench.look();
    assert!(samples.is_empty() && told[0].contains("run/build.json is not there"), "{told:?}");
    let at = |seconds: i64| {
        let moment = jiff::Timestamp::from_millisecond(BEGIN + seconds * 1000).expect("a time");
        moment.to_string()
    };
    // The clock shows two seconds after BEGIN at the next look.
    bench.write("run/build.json", &format!("{{\"started\":\"{}\"}}", at(-58)));
    assert_eq!(bench.look().0, ["of_seconds 60"]);
    let ended =
        |exit: i32, until| format!("{{\"started\":\"{}\",\"finished\":\"{}\",\"exit\":{exit}}}", at(-58), at(until));
    bench.write("run/build.json", &ended(2, 30));
    assert_eq!(bench.look().0, ["of_status 1"], "how long it would have taken nobody knows");
    assert_eq!(bench.look().0, [] as [String; 0], "it was told");
    bench.write("run/build.json", &ended(0, 31));
    let (mut samples, _) = bench.look();
    samples.sort();
    assert_eq!(samples, ["of_seconds 89", "of_status 0"]);
    for (text, says) in [
        ("{\"started\":\"yesterday\"}".to_owned(), "is no time such as"),
        (format!("{{\"started\":\"{}\",\"exit\":0}}", at(0)), "both, or neither"),
        (ended(0, -100), "finished before it started"),
        ("{\"exit\":0}".to_owned(), "missing field `started`"),
    ] {
        let bench = build();
        bench.write("run/build.json", &text);
        let (samples, told) = bench.look();
        assert!(samples.is_empty() && told.len() == 1 && told[0].contains(says), "{text}: {told:?}");
    }
}

#[test]
fn another_policy_keeps_what_is_known_and_forgets_what_is_gone() {
    let file = "file = \"logs/a.log\"\ncontains = \"error\"";
    let text = feed("errors", "log-count", file).replace("of_errors", "errors_total");
    let bench = Bench::new(&text);
    bench.write("logs/a.log", "error\n");
    assert_eq!(bench.look().0, ["errors_total 0"]);
    bench.write("logs/a.log", "error\nerror\n");
    assert_eq!(bench.look().0, ["errors_total 1"]);
    let more = text.clone() + &feed("here", "file-check", "file = \"logs/a.log\"\nvalue = \"present\"");
    bench.sources.reload(&policy(&more));
    assert_eq!(bench.look().0, ["of_here 1", "errors_total 1"], "it goes on");
    bench.sources.reload(&policy(""));
    assert_eq!(bench.sources.next_due(), None);
    bench.sources.reload(&policy(&text));
    assert_eq!(bench.look().0, ["errors_total 0"], "it begins anew");
}
