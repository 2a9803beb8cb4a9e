//! Just enough HTTP/1.1 for a service that is asked on loopback: a request line, headers, a short body.

use std::{
    io::{self, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// A client that takes longer has gone away.
const TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: u64 = 16 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What a client asks.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Of the header `X-Api-Key`.
    pub key: Option<String>,
    /// Empty where there is none, or a longer one.
    pub body: String,
}

/// An HTTP status and a text.
pub type Response = (u16, String);

/// Listens on `address` in the background.
pub fn listen(address: &str, answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Result<(), String> {
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    let answer = std::sync::Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            thread::spawn(move || reply(stream, &*answer));
        }
    });
    Ok(())
}

fn reply(mut stream: TcpStream, answer: &(dyn Fn(&Request) -> Response + Send + Sync)) {
    let _ = stream.set_read_timeout(Some(TIMEOUT));
    let _ = stream.set_write_timeout(Some(TIMEOUT));
    let (status, body) = match read(&stream) {
        Ok(Some(request)) => answer(&request),
        Ok(None) => (400, "no request\n".to_owned()),
        Err(_) => return,
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
}

fn read(stream: &TcpStream) -> io::Result<Option<Request>> {
    let mut stream = BufReader::new(stream.take(HEAD_BYTES_MAX + BODY_BYTES_MAX as u64));
    let first = next_line(&mut stream)?.unwrap_or_default();
    let (mut key, mut length) = (None, 0);
    while let Some(line) = next_line(&mut stream)? {
        match line.split_once(':') {
            _ if line.is_empty() => {
                let mut words = first.split(' ');
                let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
                let [method, path] = [method, path].map(str::to_owned);
                return Ok(Some(Request { method, path, key, body: body(&mut stream, length)? }));
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-api-key") => key = Some(value.trim().to_owned()),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A line without its end; `None` where the client stopped.
fn next_line(stream: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = stream.read_line(&mut line)?;
    Ok((read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn body(stream: &mut impl io::Read, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; if length > BODY_BYTES_MAX { 0 } else { length }];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Asks by GET, as a client would; answers `STATUS TEXT`.
pub fn get(address: &str, path: &str, key: Option<&str>) -> Result<String, String> {
    let silent = |error: io::Error| format!("http://{address}{path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(silent)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(silent)?;
    let key = key.map_or_else(String::new, |key| format!("X-Api-Key: {key}\r\n"));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{key}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(silent)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(silent)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address} broke off"))?;
    Ok(format!("{} {body}", head.split(' ').nth(1).unwrap_or("no status")))
}
