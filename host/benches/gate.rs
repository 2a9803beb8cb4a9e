//! What the gate costs: one guest doing the same file operations through it (`exec`: judged and written down in memory) and
//! through plain wasmtime-wasi, by turns, on one file system. It measures and judges nothing.
//!
//! `UNSHIP_GUESTS` names the folder of the built guests; `cargo xtask guests` builds them.

use std::{collections::BTreeMap, path::Path};
use unship_host::{
    gate::Gate,
    sandbox::{COMPILE_ARGUMENT, Compiler, ExecEnd, ExecRequest, compile_child_main, exec, exec_limits},
};
use wasmtime::{
    Config, Store,
    component::{Component, Linker, ResourceTable},
};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView, p2::bindings::sync::Command};

const ROUNDS: usize = 5;

struct Plain {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Plain {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == COMPILE_ARGUMENT) {
        compile_child_main();
    }
    let Some(guests) = std::env::var_os("UNSHIP_GUESTS") else {
        println!("skipped: UNSHIP_GUESTS does not say where the guests are");
        return;
    };
    let module = std::fs::read(Path::new(&guests).join("fsbench.wasm")).expect("the guest is built");
    let mut times: BTreeMap<String, (Vec<u64>, Vec<u64>)> = BTreeMap::new();
    let mut order = Vec::new();
    for round in 0..=ROUNDS {
        let (plain, gated) = (result(|dir| run_plain(&module, dir)), result(|dir| run_gated(&module, dir)));
        for ((name, plain), (_, gated)) in plain.into_iter().zip(gated) {
            if round == 0 {
                order.push(name);
                continue;
            }
            let both = times.entry(name).or_default();
            both.0.push(plain);
            both.1.push(gated);
        }
    }
    println!("| operation | wasmtime-wasi | gate | ratio |\n|---|---:|---:|---:|");
    for name in order {
        let (plain, gated) = &mut times.get_mut(&name).expect("measured");
        let (plain, gated) = (median(plain), median(gated));
        println!("| {name} | {:.1} µs | {:.1} µs | {:.2} |", plain / 1e3, gated / 1e3, gated / plain);
    }
}

fn median(values: &mut [u64]) -> f64 {
    values.sort_unstable();
    values[values.len() / 2] as f64
}

/// Runs in a fresh folder and reads what the guest found.
fn result(run: impl FnOnce(&Path)) -> Vec<(String, u64)> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    run(dir.path());
    let text = std::fs::read_to_string(dir.path().join("result.txt")).expect("the guest came to its end");
    let line = |line: &str| {
        let (name, ns) = line.rsplit_once(' ').expect("a name and a number");
        (name.to_owned(), ns.parse().expect("nanoseconds"))
    };
    text.lines().map(line).collect()
}

fn run_gated(module: &[u8], dir: &Path) {
    let limits = unship_policy::meaning::Limits { effects_max: 100_000, ..exec_limits() };
    let gate = Gate::for_exec(&[("/".to_owned(), dir.to_owned(), false)], limits).expect("a gate");
    let (argv, compiler) = (vec!["fsbench".to_owned()], Compiler::own());
    let request = ExecRequest { module: module.to_vec(), argv, env: Vec::new(), gate, compiler: &compiler };
    let (_, end) = exec(request).expect("it runs");
    assert_eq!(end, ExecEnd::Exited(0));
}

fn run_plain(module: &[u8], dir: &Path) {
    let engine = wasmtime::Engine::new(&Config::new()).expect("an engine");
    let component = Component::new(&engine, module).expect("compiled");
    let mut linker = Linker::<Plain>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("linked");
    let mut wasi = WasiCtx::builder();
    // As fast as it can be: file operations on this thread, as ours are.
    wasi.allow_blocking_current_thread(true);
    wasi.preopened_dir(dir, "/", FsPerms::ReadWrite).expect("preopened");
    let mut store = Store::new(&engine, Plain { wasi: wasi.build(), table: ResourceTable::new() });
    let command = Command::instantiate(&mut store, &component, &linker).expect("instantiated");
    command.wasi_cli_run().call_run(&mut store).expect("no trap").expect("success");
}
