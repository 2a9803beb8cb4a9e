//! A local server that does as it is told: it drops, delays, refuses, and keeps what it took.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What it does with one request.
#[derive(Debug, Clone)]
pub enum Turn {
    /// Takes it, and answers so.
    Say(u16, &'static str, String),
    /// Takes it, and hangs up before it answers: the sender cannot tell.
    TakeAndDrop,
    /// Hangs up before it took anything.
    Drop,
    /// Never answers.
    Hang,
}

/// A request that it took.
#[derive(Debug, Clone)]
pub struct Taken {
    pub head: String,
    pub body: serde_json::Value,
}

#[derive(Default)]
struct State {
    turns: VecDeque<Turn>,
    /// Requests whose turn was to be taken.
    taken: Vec<Taken>,
    /// All that came.
    attempts: usize,
}

pub struct Server {
    pub address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// `turns`, then 202 for ever.
    pub fn start(turns: impl IntoIterator<Item = Turn>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        held(&state.0).turns.extend(turns);
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                thread::spawn(move || serve(&stream, &shared));
            }
        });
        Server { address, state }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What it took, once that is so many.
    pub fn taken(&self, wanted: usize) -> Vec<Taken> {
        self.wait(|state| state.taken.len() >= wanted);
        held(&self.state.0).taken.clone()
    }

    /// Waits until so many requests have come.
    pub fn attempts(&self, wanted: usize) -> usize {
        self.wait(|state| state.attempts >= wanted);
        held(&self.state.0).attempts
    }

    fn wait(&self, is_so: impl Fn(&State) -> bool) {
        let state = held(&self.state.0);
        let waited = self.state.1.wait_timeout_while(state, Duration::from_secs(60), |state| !is_so(state));
        assert!(!waited.expect("no panic").1.timed_out(), "what was waited for did not come");
    }
}

fn serve(stream: &TcpStream, state: &(Mutex<State>, Condvar)) {
    let Some(taken) = read(stream) else { return };
    let turn = {
        let mut state = held(&state.0);
        state.attempts += 1;
        state.turns.pop_front().unwrap_or_else(|| Turn::Say(202, "", "{}".to_owned()))
    };
    let is_taken = matches!(turn, Turn::TakeAndDrop | Turn::Say(200..=299, ..));
    if is_taken {
        held(&state.0).taken.push(taken);
    }
    state.1.notify_all();
    match turn {
        Turn::Say(status, headers, body) => {
            let (length, mut stream) = (body.len(), stream);
            let answer =
                format!("HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            // The sender may be gone.
            let _ = stream.write_all(answer.as_bytes());
        }
        Turn::TakeAndDrop | Turn::Drop => {}
        // Until the sender hangs up.
        Turn::Hang => {
            let _ = (&mut &*stream).read(&mut [0]);
        }
    }
}

fn read(stream: &TcpStream) -> Option<Taken> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Taken { head, body: serde_json::from_slice(&body).ok()? })
}
