//! Every limit ends the guest that runs into it, says which it was, and leaves the host as it was.

use crate::{guests, loaded, run, trial};
use libtest_mimic::Trial;
use std::time::{Duration, Instant};
use unship_host::{
    gate::{Gate, Stop},
    sandbox::{Entry, Stdio, StepEnd, run_step},
};
use unship_policy::meaning::Limits;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("limits::a_loop_ends_by_cpu", a_loop_ends_by_cpu),
        trial("limits::a_loop_in_a_start_function_ends_by_cpu", a_loop_in_a_start_function_ends_by_cpu),
        trial("limits::recursion_traps", recursion_traps),
        trial("limits::sleep_ends_by_wall", sleep_ends_by_wall),
        trial("limits::many_short_sleeps_end_by_wall", many_short_sleeps_end_by_wall),
        trial("limits::a_poll_that_never_ends_ends_by_wall", a_poll_that_never_ends_ends_by_wall),
        trial("limits::a_person_can_end_it", a_person_can_end_it),
        trial("limits::one_memory", one_memory),
        trial("limits::many_memories", many_memories),
        trial("limits::initial_memory", initial_memory),
        trial("limits::tables", tables),
        trial("limits::handles", handles),
        trial("limits::output", output),
        trial("limits::traps_name_their_function", traps_name_their_function),
    ]
}

fn tight() -> Limits {
    Limits {
        cpu: Duration::from_millis(200),
        wall: Duration::from_millis(1500),
        memory_bytes_max: 8 << 20,
        table_elements_max: 1000,
        handles_max: 50,
        output_bytes_max: 10_000,
        ..Limits::default()
    }
}

/// The guest is stopped by `limit`, soon.
fn stopped_by(limit: &str, wasm: &[u8]) {
    let start = Instant::now();
    let end = run(wasm, &tight());
    assert!(matches!(&end, StepEnd::Stopped(Stop::Limit { limit: was, .. }) if *was == limit), "{limit}: {end:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{limit} took {:?}", start.elapsed());
    let fine = guests::command(&[], "", "");
    assert_eq!(run(&fine, &tight()), StepEnd::Succeeded, "the host goes on after {limit}");
}

fn a_loop_ends_by_cpu() {
    stopped_by("cpu", &guests::command(&[], "", "(loop (br 0))"));
    stopped_by("cpu", &guests::steps("", "(loop (br 0)) unreachable"));
}

fn a_loop_in_a_start_function_ends_by_cpu() {
    stopped_by("cpu", &guests::command(&[], "(func $s (loop (br 0))) (start $s)", ""));
}

fn recursion_traps() {
    let wasm = guests::command(&[], "(func $deep (call $deep) (call $deep))", "(call $deep)");
    let StepEnd::Trapped(text) = run(&wasm, &tight()) else { panic!("did not trap") };
    assert!(text.contains("call stack exhausted") && text.contains("deep"), "{text}");
}

const POLL: (&str, &str) = ("poll_oneoff", "(param i32 i32 i32 i32) (result i32)");

