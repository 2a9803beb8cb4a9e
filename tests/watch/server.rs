//! What comes to the daemon from outside: samples from standard input, its metrics, one-time links in a person's browser.

use super::{
    BEGIN, Daemon, MINUTE, count,
    people::{asking, breach, incident, now_ms},
    site,
};
use crate::support::Site;
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Bad lines among them harm themselves alone, and the metrics tell of both.
#[test]
fn samples_come_from_standard_input_as_well() {
    let site = site();
    let mut daemon = Daemon::start_with(&site, BEGIN, &["--stdin"], Stdio::piped());
    let mut input = daemon.child.stdin.take().expect("its input");
    for i in 1..=6 {
        let at = BEGIN + i * 1000;
        writeln!(input, "{{\"metric\":\"duckdb_query_seconds\",\"labels\":{{}},\"value\":130,\"at\":{at}}}\nnot one")
            .expect("it reads");
    }
    drop(input);
    let wanted = [
        "unship_source_samples_total{source=\"duckdb-queries\"} 6",
        "unship_source_refused_total{source=\"(push)\",rule=\"json\"} 6",
    ];
    let mut page = String::new();
    let are_read = (0..1000).any(|_| {
        page = daemon.ask("GET", "/metrics", "").expect("it lives").text;
        wanted.iter().all(|line| page.lines().any(|found| found == *line))
    });
    assert!(are_read, "{page}");
    assert!(daemon.clock(BEGIN + 17_000));
    assert_eq!(incident(&site)["story"], "1.3");
    assert_eq!(count(&daemon.stop(), "run-began"), 1);
}

/// The tokens that nobody used, which notices would bring to people.
fn tokens(site: &Site) -> Vec<String> {
    let kept = fs::read_dir(site.at(".unship/watch/kept"))
        .expect("the daemon's store")
        .map(|entry| entry.expect("one").path());
    let links = kept
        .filter(|path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"link-")));
    links.map(|path| fs::read_to_string(path).expect("a token")).collect()
}

/// A site that asks, where ada gets links, at the time at which it asked.
fn linked() -> (crate::support::Practice, Daemon, u64, String) {
    let (site, _) = asking();
    let policy = site.read("policies/site.toml");
    let watch = "[watch]\nlinks = \"https://ops.example.org/unship\"\napprovers = [\"ada\"]\n";
    site.write("policies/site.toml", &policy.replacen("[watch]\n", watch, 1));
    let begin_ms = now_ms();
    let daemon = Daemon::start_at(&site, begin_ms, &[]);
    let asked_ms = breach(&daemon, begin_ms);
    let tokens = tokens(&site);
    assert_eq!(tokens.len(), 1, "one link for each approver");
    let path = format!("/v1/link/{}", tokens[0]);
    (site, daemon, asked_ms, path)
}

