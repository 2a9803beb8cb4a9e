//! What others tell: samples and alerts over HTTP, lines of a stream.

use crate::support::{BEGIN, Bench, send};
use serde_json::Value;
use std::{
    io::{Read, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};
use unship_controller::{
    server::Server,
    sources::{Access, Credential, router},
};

const FEEDS: &str = "
[feeds.queries]
kind = \"push\"
metric = \"query_seconds\"
[feeds.checks]
kind = \"push\"
metric = \"checks_total\"
[feeds.slow]
kind = \"alertmanager\"
metric = \"slow_queries\"
alert = \"SlowQueries\"
labels = { team = \"data\" }
";

struct Told {
    bench: Bench,
    server: Server,
}

impl Told {
    fn new() -> Told {
        let bench = Bench::new(FEEDS);
        bench.secret("run/samples.token", "s3cret\n");
        bench.secret("run/alerts.token", "alerts-only\n");
        let credential = |name: &str| Some(Credential::new(bench.dir.path(), name).expect("a token"));
        let access = Access { samples: credential("run/samples.token"), alerts: credential("run/alerts.token") };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(any, router(&bench.sources, access)).expect("it listens");
        Told { bench, server }
    }

    fn post(&self, path: &str, token: &str, body: &str) -> (u16, Value) {
        let (status, _, body) = send(self.server.address, &request(path, token, body));
        (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{status} {body:?}: {e}")))
    }

    fn samples(&self, body: &str) -> (u16, Value) {
        self.post("/v1/samples", "s3cret", body)
    }

    fn alerts(&self, body: &str) -> (u16, Value) {
        self.post("/v1/alerts", "alerts-only", body)
    }

    /// What came since the last time, as `SERIES VALUE after the beginning`.
    fn came(&self) -> Vec<String> {
        let samples = self.bench.seen.take().samples;
        samples.iter().map(|(series, s)| format!("{series} {} {}", s.value, s.at.0 - BEGIN)).collect()
    }
}

fn request(path: &str, token: &str, body: &str) -> Vec<u8> {
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: unship\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn lines_are_samples_with_a_time_of_their_own_or_of_now() {
    let told = Told::new();
    let at = jiff::Timestamp::from_millisecond(BEGIN - 2000).expect("a time");
    let body = format!(
        "{{\"metric\":\"query_seconds\",\"labels\":{{\"host\":\"a\",\"x\":\"\"}},\"value\":1.5,\"at\":\"{at}\"}}\n\n\
         {{\"metric\":\"query_seconds\",\"value\":2,\"at\":{}}}\r\n\
         {{\"metric\":\"checks_total\",\"value\":-3}}\n{{\"metric\":\"checks_total\",\"value\":\"+Inf\"}}",
        BEGIN - 1000
    );
    let (status, report) = told.samples(&body);
    assert_eq!((status, report["taken"].as_u64(), report["refused"].as_u64()), (200, Some(4), Some(0)));
    // Two of one series without a time do not fall upon each other.
    let wanted =
        ["query_seconds{host=\"a\"} 1.5 -2000", "query_seconds 2 -1000", "checks_total -3 0", "checks_total inf 1"];
    assert_eq!(told.came(), wanted);
}

#[test]
fn each_bad_line_is_told_with_its_place_and_takes_nothing_with_it() {
    let told = Told::new();
    let good = "{\"metric\":\"query_seconds\",\"value\":1}\n";
    let line = |labels: &str| format!("{{\"metric\":\"query_seconds\",\"labels\":{{{labels}}},\"value\":1}}");
    let at = |ms: i64| format!("{{\"metric\":\"query_seconds\",\"value\":1,\"at\":{ms}}}");
    let long = "x".repeat(70_000);
    for (bad, rule, says) in [
        ("{\"metric\":".to_owned(), "json", "EOF while parsing a value at line 1 column 10"),
        ("[]".to_owned(), "json", "line 1 column"),
        ("{\"metric\":\"query_seconds\",\"valu\":1}".to_owned(), "json", "unknown field `valu`"),
        ("{\"metric\":\"query_seconds\"}".to_owned(), "json", "missing field `value`"),
        ("{\"metric\":\"query_seconds\",\"value\":\"fast\"}".to_owned(), "json", "a number, \"NaN\""),
        ("{\"metric\":\"query_seconds\",\"value\":1e999}".to_owned(), "json", "number out of range"),
        ("{\"metric\":\"query_seconds\",\"value\":1,\"at\":\"noon\"}".to_owned(), "json", "milliseconds since 1970"),
        ("{\"metric\":\"other\",\"value\":1}".to_owned(), "feed", "no `push` feed of policies/site.toml gives other"),
        ("{\"metric\":\"slow_queries\",\"value\":1}".to_owned(), "feed", "no `push` feed"),
        (line("\"__name__\":\"up\""), "names", "__name__"),
        (line("\"a-b\":\"c\""), "names", "a-b"),
        (line("\"a\":\"b\",\"a\":\"c\""), "json", "the label \"a\" stands twice"),
        (line("\"a\":1"), "json", "expected a string"),
        (at(BEGIN + 61_000), "future", "more than 60 s ahead"),
        (at(BEGIN - 3_601_000), "old", "more than 3600 s past"),
        (format!("{{\"metric\":\"{long}\"}}"), "length", "more than 65536 bytes"),
        ("\u{1b}[2J".to_owned(), "json", "line 1 column 1"),
    ] {
        let (status, report) = told.samples(&format!("{good}{bad}\n{good}"));
        assert_eq!(
            (status, report["taken"].as_u64(), report["refused"].as_u64()),
            (422, Some(2), Some(1)),
            "{bad:.80}"
        );
        let error = &report["errors"][0];
        let message = error["message"].as_str().expect("a message");
        assert_eq!((error["line"].as_u64(), error["rule"].as_str()), (Some(2), Some(rule)), "{bad:.80}: {message}");
        assert!(message.contains(says) && !message.contains('\u{1b}'), "{bad:.80}: {message}");
        assert_eq!(told.came().len(), 2, "{bad:.80}");
    }
    let (status, _, body) = send(told.server.address, &{
        let mut bytes = request("/v1/samples", "s3cret", "??\n");
        let end = bytes.len() - 3;
        bytes[end..end + 2].copy_from_slice(&[0xff, 0xfe]);
        bytes
    });
    assert!(status == 422 && body.contains("\"utf8\""), "{body}");
}

#[test]
fn nobody_comes_in_without_the_token_and_one_that_is_replaced_counts_at_once() {
    let told = Told::new();
    let line = "{\"metric\":\"checks_total\",\"value\":1}\n";
    for token in ["", "wrong", "s3cre", "s3crets", "alerts-only"] {
        let (status, answer) = told.post("/v1/samples", token, line);
        assert_eq!((status, answer["rule"].as_str()), (401, Some("credential")), "{token}");
        assert!(!answer.to_string().contains("s3cret"));
    }
    assert_eq!(told.post("/v1/alerts", "s3cret", "{}").0, 401, "a token is for one of them");
    let bare = format!(
        "POST /v1/samples HTTP/1.1\r\nHost: u\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}",
        line.len()
    );
    let (status, head, _) = send(told.server.address, bare.as_bytes());
    assert!(status == 401 && head.to_ascii_lowercase().contains("www-authenticate: bearer"), "{head}");
    assert!(told.came().is_empty());

    assert_eq!(told.samples(line).0, 200);
    told.bench.secret("run/samples.token", "another\n");
    assert_eq!((told.samples(line).0, told.post("/v1/samples", "another", line).0), (401, 200));
    std::fs::remove_file(told.bench.path("run/samples.token")).expect("removed");
    let (status, answer) = told.post("/v1/samples", "another", line);
    assert_eq!((status, answer["rule"].as_str()), (503, Some("credential")), "nobody, then");
    told.bench.secret("run/samples.token", "third\n");
    assert_eq!(told.post("/v1/samples", "third", line).0, 200);
}

#[test]
fn of_a_million_series_in_one_push_the_budget_takes_its_part_and_another_source_goes_on() {
    let told = Told::new();
    let mut body = String::new();
    let mut sent = 0;
    for n in 0..1_000_000 {
        body.push_str(&format!("{{\"metric\":\"query_seconds\",\"labels\":{{\"n\":\"{n}\"}},\"value\":1}}\n"));
        // What a request can hold; the rest of the million comes in others.
        if body.len() > 15 << 20 || n == 999_999 {
            let (status, report) = told.samples(&body);
            sent += report["taken"].as_u64().expect("a count") + report["refused"].as_u64().expect("a count");
            assert_eq!(status, 429, "{}", report["errors"][0]);
            assert!(report["retry_after_s"].as_u64().is_some_and(|s| (1..=60).contains(&s)));
            assert!(report["errors"].as_array().expect("errors").len() <= 100);
            body.clear();
        }
    }
    assert_eq!(sent, 1_000_000);
    let taken = told.bench.seen.take();
    assert_eq!(taken.samples.len(), 10_000);
    assert!(taken.told.len() == 1 && taken.told[0].contains("more than 1000 samples a second"), "{:?}", taken.told);
    assert_eq!(told.samples("{\"metric\":\"checks_total\",\"value\":1}\n").0, 200, "another source");
    let counts = told.bench.counts("queries");
    assert_eq!((counts.samples, counts.refused["rate"]), (10_000, 990_000));
    // A minute later it may give some again, but no new series beyond its number.
    told.bench.clock.goes_on(Duration::from_secs(60));
    let (status, report) = told.samples("{\"metric\":\"query_seconds\",\"labels\":{\"n\":\"new\"},\"value\":1}\n");
    assert_eq!((status, report["errors"][0]["rule"].as_str()), (429, Some("series")));
    assert_eq!(told.samples("{\"metric\":\"query_seconds\",\"labels\":{\"n\":\"1\"},\"value\":1}\n").0, 200);
}

#[test]
fn a_body_that_is_too_long_or_breaks_off_leaves_whole_lines_alone() {
    let told = Told::new();
    let line = "{\"metric\":\"checks_total\",\"value\":1}\n";
    let long = format!("{line}{}", " ".repeat(17 << 20));
    let (status, answer) = told.samples(&long);
    assert_eq!((status, answer["rule"].as_str(), answer["taken"].as_u64()), (413, Some("body"), Some(1)));
    assert_eq!(told.came().len(), 1);
    // Half a line, and the sender is gone.
    let mut stream = TcpStream::connect(told.server.address).expect("it listens");
    let head = "POST /v1/samples HTTP/1.1\r\nHost: u\r\nAuthorization: Bearer s3cret\r\nContent-Length: 1000\r\n\r\n";
    stream.write_all(format!("{head}{line}{}", &line[..line.len() - 1]).as_bytes()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("closed");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    told.bench.seen.wait("the whole line", |taken| !taken.samples.is_empty());
    assert_eq!(told.came().len(), 1, "a line without its end is none");
    let (status, answer) = told.alerts(&" ".repeat(5 << 20));
    assert_eq!((status, answer["rule"].as_str()), (413, Some("body")));
    for (method, path, wanted) in
        [("GET", "/v1/samples", 405), ("POST", "/v1/nothing", 404), ("PUT", "/v1/alerts", 405)]
    {
        let bytes = format!("{method} {path} HTTP/1.1\r\nHost: u\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(send(told.server.address, bytes.as_bytes()).0, wanted, "{method} {path}");
    }
}

fn alert(status: &str, labels: &str) -> String {
    format!(
        "{{\"status\":\"{status}\",\"labels\":{{\"alertname\":\"SlowQueries\",\"team\":\"data\"{labels}}},\
         \"annotations\":{{}},\"startsAt\":\"2026-03-01T12:00:00Z\",\"fingerprint\":\"f00\"}}"
    )
}

fn webhook(alerts: &[String]) -> String {
    format!("{{\"version\":\"4\",\"groupKey\":\"x\",\"status\":\"firing\",\"alerts\":[{}]}}", alerts.join(","))
}

#[test]
fn alerts_are_samples_that_name_their_story_and_are_resolved() {
    let told = Told::new();
    let labels = ",\"story\":\"1.3\",\"empty\":\"\"";
    let (status, report) = told.alerts(&webhook(&[alert("firing", labels)]));
    assert_eq!((status, report["taken"].as_u64(), report["passed_over"].as_u64()), (200, Some(1), Some(0)));
    let taken = told.bench.seen.take();
    assert_eq!(taken.samples[0].0.to_string(), "slow_queries{story=\"1.3\", team=\"data\"}");
    assert_eq!(
        (taken.samples[0].1.value, taken.alerts[0].story(), taken.alerts[0].is_firing),
        (1.0, Some("1.3"), true)
    );
    // Told again, and resolved in the same webhook and millisecond: both come, in their order.
    let both = [alert("firing", labels), alert("resolved", labels)];
    assert_eq!(told.alerts(&webhook(&both)).0, 200);
    assert_eq!(
        told.came(),
        ["slow_queries{story=\"1.3\", team=\"data\"} 1 1", "slow_queries{story=\"1.3\", team=\"data\"} 0 2"]
    );
    // One receiver may get all of a site's alerts.
    let others = [
        alert("firing", "").replace("SlowQueries", "DiskFull"),
        alert("firing", "").replace("\"data\"", "\"web\""),
        "{\"status\":\"firing\",\"labels\":{}}".to_owned(),
    ];
    let (status, report) = told.alerts(&webhook(&others));
    assert_eq!((status, report["taken"].as_u64(), report["passed_over"].as_u64()), (200, Some(0), Some(3)));
}

#[test]
fn what_is_no_webhook_is_refused_as_a_whole_and_a_bad_alert_alone() {
    let told = Told::new();
    let good = alert("firing", "");
    for (body, says) in [
        ("{".to_owned(), "line 1 column 1"),
        ("[]".to_owned(), "it is no webhook of Alertmanager's"),
        ("{\"version\":\"4\"}".to_owned(), "missing field `alerts`"),
        (
            webhook(std::slice::from_ref(&good)).replace("\"4\"", "\"3\""),
            "its version is 3; this unship reads version 4",
        ),
        (webhook(&[alert("smoking", "")]), "unknown variant `smoking`"),
        (webhook(&[good.replace("\"data\"", "7")]), "expected a string"),
        (webhook(&vec!["{\"status\":\"firing\",\"labels\":{}}".to_owned(); 10_001]), "10001 alerts; at most 10000"),
    ] {
        let (status, answer) = told.alerts(&body);
        assert_eq!((status, answer["rule"].as_str()), (400, Some("webhook")), "{body:.80}");
        let error = answer["error"].as_str().expect("an error");
        assert!(error.contains(says), "{body:.80}: {error}");
        assert!(told.came().is_empty());
    }
    for (labels, says) in [(",\"__name__\":\"up\"", "__name__"), (",\"a-b\":\"c\"", "a-b")] {
        let (status, report) = told.alerts(&webhook(&[alert("firing", labels), good.clone()]));
        assert_eq!((status, report["taken"].as_u64(), report["errors"][0]["line"].as_u64()), (422, Some(1), Some(1)));
        assert!(report["errors"][0]["message"].as_str().is_some_and(|m| m.contains(says)), "{report}");
    }
    // What was told of before is well again when it was for a minute.
    told.bench.clock.goes_on(Duration::from_secs(61));
    assert_eq!(told.alerts(&webhook(std::slice::from_ref(&good))).0, 200);
    let _ = told.bench.seen.take();
    let cut = webhook(&[good]).replace("\"version\"", "\"truncatedAlerts\":3,\"version\"");
    assert_eq!(told.alerts(&cut).0, 200);
    let wanted = "(alerts): Alertmanager left 3 alerts out: `max_alerts` of its receiver";
    assert_eq!(told.bench.seen.take().told, [wanted]);
}

/// A stream that gives what the test sends, and waits for more.
struct Stream(Receiver<Vec<u8>>);

impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let Ok(piece) = self.0.recv() else { return Ok(0) };
        to[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[test]
fn what_is_wrong_with_a_stream_is_told_as_it_comes() {
    let bench = Bench::new(FEEDS);
    let (sender, receiver) = channel();
    let sources = bench.sources.clone();
    let reader = thread::spawn(move || sources.read_lines(Stream(receiver)));
    let put = |text: &str| sender.send(text.as_bytes().to_vec()).expect("it reads");
    put("{\"metric\":\"checks_total\",");
    put("\"value\":1}\n{\"metric\":\"chec");
    bench.seen.wait("a line in two pieces", |taken| taken.samples.len() == 1);
    put("ks_total\"}\n");
    bench.seen.wait("its trouble", |taken| taken.told.iter().any(|told| told.contains("line 2: missing field")));
    bench.clock.goes_on(Duration::from_secs(61));
    // A line without an end is told when it is too long, not at its end.
    put(&"x".repeat(40_000));
    put(&"x".repeat(40_000));
    put(&"x".repeat(40_000));
    put("x\n{\"metric\":\"checks_total\",\"value\":2}\n");
    bench.seen.wait("the line behind it", |taken| taken.samples.len() == 2);
    drop(sender);
    let report = reader.join().expect("no panic").expect("it ended");
    let lines: Vec<u64> = report.errors.iter().map(|error| error.line).collect();
    assert_eq!((report.taken, report.refused, lines), (2, 2, vec![2, 3]));
    assert_eq!(bench.counts("(push)").refused["length"], 1);
}
