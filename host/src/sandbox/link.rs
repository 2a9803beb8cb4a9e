//! What a component gets to import. Deny by default: an `unship:step` interface is linked only when it was requested.

use super::{
    adapt::Kind,
    bindings::{host, step_v1},
    engine::Engine,
    process,
    sealed::Code,
    sockets,
    state::StepState,
};
use std::collections::BTreeSet;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{
    WasiView,
    cli::{WasiCli, WasiCliView},
    clocks::{WasiClocks, WasiClocksView},
    p2::bindings::{CommandPre, cli, clocks, random},
    random::{WasiRandom, WasiRandomView},
};

/// Interfaces that need no request: they give no power.
const FREE: [&str; 2] = ["unship:step/types", "unship:step/progress"];

/// A component that is ready to run: everything that it imports is there, and it exports what its kind must.
pub struct Loaded {
    pub(super) engine: Engine,
    pub(super) entry: Pre,
}

impl Loaded {
    /// The engine that it runs on.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}

pub(super) enum Pre {
    Step(step_v1::StepPre<StepState>),
    Command(CommandPre<StepState>),
}

/// Why a component is not linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It imports an interface of unship that was not requested for it.
    #[error("the component imports `{0}`, which its manifest does not request")]
    NotRequested(String),
    /// It imports something that no step can have.
    #[error("the component imports `{0}`, which unship does not offer")]
    NotOffered(String),
    /// An import or export has another type than its name promises.
    #[error("the component does not fit: {0}")]
    Mismatch(String),
}

/// Links a component to the standard WASI interfaces and to those of `unship:step` in `requested` (`files`,
/// `feature-flags`, `processes`, `services`, `commands`, `http`, `git`). `progress` needs no request.
///
/// # Errors
/// [`LinkError`] names the first import that it may not have.
pub fn link(engine: &Engine, code: &Code, kind: Kind, requested: &BTreeSet<String>) -> Result<Loaded, LinkError> {
    let component = &code.0;
    for (name, _) in component.component_type().imports(engine.wasmtime()) {
        judge(name, kind, requested)?;
    }
    let linker = linker(engine, requested).map_err(mismatch)?;
    let pre = linker.instantiate_pre(component).map_err(mismatch)?;
    let entry = match kind {
        Kind::Step => Pre::Step(step_v1::StepPre::new(pre).map_err(mismatch)?),
        Kind::Command => Pre::Command(CommandPre::new(pre).map_err(mismatch)?),
    };
    Ok(Loaded { engine: engine.clone(), entry })
}

fn judge(import: &str, kind: Kind, requested: &BTreeSet<String>) -> Result<(), LinkError> {
    let name = import.split('@').next().unwrap_or(import);
    if let Some(interface) = name.strip_prefix("unship:step/") {
        return match FREE.contains(&name) || requested.contains(interface) {
            true => Ok(()),
            false => Err(LinkError::NotRequested(import.to_owned())),
        };
    }
    let offered = ["wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:random/", "wasi:sockets/"];
    let private = name == process::INTERFACE && kind == Kind::Command;
    match private || offered.iter().any(|package| name.starts_with(package)) {
        true => Ok(()),
        false => Err(LinkError::NotOffered(import.to_owned())),
    }
}

fn mismatch(error: wasmtime::Error) -> LinkError {
    LinkError::Mismatch(format!("{error:#}"))
}

fn linker(engine: &Engine, requested: &BTreeSet<String>) -> wasmtime::Result<Linker<StepState>> {
    let mut linker = Linker::new(engine.wasmtime());
    add_wasi(&mut linker)?;
    sockets::add_to_linker(&mut linker)?;
    add_gate(&mut linker)?;
    for interface in requested {
        add_unship(&mut linker, interface)?;
    }
    Ok(linker)
}

/// wasmtime-wasi's own: nothing here reaches beyond the step's context.
fn add_wasi(l: &mut Linker<StepState>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;
    struct Table;
    impl HasData for Table {
        type Data<'a> = &'a mut ResourceTable;
    }
    io::error::add_to_linker::<_, Table>(l, |state| state.ctx().table)?;
    io::poll::add_to_linker::<_, Table>(l, |state| state.ctx().table)?;
    io::streams::add_to_linker::<_, Table>(l, |state| state.ctx().table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, StepState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, StepState::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(l, StepState::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, StepState::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, StepState::random)?;
    cli::environment::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, StepState::cli)?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, StepState::cli)
}

/// What goes through the gate without a request, and the process adapter.
fn add_gate(l: &mut Linker<StepState>) -> wasmtime::Result<()> {
    use host::{unship::sandbox::process, wasi::filesystem};
    use step_v1::unship::step::{progress, types};
    filesystem::types::add_to_linker::<_, HasSelf<StepState>>(l, |state| state)?;
    filesystem::preopens::add_to_linker::<_, HasSelf<StepState>>(l, |state| state)?;
    process::add_to_linker::<_, HasSelf<StepState>>(l, |state| state)?;
    types::add_to_linker::<_, HasSelf<StepState>>(l, |state| state)?;
    progress::add_to_linker::<_, HasSelf<StepState>>(l, |state| state)
}

fn add_unship(l: &mut Linker<StepState>, interface: &str) -> wasmtime::Result<()> {
    use step_v1::unship::step::{commands, feature_flags, files, git, http, processes, services};
    match interface {
        "files" => files::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "feature-flags" => feature_flags::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "processes" => processes::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "services" => services::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "http" => http::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "git" => git::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        "commands" => commands::add_to_linker::<_, HasSelf<StepState>>(l, |state| state),
        // Asking for what does not exist gives nothing; a component that imports it does not fit.
        _ => Ok(()),
    }
}
