//! `docs/guide.md` is true: every file that it shows is written, every command that it shows is run, in order, on a site of
//! its own, and prints what it says.

use crate::{
    readme::{follows, normal},
    support::UNSHIP,
};
use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// A fenced block: its info string's key and value, and its lines.
struct Block {
    info: String,
    text: String,
    /// Bytes of the guide.
    place: std::ops::Range<usize>,
}

fn blocks(guide: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut open: Option<(String, usize)> = None;
    let mut at = 0;
    for line in guide.split_inclusive('\n') {
        let fence = line.trim_end().strip_prefix("```");
        match (&open, fence) {
            (None, Some(info)) => open = Some((info.to_owned(), at + line.len())),
            (Some((info, begin)), Some("")) => {
                all.push(Block { info: info.clone(), text: guide[*begin..at].to_owned(), place: *begin..at });
                open = None;
            }
            _ => {}
        }
        at += line.len();
    }
    assert!(open.is_none(), "a block does not end");
    all
}

/// Where the guide happens.
struct Desk {
    folder: tempfile::TempDir,
    /// The newest run's id that was printed.
    run: String,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).expect("a folder");
        fs::create_dir(folder.path().join("shop")).expect("a folder");
        symlink(UNSHIP, bin.join("unship")).expect("a link");
        // `cargo build` with the guests' toolchain, which need not be installed here.
        let xtask = std::env::var("UNSHIP_XTASK").expect("run the tests by `cargo xtask test`");
        let keep = |name: &str| std::env::var(name).map(|v| format!("export {name}='{v}'\n")).unwrap_or_default();
        let names = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "UNSHIP_GUEST_TOOLCHAIN"];
        let environment: String = names.into_iter().map(keep).collect();
        let cargo = bin.join("cargo");
        fs::write(&cargo, format!("#!/bin/sh\n{environment}exec '{xtask}' guest . > /dev/null 2>&1\n"))
            .expect("written");
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("executable");
        Desk { folder, run: String::new() }
    }

    fn site(&self) -> PathBuf {
        self.folder.path().join("shop")
    }

    /// What a command prints, standard error too, and its status unless that is 0. An id of a run stands for the newest one.
    fn run(&mut self, line: &str) -> String {
        let line: Vec<&str> =
            line.split(' ').map(|word| if normal(word) == "RUN" { self.run.as_str() } else { word }).collect();
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("exec 2>&1; {}", line.join(" "))]).current_dir(self.site()).env_clear();
        bash.env("PATH", format!("{}:/usr/bin:/bin", self.folder.path().join("bin").display()));
        bash.env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        let output = bash.output().expect("bash");
        let mut text = String::from_utf8(output.stdout).expect("text");
        // The temporary folder's name is nobody's business.
        text = text.replace(&self.folder.path().canonicalize().expect("a folder").display().to_string(), "/srv");
        if let Some(status) = output.status.code().filter(|status| *status != 0) {
            let _ = writeln!(text, "(exit status {status})");
        }
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        if let Some(run) = words.rfind(|word| normal(word) == "RUN") {
            self.run = run.to_owned();
        }
        text
    }
}

#[test]
fn the_guide_is_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide.md");
    let guide = fs::read_to_string(&path).expect("the guide");
    let update = std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always");
    let mut desk = Desk::new();
    let mut new = String::new();
    let mut copied = 0;
    let mut commands = 0;
    for block in blocks(&guide) {
        let (_, what) = block.info.split_once(' ').unwrap_or(("", ""));
        if let Some(file) = what.strip_prefix("write=") {
            fs::write(desk.site().join(file), &block.text).expect("written");
        } else if let Some(file) = what.strip_prefix("append=") {
            let file = desk.site().join(file);
            let before = fs::read_to_string(&file).expect("it is there already");
            fs::write(file, before + &block.text).expect("written");
        } else if block.info == "console" {
            let mut printed = String::new();
            for line in block.text.lines().filter_map(|line| line.strip_prefix("$ ")) {
                let _ = write!(printed, "$ {line}\n{}", desk.run(line));
                commands += 1;
            }
            if update {
                new.push_str(&guide[copied..block.place.start]);
                new.push_str(&printed);
                copied = block.place.end;
            } else {
                // Ids in the commands are those of the guide.
                follows(&block.text, &printed);
                let last = block.text.lines().next_back().map(normal);
                let end = printed.lines().next_back().map(normal);
                assert!(last.as_deref() == Some("…") || last == end, "it prints more at the end:\n{printed}");
            }
        }
    }
    assert!(commands > 15, "the scan sees the commands");
    if update {
        new.push_str(&guide[copied..]);
        fs::write(&path, new).expect("written");
    }
}
