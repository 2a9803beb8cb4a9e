//! Logs that are written, rotated, cut and replaced while they are counted.

use super::*;
use crate::clock::{MachineClock, SourceClock};
use proptest::prelude::*;
use std::{fs::OpenOptions, io::Write as _, os::unix::fs::symlink};
use tempfile::TempDir;

/// A site with one log, and what is kept of it, through serde each time.
struct Watched {
    site: TempDir,
    look: LogCount,
    kept: Option<String>,
}

impl Watched {
    fn new() -> Watched {
        let site = tempfile::tempdir().expect("a folder");
        fs::create_dir(site.path().join("logs")).expect("a folder");
        Watched { site, look: Watched::look_new(), kept: None }
    }

    fn look_new() -> LogCount {
        LogCount::new("logs/a.log".to_owned(), vec!["error".to_owned(), "rr".to_owned()])
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.site.path().join("logs").join(name)
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).create(true).open(self.path("a.log")).expect("a log");
        file.write_all(bytes).expect("written");
    }

    /// The totals of both texts, or why there are none.
    fn totals(&mut self) -> Result<(f64, f64), String> {
        let kept = self.kept.as_ref().map(|text| serde_json::from_str::<Kept>(text).expect("its own state"));
        let around = Around { site: self.site.path(), clock: &SourceClock::new(std::sync::Arc::new(MachineClock)) };
        let looked = self.look.look(around, kept.as_ref());
        if let Some(kept) = looked.kept {
            self.kept = Some(serde_json::to_string(&kept).expect("serde"));
        }
        match looked.trouble {
            Some(trouble) => Err(trouble),
            None => Ok((looked.samples[0].sample.value, looked.samples[1].sample.value)),
        }
    }

    /// As after a restart: no file is open any more.
    fn restart(&mut self) {
        self.look = Watched::look_new();
    }

    fn rotate(&self) {
        fs::rename(self.path("a.log"), self.path("a.log.1")).expect("renamed");
    }
}

#[test]
fn lines_are_counted_from_when_the_log_is_watched() {
    let mut log = Watched::new();
    log.append(b"error of yesterday\n");
    assert_eq!(log.totals(), Ok((0.0, 0.0)), "the past");
    log.append(b"error error\nfine\nan arrow\n\nerr");
    assert_eq!(log.totals(), Ok((1.0, 2.0)), "a line is one; the last has not ended");
    assert_eq!(log.totals(), Ok((1.0, 2.0)));
    log.append(b"or\n");
    assert_eq!(log.totals(), Ok((2.0, 3.0)));
}

#[test]
fn a_log_that_is_not_there_yet_is_new_as_a_whole() {
    let mut log = Watched::new();
    assert_eq!(log.totals(), Err("logs/a.log is not there".to_owned()));
    log.append(b"error\n");
    assert_eq!(log.totals(), Ok((1.0, 1.0)));
}

#[test]
fn a_rotated_log_is_read_to_its_end_also_when_its_writer_is_late() {
    for restarts in [false, true] {
        let mut log = Watched::new();
        log.append(b"");
        assert_eq!(log.totals(), Ok((0.0, 0.0)));
        log.append(b"error 1\n");
        let mut late = OpenOptions::new().append(true).open(log.path("a.log")).expect("open");
        log.rotate();
        log.append(b"error 3\n");
        if restarts {
            log.restart();
        }
        assert_eq!(log.totals(), Ok((2.0, 2.0)));
        late.write_all(b"error 2\nerror 4").expect("written");
        if restarts {
            log.restart();
        }
        assert_eq!(log.totals(), Ok((3.0, 3.0)), "what came behind the rotation");
        assert_eq!(log.totals(), Ok((3.0, 3.0)));
        assert_eq!(log.totals(), Ok((4.0, 4.0)), "the line that nobody ends any more");
        assert_eq!(log.totals(), Ok((4.0, 4.0)));
    }
}

#[test]
fn between_two_names_a_log_is_read_on() {
    let mut log = Watched::new();
    log.append(b"");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    log.append(b"error\n");
    log.rotate();
    assert_eq!(log.totals(), Err("logs/a.log is not there".to_owned()));
    log.append(b"error\n");
    assert_eq!(log.totals(), Ok((2.0, 2.0)));
}

#[test]
fn a_log_that_was_cut_or_replaced_begins_anew() {
    let mut log = Watched::new();
    log.append(b"an old line of some length\n");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    fs::write(log.path("a.log"), b"error\n").expect("cut");
    assert_eq!(log.totals(), Ok((1.0, 1.0)), "shorter than before");
    fs::write(log.path("a.log"), b"a longer line than before, with an error\nerror\n").expect("cut");
    assert_eq!(log.totals(), Ok((3.0, 3.0)), "longer than before, but another text");
    fs::remove_file(log.path("a.log")).expect("removed");
    log.append(b"error\n");
    assert_eq!(log.totals(), Ok((4.0, 4.0)), "another file, maybe with the same inode");
}

