//! `prometheus`, `http-probe` and `tcp-probe`.

use crate::support::{BEGIN, Bench, Web, hang, nobody, said};
use std::{io::Write as _, net::SocketAddr, net::TcpListener, time::Instant};

fn query(address: SocketAddr) -> Bench {
    Bench::new(&format!(
        "[feeds.slow]\nkind = \"prometheus\"\nmetric = \"slow_seconds\"\nurl = \"http://{address}/\"\ntimeout = \"1s\"\n\
         every = \"1s\"\nquery = 'max by (host) (q_seconds{{job=~\"a|b\"}}) > 1 + 2'\n"
    ))
}

/// What one answer to a query gives, and what is told.
fn asked(status: &str, body: &str) -> (Vec<String>, Vec<String>) {
    query(Web::saying(status, "application/json", body).address).look()
}

#[test]
fn an_instant_query_gives_a_sample_for_each_series_at_its_time() {
    let at = BEGIN / 1000;
    let vector = format!(
        "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[\
         {{\"metric\":{{\"__name__\":\"q\",\"host\":\"a\"}},\"value\":[{at}.25,\"1.5\"]}},\
         {{\"metric\":{{\"host\":\"b\"}},\"value\":[{at},\"+Inf\"]}}]}},\"warnings\":[\"slow\"]}}"
    );
    let web = Web::saying("200 OK", "application/json", &vector);
    let taken = query(web.address).look_whole();
    let samples = taken.samples.iter().map(|(series, s)| format!("{series} {} {}", s.value, s.at.0 - BEGIN));
    assert_eq!(samples.collect::<Vec<_>>(), ["slow_seconds{host=\"a\"} 1.5 250", "slow_seconds{host=\"b\"} inf 0"]);
    let line = web.asked.lock().expect("no panic")[0].clone();
    let wanted = "max%20by%20%28host%29%20%28q_seconds%7Bjob%3D~%22a%7Cb%22%7D%29%20%3E%201%20%2B%202";
    assert_eq!(line, format!("GET /api/v1/query?query={wanted} HTTP/1.1"));

    let scalar = format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"scalar\",\"result\":[{at},\"7\"]}}}}");
    assert_eq!(asked("200 OK", &scalar), (vec!["slow_seconds 7".to_owned()], Vec::new()));
    let empty = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}";
    assert_eq!(asked("200 OK", empty), (Vec::new(), Vec::new()), "nothing is true: that is no trouble");
}

#[test]
fn what_is_no_answer_of_prometheus_gives_nothing_and_is_told() {
    let result = |kind: &str, result: &str| {
        format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"{kind}\",\"result\":{result}}}}}")
    };
    let row = |value: &str| result("vector", &format!("[{{\"metric\":{{}},\"value\":[{},{value}]}}]", BEGIN / 1000));
    let many = vec!["{\"metric\":{},\"value\":[1,\"1\"]}"; 10_001].join(",");
    for (status, body, says) in [
        ("400 Bad", "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"1:4: parse error\"}", "parse error"),
        ("502 Bad", "<html>no</html>", "status 502, and no answer of its API"),
        ("200 OK", "{\"status\":\"success\"}", "no data"),
        ("200 OK", "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{", "no answer of its API"),
        ("200 OK", &result("matrix", "[]"), "no vector and no scalar"),
        ("200 OK", &result("string", "[1,\"x\"]"), "no vector and no scalar"),
        ("200 OK", &result("vector", "[{\"metric\":{},\"histogram\":[1,{}]}]"), "native histogram"),
        ("200 OK", &row("\"many\""), "\"many\" is no number"),
        ("200 OK", &row("7"), "no answer of its API"),
        ("200 OK", &result("vector", &format!("[{many}]")), "10001 series; at most 10000"),
        ("200 OK", &result("scalar", "[1,\"1\"]"), "more than 3600 s past"),
        ("200 OK", &result("scalar", "[1e300,\"1\"]"), "more than 60 s ahead"),
        ("200 OK", &"[".repeat(100_000), "no answer of its API"),
        ("200 OK", &" ".repeat(9 << 20), "longer than 8388608 bytes"),
    ] {
        let (samples, told) = asked(status, body);
        assert!(samples.is_empty(), "{body:.80}: {samples:?}");
        assert!(told.len() == 1 && told[0].contains(says), "{says}: {told:?}");
    }
    let (samples, told) = query(Web::new(hang).address).look();
    assert!(samples.is_empty() && told[0].contains("no whole answer within 1000 ms"), "{told:?}");
}

