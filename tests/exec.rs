//! `unship exec`: WASI programs, core and component, as any runtime would run them, through the gate. Item 7 of the main
//! job.

use crate::support::{Ran, UNSHIP, guest};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// `unship exec` in a folder of the test's own.
fn command(folder: &Path, options: &[&str], module: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(UNSHIP);
    command
        .arg("exec")
        .args(options)
        .arg(module)
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("SECRET", "of the host")
        .env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

fn exec(folder: &Path, options: &[&str], module: &Path, args: &[&str]) -> Ran {
    Ran::of(&mut command(folder, options, module, args))
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("data")).expect("data");
    fs::write(folder.path().join("data/a.txt"), "inside").expect("written");
    fs::write(folder.path().join("outside.txt"), "outside").expect("written");
    folder
}

/// A core module, from its text.
fn module(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, wat::parse_str(text).expect("valid WAT")).expect("written");
    path
}

fn core_exit(folder: &Path, status: u32) -> PathBuf {
    module(
        folder,
        "exit.wasm",
        &format!(
            "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
                (memory (export \"memory\") 1) (func (export \"_start\") (call $exit (i32.const {status}))))"
        ),
    )
}

#[test]
fn arguments_and_environment_arrive_and_nothing_else() {
    let folder = folder();
    let ran = exec(
        folder.path(),
        &["--env", "A=1", "--env", "B=x=y z"],
        &guest("args-env.wasm"),
        &["one", "", "--dir", "ünïcödé"],
    );
    let ran = ran.exits(0);
    assert_eq!(
        ran.stdout,
        "arg \"one\"\narg \"\"\narg \"--dir\"\narg \"ünïcödé\"\nenv \"A\" \"1\"\nenv \"B\" \"x=y z\"\n"
    );
    assert_eq!(ran.stderr, "");
}

#[test]
fn many_arguments_arrive() {
    let folder = folder();
    let many: Vec<String> = (0..2000).map(|n| format!("argument-{n}-{}", "x".repeat(n % 50))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ran = exec(folder.path(), &[], &guest("args-env.wasm"), &many).exits(0);
    let expected: String = many.iter().map(|arg| format!("arg {arg:?}\n")).collect();
    assert_eq!(ran.stdout, expected);
}

fn piped(folder: &Path, options: &[&str], module: &Path, args: &[&str]) -> Child {
    let mut command = command(folder, options, module, args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
}

#[test]
fn standard_streams_are_pipes() {
    let folder = folder();
    let mut child = piped(folder.path(), &[], &guest("echo-stdin.wasm"), &[]);
    let input: Vec<u8> = (0..=255_u8).cycle().take(1_000_000).collect();
    let mut stdin = child.stdin.take().expect("piped");
    let sent = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer").expect("all is taken");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == input, "{} of {} bytes came back", output.stdout.len(), input.len());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "1000000 bytes\n");
}

#[test]
fn standard_streams_are_files() {
    let folder = folder();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    fs::write(&input, "from a file").expect("written");
    fs::write(&output, "before ").expect("written");
    let appended = fs::OpenOptions::new().append(true).open(&output).expect("opened");
    let mut command = command(folder.path(), &[], &guest("echo-stdin.wasm"), &[]);
    let status = command.stdin(fs::File::open(&input).expect("opened")).stdout(appended).stderr(Stdio::null()).status();
    assert_eq!(status.expect("it runs").code(), Some(0));
    assert_eq!(fs::read_to_string(&output).expect("read"), "before from a file");
}

#[test]
fn standard_input_at_its_end_or_closed_is_empty() {
    let folder = folder();
    let _ = exec(folder.path(), &[], &guest("echo-stdin.wasm"), &[]).exits(0).says("0 bytes");
    // `<&-` closes it. Whatever the program sees, it is neither a file of ours nor a wait.
    let script = format!("exec {UNSHIP} exec {} <&-", guest("echo-stdin.wasm").display());
    let closed = Command::new("sh").args(["-c", &script]).output().expect("it runs");
    assert_eq!(closed.stdout, b"", "{}", String::from_utf8_lossy(&closed.stderr));
    assert!(matches!(closed.status.code(), Some(0 | 1)), "{closed:?}");
}

#[test]
fn a_component_ends_with_its_status() {
    let folder = folder();
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &[]).exits(0);
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &["0"]).exits(0);
    // Its stock adapter knows success and failure only.
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &["1"]).exits(1);
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &["77"]).exits(1);
}

#[test]
fn a_core_module_ends_with_its_own_status() {
    let folder = folder();
    for status in [0, 1, 2, 42, 77, 124, 127, 200, 255] {
        let _ = exec(folder.path(), &[], &core_exit(folder.path(), status), &[]).exits(status.cast_signed());
    }
}