#[test]
fn a_line_without_an_end_is_looked_through_in_bounds() {
    let mut log = Watched::new();
    log.append(b"");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    // The text lies across the limit, and across two looks with a restart between.
    log.append(&[b'.'; LINE_BYTES_MAX - 2]);
    log.append(b"err");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    log.restart();
    log.append(b"or");
    log.append(&vec![b'.'; 3 << 20]);
    assert_eq!(log.totals(), Ok((0.0, 0.0)), "it has not ended");
    let kept = log.kept.clone().expect("kept");
    assert!(kept.len() < 1000, "the line itself is not kept: {} bytes", kept.len());
    log.restart();
    log.append(b"\nerror\n");
    assert_eq!(log.totals(), Ok((2.0, 2.0)));
}

#[test]
fn bytes_that_are_no_text_are_passed_over() {
    let mut log = Watched::new();
    log.append(b"");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    log.append(b"\xff\xfe error \x80\n\0\0error\0\n\xe2\x82\n");
    assert_eq!(log.totals(), Ok((2.0, 2.0)));
}

#[test]
fn a_link_is_followed_within_the_site_and_not_out_of_it() {
    let mut log = Watched::new();
    symlink("real.log", log.path("a.log")).expect("a link");
    fs::write(log.path("real.log"), b"").expect("written");
    assert_eq!(log.totals(), Ok((0.0, 0.0)));
    fs::write(log.path("real.log"), b"error\n").expect("written");
    assert_eq!(log.totals(), Ok((1.0, 1.0)));
    for (target, told) in [
        ("/etc/passwd", "logs/a.log: a link on the way leads out of the site"),
        ("../../etc", "logs/a.log: a link on the way leads out of the site"),
        ("/dev/zero", "logs/a.log: a link on the way leads out of the site"),
        ("a.log", "logs/a.log: Too many levels of symbolic links (os error 40)"),
        ("..", "logs/a.log: it is no regular file"),
    ] {
        fs::remove_file(log.path("a.log")).expect("removed");
        symlink(target, log.path("a.log")).expect("a link");
        assert_eq!(log.totals(), Err(told.to_owned()), "{target}");
    }
}

#[test]
fn a_pipe_is_not_waited_for() {
    let mut log = Watched::new();
    let made = std::process::Command::new("mkfifo").arg(log.path("a.log")).status().expect("mkfifo");
    assert!(made.success());
    assert_eq!(log.totals(), Err("logs/a.log: it is no regular file".to_owned()));
}

#[derive(Debug, Clone)]
enum Act {
    Append(Vec<u8>),
    Rotate,
    Cut,
    Look,
    Restart,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let piece = prop_oneof![
        4 => Just(&b"error\n"[..]),
        2 => Just(&b"fine\n"[..]),
        1 => Just(&b"er"[..]),
        1 => Just(&b"ror"[..]),
        1 => Just(&b"\n"[..]),
        1 => Just(&b"\xff\xc0"[..]),
    ];
    let text = prop::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat());
    let act = prop_oneof![
        6 => text.prop_map(Act::Append),
        1 => Just(Act::Rotate),
        1 => Just(Act::Cut),
        4 => Just(Act::Look),
        2 => Just(Act::Restart),
    ];
    prop::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to the log between looks, and however often the daemon begins again: each line that ended is counted
    /// once. A cut is preceded by a look, since nobody can count what is gone before anybody looked.
    #[test]
    fn nothing_is_lost_and_nothing_counted_twice(acts in acts()) {
        let mut log = Watched::new();
        log.append(b"");
        prop_assert_eq!(log.totals().map(|t| t.0), Ok(0.0));
        let (mut ended, mut open) = (0_u32, Vec::new());
        let mut count = |bytes: &[u8], open: &mut Vec<u8>| {
            for b in bytes {
                if *b == b'\n' {
                    ended += u32::from(holds(open, "error"));
                    open.clear();
                } else {
                    open.push(*b);
                }
            }
            f64::from(ended)
        };
        for act in acts {
            match act {
                Act::Append(bytes) => {
                    log.append(&bytes);
                    count(&bytes, &mut open);
                }
                Act::Rotate => {
                    // Whoever rotates ends the line.
                    log.append(b"\n");
                    count(b"\n", &mut open);
                    // The file before it is gone for good by then.
                    for _ in 0..3 {
                        prop_assert!(log.totals().is_ok());
                    }
                    log.rotate();
                    log.append(b"");
                }
                Act::Cut => {
                    let expected = count(b"", &mut open);
                    prop_assert_eq!(log.totals().map(|t| t.0), Ok(expected));
                    open.clear();
                    fs::write(log.path("a.log"), b"").expect("cut");
                    prop_assert_eq!(log.totals().map(|t| t.0), Ok(expected));
                }
                Act::Look => prop_assert_eq!(log.totals().map(|t| t.0), Ok(count(b"", &mut open))),
                Act::Restart => log.restart(),
            }
        }
        prop_assert_eq!(log.totals().map(|t| t.0), Ok(count(b"", &mut open)));
    }
}
