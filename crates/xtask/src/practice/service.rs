//! The service's process, and how others talk to it: one line to its socket, then `ok` or `err` on a line and the text.

use crate::engine::Engine;
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

const LOCK: &str = "run/analytics.lock";
const LOG: &str = "run/analytics.log";
const PID: &str = "run/analytics.pid";
const SOCKET: &str = "run/analytics.sock";

/// How long a healthy service may take to say so.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait for any other answer: a query ends well before.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the service may take to answer after its start, and to wait for the end of the one before it.
const START_TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(10);
/// A longer request is no request.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Starts the service in the background, in a process group of its own; returns once it answers. A service that answers
/// already stays.
pub fn start() -> Result<String, String> {
    if ask("health", HEALTH_TIMEOUT).is_ok() {
        return Ok("already running\n".into());
    }
    let mut child = spawn().map_err(|error| format!("the service does not start: {error}"))?;
    let asked = Instant::now();
    while asked.elapsed() < START_TIMEOUT {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the service ended at once, {status}: {}", last_logged()));
        }
        if pid_in_file() == Some(child.id()) && ask("health", HEALTH_TIMEOUT).is_ok() {
            return Ok(format!("running as {}\n", child.id()));
        }
        sleep(POLL);
    }
    let _ = child.kill();
    let _ = child.wait();
    Err(format!("the service does not answer within {} s: {}", START_TIMEOUT.as_secs(), last_logged()))
}

fn spawn() -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(LOG)?;
    Command::new(env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

fn pid_in_file() -> Option<u32> {
    fs::read_to_string(PID).ok()?.trim().parse().ok()
}

fn last_logged() -> String {
    let log = fs::read_to_string(LOG).unwrap_or_default();
    log.lines().next_back().unwrap_or("it said nothing").to_owned()
}

/// Is the service; ends only by a signal or when it cannot begin.
pub fn serve() -> Result<String, String> {
    let in_run = |error: io::Error| format!("run/: {error}");
    let _alone = lock()?;
    let engine = Arc::new(Engine::from_site()?);
    let _ = fs::remove_file(SOCKET);
    let listener = UnixListener::bind(SOCKET).map_err(in_run)?;
    let fresh = format!("{PID}.new");
    fs::write(&fresh, format!("{}\n", process::id())).and_then(|()| fs::rename(&fresh, PID)).map_err(in_run)?;
    println!("{} serves with the {} engine", process::id(), engine.name());
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                let engine = Arc::clone(&engine);
                thread::spawn(move || answer(&engine, stream));
            }
            // Out of descriptors, for one: others will be free soon.
            Err(_) => sleep(POLL),
        }
    }
    Ok(String::new())
}

/// Waits for the end of a service that is being stopped; the kernel frees its lock when it is gone.
fn lock() -> Result<File, String> {
    let file =
        File::options().create(true).truncate(false).write(true).open(LOCK).map_err(|e| format!("{LOCK}: {e}"))?;
    let asked = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if asked.elapsed() < START_TIMEOUT / 2 => sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err("another service runs in this site".into()),
            Err(TryLockError::Error(error)) => return Err(format!("{LOCK}: {error}")),
        }
    }
}

/// Answers one request. A client that went away takes its answer with it.
fn answer(engine: &Engine, mut stream: UnixStream) {
    let _ = stream.set_read_timeout(Some(ANSWER_TIMEOUT));
    let mut request = String::new();
    if BufReader::new((&stream).take(REQUEST_BYTES_MAX)).read_line(&mut request).is_err() {
        return;
    }
    let request = request.trim_end();
    let result = match request.split_once(' ') {
        Some(("query", sql)) => engine.query(sql),
        None if request == "health" => engine.health(),
        None if request == "stop-queries" => {
            let cancelled = engine.stop_queries();
            Ok(format!("running queries cancelled: {cancelled}; no database is open\n"))
        }
        _ => Err("no such request".into()),
    };
    let text = match result {
        Ok(text) => format!("ok\n{text}"),
        Err(message) => format!("err\n{message}\n"),
    };
    let _ = stream.write_all(text.as_bytes());
}

/// Asks the service and waits for its answer.
pub fn ask(request: &str, timeout: Duration) -> Result<String, String> {
    let silent = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("the analytics service does not answer within {} s", timeout.as_secs())
        }
        _ => format!("the analytics service does not answer: {error}"),
    };
    let mut stream = UnixStream::connect(SOCKET).map_err(silent)?;
    stream.set_read_timeout(Some(timeout)).map_err(silent)?;
    stream.set_write_timeout(Some(timeout)).map_err(silent)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(silent)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(silent)?;
    match text.split_once('\n') {
        Some(("ok", answer)) => Ok(answer.to_owned()),
        Some(("err", message)) => Err(message.trim_end().to_owned()),
        _ => Err("the analytics service broke off".into()),
    }
}
