//! The compiling process keeps its limits, and hands out only what the engine takes.

use crate::{compiler, trial};
use libtest_mimic::Trial;
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use unship_host::sandbox::{CompileError, CompileLimits, Compiler};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("compile::a_component_becomes_code", a_component_becomes_code),
        trial("compile::what_is_not_valid_is_refused", what_is_not_valid_is_refused),
        trial("compile::a_bomb_ends_at_its_computing_time", a_bomb_ends_at_its_computing_time),
        trial("compile::a_bomb_ends_at_its_wall_time", a_bomb_ends_at_its_wall_time),
        trial("compile::a_bomb_ends_at_its_memory", a_bomb_ends_at_its_memory),
        trial("compile::code_has_a_largest_size", code_has_a_largest_size),
        trial("compile::a_missing_compiler_is_no_refusal", a_missing_compiler_is_no_refusal),
    ]
}

fn a_component_becomes_code() {
    let code = compiler().compile(&wat::parse_str("(component)").unwrap(), &CompileLimits::default()).unwrap();
    assert!(code.starts_with(b"\x7fELF"));
}

fn what_is_not_valid_is_refused() {
    for bytes in [&b""[..], b"hello", &wat::parse_str("(module)").unwrap()] {
        let error = compiler().compile(bytes, &CompileLimits::default()).unwrap_err();
        assert!(matches!(error, CompileError::Refused(_)), "{error}");
    }
}

/// Tens of thousands of functions, each worth some work.
fn bomb() -> Vec<u8> {
    let body = "local.get 0 i64.load offset=8 local.get 0 i64.load offset=16 i64.mul drop ".repeat(40);
    let function = format!("(func (param i32) {body})\n");
    wat::parse_str(format!("(component (core module (memory 1) {}))", function.repeat(30_000))).unwrap()
}

fn limited(limits: &CompileLimits) -> String {
    let start = Instant::now();
    let error = compiler().compile(&bomb(), limits).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    match error {
        CompileError::Limit(text) => text,
        error => panic!("{error}"),
    }
}

fn a_bomb_ends_at_its_computing_time() {
    let text = limited(&CompileLimits { cpu: Duration::from_secs(1), ..CompileLimits::default() });
    assert!(text.contains("computing"), "{text}");
}

fn a_bomb_ends_at_its_wall_time() {
    let text = limited(&CompileLimits { wall: Duration::from_millis(300), ..CompileLimits::default() });
    assert!(text.contains("0.3s"), "{text}");
}

fn a_bomb_ends_at_its_memory() {
    let text = limited(&CompileLimits { memory_bytes_max: 100 << 20, ..CompileLimits::default() });
    assert!(text.contains("memory"), "{text}");
}

fn code_has_a_largest_size() {
    let limits = CompileLimits { code_bytes_max: 100, ..CompileLimits::default() };
    let error = compiler().compile(&wat::parse_str("(component)").unwrap(), &limits).unwrap_err();
    assert!(matches!(&error, CompileError::Limit(text) if text.contains("100 bytes")), "{error}");
}

fn a_missing_compiler_is_no_refusal() {
    let missing = Compiler { program: PathBuf::from("/nonexistent") };
    let error = missing.compile(b"", &CompileLimits::default()).unwrap_err();
    assert!(matches!(error, CompileError::Process(_)), "{error}");
}
