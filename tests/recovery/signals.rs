//! SIGINT and SIGTERM: what is in hand is finished and everything is taken back; the second one ends at once, and nothing
//! is lost.

use super::{Held, command_waits, hold, rehearsal};
use crate::support::{Site, fingerprint};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

#[test]
fn stopped_in_the_middle_of_a_command_it_finishes_that_and_takes_everything_back() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut site = rehearsal();
        command_waits(&site);
        site.begins_here();
        let mut held = Held::start(&site, &["apply", "1.3", "--yes"]);
        held.signal(signal);
        sleep(Duration::from_millis(300));
        assert!(held.child.try_wait().expect("its state").is_none(), "{signal:?}: the command in hand is not cut off");
        let said = held.ends(4);
        for text in ["stopping: the effect in hand is finished", "a person stopped it", "stop-queries/0 taken back"] {
            assert!(said.contains(text), "{signal:?}: it does not say {text:?}:\n{said}");
        }
        assert!(!said.contains("backup-data"), "{signal:?}: nothing new is begun:\n{said}");
        site.is_as_before();
        let run = site.runs();
        assert_eq!(run["outcome"], "Undone", "{run}");
    }
}

#[test]
fn stopped_twice_it_ends_at_once_and_can_be_taken_back_or_gone_on_with() {
    for (signal, forward) in [(Signal::INT, false), (Signal::TERM, true)] {
        let mut site = rehearsal();
        command_waits(&site);
        site.begins_here();
        let held = Held::start(&site, &["apply", "1.3", "--yes"]);
        let pid = held.child.id();
        held.signal(signal);
        sleep(Duration::from_millis(100));
        held.signal(signal);
        let Held { mut child, fifo, stderr } = held;
        let (began, mut ended) = (Instant::now(), None);
        while ended.is_none() && began.elapsed() < Duration::from_secs(5) {
            ended = child.try_wait().expect("its state");
            sleep(Duration::from_millis(5));
        }
        let said = fs::read_to_string(stderr).expect("its output");
        assert_eq!(ended.and_then(|status| status.code()), Some(5), "{signal:?}: {said}");
        assert!(said.contains("stopped at once; `unship resume` goes on"), "{said}");
        drop(fifo);
        // What it had started is gone with it, or soon.
        let alive = || {
            let all = fs::read_dir("/proc").expect("processes").flatten();
            let ours = |e: &fs::DirEntry| fs::read(e.path().join("cmdline")).unwrap_or_default();
            let path = hold(&site).display().to_string();
            all.filter(|e| String::from_utf8_lossy(&ours(e)).contains(&path)).count()
        };
        while alive() > 0 && began.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(5));
        }
        assert_eq!(alive(), 0, "the command of {pid} is left");
        fs::remove_file(hold(&site)).expect("removed");
        if forward {
            let _ = site.unship(["resume"]).exits(0).prints("Succeeded, Recovered");
            site.is_at_rest(true);
            let _ = site.unship(["undo", &site.run()]).exits(0);
        } else {
            let _ = site.unship(["resume", "--undo"]).exits(0).prints("Undone");
        }
        site.is_as_before();
    }
}

/// Makes the file `made`, then computes for ever if there is a file `spin`.
const COMPUTES: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "made")
  (data (i32.const 8) "spin")
  (func (export "_start")
    (drop (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 100)))
    (drop (call $close (i32.load (i32.const 100))))
    (if (i32.eqz (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 4)
          (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 100)))
      (then (loop $for_ever (br $for_ever))))))"#;

#[test]
fn a_guest_that_computes_is_ended_at_once() {
    let site = Site::new("rehearsal = true\n");
    let component = site.outside().join("computes.wasm");
    fs::write(&component, wat::parse_str(COMPUTES).expect("valid WAT")).expect("written");
    let grants = "files.create = [\"made\"]\nfiles.write = [\"made\"]\nfiles.read = [\"spin\"]";
    let manifest = format!(
        "story = \"9\"\nversion = \"1.0.0\"\ntitle = \"t\"\n[[step]]\nname = \"computes\"\ntitle = \"t\"\n{grants}\n"
    );
    site.story("9", &component, &manifest, &format!("[grants.computes]\n{grants}\n"));
    let before = fingerprint(&site.path());
    // Planned without the file, so that the plan has an end; going on with it makes no new plan.
    let killed = site.unship(["apply", "9", "--yes", "--inject", "kill@1"]);
    assert_eq!(killed.status, None, "{}", killed.stderr);
    assert_eq!(before, fingerprint(&site.path()));
    site.write("spin", "");
    let stderr = site.outside().join("stderr");
    let mut command = site.command(["resume"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).expect("a file"));
    let mut child = command.spawn().expect("it starts");
    while !site.at("made").exists() {
        assert_eq!(child.try_wait().expect("its state"), None, "{}", fs::read_to_string(&stderr).expect("its output"));
        sleep(Duration::from_millis(5));
    }
    sleep(Duration::from_millis(100));
    let began = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).expect("signalled");
    let status = child.wait().expect("it ends");
    let said = fs::read_to_string(&stderr).expect("its output");
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(!site.at("made").exists(), "{said}");
    let _ = site.unship(["resume"]).exits(0).prints("no run is in flight");
}