#[test]
fn a_one_time_link_is_looked_at_as_often_as_one_likes_and_counts_once() {
    let (site, daemon, _, path) = linked();
    let digest = incident(&site)["plan_digest"].as_str().expect("a digest").to_owned();
    // A mail scanner looks, and so does its prefetcher.
    for method in ["GET", "HEAD", "GET"] {
        let shown = daemon.ask(method, &path, "").expect("it lives");
        assert_eq!(shown.status, 200, "{method}");
        let head = shown.text.to_ascii_lowercase();
        for wanted in ["referrer-policy: no-referrer", "cache-control: no-store", "default-src 'none'"] {
            assert!(head.contains(wanted), "{method}: {wanted}");
        }
        assert!(method == "HEAD" || shown.text.contains(&digest) && shown.text.contains("Yes, take it back"));
    }
    // It is for a telephone too, and shows what was measured; the picture is nobody else's either.
    let shown = daemon.ask("GET", &path, "").expect("it lives").text;
    let token = path.rsplit('/').next().expect("a token");
    for part in [
        "width=device-width",
        "href=\"link.css\"",
        &format!("src=\"{token}/chart/1\""),
        "It can be answered once, until",
    ] {
        assert!(shown.contains(part), "lacks {part}: {shown}");
    }
    assert!(daemon.ask("GET", "/v1/link/link.css", "").expect("it lives").text.contains("content-type: text/css"));
    let chart = daemon.ask("GET", &format!("{path}/chart/1"), "").expect("it lives");
    assert!(
        chart.status == 200 && chart.text.contains("image/svg+xml") && chart.text.contains("cache-control: no-store")
    );
    assert!(
        chart.text.contains("<svg ") && chart.text.contains("duckdb_query_seconds: 130 s to 130 s."),
        "{}",
        chart.text
    );
    for none in ["chart/0", "chart/2", "chart/99999999999999999999", "chart/x"] {
        assert!(
            [400, 404].contains(&daemon.ask("GET", &format!("{path}/{none}"), "").expect("it lives").status),
            "{none}"
        );
    }
    let other = "0".repeat(token.len());
    assert_eq!(daemon.ask("GET", &format!("/v1/link/{other}/chart/1"), "").expect("it lives").status, 404);
    assert_eq!(incident(&site)["stage"], "asking", "a look changes nothing");
    for odd in ["", "answer=maybe", "answer=yes&answer=no", "answer=yes ", &"answer=yes&".repeat(1000)] {
        assert!([400, 413].contains(&daemon.ask("POST", &path, odd).expect("it lives").status), "{odd:.20}");
    }
    // A letter of it is another one, in the other case, cut off, longer, or a path.
    let swapped = path.replace(&path[path.len() - 1..], if path.ends_with('0') { "1" } else { "0" });
    let others =
        [swapped, path.to_ascii_uppercase().replace("/V1/LINK", "/v1/link"), path[..path.len() - 1].to_owned()];
    for other in others.into_iter().chain([format!("{path}0"), "/v1/link/..%2f..%2fsite.toml".to_owned()]) {
        for (method, body) in [("GET", ""), ("POST", "answer=yes")] {
            let answer = daemon.ask(method, &other, body).expect("it lives");
            assert_eq!(answer.status, 404, "{method} {other}");
            assert!(!answer.text.contains("1.3"), "it tells nothing");
        }
    }
    assert_eq!(incident(&site)["stage"], "asking", "nothing of that counted");

    let said = daemon.ask("POST", &path, "answer=yes").expect("it lives");
    assert!(said.status == 200 && said.text.contains("ada said yes"), "{}", said.text);
    assert_eq!(tokens(&site), Vec::<String>::new(), "what was used is kept nowhere");
    let again = daemon.ask("POST", &path, "answer=no").expect("it lives");
    assert!(again.status == 409 && again.text.contains("it works once"), "{}", again.text);
    let shown = daemon.ask("GET", &path, "").expect("it lives");
    assert!(shown.text.contains("does not work any more") && !shown.text.contains("<button"), "{}", shown.text);

    let kinds = daemon.stop();
    let counts = ["approval-counted", "approval-refused", "run-began", "denied"].map(|kind| count(&kinds, kind));
    assert_eq!(counts, [1, 1, 1, 0]);
    let token = path.rsplit('/').next().expect("a token");
    let found = Command::new("grep").args(["-rlF", token]).arg(site.at(".unship")).output().expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "", "the token stands nowhere");
    let _ = site.unship(["journal", "verify"]).exits(0);
}

#[test]
fn a_link_says_no_as_well_and_works_no_longer_than_people_are_asked() {
    let (site, daemon, _, path) = linked();
    let said = daemon.ask("POST", &path, "answer=no").expect("it lives");
    assert!(said.status == 200 && said.text.contains("ada said no"), "{}", said.text);
    assert_eq!(incident(&site)["stage"], "fix-forward");
    assert_eq!(count(&daemon.stop(), "run-began"), 0);

    let (site, daemon, asked_ms, path) = linked();
    assert!(daemon.clock(asked_ms + 15 * MINUTE));
    let late = daemon.ask("POST", &path, "answer=yes").expect("it lives");
    assert_eq!(late.status, 409, "{}", late.text);
    assert_eq!(incident(&site)["stage"], "fix-forward");
    let kinds = daemon.stop();
    assert_eq!((count(&kinds, "run-began"), count(&kinds, "approval-refused")), (0, 1));
}