#[test]
fn a_trap_is_125_and_names_its_function() {
    let folder = folder();
    let trap = module(
        folder.path(),
        "trap.wasm",
        "(module (memory (export \"memory\") 1) (func $inner unreachable) (func (export \"_start\") (call $inner)))",
    );
    let _ =
        exec(folder.path(), &[], &trap, &[]).exits(125).says("the program broke off").says("unreachable").says("inner");
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &["abort"]).exits(125).says("unreachable");
    let _ = exec(folder.path(), &[], &guest("exiter.wasm"), &["panic"]).exits(125).says("on purpose");
}

#[test]
fn each_limit_is_125_and_named() {
    let folder = folder();
    let limited = |limit: &str, name: &str, args: &[&str], words: &str| {
        let begun = Instant::now();
        let ran = exec(folder.path(), &["--dir", "data", "--limit", limit], &guest(name), args).exits(125);
        let _ = ran.says("the program was ended").says(words).says("--limit NAME=VALUE");
        assert!(begun.elapsed() < Duration::from_secs(30), "{limit} took {:?}", begun.elapsed());
    };
    limited("cpu=200ms", "spin.wasm", &[], "limit reached: cpu (0.2s)");
    limited("wall=500ms", "spin.wasm", &[], "limit reached: wall (0.5s)");
    limited("wall=500ms", "sleeper.wasm", &[], "limit reached: wall (0.5s)");
    limited("memory=16MiB", "memhog.wasm", &["64"], "limit reached: memory (16777216 bytes");
    limited("output=1KiB", "flood.wasm", &["stdout", "5000"], "limit reached: output (1024 bytes)");
    limited("output=1KiB", "flood.wasm", &["stderr", "5000"], "limit reached: output (1024 bytes)");
    limited("written=4B", "fsprobe.wasm", &["write", "data/b.txt", "12345"], "limit reached: written (4 bytes)");
    limited("handles=5", "fsprobe.wasm", &["read", "data/a.txt"], "limit reached: handles (5 open at a time)");
    let _ =
        exec(folder.path(), &["--limit", "memory=128MiB"], &guest("memhog.wasm"), &["64"]).exits(0).prints("holds 64");
    let _ = exec(folder.path(), &["--limit", "wall=60s"], &guest("sleeper.wasm"), &["0.01"]).exits(0).prints("slept");
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let folder = folder();
    for bad in ["cpu", "cpu=5", "cpu=0s", "cpu=-1s", "speed=1s", "memory=lots", "memory=1TB", "handles=many", "=1s", ""]
    {
        let _ = exec(folder.path(), &["--limit", bad], &guest("exiter.wasm"), &[]).exits(125).says("is not a limit");
    }
    for bad in ["", "=x", "x"] {
        let _ = exec(folder.path(), &["--env", bad], &guest("exiter.wasm"), &[])
            .exits(125)
            .says("a variable is NAME=VALUE");
    }
    for bad in ["", "::x", "data::", "nowhere", "outside.txt", ":ro"] {
        let _ = exec(folder.path(), &["--dir", bad], &guest("exiter.wasm"), &[]).exits(125).says("--dir");
    }
}

#[test]
fn what_is_no_program_is_126() {
    let folder = folder();
    let at = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("written");
        path
    };
    let whole = fs::read(guest("exiter.wasm")).expect("read");
    let core = fs::read(core_exit(folder.path(), 0)).expect("read");
    let refused = [
        at("empty", b""),
        at("text", b"#!/bin/sh\necho hello\n"),
        at("magic", b"\0asm"),
        at("version", b"\0asm\x07\0\0\0"),
        at("truncated", &whole[..whole.len() / 2]),
        at("truncated-core", &core[..core.len() - 3]),
        at("longer", &[&core[..], &[99, 99]].concat()),
        module(folder.path(), "no-start.wasm", "(module (memory (export \"memory\") 1))"),
        module(
            folder.path(),
            "unknown-module.wasm",
            "(module (import \"env\" \"system\" (func (param i32))) (memory (export \"memory\") 1) (func (export \"_start\")))",
        ),
        module(
            folder.path(),
            "unknown-function.wasm",
            "(module (import \"wasi_snapshot_preview1\" \"fork\" (func)) (memory (export \"memory\") 1) (func (export \"_start\")))",
        ),
        module(
            folder.path(),
            "threads.wasm",
            "(module (memory (export \"memory\") 1 1 shared) (func (export \"_start\")))",
        ),
        module(
            folder.path(),
            "memory64.wasm",
            "(module (memory (export \"memory\") i64 1) (func (export \"_start\")))",
        ),
        folder.path().join("not-there"),
        folder.path().join("data"),
    ];
    for path in &refused {
        let ran = exec(folder.path(), &[], path, &[]);
        assert!(
            ran.stderr.starts_with("Error: ") && ran.stderr.contains("Caused by: ") || ran.stderr.contains("regular"),
            "{}: {}",
            path.display(),
            ran.stderr
        );
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
        let _ = ran.exits(126);
    }
    let _ = exec(folder.path(), &[], &guest("hostile.wasm"), &[]).exits(126).says("bundle of steps");
    let _ = exec(folder.path(), &[], &refused[8], &[]).exits(126).says("env");
}

