//! One step, from a fresh store to its end.

use super::{
    bindings::host::wasi::filesystem::types::DescriptorFlags,
    engine::Ticking,
    interrupt::Watch,
    limits::Budget,
    link::{Loaded, Pre},
    process::Blocks,
    state::{OpenNode, Shared, StepState},
    stdio::{Outputs, Stdio},
};
use crate::gate::{Gate, Stop};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::runtime::{Builder, Runtime};
use unship_policy::meaning::Limits;
use wasmtime::{Store, WasmBacktrace, component::ResourceTable};
use wasmtime_wasi::{Deterministic, HostWallClock, I32Exit, ResourceTableError, WasiCtx, WasiCtxBuilder};

/// Random bytes that one call hands out; a program that wants more asks again.
const RANDOM_BYTES_MAX: u64 = 16 << 20;
/// Pinned random bytes before they repeat.
const PINNED_BYTES: u32 = 16 << 10;
/// What is kept of a failure's or trap's text.
const TEXT_BYTES_MAX: usize = 4096;
/// Step names that a component may have.
const STEP_NAMES_MAX: usize = 1000;

/// What of a component runs.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// `run(step)` of the world `unship:step/step`.
    Step(&'a str),
    /// `wasi:cli/run`, with arguments (the first is the program's name) and environment.
    Command {
        /// `argv`.
        args: &'a [String],
        /// Names and values.
        env: &'a [(String, String)],
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It did what it should, by its own word: `run` returned, or the program exited with 0.
    Succeeded,
    /// `run` returned a failure; this is its sentence.
    Failed(String),
    /// It exited. Never 0 for a command; a step that exits instead of returning may say 0, and has not succeeded.
    ExitedWith(u32),
    /// It broke a rule of WebAssembly or WASI, or panicked; with the names of its frames.
    Trapped(String),
    /// It was ended.
    Stopped(Stop),
}

/// Why the names of a component's steps are not known.
#[derive(Debug, thiserror::Error)]
pub enum StepNamesError {
    /// `steps` did not return.
    #[error("the component's `steps` ended with {0:?}")]
    Ended(StepEnd),
    /// Too many names.
    #[error("the component names {0} steps, at most {STEP_NAMES_MAX} are allowed")]
    TooMany(usize),
    /// A plain program: its one step has no name of its own.
    #[error("a plain WASI program names no steps")]
    Command,
}

/// Asks the component for the names of its steps and checks, in an instance that can reach nothing.
///
/// # Errors
/// [`StepNamesError`] when it does not answer within `limits`.
pub fn step_names(loaded: &Loaded, limits: &Limits) -> Result<Vec<String>, StepNamesError> {
    let Pre::Step(pre) = &loaded.entry else { return Err(StepNamesError::Command) };
    let step = Prepared::new(loaded, &[], &[], Gate::closed(limits.clone()), Stdio::Captured);
    let (_, result) = step.run(async |store| {
        let instance = pre.instantiate_async(&mut *store).await?;
        instance.call_steps(store).await
    });
    let names = result.map_err(StepNamesError::Ended)?;
    if names.len() > STEP_NAMES_MAX { Err(StepNamesError::TooMany(names.len())) } else { Ok(names) }
}

/// Runs one step in a fresh instance that reaches nothing but `gate`, and gives the gate back. Blocks the thread, within the
/// gate's limits.
///
/// # Panics
/// Inside an asynchronous run-time: a run owns its thread. Also if `entry` is not of the component's kind.
pub fn run_step(loaded: &Loaded, entry: Entry<'_>, gate: Gate, stdio: Stdio) -> (Gate, StepEnd) {
    let (args, env) = match entry {
        Entry::Step(_) => (&[][..], &[][..]),
        Entry::Command { args, env } => (args, env),
    };
    let step = Prepared::new(loaded, args, env, gate, stdio);
    let (gate, result) = step.run(async |store| match (&loaded.entry, entry) {
        (Pre::Step(pre), Entry::Step(name)) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let result = instance.call_run(store, name).await?;
            Ok(result.map_or_else(|failure| StepEnd::Failed(bounded(failure.message)), |()| StepEnd::Succeeded))
        }
        (Pre::Command(pre), Entry::Command { .. }) => {
            let instance = pre.instantiate_async(&mut *store).await?;
            let result = instance.wasi_cli_run().call_run(store).await?;
            Ok(result.map_or(StepEnd::ExitedWith(1), |()| StepEnd::Succeeded))
        }
        _ => panic!("the caller's entry is of the component's kind"),
    });
    let end = result.unwrap_or_else(|end| end);
    match (end, entry) {
        (StepEnd::ExitedWith(0), Entry::Command { .. }) => (gate, StepEnd::Succeeded),
        (end, _) => (gate, end),
    }
}

/// A store with all that one step has, and nothing run yet.
struct Prepared {
    store: Store<StepState>,
    shared: Arc<Shared>,
    outputs: Outputs,
    _ticking: Ticking,
}

