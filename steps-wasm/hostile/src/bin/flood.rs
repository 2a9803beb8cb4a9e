//! `flood [stdout|stderr] [BYTES]`: writes so many bytes, 1 GiB to standard output unless told otherwise.

use std::{
    env,
    io::{self, Write},
};

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let mut stream: Box<dyn Write> = match args.next().as_deref() {
        None | Some("stdout") => Box::new(io::stdout()),
        Some("stderr") => Box::new(io::stderr()),
        Some(other) => panic!("no such stream: {other}"),
    };
    let mut left: usize = args.next().map_or(1 << 30, |text| text.parse().expect("bytes"));
    let chunk = [b'x'; 64 * 1024];
    while left > 0 {
        let now = left.min(chunk.len());
        stream.write_all(&chunk[..now])?;
        left -= now;
    }
    stream.flush()
}
