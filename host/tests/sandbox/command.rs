//! Plain WASI programs: exit status, arguments, environment, standard streams.

use crate::{guests, program, trial};
use libtest_mimic::Trial;
use std::{
    io::{Read, Write},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("command::exit_status_is_kept", exit_status_is_kept),
        trial("command::arguments_and_environment_arrive", arguments_and_environment_arrive),
        trial("command::standard_input_is_echoed", standard_input_is_echoed),
        trial("command::no_buffers_on_a_bad_descriptor_is_an_error", no_buffers_on_a_bad_descriptor_is_an_error),
        trial("command::a_read_that_blocks_ends_by_wall", a_read_that_blocks_ends_by_wall),
        trial("command::a_reader_that_does_not_read_is_not_waited_for", a_reader_that_does_not_read_is_not_waited_for),
        trial("command::a_closed_pipe_does_not_end_the_host", a_closed_pipe_does_not_end_the_host),
        trial("command::what_is_no_program_is_refused", what_is_no_program_is_refused),
    ]
}

fn exec(wasm: &[u8], arguments: &[&str], input: &[u8]) -> Output {
    let file = module(wasm);
    let mut child = Command::new(program())
        .args(["__exec", "20000", "--env", "KEY=a value"])
        .arg(file.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn module(wasm: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(wasm).unwrap();
    file
}

fn exit_status_is_kept() {
    for status in [0, 1, 2, 42, 255] {
        let body = format!("(call $proc_exit (i32.const {status}))");
        let wasm = guests::command(&[("proc_exit", "(param i32)")], "", &body);
        assert_eq!(exec(&wasm, &[], b"").status.code(), Some(status));
    }
    assert_eq!(exec(&guests::command(&[], "", ""), &[], b"").status.code(), Some(0));
}

/// Writes the block that `$sizes` and `$get` hand out, NULs and all, after a check of the pointers.
fn print_block(sizes: &str, get: &str) -> Vec<u8> {
    let pair = "(param i32 i32) (result i32)";
    guests::command(
        &[(sizes, pair), (get, pair), ("fd_write", "(param i32 i32 i32 i32) (result i32)")],
        "",
        &format!(
            "(drop (call ${sizes} (i32.const 0) (i32.const 4)))
             (drop (call ${get} (i32.const 64) (i32.const 1024)))
             (if (i32.ne (i32.load (i32.const 64)) (i32.const 1024)) (then unreachable))
             (i32.store (i32.const 8) (i32.const 1024)) (i32.store (i32.const 12) (i32.load (i32.const 4)))
             (drop (call $fd_write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))"
        ),
    )
}

fn arguments_and_environment_arrive() {
    let printed = exec(
        &print_block("args_sizes_get", "args_get"),
        &["one", "", "dr ei ä", "long argument, longer than a word"],
        b"",
    );
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        "program\0one\0\0dr ei ä\0long argument, longer than a word\0"
    );
    let printed = exec(&print_block("environ_sizes_get", "environ_get"), &[], b"");
    assert_eq!(printed.stdout, b"KEY=a value\0");
}

fn standard_input_is_echoed() {
    let call = "(param i32 i32 i32 i32) (result i32)";
    let wasm = guests::command(
        &[("fd_read", call), ("fd_write", call)],
        "",
        "(i32.store (i32.const 0) (i32.const 4096))
         (loop $more
            (i32.store (i32.const 4) (i32.const 16384))
            (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)))
            (i32.store (i32.const 4) (i32.load (i32.const 16)))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
            (br_if $more (i32.load (i32.const 16))))",
    );
    let input: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let file = module(&wasm);
    let mut child = Command::new(program())
        .args(["__exec", "20000"])
        .arg(file.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, sent) = (child.stdin.take().unwrap(), input.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let mut echoed = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut echoed).unwrap();
    writer.join().unwrap().unwrap();
    assert!(child.wait().unwrap().success());
    assert!(echoed == input, "{} bytes came back", echoed.len());
}

fn no_buffers_on_a_bad_descriptor_is_an_error() {
    let call = "(param i32 i32 i32 i32) (result i32)";
    for function in ["fd_read", "fd_write"] {
        for (descriptor, errno) in [(-31337, 8), (99, 8), (if function == "fd_read" { 0 } else { 1 }, 0)] {
            let body = format!(
                "(call $proc_exit (call ${function} (i32.const {descriptor}) (i32.const 0) (i32.const 0) (i32.const 16)))"
            );
            let wasm = guests::command(&[(function, call), ("proc_exit", "(param i32)")], "", &body);
            assert_eq!(exec(&wasm, &[], b"x").status.code(), Some(errno), "{function} {descriptor}");
        }
    }
}

fn a_read_that_blocks_ends_by_wall() {
    let wasm = guests::command(
        &[("fd_read", "(param i32 i32 i32 i32) (result i32)")],
        r#"(data (i32.const 0) "\10\00\00\00\05\00\00\00")"#,
        "(drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))",
    );
    let file = module(&wasm);
    let mut child = Command::new(program())
        .args(["__exec", "1000"])
        .arg(file.path())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    drop(input);
}

fn flood() -> Vec<u8> {
    guests::command(
        &[("fd_write", "(param i32 i32 i32 i32) (result i32)")],
        r#"(data (i32.const 0) "\00\10\00\00\00\10\00\00")"#,
        "(loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))) (br 0))",
    )
}

fn a_reader_that_does_not_read_is_not_waited_for() {
    let file = module(&flood());
    let start = Instant::now();
    let mut child = Command::new(program())
        .args(["__exec", "1000"])
        .arg(file.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(124));
    assert!(start.elapsed() < Duration::from_secs(15));
}

fn a_closed_pipe_does_not_end_the_host() {
    let file = module(&flood());
    let mut child = Command::new(program())
        .args(["__exec", "1000"])
        .arg(file.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(124));
}

fn what_is_no_program_is_refused() {
    for wasm in [&b"hello"[..], b"\0asm", &guests::steps("", "(i32.const 0)")] {
        let output = exec(wasm, &[], b"");
        assert_eq!(output.status.code(), Some(126), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
