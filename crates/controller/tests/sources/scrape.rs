//! `scrape`: pages that are good, slow, flooding, lying, gone and back.

use crate::support::{BEGIN, Bench, Web, hang, nobody, said};
use std::{io::Write as _, net::SocketAddr, time::Instant};

const PROMETHEUS: &str = "text/plain; version=0.0.4";
const OPEN: &str = "application/openmetrics-text; version=1.0.0";

fn feed(address: SocketAddr, more: &str) -> String {
    format!(
        "[feeds.queue]\nkind = \"scrape\"\nmetric = \"queue_jobs\"\nurl = \"http://{address}/metrics\"\ntimeout = \"1s\"\n\
         every = \"1s\"\n{more}"
    )
}

/// The samples of one look at a page, and what was told.
fn look(kind: &str, body: &str) -> (Vec<String>, Vec<String>) {
    let web = Web::saying("200 OK", kind, body);
    Bench::new(&feed(web.address, "")).look()
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn both_dialects_are_read_and_what_nobody_asks_for_is_passed_over() {
    let page = "# TYPE queue_jobs gauge\nother{x=\"y\"} 7\nqueue_jobs{host=\"a\"} 1.5\nqueue_jobs{host=\"b\"} 2e3\n";
    let wanted = ["queue_jobs{host=\"a\"} 1.5", "queue_jobs{host=\"b\"} 2000"].map(str::to_owned).to_vec();
    assert_eq!(look(PROMETHEUS, page), (wanted.clone(), nothing()));
    assert_eq!(look(OPEN, &format!("{page}# EOF\n")), (wanted, nothing()));
}

#[test]
fn a_feed_selects_by_name_and_labels_and_those_of_one_page_share_a_request() {
    let page = "jobs:waiting{host=\"a\",kind=\"x\"} 1\njobs:waiting{host=\"b\"} 2\ntemperature 3\n";
    let web = Web::saying("200 OK", PROMETHEUS, page);
    let second = feed(web.address, "").replace("feeds.queue", "feeds.heat").replace("queue_jobs", "temperature");
    let feeds = feed(web.address, "select = \"jobs:waiting\"\nlabels = { host = \"a\" }\n") + &second;
    let bench = Bench::new(&feeds);
    let (samples, told) = bench.look();
    assert_eq!(samples, ["queue_jobs{host=\"a\", kind=\"x\"} 1", "temperature 3"]);
    assert_eq!((told, web.asked.lock().expect("no panic").len()), (nothing(), 1));
}

#[test]
fn what_is_no_page_of_metrics_gives_nothing_and_is_told() {
    let many = "x".repeat(2000);
    for (kind, body, says) in [
        ("text/html", "<html><body>Sign in</body></html>", "line 1"),
        (PROMETHEUS, "queue_jobs one\n", "line 1"),
        (PROMETHEUS, "fine 1\nqueue_jobs{host=\"a\" 1\n", "line 2"),
        (PROMETHEUS, "queue_jobs{__name__=\"x\"} 1\n", "`__name__` is no label's name"),
        (OPEN, "queue_jobs 1\n", "EOF"),
        (PROMETHEUS, "other 1\n", "the page does not hold queue_jobs"),
        (PROMETHEUS, "", "the page does not hold queue_jobs"),
        (PROMETHEUS, &format!("queue_jobs{{{many}=\"1\"}} 1\n"), "line 1"),
    ] {
        let (samples, told) = look(kind, body);
        assert_eq!(samples, nothing(), "{body:.60}");
        assert!(told.len() == 1 && told[0].starts_with("queue: ") && told[0].contains(says), "{body:.60}: {told:?}");
    }
}

#[test]
fn numbers_that_are_odd_come_as_they_are_and_times_that_cannot_be_do_not() {
    let bench = |text: &str| {
        let web = Web::saying("200 OK", PROMETHEUS, text);
        Bench::new(&feed(web.address, "")).look_whole()
    };
    let taken = bench("queue_jobs NaN\n");
    assert!(taken.samples.len() == 1 && taken.samples[0].1.value.is_nan() && taken.told.is_empty());
    for (text, value) in [("+Inf", f64::INFINITY), ("-Inf", f64::NEG_INFINITY), ("1e308", 1e308), ("-1e308", -1e308)] {
        let taken = bench(&format!("queue_jobs {text}\n"));
        let values: Vec<f64> = taken.samples.iter().map(|(_, sample)| sample.value).collect();
        assert_eq!(values, [value], "{text}");
    }
    for (ms, rule) in [(-3_700_000, "more than 3600 s past"), (120_000, "more than 60 s ahead")] {
        let taken = bench(&format!("queue_jobs 1 {}\n", BEGIN + ms));
        assert!(taken.samples.is_empty() && taken.told[0].contains(rule), "{ms}: {:?}", taken.told);
    }
    let at = BEGIN - 5000;
    assert_eq!(bench(&format!("queue_jobs 1 {at}\n")).samples[0].1.at.0, at, "the page says when");
}

#[test]
fn a_redirect_is_not_followed_and_a_status_that_is_none_of_success_gives_nothing() {
    let elsewhere = Web::saying("200 OK", PROMETHEUS, "queue_jobs 1\n");
    let page = format!("http://{}/metrics", elsewhere.address);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent", "404 Gone", "500 Broken", "204 None"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {page}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let web = Web::new(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
        });
        let (samples, told) = Bench::new(&feed(web.address, "")).look();
        assert_eq!(samples, nothing());
        assert!(told[0].contains(&format!("the answer's status is {}", &status[..3])), "{told:?}");
    }
    assert!(elsewhere.asked.lock().expect("no panic").is_empty(), "nobody asked there");
}