impl Prepared {
    fn new(loaded: &Loaded, args: &[String], env: &[(String, String)], gate: Gate, stdio: Stdio) -> Prepared {
        let limits = gate.limits().clone();
        let shared = Shared::new(gate);
        let mut wasi = context(&shared, args, env);
        let outputs = Outputs::attach(stdio, &shared, &mut wasi);
        let state = StepState {
            table: table(&limits),
            wasi: wasi.build(),
            budget: Budget::new(&limits, loaded.engine.interrupt()),
            blocks: Blocks::new(args, env),
            preopens: preopens(&shared),
            shared: Arc::clone(&shared),
        };
        let mut store = Store::new(loaded.engine.wasmtime(), state);
        store.limiter(|state| &mut state.budget);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().budget.tick()?));
        Prepared { store, shared, outputs, _ticking: loaded.engine.ticking() }
    }

    /// Runs `call` within the wall limit; afterwards nothing of the guest is left.
    fn run<T>(
        self,
        call: impl AsyncFnOnce(&mut Store<StepState>) -> wasmtime::Result<T>,
    ) -> (Gate, Result<T, StepEnd>) {
        let Prepared { mut store, shared, outputs, _ticking } = self;
        let watch = Watch::new(&store.data().budget);
        let (result, flushed) = RUNTIME.with(|runtime| {
            runtime.block_on(async {
                let result = watch.over(call(&mut store)).await;
                // A reader that has stopped reading loses the rest of the output.
                let flushed = watch.over(outputs.finish()).await;
                (result, flushed.unwrap_or(Ok(())))
            })
        });
        let result = match result {
            Err(stop) => Err(StepEnd::Stopped(stop)),
            Ok(result) => result.map_err(|error| end_of(&error, &store.data().budget)),
        };
        drop(store);
        let (gate, stopped) = shared.into_parts();
        let stopped = flushed.err().or(stopped).map(StepEnd::Stopped);
        match (result, stopped) {
            (Ok(_), Some(end)) => (gate, Err(end)),
            (result, _) => (gate, result),
        }
    }
}

thread_local! {
    /// A run owns its thread, and its steps follow each other.
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().build().expect("a run-time without sockets needs nothing of the system");
}

/// Arguments, environment, clock and random numbers. No folders (those are the gate's), no sockets.
fn context(shared: &Shared, args: &[String], env: &[(String, String)]) -> WasiCtxBuilder {
    let gate = shared.gate();
    let mut wasi = WasiCtx::builder();
    wasi.args(args).envs(env).max_random_size(RANDOM_BYTES_MAX);
    if let Some(time) = gate.pinned_clock() {
        wasi.wall_clock(Pinned(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()));
    }
    if let Some(seed) = gate.pinned_seed() {
        wasi.secure_random(Deterministic::new(stream(seed, b"secure")));
        wasi.insecure_random(Deterministic::new(stream(seed, b"insecure")));
        wasi.insecure_random_seed(u128::from(seed));
    }
    wasi
}

fn table(limits: &Limits) -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits.handles_max);
    table
}

fn preopens(shared: &Arc<Shared>) -> Vec<(Arc<OpenNode>, String)> {
    let nodes = shared.gate().preopens();
    let open = |(node, path)| (OpenNode::new(shared, node, DescriptorFlags::empty()), path);
    nodes.into_iter().map(open).collect()
}

/// Time stands still in a pinned step.
struct Pinned(Duration);

impl HostWallClock for Pinned {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }
    fn now(&self) -> Duration {
        self.0
    }
}

/// SHA-256 in counter mode over the seed: the same bytes for the same plan.
fn stream(seed: u64, purpose: &[u8]) -> Vec<u8> {
    (0..PINNED_BYTES / 32)
        .flat_map(|counter| {
            let block = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(purpose);
            <[u8; 32]>::from(block.chain_update(counter.to_le_bytes()).finalize())
        })
        .collect()
}

/// What an error that came out of the guest means.
fn end_of(error: &wasmtime::Error, budget: &Budget) -> StepEnd {
    if let Some(stop) = error.downcast_ref::<Stop>() {
        return StepEnd::Stopped(stop.clone());
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return StepEnd::ExitedWith(exit.0.cast_unsigned());
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return StepEnd::Stopped(budget.handles_stop());
    }
    StepEnd::Trapped(trap_text(error))
}

/// The root cause, and the names of the guest's frames, innermost first; a recursion is one frame and how often it
/// follows itself.
fn trap_text(error: &wasmtime::Error) -> String {
    let mut text = error.root_cause().to_string();
    let frames = error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let names = frames.iter().map(|frame| match frame.func_name() {
        Some(name) => format!("{:#}", rustc_demangle::demangle(name)),
        None => format!("function {}", frame.func_index()),
    });
    for same in names.collect::<Vec<_>>().chunk_by(|one, next| one == next) {
        text.push_str(&format!("\n  at {}", same[0]));
        if same.len() > 1 {
            text.push_str(&format!(" ({} frames)", same.len()));
        }
    }
    bounded(text)
}

fn bounded(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}
