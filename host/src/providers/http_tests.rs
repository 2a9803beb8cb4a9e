//! Calls over HTTP against servers on this machine that answer well, badly, or never.

use super::{
    Deadline,
    http::{Answer, HttpError, call, call_with, is_about_nothing, values},
    testing::ample,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use unship_policy::{
    HttpUrl, Name, SitePolicy,
    meaning::{HttpMeaning, HttpMethod},
};
use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

/// A server of one test: what it was asked, and where it is.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `answer` gets each connection, with the number of those before it, once the request's head has come.
    fn new(answer: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                let request = request_of(&mut stream);
                log.lock().expect("no test panicked in it").push(request);
                answer(number, &mut stream);
            }
        });
        Server { port, asked }
    }

    fn saying(answer: &'static str) -> Server {
        Server::new(move |_, stream| drop(stream.write_all(answer.as_bytes())))
    }

    /// A GET of `path` with room for every good answer.
    fn get(&self, path: &str) -> HttpMeaning {
        HttpMeaning {
            method: HttpMethod::Get,
            url: HttpUrl::parse(&format!("http://localhost:{}{path}", self.port)).expect("a URL"),
            plaintext: false,
            body: None,
            fill: BTreeMap::new(),
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
            authorities: None,
            timeout: Duration::from_secs(30),
            expect: vec![200],
            answer_bytes_max: 1000,
            simulated: (200, String::new()),
            simulated_ends: Vec::new(),
            undo: None,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panicked in it").clone()
    }
}

/// Head and body of a request, as text.
fn request_of(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    head + &String::from_utf8_lossy(&body)
}

fn site() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn nowhere() -> &'static Path {
    Path::new("/nonexistent")
}

