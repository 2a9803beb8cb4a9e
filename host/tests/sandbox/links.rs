//! A component gets what was requested for it, and nothing else.

use crate::{compiler, guests, loaded, run, trial};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use unship_host::{
    gate::Gate,
    sandbox::{
        CompileLimits, Engine, Entry, LinkError, Stdio, StepEnd, link, load, run_step, seal, step_names, to_component,
    },
};
use unship_policy::meaning::Limits;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("links::steps_are_named", steps_are_named),
        trial("links::a_step_succeeds_or_fails", a_step_succeeds_or_fails),
        trial("links::what_is_not_requested_is_refused", what_is_not_requested_is_refused),
        trial("links::progress_needs_no_request", progress_needs_no_request),
        trial("links::what_no_step_can_have_is_refused", what_no_step_can_have_is_refused),
        trial("links::a_denial_reaches_the_guest", a_denial_reaches_the_guest),
        trial("links::sockets_are_denied", sockets_are_denied),
    ]
}

fn refusal(wasm: &[u8], requested: &[&str]) -> LinkError {
    let engine = Engine::new().unwrap();
    let component = to_component(wasm).unwrap();
    let native = compiler().compile(&component.bytes, &CompileLimits::default()).unwrap();
    let code = load(&engine, seal(&native).unwrap()).unwrap();
    let requested: BTreeSet<String> = requested.iter().map(|&name| name.to_owned()).collect();
    match link(&engine, &code, component.kind, &requested) {
        Err(error) => error,
        Ok(_) => panic!("it was linked"),
    }
}

fn steps_are_named() {
    let loaded = loaded(&guests::steps("", "(i32.const 0)"), &[]);
    assert_eq!(step_names(&loaded, &Limits::default()).unwrap(), ["go", "look"]);
}

fn a_step_succeeds_or_fails() {
    assert_eq!(run(&guests::steps("", "(i32.const 0)"), &Limits::default()), StepEnd::Succeeded);
    assert_eq!(run(&guests::steps("", "(i32.const 64)"), &Limits::default()), StepEnd::Failed("no".to_owned()));
}

const STOP: &str = r#"(import "unship:step/services@1.0.0" "stop" (func $stop (param i32 i32 i32)))"#;

fn what_is_not_requested_is_refused() {
    let wasm = guests::steps(STOP, "(call $stop (i32.const 96) (i32.const 2) (i32.const 256)) (i32.const 0)");
    assert_eq!(to_component(&wasm).unwrap().imports, ["services"]);
    for requested in [&[][..], &["files", "commands"]] {
        let error = refusal(&wasm, requested);
        assert!(matches!(&error, LinkError::NotRequested(name) if name.contains("services")), "{error}");
    }
}

fn progress_needs_no_request() {
    let import = r#"(import "unship:step/progress@1.0.0" "log" (func $log (param i32 i32 i32)))"#;
    let wasm = guests::steps(import, "(call $log (i32.const 0) (i32.const 96) (i32.const 2)) (i32.const 0)");
    assert_eq!(to_component(&wasm).unwrap().imports, Vec::<String>::new());
    assert_eq!(run(&wasm, &Limits::default()), StepEnd::Succeeded);
}

fn what_no_step_can_have_is_refused() {
    for import in
        ["wasi:http/outgoing-handler@0.2.0", "unship:sandbox/secret", "unship:step/nothing@1.0.0", "other:thing/x"]
    {
        let wasm = guests::component(
            &format!(r#"(import "{import}" (instance $x (export "f" (func))))"#),
            r#"(canon lower (func $x "f"))"#,
            r#"(func (export "run") (result i32) (i32.const 0))"#,
        );
        let error = refusal(&wasm, &["files"]);
        assert!(!matches!(error, LinkError::Mismatch(_)), "{import}: {error}");
        assert!(error.to_string().contains(import), "{error}");
    }
}

/// The closed gate denies; the guest sees the error's case (`denied` is 0) and fails by it.
fn a_denial_reaches_the_guest() {
    let body = "(call $stop (i32.const 96) (i32.const 2) (i32.const 256))
        (if (i32.ne (i32.load8_u (i32.const 256)) (i32.const 1)) (then unreachable))
        (if (i32.ne (i32.load8_u (i32.const 260)) (i32.const 0)) (then unreachable))
        (i32.const 64)";
    let loaded = loaded(&guests::steps(STOP, body), &["services"]);
    let (_, end) = run_step(&loaded, Entry::Step("go"), Gate::closed(Limits::default()), Stdio::Captured);
    assert_eq!(end, StepEnd::Failed("no".to_owned()));
}

/// `create-tcp-socket` answers `access-denied`, which is case 1 of `error-code`.
fn sockets_are_denied() {
    let errors = "unknown access-denied not-supported invalid-argument out-of-memory timeout concurrency-conflict \
        not-in-progress would-block invalid-state new-socket-limit address-not-bindable address-in-use \
        remote-unreachable connection-refused connection-reset connection-aborted datagram-too-large name-unresolvable \
        temporary-resolver-failure permanent-resolver-failure";
    let errors: String = errors.split_whitespace().map(|case| format!("\"{case}\" ")).collect();
    let imports = format!(
        r#"(import "wasi:sockets/network@0.2.0" (instance $network
            (type $e (enum {errors})) (export "error-code" (type (eq $e)))
            (type $f (enum "ipv4" "ipv6")) (export "ip-address-family" (type (eq $f)))))
        (alias export $network "error-code" (type $error))
        (alias export $network "ip-address-family" (type $family))
        (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
            (alias outer 1 $error (type $e)) (export "error-code" (type $e2 (eq $e)))
            (alias outer 1 $family (type $f)) (export "ip-address-family" (type $f2 (eq $f)))
            (alias outer 1 $socket (type $s)) (export "tcp-socket" (type $s2 (eq $s)))
            (export "create-tcp-socket" (func (param "address-family" $f2) (result (result (own $s2) (error $e2)))))))
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $mem))
        (core func $raw (canon lower (func $create "create-tcp-socket") (memory $mem)))
        (core module $look (import "" "raw" (func $raw (param i32 i32))) (import "" "memory" (memory 1))
            (func (export "f") (call $raw (i32.const 0) (i32.const 16))
                (if (i32.ne (i32.load8_u (i32.const 16)) (i32.const 1)) (then unreachable))
                (if (i32.ne (i32.load8_u (i32.const 20)) (i32.const 1)) (then unreachable))))
        (core instance $looks (instantiate $look (with "" (instance (export "raw" (func $raw)) (export "memory" (memory $mem))))))
        (alias core export $looks "f" (core func $call))"#
    );
    let text = format!(
        r#"(component {imports}
            (core module $m (import "" "call" (func $c)) (func (export "run") (result i32) (call $c) (i32.const 0)))
            (core instance $i (instantiate $m (with "" (instance (export "call" (func $call))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    );
    assert_eq!(run(&wat::parse_str(text).unwrap(), &Limits::default()), StepEnd::Succeeded);
}
