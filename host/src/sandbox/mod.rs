//! The sandbox: a component runs here as one step, in a fresh instance, with nothing but its [`Gate`](crate::gate::Gate).
//!
//! ```text
//! bytes ─adapt→ ComponentBytes ─compile (own process)→ code ─seal→ memfd ─load→ Code ─link→ Loaded ─run_step→ StepEnd
//! ```
//!
//! What a guest can reach is what [`link`] puts into its linker: standard streams, clocks, random numbers, arguments,
//! files through the gate, the `unship:step` interfaces that were requested. Sockets exist so that ordinary C and Go
//! programs link, and making one answers "access denied". Nothing else is linked.

mod adapt;
mod bindings;
mod compile;
mod engine;
mod exec;
mod interrupt;
mod limits;
mod link;
mod preview1;
mod process;
mod run;
mod sealed;
mod sockets;
mod state;
mod stdio;
mod streams;
mod unship_v1;
mod wasi_fs;

pub use adapt::{AdaptError, COMPONENT_BYTES_MAX, ComponentBytes, Kind, to_component};
pub use compile::{COMPILE_ARGUMENT, CompileError, CompileLimits, Compiler, compile_child_main};
pub use engine::{Engine, EngineError};
pub use exec::{ExecEnd, ExecError, ExecRequest, exec, exec_limits};
pub use interrupt::Interrupt;
pub use link::{LinkError, Loaded, link};
pub use run::{Entry, StepEnd, StepNamesError, run_step, step_names};
pub use sealed::{Code, LoadError, load, seal};
pub use stdio::Stdio;
