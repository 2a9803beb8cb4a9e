//! The daemon's server as a whole: whoever is slow there holds up nobody for long.

use crate::support::{Bench, WITHIN, send};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};
use unship_controller::{
    server::{Bounds, Server},
    sources::{Access, Credential, router},
};

fn server(bounds: &Bounds) -> (Bench, Server) {
    let bench = Bench::new("[feeds.checks]\nkind = \"push\"\nmetric = \"checks_total\"\n");
    bench.secret("token", "s3cret");
    let samples = Some(Credential::new(bench.dir.path(), "token").expect("a token"));
    let routes = router(&bench.sources, Access { samples, alerts: None });
    let server = Server::start_within(SocketAddr::from(([127, 0, 0, 1], 0)), routes, bounds);
    (bench, server.expect("it listens"))
}

const GOOD: &[u8] = b"POST /v1/samples HTTP/1.1\r\nHost: u\r\nAuthorization: Bearer s3cret\r\nConnection: close\r\n\
    Content-Length: 36\r\n\r\n{\"metric\":\"checks_total\",\"value\":1}\n";

#[test]
fn heads_that_do_not_come_are_left_and_the_next_gets_in() {
    let bounds = Bounds { connections_max: 4, head_within: std::time::Duration::from_millis(500), ..Bounds::default() };
    let (_bench, server) = server(&bounds);
    // All places are taken by those who say nothing, or a little of a head; two more wait.
    let begun = ["", "GET", "POST /v1/samples HTTP/1.1\r\nHost: u\r\n", "", "", "POST "];
    let mut slow: Vec<TcpStream> = begun
        .into_iter()
        .map(|head| {
            let mut stream = TcpStream::connect(server.address).expect("it listens");
            stream.set_read_timeout(Some(WITHIN)).expect("set");
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    assert_eq!(send(server.address, GOOD).0, 200, "it gets in when they are left");
    for stream in &mut slow {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"), "closed without an answer");
    }
}

#[test]
fn a_connection_that_goes_on_for_long_is_closed_between_two_requests() {
    let bounds = Bounds { connection_for: std::time::Duration::from_millis(500), ..Bounds::default() };
    let (bench, server) = server(&bounds);
    let mut stream = TcpStream::connect(server.address).expect("it listens");
    stream.set_read_timeout(Some(WITHIN)).expect("set");
    let good = String::from_utf8(GOOD.to_vec()).expect("text").replace("Connection: close\r\n", "");
    stream.write_all(good.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("closed by the server, though it was to be kept");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bench.seen.take().samples.len(), 1);
}

#[test]
fn heads_that_are_too_long_or_no_http_are_refused() {
    let (_bench, server) = server(&Bounds::default());
    let long = format!("GET /v1/samples HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET /v1/samples HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
    assert_eq!(send(server.address, long.as_bytes()).0, 431);
    assert_eq!(send(server.address, many.as_bytes()).0, 431);
    assert_eq!(send(server.address, b"\x16\x03\x01\x02\x00\x01\r\n\r\n").0, 400);
    assert_eq!(send(server.address, GOOD).0, 200);
}
