//! Sources of a policy, what they gave and told, and servers that answer as a test says.

use std::{
    io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use unship_controller::sources::{Alert, Clock, Full, Sink, SourceCounts, SourceState, Sources};
use unship_policy::SitePolicy;
use unship_rollback::signal::{Millis, Sample, Series};

/// What the tests' clock shows first.
pub const BEGIN: i64 = 1_790_000_000_000;
/// What is waited for comes within this time, or the test fails.
pub const WITHIN: Duration = Duration::from_secs(60);

/// A clock that stands still until it is set on.
pub struct Driven {
    now: AtomicI64,
    steady_ms: AtomicU64,
}

impl Driven {
    pub fn new() -> Arc<Driven> {
        Arc::new(Driven { now: AtomicI64::new(BEGIN), steady_ms: AtomicU64::new(0) })
    }

    pub fn goes_on(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).expect("a short time");
        self.steady_ms.fetch_add(ms, Ordering::SeqCst);
        self.now.fetch_add(i64::try_from(ms).expect("a short time"), Ordering::SeqCst);
    }
}

impl Clock for Driven {
    fn now(&self) -> Millis {
        Millis(self.now.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        Duration::from_millis(self.steady_ms.load(Ordering::SeqCst))
    }
}

/// All that came to the sink, in its order.
#[derive(Default)]
pub struct Taken {
    pub samples: Vec<(Series, Sample)>,
    pub alerts: Vec<Alert>,
    /// `SOURCE: what is wrong`, and `SOURCE is well`.
    pub told: Vec<String>,
}

#[derive(Default)]
pub struct Seen {
    taken: Mutex<Taken>,
    came: Condvar,
}

impl Seen {
    /// What came since the last time.
    pub fn take(&self) -> Taken {
        std::mem::take(&mut *self.taken.lock().expect("no panic"))
    }

    /// Waits until what came is as `enough` says.
    pub fn wait(&self, what: &str, enough: impl Fn(&Taken) -> bool) {
        let taken = self.taken.lock().expect("no panic");
        let waited = self.came.wait_timeout_while(taken, WITHIN, |taken| !enough(taken)).expect("no panic");
        assert!(!waited.1.timed_out(), "{what} did not come; told: {:?}", waited.0.told);
    }

    fn put(&self, put: impl FnOnce(&mut Taken)) {
        put(&mut self.taken.lock().expect("no panic"));
        self.came.notify_all();
    }
}

impl Sink for Seen {
    fn sample(&self, series: Series, sample: Sample) -> Result<(), Full> {
        self.put(|taken| taken.samples.push((series, sample)));
        Ok(())
    }

    fn alert(&self, alert: Alert) {
        self.put(|taken| taken.alerts.push(alert));
    }

    fn trouble(&self, source: &str, what: &str) {
        self.put(|taken| taken.told.push(format!("{source}: {what}")));
    }

    fn well(&self, source: &str) {
        self.put(|taken| taken.told.push(format!("{source} is well")));
    }
}

pub fn policy(feeds: &str) -> SitePolicy {
    let text = format!("[site]\nname = \"practice\"\nbundles = \"bundles\"\n{feeds}");
    SitePolicy::parse(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A site whose sources look when the test says so.
pub struct Bench {
    pub dir: TempDir,
    pub sources: Arc<Sources>,
    pub seen: Arc<Seen>,
    pub clock: Arc<Driven>,
}

impl Bench {
    pub fn new(feeds: &str) -> Bench {
        let (dir, seen, clock) = (tempfile::tempdir().expect("a folder"), Arc::new(Seen::default()), Driven::new());
        let sources = Sources::idle(&policy(feeds), dir.path(), SourceState::default(), seen.clone(), clock.clone());
        Bench { dir, sources, seen, clock }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        path
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    /// Kept secret, as a secret has to be.
    pub fn secret(&self, name: &str, text: &str) {
        self.write(name, text);
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).expect("private");
    }

    /// Every look is made once: the samples as `SERIES VALUE`, and what was told.
    pub fn look(&self) -> (Vec<String>, Vec<String>) {
        let taken = self.look_whole();
        let samples = taken.samples.iter().map(|(series, sample)| format!("{series} {}", sample.value));
        (samples.collect(), taken.told)
    }

    /// The same as it came to the sink.
    pub fn look_whole(&self) -> Taken {
        // Each feed of these tests looks every second; at first within it.
        self.clock.goes_on(Duration::from_secs(1));
        assert!(self.sources.look_due() > 0, "something looks");
        self.seen.take()
    }

    pub fn counts(&self, source: &str) -> SourceCounts {
        self.sources.counts().into_iter().find(|of| of.source == source).expect("the source")
    }
}

/// A process that is ended with the test.
pub struct Running(pub Child);

impl Running {
    /// Begins it. A program that was copied just now may still be open for writing in a child of another test's, between its fork
    /// and its own program.
    pub fn begun(command: &mut Command) -> Running {
        let begun = Instant::now();
        loop {
            match command.spawn() {
                Err(e) if e.kind() == ErrorKind::ExecutableFileBusy && begun.elapsed() < WITHIN => thread::yield_now(),
                child => return Running(child.expect("it begins")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How a stand-in of a server treats one connection; it got the request's head, and its body if it has one.
type Answer = dyn Fn(&str, &mut TcpStream) + Send + Sync;

/// A server whose answer can be exchanged.
pub struct Web {
    pub address: SocketAddr,
    answer: Arc<Mutex<Arc<Answer>>>,
    /// The first lines of all requests.
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    pub fn new(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Web {
        Web::at("127.0.0.1:0".parse().expect("an address"), answer)
    }

    pub fn at(address: SocketAddr, answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Web {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("its address");
        let answer: Arc<Mutex<Arc<Answer>>> = Arc::new(Mutex::new(Arc::new(answer)));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, log) = (answer.clone(), asked.clone());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (answer, log) = (answers.lock().expect("no panic").clone(), log.clone());
                thread::spawn(move || {
                    let head = head(&stream);
                    log.lock().expect("no panic").push(head.lines().next().unwrap_or_default().to_owned());
                    answer(&head, &mut stream);
                });
            }
        });
        Web { address, answer, asked }
    }

    /// One that answers with this status, type and body.
    pub fn saying(status: &str, kind: &str, body: &str) -> Web {
        let text = said(status, kind, body);
        Web::new(move |_, stream| {
            let _ = stream.write_all(text.as_bytes());
        })
    }

    /// From now on it answers so.
    pub fn answer(&self, answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) {
        *self.answer.lock().expect("no panic") = Arc::new(answer);
    }

    pub fn say(&self, status: &str, kind: &str, body: &str) {
        let text = said(status, kind, body);
        self.answer(move |_, stream| {
            let _ = stream.write_all(text.as_bytes());
        });
    }
}

pub fn said(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn head(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
    head
}

/// Keeps a connection open and silent until the other side closes it.
pub fn hang(_: &str, stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}

/// An address at which nobody listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

/// Sends `bytes` and reads the answer to its end: the status, the head and the body.
pub fn send(address: SocketAddr, bytes: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(WITHIN)).expect("set");
    // It may answer before all of it was sent, and close.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("an answer, not {answer:?}")), head.to_owned(), body.to_owned())
}

/// Until `is_so`, or the test fails.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WITHIN, "{what} did not happen");
        thread::yield_now();
    }
}
