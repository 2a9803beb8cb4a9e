//! The way back of story 1.2: ingestion accepts nothing and says so, and no PyAirbyte process is left.
//!
//! The order matters. The flag goes off first, so that no connector is started again; then the service stops, which
//! would start one; only then what is left of the connectors. Their cache is cleared when nobody writes to it any more.
//! Every step looks before it acts, so that the story can be taken back from wherever an earlier attempt ended.

use unship_step::{Result, check, files, flags, processes, progress, services};

const FLAG: &str = "pyairbyte_integration";
/// The service that starts the connectors.
const INGESTION: &str = "ingestion";
/// What hands its work to ingestion.
const CORE: &str = "core";
/// The Python processes of the connectors, as the operator's policy tells them from all others.
const CONNECTORS: &str = "pyairbyte";
const ENGINE: &str = "tools/data-services/data-ingestion-service.js";
const STUB: &str = "tools/data-services/stubs/ingestion-stub.js";
const WRAPPER: &str = "tools/data-services/pyairbyte-wrapper.js";
const CACHE: &str = ".cache/pyairbyte";
const STATUS: &str = "ingestion-status";
const OLD_WAY: &str = "ingestion-connectors";
/// HTTP: Service Unavailable.
const UNAVAILABLE: u16 = 503;

unship_step::steps! {
    // Is there anything to do, and can it be done?
    "taken-back" => taken_back,
    "stub-present" => stub_present,
    // The way back, in order.
    "disable-pyairbyte" => disable_pyairbyte,
    "stop-ingestion" => stop_ingestion,
    "stop-connectors" => stop_connectors,
    "set-wrapper-aside" => set_wrapper_aside,
    "replace-service" => replace_service,
    "clear-cache" => clear_cache,
    "start-ingestion" => start_ingestion,
    "restart-core" => restart_core,
    // Is the system well again?
    "flag-off" => flag_off,
    "connectors-gone" => connectors_gone,
    "service-is-stub" => service_is_stub,
    "ingestion-answers" => ingestion_answers,
    "connectors-unavailable" => connectors_unavailable,
    "core-answers" => core_answers,
}

fn disable_pyairbyte() -> Result {
    flags::set(FLAG, "off")?;
    Ok(())
}

fn stop_ingestion() -> Result {
    services::stop(INGESTION)?;
    Ok(())
}

/// A connector outlives the service that started it.
fn stop_connectors() -> Result {
    let stopped = processes::stop(CONNECTORS)?;
    progress!("{stopped} connectors stopped");
    Ok(())
}

fn set_wrapper_aside() -> Result {
    files::set_aside_if_present(WRAPPER)
}

fn replace_service() -> Result {
    files::replace(ENGINE, STUB)?;
    Ok(())
}

/// It holds how far each source was read. A new beginning must not trust it; whoever undoes this run gets it back.
fn clear_cache() -> Result {
    files::clear_if_present(CACHE)
}

fn start_ingestion() -> Result {
    services::start(INGESTION)?;
    Ok(())
}

/// It learns at its start what ingestion can do.
fn restart_core() -> Result {
    services::restart(CORE)?;
    Ok(())
}

/// Nothing is left to do: what follows is verification alone.
fn taken_back() -> Result {
    flag_off()?;
    service_is_stub()?;
    check::absent(WRAPPER)?;
    connectors_gone()
}

/// A stub that needs the wrapper would bring back what is to be taken out.
fn stub_present() -> Result {
    check::replacement_without(STUB, "pyairbyte", "PyAirbyte's wrapper")
}

fn flag_off() -> Result {
    check::flag(FLAG, "off")
}

fn connectors_gone() -> Result {
    check::no_process(CONNECTORS)
}

fn service_is_stub() -> Result {
    check::same_bytes(ENGINE, STUB)
}

fn ingestion_answers() -> Result {
    check::healthy(INGESTION)?;
    check::answers(STATUS, 200)
}

/// What only PyAirbyte can answer nobody answers: neither the stub nor an old process that was forgotten.
fn connectors_unavailable() -> Result {
    check::answers(OLD_WAY, UNAVAILABLE)
}

fn core_answers() -> Result {
    check::healthy(CORE)
}
