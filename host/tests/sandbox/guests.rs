//! Guests as text.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// A wasip1 command: `imports` are names of preview1 functions with their types, `body` is the code of `_start`.
pub fn command(imports: &[(&str, &str)], rest: &str, body: &str) -> Vec<u8> {
    let imports: String = imports
        .iter()
        .map(|(name, ty)| format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {ty}))\n"))
        .collect();
    wat::parse_str(format!(
        "(module {imports} (memory (export \"memory\") 1) {rest} (func $main (export \"_start\") {body}))"
    ))
    .unwrap()
}

/// A component of the world `unship:step/step` with the steps `go` and `look`. `body` is the code of `run`; it leaves the
/// address of its result: 0 succeeds, 64 fails with the message `no`.
pub fn steps(imports: &str, body: &str) -> Vec<u8> {
    let mut module = wat::parse_str(format!(
        r#"(module {imports}
            (memory (export "memory") 1)
            (data (i32.const 64) "\01\00\00\00\60\00\00\00\02\00\00\00")
            (data (i32.const 96) "no")
            (data (i32.const 128) "\88\00\00\00\02\00\00\00\98\00\00\00\02\00\00\00\9a\00\00\00\04\00\00\00golook")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "steps") (result i32) (i32.const 128))
            (func $run (export "run") (param i32 i32) (result i32) {body}))"#
    ))
    .unwrap();
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("step.wit", include_str!("../../../crates/step/wit/v1/step.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("step")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// A command component whose core function `run` has `import` as `"" "call"`.
pub fn component(imports: &str, call: &str, core: &str) -> Vec<u8> {
    wat::parse_str(format!(
        r#"(component {imports}
            (core func $call {call})
            (core module $m {core})
            (core instance $i (instantiate $m (with "" (instance (export "call" (func $call))))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $cli)))"#
    ))
    .unwrap()
}
