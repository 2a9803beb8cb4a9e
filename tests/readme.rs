//! The README's transcript is what the demo prints.

use crate::support::{Ran, UNSHIP, guests};
use std::process::Command;

/// Makes what differs from run to run and machine to machine the same: digests, run ids, times, hashes.
pub fn normal(line: &str) -> String {
    let mut out = String::new();
    let mut word = String::new();
    let flush = |word: &mut String, out: &mut String| {
        let hex = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let run = word.len() == 26
            && word.starts_with('r')
            && word.ends_with(|c: char| c.is_ascii_hexdigit())
            && word.contains("z-");
        out.push_str(if hex {
            "HEX"
        } else if run {
            "RUN"
        } else {
            word
        });
        word.clear();
    };
    for c in line.trim_end().chars() {
        if c.is_ascii_alphanumeric() || c == '-' {
            word.push(c);
        } else {
            flush(&mut word, &mut out);
            out.push(c);
        }
    }
    flush(&mut word, &mut out);
    // `.duckdb.unship-RUN` is one word for the loop above.
    match out.find("unship-r2") {
        Some(at) => format!("{}unship-RUN{}", &out[..at], &out[at + "unship-".len() + 26..]),
        None => out,
    }
}

/// Demands that `printed` says what `block` shows, line by line; `…` stands for any lines.
#[track_caller]
pub fn follows(block: &str, printed: &str) {
    let lines: Vec<String> = printed.lines().map(normal).collect();
    let mut at = 0;
    let mut may_skip = true;
    for line in block.lines() {
        if line == "…" {
            may_skip = true;
            continue;
        }
        let wanted = normal(line);
        let found = lines[at..].iter().position(|p| *p == wanted);
        let found = found.unwrap_or_else(|| panic!("it does not print, after line {at}:\n{wanted}\n{printed}"));
        assert!(may_skip || found == 0, "it prints something before:\n{wanted}\nnamely {:?}", &lines[at..at + found]);
        at += found + 1;
        may_skip = false;
    }
}

#[test]
fn the_transcript_is_true() {
    let readme = include_str!("../README.md");
    let block = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a transcript");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let xtask = std::env::var_os("UNSHIP_XTASK").expect("run the tests by `cargo xtask test`");
    let service = std::env::var_os("UNSHIP_PRACTICE").expect("run the tests by `cargo xtask test`");
    let site = folder.path().join("demo");
    let demo = Ran::of(
        Command::new(xtask)
            .args(["demo", "--unship", UNSHIP, "--practice"])
            .arg(service)
            .arg("--guests")
            .arg(guests())
            .arg(&site),
    )
    .exits(0);
    follows(block, &demo.stdout);
    // It leaves the folder that it names and no process.
    let left = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(left, 1);
    let pid = std::fs::read_to_string(site.join("run/analytics.pid")).unwrap_or_default();
    let exe = std::fs::read_link(format!("/proc/{}/exe", pid.trim()));
    assert!(!exe.is_ok_and(|exe| exe.starts_with(&site)), "the service of the demo still runs");
}
