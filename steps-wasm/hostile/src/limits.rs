//! Attacks on the host's time, memory and patience. Their amounts lie far above every default limit.

use std::{
    fs::{self, File},
    hint::black_box,
    io::{self, Read as _, Write as _},
    thread::sleep,
    time::Duration,
};
use unship_step::{Context as _, Result, fail, log};

const MIB: usize = 1 << 20;

pub fn loop_forever() -> Result {
    loop {
        black_box(());
    }
}

pub fn recurse() -> Result {
    fn deeper(depth: u64) -> u64 {
        let frame = black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { deeper(depth + 1) ^ black_box(frame)[63] }
    }
    black_box(deeper(0));
    Ok(())
}

/// One call of the host that does not come back.
pub fn sleep_forever() -> Result {
    sleep(Duration::from_secs(100 * 365 * 24 * 60 * 60));
    Ok(())
}

/// Many calls of the host, each short.
pub fn poll_forever() -> Result {
    loop {
        sleep(Duration::from_micros(100));
    }
}

/// Its standard input ends at once, or never answers.
pub fn block_on_stdin() -> Result {
    let mut text = String::new();
    let read = io::stdin().read_to_string(&mut text).context("reading standard input")?;
    fail!("standard input ended after {read} bytes")
}

pub fn grow_memory() -> Result {
    let mut held: Vec<Vec<u8>> = Vec::new();
    while held.len() < 3 * 1024 / 16 {
        let mut more = Vec::new();
        if more.try_reserve_exact(16 * MIB).is_err() {
            fail!("refused: no memory after {} MiB", held.len() * 16);
        }
        more.resize(16 * MIB, 1);
        held.push(black_box(more));
    }
    Ok(())
}

pub fn open_many_files() -> Result {
    let mut held = Vec::new();
    while held.len() < 100_000 {
        match File::open("pub/readable.txt") {
            Ok(file) => held.push(file),
            Err(error) => fail!("refused: {:?} after {} files", error.kind(), held.len()),
        }
    }
    Ok(())
}

pub fn flood_stdout() -> Result {
    let chunk = vec![b'x'; MIB];
    for _ in 0..1024 {
        io::stdout().write_all(&chunk).context("writing to standard output")?;
    }
    Ok(())
}

pub fn flood_log() -> Result {
    let line = "x".repeat(MIB);
    for _ in 0..1024 {
        log::log(log::Level::Info, &line);
    }
    Ok(())
}

/// The message of a failure goes to a person and into the journal.
pub fn long_failure() -> Result {
    fail!("{}", "x".repeat(64 * MIB))
}

pub fn write_much() -> Result {
    let mut file = File::create("box/much").context("creating box/much")?;
    let chunk = vec![0; 16 * MIB];
    for written in 0..4 * 1024 / 16 {
        file.write_all(&chunk).context(format!("refused after {} MiB", written * 16))?;
    }
    Ok(())
}

pub fn many_effects() -> Result {
    for n in 0..1_000_000 {
        fs::write(format!("box/{n}"), "").context(format!("refused after {n} files"))?;
    }
    Ok(())
}

/// Goes on whatever it is told.
pub fn many_denials() -> Result {
    for _ in 0..1_000_000 {
        if fs::read("secret.txt").is_ok() {
            break;
        }
    }
    Ok(())
}

pub fn panic() -> Result {
    panic!("a step panicked on purpose");
}

/// A step that leaves by the back door has not succeeded.
pub fn exit_zero() -> Result {
    std::process::exit(0)
}

/// What a terminal or a line-based log would take for orders.
pub fn control_characters() -> Result {
    let text = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\nINFO all is well\u{8}\u{202e}";
    log::log(log::Level::Warn, text);
    println!("{text}");
    eprintln!("{text}");
    fail!("{text}")
}