/// A subscription to the monotonic clock, `nanoseconds` from now, at address 0.
fn sleep(nanoseconds: u64) -> String {
    format!(
        "(i32.store8 (i32.const 8) (i32.const 0)) (i32.store (i32.const 16) (i32.const 1))
         (i64.store (i32.const 24) (i64.const {nanoseconds}))
         (drop (call $poll_oneoff (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))"
    )
}

fn sleep_ends_by_wall() {
    stopped_by("wall", &guests::command(&[POLL], "", &sleep(1 << 60)));
}

fn many_short_sleeps_end_by_wall() {
    let body = format!("(loop {} (br 0))", sleep(20_000_000));
    let limits = Limits { cpu: Duration::from_secs(60), ..tight() };
    let end = run(&guests::command(&[POLL], "", &body), &limits);
    assert!(matches!(end, StepEnd::Stopped(Stop::Limit { limit: "wall", .. })), "{end:?}");
}

fn a_poll_that_never_ends_ends_by_wall() {
    let imports = r#"
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $p (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $p))))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $q))
            (export "pollable" (type $r (eq $q)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $r))))))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core module $half (import "" "subscribe" (func $s (param i64) (result i32)))
            (func (export "make") (result i32) (call $s (i64.const -1))))
        (core instance $made (instantiate $half (with "" (instance (export "subscribe" (func $subscribe))))))
        (core func $block (canon lower (func $poll "[method]pollable.block")))
        (core module $call (import "" "make" (func $m (result i32))) (import "" "block" (func $b (param i32)))
            (func (export "call") (call $b (call $m))))
        (core instance $both (instantiate $call (with "" (instance
            (export "make" (func $made "make")) (export "block" (func $block))))))
        (alias core export $both "call" (core func $blocks))"#;
    let text = format!(
        r#"(component {imports}
            (core module $m (import "" "call" (func $c)) (func (export "run") (result i32) (call $c) (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "call" (func $blocks))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    );
    stopped_by("wall", &wat::parse_str(text).unwrap());
}

fn a_person_can_end_it() {
    let limits = Limits { cpu: Duration::from_secs(60), wall: Duration::from_secs(60), ..Limits::default() };
    let start = Instant::now();
    for body in [&sleep(1 << 60), "(loop (br 0))"] {
        let loaded = loaded(&guests::command(&[POLL], "", body), &[]);
        let interrupt = loaded.engine().interrupt().clone();
        let person = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            interrupt.set();
        });
        let entry = Entry::Command { args: &[], env: &[] };
        let (_, end) = run_step(&loaded, entry, Gate::closed(limits.clone()), Stdio::Captured);
        assert_eq!(end, StepEnd::Stopped(Stop::Interrupted));
        person.join().unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

fn one_memory() {
    stopped_by("memory", &guests::command(&[], "", "(loop (drop (memory.grow (i32.const 1))) (br 0))"));
    stopped_by("memory", &guests::command(&[], "", "(drop (memory.grow (i32.const 60000)))"));
}

fn many_memories() {
    let memories: String = (0..9).map(|n| format!("(memory $m{n} 1)")).collect();
    let grow: String = (0..9).map(|n| format!("(drop (memory.grow $m{n} (i32.const 15)))")).collect();
    stopped_by("memory", &guests::command(&[], &memories, &grow));
}

fn initial_memory() {
    stopped_by("memory", &guests::command(&[], "(memory 65536)", ""));
}

fn tables() {
    stopped_by(
        "tables",
        &guests::command(
            &[],
            "(table $t 1 funcref)",
            "(loop (drop (table.grow $t (ref.null func) (i32.const 100))) (br 0))",
        ),
    );
    stopped_by("tables", &guests::command(&[], "(table 100000000 funcref)", ""));
}

fn handles() {
    let imports = r#"
        (import "wasi:io/streams@0.2.0" (instance $streams (export "output-stream" (type (sub resource)))))
        (alias export $streams "output-stream" (type $stream))
        (import "wasi:cli/stdout@0.2.0" (instance $stdout
            (alias outer 1 $stream (type $s))
            (export "output-stream" (type $t (eq $s)))
            (export "get-stdout" (func (result (own $t))))))"#;
    let core = r#"(import "" "call" (func $get (result i32)))
        (func (export "run") (result i32) (loop (drop (call $get)) (br 0)) unreachable)"#;
    stopped_by("handles", &guests::component(imports, r#"(canon lower (func $stdout "get-stdout"))"#, core));
}

fn output() {
    let wasm = guests::command(
        &[("fd_write", "(param i32 i32 i32 i32) (result i32)")],
        r#"(data (i32.const 0) "\10\00\00\00\05\00\00\00") (data (i32.const 16) "line\n")"#,
        "(loop (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32))) (br 0))",
    );
    stopped_by("output", &wasm);
}

fn traps_name_their_function() {
    let StepEnd::Trapped(text) = run(&guests::command(&[], "(func $inner unreachable)", "(call $inner)"), &tight())
    else {
        panic!("did not trap")
    };
    assert!(text.contains("unreachable") && text.contains("inner") && text.contains("main"), "{text}");
    assert!(text.len() < 5000);
}
