//! The sandbox against guests that behave and guests that do not.
//!
//! This binary has a `main` of its own, because the sandbox compiles in another process: the tests hand it this very
//! program. `__exec WALL_MS [--dir HOST::GUEST[:ro]]… [--env K=V]… MODULE ARG…` runs a module as `unship exec` does.

mod command;
mod compile;
mod guests;
mod limits;
mod links;

use libtest_mimic::{Arguments, Failed, Trial};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};
use unship_host::{
    gate::Gate,
    sandbox::{
        COMPILE_ARGUMENT, CompileLimits, Compiler, Engine, Entry, ExecEnd, ExecRequest, Kind, Loaded, Stdio, StepEnd,
        compile_child_main, exec, exec_limits, link, load, run_step, seal, to_component,
    },
};
use unship_policy::meaning::Limits;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(COMPILE_ARGUMENT) => compile_child_main(),
        Some("__exec") => exec_main(&arguments[2..]),
        _ => {
            let trials = [command::trials(), compile::trials(), limits::trials(), links::trials()].concat_trials();
            libtest_mimic::run(&Arguments::from_args(), trials).exit()
        }
    }
}

trait ConcatTrials {
    fn concat_trials(self) -> Vec<Trial>;
}
impl<const N: usize> ConcatTrials for [Vec<Trial>; N] {
    fn concat_trials(self) -> Vec<Trial> {
        self.into_iter().flatten().collect()
    }
}

/// One test; it fails by panicking.
fn trial(name: &'static str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}

fn compiler() -> Compiler {
    Compiler { program: program() }
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// `text` (WAT) or a binary, linked with `requested`.
fn loaded(wasm: &[u8], requested: &[&str]) -> Loaded {
    let engine = Engine::new().unwrap();
    let component = to_component(wasm).unwrap();
    let native = compiler().compile(&component.bytes, &CompileLimits::default()).unwrap();
    let code = load(&engine, seal(&native).unwrap()).unwrap();
    let requested: BTreeSet<String> = requested.iter().map(|&name| name.to_owned()).collect();
    link(&engine, &code, component.kind, &requested).unwrap()
}

/// Runs a command or the step `go` of a bundle with these limits.
fn run(wasm: &[u8], limits: &Limits) -> StepEnd {
    let entry = match to_component(wasm).unwrap().kind {
        Kind::Step => Entry::Step("go"),
        Kind::Command => Entry::Command { args: &[], env: &[] },
    };
    run_step(&loaded(wasm, &[]), entry, Gate::closed(limits.clone()), Stdio::Captured).1
}

/// `exec` as the command line has it, with a wall limit.
#[expect(clippy::disallowed_methods, reason = "the status of a guest is the status of the process")]
fn exec_main(arguments: &[String]) -> ! {
    let mut arguments = arguments.iter().cloned();
    let wall = Duration::from_millis(arguments.next().unwrap().parse().unwrap());
    let (mut dirs, mut env) = (Vec::new(), Vec::new());
    let module = loop {
        match arguments.next().unwrap().as_str() {
            "--dir" => dirs.push(dir(&arguments.next().unwrap())),
            "--env" => {
                let pair = arguments.next().unwrap();
                let (key, value) = pair.split_once('=').unwrap();
                env.push((key.to_owned(), value.to_owned()));
            }
            module => break module.to_owned(),
        }
    };
    let end = exec(ExecRequest {
        module: std::fs::read(&module).unwrap(),
        argv: std::iter::once("program".to_owned()).chain(arguments).collect(),
        env,
        gate: Gate::for_exec(&dirs, Limits { wall, ..exec_limits() }).unwrap(),
        compiler: &compiler(),
    });
    let status = match end {
        Ok((_, ExecEnd::Exited(status))) => status.cast_signed(),
        Ok((_, end)) => {
            eprintln!("{end:?}");
            124
        }
        Err(error) => {
            eprintln!("{error}");
            126
        }
    };
    std::process::exit(status)
}

/// `HOST::GUEST[:ro]`.
fn dir(text: &str) -> (String, PathBuf, bool) {
    let (host, guest) = text.split_once("::").unwrap();
    let read_only = guest.ends_with(":ro");
    (guest.trim_end_matches(":ro").to_owned(), PathBuf::from(host), read_only)
}
