//! `unship exec`: any WASI module or component, as one step, without a site.

use super::{
    AdaptError, CompileError, CompileLimits, Compiler, Engine, EngineError, Entry, Kind, LinkError, LoadError, Stdio,
    StepEnd, link, load, run_step, seal, to_component,
};
use crate::gate::{Gate, Stop};
use std::{collections::BTreeSet, time::Duration};
use unship_policy::meaning::Limits;

/// What is run, and with what.
pub struct ExecRequest<'a> {
    /// A core module or component, as read from its file.
    pub module: Vec<u8>,
    /// Arguments; the first is the program's name.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
    /// Its folders and limits; see [`exec_limits`].
    pub gate: Gate,
    /// Makes the native code.
    pub compiler: &'a Compiler,
}

/// How the program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEnd {
    /// With this status, its own.
    Exited(u32),
    /// By a trap.
    Trapped(String),
    /// At a limit.
    Stopped(Stop),
}

/// Why the program was not run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each wraps the error of one stage")]
pub enum ExecError {
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    #[error("the component is a bundle of steps: pack and sign it, then `unship apply`")]
    IsSteps,
    #[error(transparent)]
    Compile(#[from] CompileError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error("keep the native code: {0}")]
    Seal(#[from] std::io::Error),
}

impl ExecError {
    /// The module itself is at fault, rather than this machine or unship.
    pub fn is_refusal(&self) -> bool {
        match self {
            ExecError::Adapt(_) | ExecError::IsSteps | ExecError::Link(_) => true,
            ExecError::Compile(error) => !matches!(error, CompileError::Process(_)),
            ExecError::Engine(_) | ExecError::Load(_) | ExecError::Seal(_) => false,
        }
    }
}

/// Limits for a program that a person runs by hand: more of everything than a step, but still limits.
pub fn exec_limits() -> Limits {
    Limits {
        cpu: Duration::from_secs(60),
        wall: Duration::from_secs(600),
        memory_bytes_max: 1 << 30,
        table_elements_max: 1_000_000,
        handles_max: 4096,
        output_bytes_max: 1 << 30,
        written_bytes_max: 4 << 30,
        ..Limits::default()
    }
}

/// Runs a program on this process's standard streams.
///
/// # Errors
/// [`ExecError`] when it was not run at all.
pub fn exec(request: ExecRequest<'_>) -> Result<(Gate, ExecEnd), ExecError> {
    let ExecRequest { module, argv, env, gate, compiler } = request;
    let component = to_component(&module)?;
    if component.kind != Kind::Command {
        return Err(ExecError::IsSteps);
    }
    let engine = Engine::new()?;
    let native = compiler.compile(&component.bytes, &CompileLimits::default())?;
    let code = load(&engine, seal(&native)?)?;
    let loaded = link(&engine, &code, component.kind, &BTreeSet::new())?;
    let (gate, end) = run_step(&loaded, Entry::Command { args: &argv, env: &env }, gate, Stdio::Inherited);
    let end = match end {
        StepEnd::Succeeded => ExecEnd::Exited(0),
        StepEnd::ExitedWith(status) => ExecEnd::Exited(status),
        StepEnd::Failed(text) | StepEnd::Trapped(text) => ExecEnd::Trapped(text),
        StepEnd::Stopped(stop) => ExecEnd::Stopped(stop),
    };
    Ok((gate, end))
}
