//! The one engine configuration, and the ticker that gives guests their time slices.

use super::interrupt::Interrupt;
use sha2::{Digest, Sha256};
use std::{
    hash::{Hash, Hasher},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};
use wasmparser::WasmFeatures;
use wasmtime::{Config, EngineWeak, OptLevel, Strategy};

/// Time between two epochs: how exact the guest's CPU limit is, and how long a computing guest keeps its thread.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// Native stack of guest code; recursion beyond it traps.
const GUEST_STACK_BYTES_MAX: usize = 1 << 20;
/// Guest code and the host calls above it share one fiber.
const FIBER_STACK_BYTES: usize = 4 << 20;
/// Frames of a trap's backtrace.
const BACKTRACE_FRAMES_MAX: usize = 20;

/// Compiles and runs guests. Cheap to clone; one per process is enough.
#[derive(Clone)]
pub struct Engine {
    inner: wasmtime::Engine,
    ticker: Arc<Ticker>,
    interrupt: Interrupt,
}

/// The machine cannot run the engine's configuration.
#[derive(Debug, thiserror::Error)]
#[error("set up the WebAssembly engine: {0:#}")]
pub struct EngineError(wasmtime::Error);

impl Engine {
    /// The engine with every needless part switched off.
    ///
    /// # Errors
    /// [`EngineError`] on a processor that Cranelift cannot compile for.
    pub fn new() -> Result<Engine, EngineError> {
        let inner = wasmtime::Engine::new(&config()).map_err(EngineError)?;
        let ticker = Arc::new(Ticker::default());
        Ok(Engine { inner, ticker, interrupt: Interrupt::default() })
    }

    /// The way to end its steps from another thread.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Digest of the engine's version, its settings and the processor's features: code compiled under another
    /// fingerprint does not load. Part of the key of cached code.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hasher = Fingerprint(Sha256::new());
        self.inner.precompile_compatibility_hash().hash(&mut hasher);
        hasher.0.finalize().into()
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// The epoch advances while at least one of these lives.
    pub(super) fn ticking(&self) -> Ticking {
        self.ticker.start(self.inner.weak());
        Ticking(Arc::clone(&self.ticker))
    }
}

/// What guests may use: WebAssembly 2 with tail calls, several memories and extended constants, as components.
/// Threads, 64-bit memories, garbage collection, exceptions and stack switching are refused when a guest is validated.
pub(super) fn features() -> WasmFeatures {
    let wanted = WasmFeatures::WASM2
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::COMPONENT_MODEL;
    wanted.difference(WasmFeatures::GC_TYPES)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK_BYTES_MAX)
        .async_stack_size(FIBER_STACK_BYTES)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX))
        .concurrency_support(false)
        .shared_memory(false);
    config
        .wasm_component_model(true)
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        .wasm_extended_const(true)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_relaxed_simd(false)
        .wasm_wide_arithmetic(false);
    config
}

/// Feeds whatever implements `Hash` to SHA-256, so that the digest is stable across builds of the standard library.
struct Fingerprint(Sha256);

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// One thread for all running steps: with one each, epochs would run ahead of the clock.
#[derive(Default)]
struct Ticker {
    state: Mutex<TickerState>,
    wake: Condvar,
}

#[derive(Default)]
struct TickerState {
    running: usize,
    has_thread: bool,
}

/// Keeps the epoch advancing; see [`Engine::ticking`].
pub(super) struct Ticking(Arc<Ticker>);

impl Ticker {
    fn start(self: &Arc<Self>, engine: EngineWeak) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running += 1;
        if !state.has_thread {
            state.has_thread = true;
            let ticker = Arc::clone(self);
            thread::Builder::new()
                .name("unship-epoch".to_owned())
                .spawn(move || ticker.tick(&engine))
                .expect("the machine has room for one more thread");
        }
    }

    /// Ticks until the last step ends.
    fn tick(&self, engine: &EngineWeak) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.running > 0 {
            (state, _) = self.wake.wait_timeout(state, TICK).unwrap_or_else(PoisonError::into_inner);
            if let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
            }
        }
        state.has_thread = false;
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running -= 1;
        if state.running == 0 {
            self.0.wake.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_stable_within_a_build() {
        assert_eq!(Engine::new().unwrap().fingerprint(), Engine::new().unwrap().fingerprint());
    }

    #[test]
    fn epochs_end_with_the_last_step() {
        let engine = Engine::new().unwrap();
        let (first, second) = (engine.ticking(), engine.ticking());
        drop(first);
        assert_eq!(engine.ticker.state.lock().unwrap().running, 1);
        drop(second);
        assert_eq!(engine.ticker.state.lock().unwrap().running, 0);
        let _again = engine.ticking();
        assert!(engine.ticker.state.lock().unwrap().has_thread);
    }

    /// The engine refuses what [`features`] refuses, whatever its crate features say.
    #[test]
    fn needless_proposals_are_refused_by_both() {
        let engine = Engine::new().unwrap();
        for text in [
            "(module (memory 1 2 shared))",
            "(module (memory i64 1))",
            "(module (type (struct (field i32))))",
            "(module (tag) (func (throw 0)))",
            "(module (type $f (func)) (type $c (cont $f)))",
            "(module (func (param externref)))",
        ] {
            let wasm = wat::parse_str(text).unwrap();
            let mut validator = wasmparser::Validator::new_with_features(features());
            assert!(validator.validate_all(&wasm).is_err(), "validator took {text}");
            assert!(engine.wasmtime().precompile_module(&wasm).is_err(), "engine took {text}");
        }
    }
}