#[test]
fn nothing_is_there_without_a_folder() {
    let folder = folder();
    let paths = ["outside.txt", "/etc/passwd", "data/a.txt", "/", ".", "..", "/proc/self/environ"];
    for path in paths {
        for operation in ["read", "list", "stat", "create", "mkdir"] {
            let ran = exec(folder.path(), &[], &guest("fsprobe.wasm"), &[operation, path]).exits(1);
            assert!(ran.stdout.starts_with("err "), "{operation} {path}: {}", ran.stdout);
        }
    }
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 2);
}

/// One run of `fsprobe`; its lines.
#[track_caller]
fn probe(folder: &Path, options: &[&str], operations: &str) -> Vec<String> {
    let args: Vec<&str> = operations.split_whitespace().collect();
    let ran = exec(folder, options, &guest("fsprobe.wasm"), &args);
    assert!(matches!(ran.status, Some(0 | 1)), "{ran:?}");
    ran.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn a_folder_is_reached_under_its_own_name_and_another() {
    let folder = folder();
    let own = probe(
        folder.path(),
        &["--dir", "data"],
        "read data/a.txt -- write data/b.txt new -- list data -- unlink data/b.txt",
    );
    assert_eq!(own, ["ok \"inside\"", "ok", "ok \"a.txt\" \"b.txt\"", "ok"]);
    let other = probe(
        folder.path(),
        &["--dir", "data::/guest/place"],
        "read /guest/place/a.txt -- mkdir /guest/place/d -- write /guest/place/d/x y -- rename /guest/place/d/x /guest/place/z -- read data/a.txt",
    );
    assert_eq!(other[..4], ["ok \"inside\"", "ok", "ok", "ok"]);
    assert!(other[4].starts_with("err "), "{other:?}");
    assert_eq!(fs::read_to_string(folder.path().join("data/z")).expect("moved"), "y");
    let root = probe(folder.path(), &["--dir", "data::/"], "read /a.txt -- read a.txt -- read ../outside.txt");
    assert_eq!(root[..2], ["ok \"inside\"", "ok \"inside\""]);
    assert!(root[2].starts_with("err "), "{root:?}");
    fs::create_dir(folder.path().join("more")).expect("made");
    let two = probe(
        folder.path(),
        &["--dir", "data::/a", "--dir", "more::/b"],
        "write /b/x 1 -- rename /a/a.txt /b/moved -- list /b",
    );
    assert_eq!((two[0].as_str(), two[2].contains("\"x\"")), ("ok", true), "{two:?}");
}

#[test]
fn a_folder_for_reading_cannot_be_changed() {
    let folder = folder();
    let before = crate::support::fingerprint(&folder.path().join("data"));
    let operations = "write data/a.txt x -- overwrite data/a.txt x -- append data/a.txt x -- truncate data/a.txt -- setlen data/a.txt 1 \
        -- create data/n -- mkdir data/d -- unlink data/a.txt -- rename data/a.txt data/b -- link data/a.txt data/l -- symlink a.txt data/s \
        -- chtimes data/a.txt 5 -- writeat data n x";
    let done = probe(folder.path(), &["--dir", "data:ro"], operations);
    assert_eq!(done.len(), 13);
    assert!(done.iter().all(|line| line.starts_with("err ")), "{done:?}");
    assert_eq!(before, crate::support::fingerprint(&folder.path().join("data")));
    let read = probe(folder.path(), &["--dir", "data::/d:ro"], "read /d/a.txt -- list /d -- stat /d/a.txt");
    assert_eq!(read, ["ok \"inside\"", "ok \"a.txt\"", "ok file 6"]);
}

#[test]
fn symlinks_lead_nowhere_outside() {
    let folder = folder();
    let data = folder.path().join("data");
    symlink("../outside.txt", data.join("up")).expect("planted");
    symlink(folder.path().join("outside.txt"), data.join("absolute")).expect("planted");
    symlink("..", data.join("door")).expect("planted");
    symlink("up", data.join("chain")).expect("planted");
    symlink("loop", data.join("loop")).expect("planted");
    let done = probe(
        folder.path(),
        &["--dir", "data"],
        "read data/up -- read data/absolute -- read data/door/outside.txt -- read data/chain -- read data/loop -- write data/up x \
         -- read data/../outside.txt -- list data/door -- create data/door/new",
    );
    assert!(done.len() == 9 && done.iter().all(|line| line.starts_with("err ")), "{done:?}");
    let own = probe(
        folder.path(),
        &["--dir", "data"],
        "symlink ../outside.txt data/mine -- read data/mine -- symlink /etc/passwd data/mine2 -- read data/mine2",
    );
    assert!(own[1].starts_with("err ") && own[3].starts_with("err "), "{own:?}");
    assert_eq!(fs::read_to_string(folder.path().join("outside.txt")).expect("read"), "outside");
}

#[test]
fn a_fifo_socket_or_device_is_refused_at_once() {
    let folder = folder();
    let data = folder.path().join("data");
    rustix::fs::mkfifoat(rustix::fs::CWD, data.join("fifo"), rustix::fs::Mode::RWXU).expect("a FIFO");
    let _listener = UnixListener::bind(data.join("socket")).expect("a socket");
    let begun = Instant::now();
    let operations = "read data/fifo -- overwrite data/fifo x -- append data/fifo x -- read data/socket -- overwrite data/socket x \
        -- truncate data/fifo -- setlen data/fifo 1 -- write data/fifo x";
    let done = probe(folder.path(), &["--dir", "data"], operations);
    assert!(done.len() == 8 && done.iter().all(|line| line.starts_with("err ")), "{done:?}");
    let devices =
        probe(folder.path(), &["--dir", "/dev::/dev:ro"], "read /dev/zero -- read /dev/null -- read /dev/tty");
    assert!(devices.len() == 3 && devices.iter().all(|line| line.starts_with("err ")), "{devices:?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it blocked for {:?}", begun.elapsed());
}

#[test]
fn a_pipe_that_closes_early_ends_the_program_and_not_by_a_limit() {
    let folder = folder();
    let begun = Instant::now();
    let mut child = piped(folder.path(), &[], &guest("flood.wasm"), &[]);
    let mut stdout = child.stdout.take().expect("piped");
    let mut some = [0; 4096];
    stdout.read_exact(&mut some).expect("output");
    drop(stdout);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stderr);
    // Its write fails, and it says so itself.
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(!text.contains("limit reached"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn big_output_arrives_whole() {
    let folder = folder();
    let bytes = 50_000_000;
    let mut child = piped(folder.path(), &[], &guest("flood.wasm"), &["stdout", &bytes.to_string()]);
    let mut stdout = child.stdout.take().expect("piped");
    let mut seen = Vec::new();
    stdout.read_to_end(&mut seen).expect("output");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    assert!(seen.len() == bytes && seen.iter().all(|b| *b == b'x'), "{} bytes", seen.len());
}

#[test]
fn json_shows_what_was_done() {
    let folder = folder();
    let operations = ["write", "data/b.txt", "new", "--", "read", "data/a.txt"];
    let mut command = command(folder.path(), &["--json", "--dir", "data"], &guest("fsprobe.wasm"), &operations);
    let ran = Ran::of(&mut command).exits(0);
    // The program's own lines stand there as well.
    let lines: Vec<serde_json::Value> = ran.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let events: Vec<String> = lines.iter().filter(|l| l["type"] == "event").map(|l| l["event"].to_string()).collect();
    assert!(events.iter().any(|e| e.contains("file-created") && e.contains("b.txt")), "{events:?}");
    assert!(events.iter().any(|e| e.contains("access-summed") && e.contains("a.txt")), "{events:?}");
    let summary = lines.last().expect("a summary");
    assert_eq!(
        (summary["type"].as_str(), summary["status"].as_u64(), summary["effects"].as_u64()),
        (Some("summary"), Some(0), Some(1))
    );

    let denied =
        exec(folder.path(), &["--json", "--dir", "data:ro"], &guest("fsprobe.wasm"), &["create", "data/c"]).exits(1);
    assert!(denied.stdout.contains("access-denied"), "{}", denied.stdout);
    let last: serde_json::Value = serde_json::from_str(denied.stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (last["status"].as_u64(), last["denied"].as_u64(), last["effects"].as_u64()),
        (Some(1), Some(1), Some(0))
    );
}