fn said(result: Result<Answer, HttpError>) -> String {
    match result {
        Ok(answer) => format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_request_is_the_policys_to_the_letter() {
    let server = Server::saying("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone");
    let site = site();
    let secret = site.path().join("token");
    fs::write(&secret, "Bearer abc\n").expect("written");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("private");
    let meaning = HttpMeaning {
        method: HttpMethod::Post,
        body: Some("{\"all\":true}".into()),
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        secret_headers: [("authorization".to_owned(), "token".to_owned())].into(),
        ..server.get("/v1/x?y=%20")
    };
    assert_eq!(said(call(site.path(), &meaning, ample())), "201 done");
    let asked = server.asked();
    let (head, body) = asked[0].split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
    lines[1..].sort();
    let port = server.port;
    let expected = [
        "POST /v1/x?y=%20 HTTP/1.1".to_owned(),
        "accept: */*".to_owned(),
        "authorization: Bearer abc".to_owned(),
        "content-length: 12".to_owned(),
        "content-type: application/json".to_owned(),
        format!("host: localhost:{port}"),
        concat!("user-agent: unship/", env!("CARGO_PKG_VERSION")).to_owned(),
    ];
    assert_eq!((lines.as_slice(), body), (&expected[..], "{\"all\":true}"));
}

#[test]
fn every_method_is_sent_as_it_is_and_any_status_is_an_answer() {
    for method in HttpMethod::ALL {
        let server = Server::saying("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        let meaning = HttpMeaning { method, ..server.get("/") };
        assert_eq!(said(call(nowhere(), &meaning, ample())), "503 ", "{method:?}");
        assert!(server.asked()[0].starts_with(&format!("{} / HTTP/1.1\r\n", method.as_str())));
    }
    let head = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n");
    let meaning = HttpMeaning { method: HttpMethod::Head, ..head.get("/") };
    assert_eq!(said(call(nowhere(), &meaning, ample())), "200 ");
}

#[test]
fn a_redirect_is_followed_within_the_origin_and_no_cookie_is_kept() {
    let server = Server::new(|number, stream| {
        let answer = match number {
            0 => "HTTP/1.1 302 Found\r\nLocation: /there?x#y\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        drop(stream.write_all(answer.as_bytes()));
    });
    assert_eq!(said(call(nowhere(), &server.get("/here"), ample())), "200 ok");
    let asked = server.asked();
    assert!(asked[1].starts_with("GET /there?x HTTP/1.1\r\n"), "{asked:?}");
    assert!(!asked[1].to_ascii_lowercase().contains("cookie"), "{asked:?}");
}

#[test]
fn a_redirect_to_another_origin_is_not_followed() {
    let other = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    for location in [
        format!("http://localhost:{}/", other.port),
        format!("//localhost:{}/", other.port),
        format!("http://127.0.0.1:{}/", other.port),
    ] {
        let to = location.clone();
        let server = Server::new(move |_, stream| {
            drop(write!(stream, "HTTP/1.1 307 Away\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"));
        });
        let meaning = server.get("/");
        let expected = format!(
            "the answer redirects to {location}: that is another origin than the policy's, so it is not followed"
        );
        assert_eq!(said(call(nowhere(), &meaning, ample())), expected);
    }
    for (location, why) in
        [("https://localhost/", "another origin"), ("../x", "no URL"), ("http://a@localhost/", "no URL")]
    {
        let server = Server::new(move |_, stream| {
            drop(write!(stream, "HTTP/1.1 301 Away\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
        });
        let said = said(call(nowhere(), &server.get("/"), ample()));
        assert!(said.contains(why), "{location}: {said}");
    }
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[test]
fn redirects_end_and_a_change_is_made_once() {
    let answer = "HTTP/1.1 308 Again\r\nLocation: /\r\nContent-Length: 0\r\n\r\n";
    let server = Server::saying(answer);
    assert_eq!(said(call(nowhere(), &server.get("/"), ample())), "more than 5 redirects");
    assert_eq!(server.asked().len(), 6);
    let server = Server::saying(answer);
    let meaning = HttpMeaning { method: HttpMethod::Post, ..server.get("/") };
    assert_eq!(said(call(nowhere(), &meaning, ample())), "308 ");
    assert_eq!(server.asked().len(), 1);
}

/// Writes `begin`, then `more` again and again until the client hangs up.
fn endless(begin: &'static str, more: &'static str, pause: Duration) -> Server {
    Server::new(move |_, stream| {
        let mut sent = stream.write_all(begin.as_bytes());
        while sent.is_ok() {
            thread::sleep(pause);
            sent = stream.write_all(more.as_bytes());
        }
    })
}

#[test]
fn an_answer_that_never_ends_ends_at_the_time_limit() {
    // Slower than any limit on bytes, faster than any limit on a single read.
    let pause = Duration::from_millis(10);
    let slow = [
        endless("", "H", pause),
        endless("HTTP/1.1 200 OK\r\n", "A", pause),
        endless("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", "x", pause),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", pause),
        endless("HTTP/1.1 200 OK\r\n\r\n", "x", pause),
        Server::new(|_, _| {
            loop {
                thread::park();
            }
        }),
    ];
    for server in &slow {
        let meaning = HttpMeaning { timeout: Duration::from_millis(200), ..server.get("/") };
        let begun = Instant::now();
        let said = said(call(nowhere(), &meaning, ample()));
        assert!(said == "no whole answer within 200 ms" || said.contains("http"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{said}");
    }
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let over = call(nowhere(), &server.get("/"), Deadline::after(Duration::ZERO));
    assert!(matches!(over, Err(HttpError::TimedOut(_))));
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn an_answer_that_is_too_long_is_refused_wherever_it_shows() {
    let now = Duration::ZERO;
    for server in [
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"),
        endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nxxxxx\r\n", now),
        endless("HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxxxxxx", now),
    ] {
        let said = said(call(nowhere(), &server.get("/"), ample()));
        assert_eq!(said, "the answer is longer than the 1000 bytes that the policy allows (`answer`)");
    }
    let just = Server::new(|_, stream| {
        drop(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000)));
    });
    assert_eq!(said(call(nowhere(), &just.get("/"), ample())), format!("200 {}", "x".repeat(1000)));
}

#[test]
fn header_bombs_and_what_is_no_answer_are_refused() {
    let now = Duration::ZERO;
    for server in [
        endless("HTTP/1.1 200 OK\r\n", "x-a: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", now),
        endless("HTTP/1.1 200 OK\r\nx: ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", now),
        endless("", "HTTP/1.1 100 Continue\r\n\r\n", Duration::from_millis(1)),
        Server::saying("SSH-2.0-OpenSSH_9.9\r\n\r\n"),
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        Server::saying("HTTP/1.1 200 OK\r\nContent-Length: minus\r\n\r\n"),
        Server::saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Server::saying(""),
    ] {
        let meaning = HttpMeaning { timeout: Duration::from_secs(2), ..server.get("/") };
        let result = call(nowhere(), &meaning, ample());
        assert!(matches!(result, Err(HttpError::Failed(_) | HttpError::TimedOut(_))), "{}", said(result));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = nobody.local_addr().expect("bound").port();
    drop(nobody);
    let url = HttpUrl::parse(&format!("http://127.0.0.1:{port}/")).expect("a URL");
    let meaning = HttpMeaning { url, ..Server::saying("").get("/") };
    assert!(said(call(nowhere(), &meaning, ample())).contains("refused"), "nobody listens");
}

/// Answers each look-up with the next of its addresses.
#[derive(Debug)]
struct Rebinding {
    addresses: Vec<SocketAddr>,
    asked: Arc<AtomicUsize>,
}

impl Resolver for Rebinding {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut found = self.empty();
        found.push(self.addresses[self.asked.fetch_add(1, Ordering::SeqCst)]);
        Ok(found)
    }
}

#[test]
fn a_name_that_is_bound_anew_changes_nothing() {
    let wrong = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
    let server = Server::new(|number, stream| {
        let answer = match number {
            0 => "HTTP/1.1 302 Found\r\nLocation: /2\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright",
        };
        drop(stream.write_all(answer.as_bytes()));
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let addresses = vec![([127, 0, 0, 1], server.port).into(), ([127, 0, 0, 1], wrong.port).into()];
    let lookup = Rebinding { addresses, asked: asked.clone() };
    assert_eq!(said(call_with(nowhere(), &server.get("/1"), ample(), lookup)), "200 right");
    assert_eq!((asked.load(Ordering::SeqCst), wrong.asked().len()), (1, 0));
}

#[test]
fn what_is_unencrypted_goes_to_this_machine_only() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let elsewhere =
        || Rebinding { addresses: vec![([192, 0, 2, 1], server.port).into()], asked: Arc::new(AtomicUsize::new(0)) };
    let said = said(call_with(nowhere(), &server.get("/"), ample(), elsewhere()));
    let expected = format!(
        "localhost is 192.0.2.1:{}, another machine, which would be spoken to unencrypted; `plaintext = true` in the policy allows it",
        server.port
    );
    assert_eq!(said, expected);
    let meaning = HttpMeaning { plaintext: true, timeout: Duration::from_millis(100), ..server.get("/") };
    let tried = call_with(nowhere(), &meaning, ample(), elsewhere());
    assert!(!matches!(tried, Ok(_) | Err(HttpError::Plaintext { .. })), "{tried:?}");
}

#[test]
fn a_secret_that_is_none_is_not_sent_and_not_told() {
    let server = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let site = site();
    let meaning =
        HttpMeaning { secret_headers: [("authorization".to_owned(), "token".to_owned())].into(), ..server.get("/") };
    let file = site.path().join("token");
    let write = |bytes: &[u8], mode: u32| {
        let _ = fs::remove_file(&file);
        fs::write(&file, bytes).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("mode");
    };
    let refused = |why: &str| {
        let said = said(call(site.path(), &meaning, ample()));
        assert!(said.starts_with("the file token, which the policy names for this call, cannot be used: "), "{said}");
        assert!(said.contains(why) && !said.contains("hush"), "{said}");
    };
    refused("No such file");
    write(b"hush", 0o644);
    refused("others may read or write it");
    write(b"hush\r\nX-Other: 1\n", 0o600);
    refused("one line of visible ASCII");
    write(b"", 0o600);
    refused("one line of visible ASCII");
    write(b"hush\xff", 0o600);
    refused("does not hold text");
    write(&[b'x'; 9000], 0o600);
    refused("more than 8192 bytes");
    fs::remove_file(&file).expect("removed");
    rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a FIFO");
    refused("not a regular file");
    assert_eq!(server.asked().len(), 0);
}

/// A server that speaks TLS with a certificate that only it has signed.
fn tls_server() -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let certificate = CertificateDer::from_pem_slice(include_bytes!("testdata/self-signed.pem")).expect("PEM");
    let key = PrivateKeyDer::try_from(&include_bytes!("testdata/self-signed.key.der")[..]).expect("PKCS 8");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("they fit");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(config.clone()).expect("a session");
            let mut stream = rustls::StreamOwned::new(session, stream);
            let _ = request_of(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsafe");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    port
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let site = site();
    fs::write(site.path().join("ca.pem"), include_bytes!("testdata/self-signed.pem")).expect("written");
    fs::write(site.path().join("none.pem"), "").expect("written");
    let port = tls_server();
    let to = |host: &str, authorities: Option<&str>| {
        let url = HttpUrl::parse(&format!("https://{host}:{port}/")).expect("a URL");
        let meaning = HttpMeaning { url, authorities: authorities.map(str::to_owned), ..Server::saying("").get("/") };
        said(call(site.path(), &meaning, ample()))
    };
    let refused = to("localhost", None);
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(to("localhost", Some("ca.pem")), "200 safe");
    let misnamed = to("127.0.0.1", Some("ca.pem"));
    assert!(misnamed.contains("certificate not valid for name"), "{misnamed}");
    assert!(to("localhost", Some("none.pem")).contains("holds no certificate"));
    let plain = Server::saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let url = HttpUrl::parse(&format!("https://localhost:{}/", plain.port)).expect("a URL");
    let meaning = HttpMeaning { url, timeout: Duration::from_secs(2), ..plain.get("/") };
    assert!(call(site.path(), &meaning, ample()).is_err(), "no TLS at the other end");
}

/// `end` of a policy whose calls go to this server, filled from what `runs` answers there.
fn filled(server: &Server) -> Result<String, String> {
    let policy = SitePolicy::parse(&format!(
        "[site]\nname = \"t\"\nbundles = \"b\"\n[http.runs]\nmethod = \"GET\"\nurl = \"http://localhost:{0}/runs\"\n\
         timeout = \"30s\"\n[http.end]\nmethod = \"POST\"\nurl = \"http://localhost:{0}/end\"\nbody = '{{\"ids\": {{ids}}}}'\n\
         fill = {{ ids = {{ from = \"runs\", pointer = \"/runs/*/id\" }} }}\ntimeout = \"30s\"\n",
        server.port
    ));
    let calls = policy.expect("a policy").definitions.http;
    let end = &calls[&Name::new("end").expect("a name")];
    let values = values(nowhere(), &calls, end, ample()).map_err(|e| e.to_string())?;
    if is_about_nothing(&values) {
        return Ok("not sent".to_owned());
    }
    Ok(said(call(nowhere(), &end.clone().filled(&values), ample())))
}

#[test]
fn what_only_the_other_end_knows_is_asked_first() {
    let server = Server::new(|number, stream| {
        let body = if number == 0 { r#"{"runs":[{"id":"a-1"},{"id":"b-2"}]}"# } else { "done" };
        drop(write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    });
    assert_eq!(filled(&server), Ok("200 done".to_owned()));
    let asked = server.asked();
    assert!(asked[0].starts_with("GET /runs HTTP/1.1\r\n"), "{asked:?}");
    assert!(
        asked[1].starts_with("POST /end") && asked[1].ends_with("\r\n\r\n{\"ids\": [\"a-1\",\"b-2\"]}"),
        "{asked:?}"
    );
}

#[test]
fn a_call_about_nothing_is_not_sent_and_one_about_what_nobody_told_neither() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"runs\":[]}", Ok("not sent")),
        (
            "HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\n{\"runs\":[]}",
            Err("answered 500, which the policy does not expect"),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", Err("its answer is no JSON")),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Err("nothing at \"runs\"")),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{\"runs\":[{\"id\":\"a\\\"], \\\"b\\\"\"}]}",
            Err("is no value for a call"),
        ),
    ] {
        let server = Server::saying(answer);
        match (filled(&server), expected) {
            (Ok(done), Ok(expected)) => assert_eq!(done, expected),
            (Err(told), Err(expected)) => assert!(told.contains("filled from: ") && told.contains(expected), "{told}"),
            (found, expected) => panic!("{answer}: {found:?}, not {expected:?}"),
        }
        assert_eq!(server.asked().len(), 1, "nothing but the question was sent");
    }
}
