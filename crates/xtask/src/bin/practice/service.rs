//! A service's process, and how others talk to it: one line to its socket, then `ok` or `err` on a line and the text.
//!
//! Its socket, pid file and log lie in `run/`. A lock beside them makes it the only one: it goes with its holder's life, so
//! that whatever an earlier service left behind is safely taken over. SIGTERM ends it at once.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::{
        net::{UnixListener, UnixStream},
        process::CommandExt as _,
    },
    process::{self, Child, Command, Stdio},
    sync::Arc,
    thread::{self, sleep},
    time::{Duration, Instant},
};

/// How long a healthy service may take to say so.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for any other answer: a query ends well before.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the service may take to answer after its start, and to wait for the end of the one before it.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// A longer request is no request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// One of the site's services, by its name.
#[derive(Debug, Clone, Copy)]
pub struct Service(pub &'static str);

impl Service {
    fn file(self, extension: &str) -> String {
        format!("run/{}.{extension}", self.0)
    }

    /// Starts the service in the background, in a process group of its own; returns once it answers. A service that answers
    /// already stays.
    pub fn start(self) -> Result<String, String> {
        if self.ask("health", HEALTH_TIMEOUT).is_ok() {
            return Ok("already running\n".into());
        }
        let mut child = self.spawn().map_err(|error| format!("the service does not start: {error}"))?;
        let asked = Instant::now();
        while asked.elapsed() < START_TIMEOUT {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("the service ended at once, {status}: {}", self.last_logged()));
            }
            if self.pid_in_file() == Some(child.id()) && self.ask("health", HEALTH_TIMEOUT).is_ok() {
                return Ok(format!("running as {}\n", child.id()));
            }
            sleep(POLL);
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("the service does not answer within {} s: {}", START_TIMEOUT.as_secs(), self.last_logged()))
    }

    fn spawn(self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(self.file("log"))?;
        Command::new(env::current_exe()?)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
    }

    fn pid_in_file(self) -> Option<u32> {
        fs::read_to_string(self.file("pid")).ok()?.trim().parse().ok()
    }

    fn last_logged(self) -> String {
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        log.lines().next_back().unwrap_or("it said nothing").to_owned()
    }

    /// Is the service: `begin` makes it ready and says what it is, `answer` answers a request. Ends only by a signal, or
    /// when it cannot begin.
    pub fn serve<S: Send + Sync + 'static>(
        self,
        begin: impl FnOnce() -> Result<(S, String), String>,
        answer: fn(&S, &str) -> Result<String, String>,
    ) -> Result<String, String> {
        let in_run = |error: io::Error| format!("run/: {error}");
        let _alone = self.lock()?;
        let (state, what) = begin()?;
        let state = Arc::new(state);
        let _ = fs::remove_file(self.file("sock"));
        let listener = UnixListener::bind(self.file("sock")).map_err(in_run)?;
        let (pid, fresh) = (self.file("pid"), self.file("pid.new"));
        fs::write(&fresh, format!("{}\n", process::id())).and_then(|()| fs::rename(&fresh, pid)).map_err(in_run)?;
        println!("{} serves {what}", process::id());
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => {
                    let state = Arc::clone(&state);
                    thread::spawn(move || reply(stream, |request| answer(&state, request)));
                }
                // Out of descriptors, for one: others will be free soon.
                Err(_) => sleep(POLL),
            }
        }
        Ok(String::new())
    }

    /// Waits for the end of a service that is being stopped; the kernel frees its lock when it is gone.
    fn lock(self) -> Result<File, String> {
        let path = self.file("lock");
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| format!("{path}: {e}"))?;
        let asked = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if asked.elapsed() < START_TIMEOUT / 2 => sleep(POLL),
                Err(TryLockError::WouldBlock) => return Err("another service runs in this site".into()),
                Err(TryLockError::Error(error)) => return Err(format!("{path}: {error}")),
            }
        }
    }

    /// Asks the service and waits for its answer.
    pub fn ask(self, request: &str, timeout: Duration) -> Result<String, String> {
        let silent = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("the {} service does not answer within {} s", self.0, timeout.as_secs())
            }
            _ => format!("the {} service does not answer: {error}", self.0),
        };
        let mut stream = UnixStream::connect(self.file("sock")).map_err(silent)?;
        stream.set_read_timeout(Some(timeout)).map_err(silent)?;
        stream.set_write_timeout(Some(timeout)).map_err(silent)?;
        stream.write_all(format!("{request}\n").as_bytes()).map_err(silent)?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map_err(silent)?;
        match text.split_once('\n') {
            Some(("ok", answer)) => Ok(answer.to_owned()),
            Some(("err", message)) => Err(message.trim_end().to_owned()),
            _ => Err(format!("the {} service broke off", self.0)),
        }
    }
}

/// Answers one request. A client that went away takes its answer with it.
fn reply(mut stream: UnixStream, answer: impl FnOnce(&str) -> Result<String, String>) {
    let _ = stream.set_read_timeout(Some(ANSWER_TIMEOUT));
    let mut request = String::new();
    if BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut request).is_err() {
        return;
    }
    let text = match answer(request.trim_end()) {
        Ok(text) => format!("ok\n{text}"),
        Err(message) => format!("err\n{message}\n"),
    };
    let _ = stream.write_all(text.as_bytes());
}