#[test]
fn whoever_hangs_drips_or_never_ends_is_left_in_time() {
    let endless = |begin: &'static str, piece: &'static str| {
        Web::new(move |_, stream| {
            let kind = format!("HTTP/1.1 200 OK\r\nContent-Type: {PROMETHEUS}\r\n{begin}");
            let _ = stream.write_all(kind.as_bytes());
            let many = piece.repeat(1 + 8192 / piece.len());
            while stream.write_all(many.as_bytes()).is_ok() {}
        })
    };
    let drip = Web::new(|_, stream| {
        let text = said("200 OK", PROMETHEUS, &"# slow\n".repeat(100_000));
        for byte in text.bytes() {
            // One byte a packet, until the other side has enough of it.
            if stream.write_all(&[byte]).is_err() || stream.flush().is_err() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    });
    for (web, says) in [
        (Web::new(hang), "no whole answer within 1000 ms"),
        (drip, "no whole answer within 1000 ms"),
        (endless("\r\n", "# comment\n"), ""),
        (endless("\r\n", "x"), "line 1"),
        (endless("\r\n", "queue_jobs{a=\"b\"} 1\n"), "more than 10000 samples"),
        (endless("", "X-Endless: x\r\n"), ""),
        (endless("X-Endless: ", "x"), ""),
    ] {
        let begun = Instant::now();
        let (samples, told) = Bench::new(&feed(web.address, "")).look();
        assert!(begun.elapsed().as_secs() < 20, "left in time, {told:?}");
        assert_eq!(samples, nothing());
        assert!(told.len() == 1 && told[0].contains(says), "{says}: {told:?}");
    }
}

#[test]
fn a_page_that_breaks_off_gives_nothing() {
    let text = format!("HTTP/1.1 200 OK\r\nContent-Type: {PROMETHEUS}\r\nContent-Length: 1000\r\n\r\nqueue_jobs 1\n");
    let web = Web::new(move |_, stream| {
        let _ = stream.write_all(text.as_bytes());
    });
    let (samples, told) = Bench::new(&feed(web.address, "")).look();
    assert_eq!((samples, told.len()), (nothing(), 1), "{told:?}");
}

#[test]
fn of_a_million_series_none_is_taken_and_a_million_others_cost_time_alone() {
    let million = |metric: &'static str| {
        Web::new(move |_, stream| {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {PROMETHEUS}\r\nConnection: close\r\n\r\n");
            let mut out = std::io::BufWriter::new(stream);
            let _ = out.write_all(head.as_bytes());
            for n in 0..1_000_000 {
                if writeln!(out, "{metric}{{n=\"{n}\"}} {n}").is_err() {
                    return;
                }
            }
            let _ = writeln!(out, "queue_jobs 5");
        })
    };
    let of = |web: &Web| Bench::new(&feed(web.address, "").replace("timeout = \"1s\"", "timeout = \"60s\"")).look();
    let (samples, told) = of(&million("queue_jobs"));
    assert_eq!(samples, nothing());
    assert!(told[0].contains("10000"), "{told:?}");
    assert_eq!(of(&million("other")), (vec!["queue_jobs 5".to_owned()], nothing()));
}

#[test]
fn gone_is_told_once_and_so_is_that_it_is_back() {
    let address = nobody();
    let bench = Bench::new(&feed(address, ""));
    let (samples, told) = bench.look();
    assert_eq!(samples, nothing());
    assert!(told.len() == 1 && told[0].contains("refused"), "{told:?}");
    assert_eq!(bench.look(), (nothing(), nothing()), "it was told");
    let web = Web::at(address, |_, stream| {
        let _ = stream.write_all(said("200 OK", PROMETHEUS, "queue_jobs 1\n").as_bytes());
    });
    assert_eq!(bench.look(), (vec!["queue_jobs 1".to_owned()], vec!["queue is well".to_owned()]));
    web.say("503 Busy", PROMETHEUS, "");
    let (_, told) = bench.look();
    assert!(told[0].contains("status is 503"), "{told:?}");
    let counts = bench.counts("queue");
    assert_eq!((counts.looks, counts.failed, counts.samples, counts.is_in_trouble), (4, 3, 1, true));
}