fn probe(kind: &str, at: &str) -> Bench {
    let feed = |value: &str| {
        format!(
            "[feeds.{value}]\nkind = \"{kind}\"\nmetric = \"api_{value}\"\n{at}\ntimeout = \"500ms\"\nevery = \"1s\"\n\
             value = \"{value}\"\n"
        )
    };
    Bench::new(&(feed("up") + &feed("seconds")))
}

/// Whether the site is up, and how long the answer took.
fn probed(bench: &Bench) -> (f64, f64) {
    let taken = bench.look_whole();
    assert!(taken.told.is_empty(), "a site that is down is no trouble of the probe's: {:?}", taken.told);
    let of = |metric: &str| {
        let of = taken.samples.iter().filter(|(series, _)| series.metric() == metric);
        let values: Vec<f64> = of.map(|(_, sample)| sample.value).collect();
        assert_eq!(values.len(), 1, "{metric}");
        values[0]
    };
    (of("api_up"), of("api_seconds"))
}

#[test]
fn a_probe_is_up_when_the_whole_of_a_good_answer_came_in_time() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf";
    let answers: [(&str, String, bool); 8] = [
        ("200", said("200 OK", "text/plain", "fine"), true),
        ("204", "HTTP/1.1 204 Nothing\r\n\r\n".to_owned(), true),
        ("302", "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(), true),
        ("404", said("404 None", "text/plain", ""), false),
        ("500", said("500 Broken", "text/plain", ""), false),
        ("cut", cut.to_owned(), false),
        ("no http", "SSH-2.0-OpenSSH\r\n".to_owned(), false),
        ("silent", String::new(), false),
    ];
    for (name, answer, is_up) in answers {
        let web = Web::new(move |_, stream| {
            let _ = stream.write_all(answer.as_bytes());
        });
        let (up, seconds) = probed(&probe("http-probe", &format!("url = \"http://{}/status\"", web.address)));
        assert_eq!(up, f64::from(u8::from(is_up)), "{name}");
        assert!((0.0..=0.5).contains(&seconds), "{name}: {seconds}");
    }
}

#[test]
fn a_probe_of_what_hangs_takes_its_timeout_and_of_what_is_gone_too() {
    let endless = Web::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    for (name, address) in [("hangs", Web::new(hang).address), ("endless", endless.address), ("gone", nobody())] {
        let begun = Instant::now();
        let (up, seconds) = probed(&probe("http-probe", &format!("url = \"http://{address}/\"")));
        assert_eq!((up, seconds), (0.0, 0.5), "{name}");
        assert!(begun.elapsed().as_secs() < 20, "{name}");
    }
}

#[test]
fn a_port_is_up_while_somebody_takes_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let bench = probe("tcp-probe", &format!("address = \"{address}\""));
    let (up, seconds) = probed(&bench);
    assert!(up == 1.0 && (0.0..0.5).contains(&seconds), "{up} {seconds}");
    drop(listener);
    assert_eq!(probed(&bench), (0.0, 0.5));
    let again = TcpListener::bind(address).expect("the same port");
    assert_eq!(probed(&bench).0, 1.0);
    drop(again);
    assert_eq!(probed(&probe("tcp-probe", "address = \"no-such-host.invalid:80\"")), (0.0, 0.5), "a name of nobody");
}
